"""Certificates: our own, made on first use, and the folder that says which servers we trust.

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
from cryptography.exceptions import InvalidSignature
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
_EARLIER: Final = timedelta(days=1)  # A server's clock may be behind ours.
_SUFFIXES: Final = frozenset({".der", ".crt", ".cer", ".pem"})


@dataclass(frozen=True, slots=True)
class Own:
    """This gateway's certificate and key, as bytes, and where the certificate lies."""

    certificate: bytes
    key: bytes
    file: Path


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_")[:80]


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate in pairs of hexadecimal digits, as servers show it."""
    return ":".join(f"{byte:02X}" for byte in certificate.fingerprint(hashes.SHA256()))


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


def own(folder: Path, uri: str, now: datetime) -> Own:
    """This gateway's key and certificate for an application URI, made when there is none.

    Takes a second of CPU when it makes a key: call it in a thread.
    """
    base = folder / "own"
    base.mkdir(parents=True, exist_ok=True)
    pem, der = base / f"{_slug(uri)}.pem", base / f"{_slug(uri)}.der"
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
        .not_valid_before(now - _EARLIER)
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


class TrustList:
    """Which server certificates are trusted: the files of a folder, read anew at each look.

    Args:
        folder: Holds trusted/ and rejected/; both are made.
    """

    def __init__(self, folder: Path) -> None:
        self.trusted = folder / "trusted"
        self.rejected = folder / "rejected"
        self.trusted.mkdir(parents=True, exist_ok=True)
        self.rejected.mkdir(parents=True, exist_ok=True)

    def check(
        self, certificate: x509.Certificate, address: str, uri: str, trust: Trust, now: datetime
    ) -> str:
        """Refuse a certificate that is not trusted; returns a sentence when one was pinned.

        Args:
            certificate: What the server showed.
            address: Host and port.
            uri: The server's application URI, for certificates that an authority issued.
            trust: list or pin-first-use.
            now: The gateway's time, UTC.

        Raises:
            ConfigError: It is unknown, changed or out of its time; says what to do.
        """
        known = self._known()
        exact = any(other == certificate for other in known.values())
        if not exact and not self._is_issued(certificate, list(known.values()), uri):
            prefix = _slug(address)
            had = any(path.name.startswith(f"{prefix}_") for path in known)
            if trust == "pin-first-use" and not had:
                path = self._keep(self.trusted, certificate, address)
                return (
                    f"Trusting {address} from now on: its certificate {fingerprint(certificate)} "
                    f"was seen for the first time and kept as {path}."
                )
            self._refuse(certificate, address, had)
        _check_time(certificate, address, now)
        return ""

    def _known(self) -> dict[Path, x509.Certificate]:
        found = {}
        for path in sorted(self.trusted.iterdir()):
            if path.suffix.lower() not in _SUFFIXES:
                continue
            content = path.read_bytes()
            with contextlib.suppress(ValueError):
                is_pem = b"-----BEGIN" in content
                found[path] = (
                    x509.load_pem_x509_certificate(content)
                    if is_pem
                    else x509.load_der_x509_certificate(content)
                )
        return found

    def _is_issued(
        self, certificate: x509.Certificate, issuers: list[x509.Certificate], uri: str
    ) -> bool:
        """True when a trusted authority issued it for this very application."""
        for issuer in issuers:
            try:
                if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
                    continue
                certificate.verify_directly_issued_by(issuer)
                names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
            except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
                continue
            if uri in names.value.get_values_for_type(x509.UniformResourceIdentifier):
                return True
        return False

    def _refuse(self, certificate: x509.Certificate, address: str, changed: bool) -> None:
        path = self._keep(self.rejected, certificate, address)
        what = "has changed" if changed else "is not trusted"
        raise ConfigError(
            f"The certificate of the server at {address} {what}: "
            f"SHA-256 {fingerprint(certificate)}.",
            hint=f"Compare the fingerprint with the one the server shows; if it is the same, "
            f"move {path} to {self.trusted}.",
        )

    def _keep(self, folder: Path, certificate: x509.Certificate, address: str) -> Path:
        mark = certificate.fingerprint(hashes.SHA256()).hex()[:16]
        path = folder / f"{_slug(address)}_{mark}.der"
        if not path.exists():
            path.write_bytes(certificate.public_bytes(Encoding.DER))
        return path


def _check_time(certificate: x509.Certificate, address: str, now: datetime) -> None:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < first - _EARLIER or now > last:
        side = f"ended on {last:%Y-%m-%d}" if now > last else f"begins on {first:%Y-%m-%d}"
        raise ConfigError(
            f"The certificate of the server at {address} is out of its time: it {side}.",
            hint=f"Renew it on the server, or set the gateway's clock, which shows "
            f"{now:%Y-%m-%d %H:%M} UTC.",
        )


def at(ns: int) -> datetime:
    """Nanoseconds since 1970 as a datetime in UTC."""
    return datetime.fromtimestamp(ns / 1e9, UTC)


def days_left(certificate: bytes, now: datetime) -> int:
    """Whole days until a certificate ends."""
    return (x509.load_der_x509_certificate(certificate).not_valid_after_utc - now).days


__all__ = ["Own", "Trust", "TrustList", "at", "days_left", "fingerprint"]
__all__ += ["first_of", "own"]
