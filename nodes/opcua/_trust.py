"""Trust: the folders that say which servers' certificates are trusted.

Source: OPC 10000-4 v1.05, 6.1.3 Determining if a Certificate is trusted; OPC 10000-12, 7.8.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gateway import ConfigError
from nodes._certificate import fingerprint
from nodes.opcua._pki import EARLIER, Trust, slug

Decision = Literal["trusted", "rejected"]
_SUFFIXES: Final = frozenset({".der", ".crt", ".cer", ".pem"})


class TrustList:
    """Which server certificates are trusted: the files of a folder, read anew at each look.

    Args:
        folder: Holds trusted/ and rejected/; both are made.
        is_trial: Nothing is trusted for good by the way.
    """

    def __init__(self, folder: Path, *, is_trial: bool = False) -> None:
        self._is_trial = is_trial
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
            prefix = slug(address)
            had = any(path.name.startswith(f"{prefix}_") for path in known)
            # One that a person has rejected is not seen for the first time.
            is_rejected = self._file(self.rejected, certificate, address).exists()
            is_first = trust == "pin-first-use" and not had and not is_rejected
            if is_first and self._is_trial:
                return (
                    f"The certificate of {address} is not known yet: {fingerprint(certificate)}. "
                    "It is trusted once this connection is deployed (pin-first-use)."
                )
            if is_first:
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
        path = self._file(folder, certificate, address)
        if not path.exists():
            path.write_bytes(certificate.public_bytes(Encoding.DER))
        return path

    @staticmethod
    def _file(folder: Path, certificate: x509.Certificate, address: str) -> Path:
        mark = certificate.fingerprint(hashes.SHA256()).hex()[:16]
        return folder / f"{slug(address)}_{mark}.der"

    def listed(self, address: str) -> list[tuple[Decision, Path]]:
        """The files of what the server at an address has shown, and what was decided."""
        prefix = f"{slug(address)}_"
        folders: tuple[tuple[Decision, Path], ...] = (
            ("trusted", self.trusted),
            ("rejected", self.rejected),
        )
        return [
            (state, path)
            for state, folder in folders
            for path in sorted(folder.iterdir())
            if path.name.startswith(prefix)
        ]

    def decide(self, address: str, wanted: str, *, trusted: bool) -> Path:
        """Move a certificate of a server into trusted/ or rejected/.

        Raises:
            ConfigError: The server has shown none with this fingerprint.
        """
        for _, path in self.listed(address):
            if fingerprint(x509.load_der_x509_certificate(path.read_bytes())) != wanted:
                continue
            target = (self.trusted if trusted else self.rejected) / path.name
            path.replace(target)
            return target
        raise ConfigError(
            f"The server at {address} has shown no certificate {wanted}.",
            hint="Test the connection: what the server shows is then listed.",
        )


def _check_time(certificate: x509.Certificate, address: str, now: datetime) -> None:
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < first - EARLIER or now > last:
        side = f"ended on {last:%Y-%m-%d}" if now > last else f"begins on {first:%Y-%m-%d}"
        raise ConfigError(
            f"The certificate of the server at {address} is out of its time: it {side}.",
            hint=f"Renew it on the server, or set the gateway's clock, which shows "
            f"{now:%Y-%m-%d %H:%M} UTC.",
        )


__all__ = ["Decision", "TrustList"]
