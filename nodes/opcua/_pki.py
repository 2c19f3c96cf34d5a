"""Certificates: our own, made on first use, and where they lie; `_trust` has the servers'.

    <data_dir>/pki/own/<name>.pem       key and certificate of this gateway, readable only by it
    <data_dir>/pki/own/<name>.der       the certificate, to be copied to a server
    <data_dir>/pki/trusted/             server certificates, or those of who issued them
    <data_dir>/pki/rejected/            what was refused; move a file to trusted/ to trust it

Source: OPC 10000-4 v1.05, 6.1.3 Determining if a Certificate is trusted; OPC 10000-12, 7.8.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway import ConfigError

Trust = Literal["list", "pin-first-use", "none"]
_KEY_BITS: Final = 2048  # The least that Basic256Sha256 allows; OPC 10000-7, 6.6.
_VALID_DAYS: Final = 3650  # A change has to be trusted anew by hand on every server.
EARLIER: Final = timedelta(days=1)  # A server's clock may be behind ours.


@dataclass(frozen=True, slots=True)
class Own:
    """This gateway's certificate and key, as bytes, and where the certificate lies."""

    certificate: bytes
    key: bytes
    file: Path


def slug(text: str) -> str:
    """A text as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_")[:80]


def first_of(chain: bytes) -> x509.Certificate:
    """The server's own certificate, which stands first in a chain.

    Raises:
        ValueError: The bytes are no certificate.
    """
    # A DER sequence: tag, then a length that is short, or says how many bytes it has.
    if len(chain) < 4 or chain[0] != 0x30:
        raise ValueError("no certificate")
    size, head = chain[1], 2
    if size & 0x80:
        head += size & 0x7F
        size = int.from_bytes(chain[2:head], "big")
    return x509.load_der_x509_certificate(chain[: head + size])


def own_file(folder: Path, uri: str) -> Path:
    """Where this gateway's certificate for an application URI lies, once it was made."""
    return folder / "own" / f"{slug(uri)}.der"


def own(folder: Path, uri: str, now: datetime) -> Own:
    """This gateway's key and certificate for an application URI, made when there is none.

    Takes a second of CPU when it makes a key: call it in a thread.
    """
    base = folder / "own"
    base.mkdir(parents=True, exist_ok=True)
    pem, der = base / f"{slug(uri)}.pem", base / f"{slug(uri)}.der"
    if not pem.exists():
        _create(pem, _make(uri, now))
    try:
        content = pem.read_bytes()
        certificate = x509.load_pem_x509_certificate(content)
        key = load_pem_private_key(content, None)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The gateway's own certificate {pem} cannot be read: {error}.",
            hint="Delete the file and a new one is made, which servers have to trust anew.",
        ) from error
    encoded = certificate.public_bytes(Encoding.DER)
    if not der.exists() or der.read_bytes() != encoded:
        der.write_bytes(encoded)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Own(encoded, secret, der)


def _create(path: Path, content: bytes) -> None:
    """Write a file once, whole and private; who comes second keeps what is there."""
    handle, name = tempfile.mkstemp(dir=path.parent)  # mkstemp gives it mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()


def _make(uri: str, now: datetime) -> bytes:
    """A self-signed application instance certificate. Source: OPC 10000-6 v1.05, 6.2.2."""
    key = rsa.generate_private_key(65537, _KEY_BITS)
    host = socket.gethostname() or "localhost"
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Genba"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Genba"),
        ]
    )
    usage = x509.KeyUsage(True, True, True, True, False, True, False, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=_VALID_DAYS))
        .serial_number(x509.random_serial_number())
        .public_key(key.public_key())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName(host)]),
            False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(usage, True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + certificate.public_bytes(Encoding.PEM)


def at(ns: int) -> datetime:
    """Nanoseconds since 1970 as a datetime in UTC."""
    return datetime.fromtimestamp(ns / 1e9, UTC)


def days_left(certificate: bytes, now: datetime) -> int:
    """Whole days until a certificate ends."""
    return (x509.load_der_x509_certificate(certificate).not_valid_after_utc - now).days


__all__ = ["EARLIER", "Own", "Trust", "at", "days_left"]
__all__ += ["first_of", "own", "own_file", "slug"]
