"""Certificate: the key and the self-signed certificate that a gateway makes for itself.

From the first boot the screens speak TLS to the network. Nobody has signed the certificate yet,
so its fingerprint is on the console: who compares it once knows that nobody stands between.

Source: RFC 5280; IEC 62443-4-2, CR 1.8 and 1.9; CA/Browser Forum BR 7.1 for the serial number.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.data.whole import write_whole
from gateway.errors import ConfigError

FOLDER: Final = "tls"
CERTIFICATE: Final = "gateway.pem"
KEY: Final = "gateway.key"
CLIENT: Final = "client.pem"
"""What the gateway shows where it is the client, when the other certificate is for servers only."""
_DAYS: Final = 3650
_DAY_NS: Final = 86_400 * 10**9


def ensure(state: Path, now: int, names: Iterable[str] = ()) -> tuple[Path, Path]:
    """The certificate and key of this gateway; made when there are none.

    Args:
        state: Folder of the state.
        now: The time [ns].
        names: Further host names and addresses it is reached by.

    Raises:
        ConfigError: They cannot be written or read.
    """
    folder = state / FOLDER
    certificate, key = folder / CERTIFICATE, folder / KEY
    try:
        if not (certificate.exists() and key.exists()):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make(certificate, key, now, [socket.gethostname(), "localhost", *names])
        load(certificate)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The certificate of this gateway cannot be used: {error}.",
            where=str(certificate),
            hint="Delete the folder; a new one is made at the next start.",
        ) from error
    return certificate, key


def as_client(state: Path, now: int) -> tuple[Path, Path]:
    """The certificate and key with which this gateway asks another one; made when there is none.

    It is the certificate of the screens where that is good for clients too, as one that an own
    authority signed may be, else one of its own for the same key.

    Args:
        state: Folder of the state.
        now: The time [ns].

    Raises:
        ConfigError: They cannot be written or read.
    """
    certificate, key = ensure(state, now)
    if _is_for_clients(load(certificate)):
        return certificate, key
    path = state / FOLDER / CLIENT
    try:
        private = _private(key)
        if not path.exists() or load(path).public_key() != private.public_key():
            made = _signed(private, now, [socket.gethostname()], ExtendedKeyUsageOID.CLIENT_AUTH)
            write_whole(path, made.public_bytes(serialization.Encoding.PEM), 0o644)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The certificate for other gateways cannot be used: {error}.",
            where=str(path),
            hint="Delete the file; it is made anew.",
        ) from error
    return path, key


def _is_for_clients(found: x509.Certificate) -> bool:
    try:
        usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def load(path: Path) -> x509.Certificate:
    """A certificate from a PEM file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no certificate.
    """
    return x509.load_pem_x509_certificate(path.read_bytes())


def fingerprint(path: Path) -> str:
    """The SHA-256 of a certificate as browsers show it: ``AB:CD:…``."""
    return load(path).fingerprint(hashes.SHA256()).hex(":").upper()


def shown(path: Path, now: int) -> dict[str, object]:
    """What a person wants to know of a certificate; times in ns.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no certificate.
    """
    found = load(path)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ends = int(found.not_valid_after_utc.timestamp()) * 10**9
    return {
        "subject": found.subject.rfc4514_string(),
        "issuer": found.issuer.rfc4514_string(),
        "own": found.subject == found.issuer,
        "names": [str(name.value) for name in names],
        "from": int(found.not_valid_before_utc.timestamp()) * 10**9,
        "to": ends,
        "days_left": (ends - now) // _DAY_NS,
        "sha256": fingerprint(path),
    }


def request(state: Path, names: Iterable[str] = ()) -> str:
    """A signing request for the key of this gateway, as PEM; the key itself never leaves.

    Args:
        state: Folder of the state; the certificate must exist.
        names: Host names and addresses to ask for; those of the present one when none.

    Raises:
        OSError: There is no certificate yet.
        ValueError: What is there cannot be read.
    """
    folder = state / FOLDER
    present = load(folder / CERTIFICATE)
    held = present.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    asked = _alternatives(names) if names else list(held)
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(present.subject)
        .add_extension(x509.SubjectAlternativeName(asked), critical=False)
        .sign(_private(folder / KEY), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def install(state: Path, chain: str, now: int) -> None:
    """Take a certificate that somebody signed for the key of this gateway.

    Args:
        state: Folder of the state.
        chain: The certificate, then those of its issuers, as PEM.
        now: The time [ns].

    Raises:
        ConfigError: It is not for this key, is not valid now, or cannot be read or written.
    """
    folder = state / FOLDER
    try:
        found = x509.load_pem_x509_certificates(chain.encode())
        own = _private(folder / KEY).public_key()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"This is no certificate in PEM form: {error}.",
            hint="Give the certificate that was made from `genba tls request`.",
        ) from error
    first = found[0]
    if first.public_key() != own:
        raise ConfigError(
            "This certificate is for another key than that of this gateway.",
            hint="Have the text of `genba tls request` signed.",
        )
    when = dt.datetime.fromtimestamp(now / 1e9, dt.UTC)
    if not first.not_valid_before_utc <= when <= first.not_valid_after_utc:
        raise ConfigError(
            f"This certificate is valid from {first.not_valid_before_utc:%Y-%m-%d %H:%M} to "
            f"{first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, which is not now.",
            hint="Check the gateway's clock, or have a new one made.",
        )
    for one, issuer in pairwise(found):
        if one.issuer != issuer.subject:
            raise ConfigError("The certificates are no chain: each must be followed by its issuer.")
    pem = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in found)
    write_whole(folder / CERTIFICATE, pem, 0o644)


def _private(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is of another kind")
    return key


def _make(certificate: Path, key: Path, now: int, names: Iterable[str]) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    made = _signed(private, now, names, ExtendedKeyUsageOID.SERVER_AUTH)
    text = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_whole(key, text, 0o600)
    write_whole(certificate, made.public_bytes(serialization.Encoding.PEM), 0o644)


def _signed(
    private: ec.EllipticCurvePrivateKey, now: int, names: Iterable[str], use: x509.ObjectIdentifier
) -> x509.Certificate:
    """A certificate that the key signs itself."""
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"Genba {socket.gethostname()}"[:64])]
    )
    # A gateway whose clock is not set yet must still be reachable when it is.
    start = dt.datetime.fromtimestamp(max(now - _DAY_NS, 0) / 1e9, dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .sign(private, hashes.SHA256())
    )


def _alternatives(names: Iterable[str]) -> list[x509.GeneralName]:
    found: dict[str, x509.GeneralName] = {}
    for name in [*names, "127.0.0.1", "::1"]:
        try:
            found[name] = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            found[name] = x509.DNSName(name)
    return list(found.values())


__all__ = [
    "CERTIFICATE",
    "CLIENT",
    "FOLDER",
    "KEY",
    "as_client",
    "ensure",
    "fingerprint",
    "install",
    "load",
    "request",
    "shown",
]
