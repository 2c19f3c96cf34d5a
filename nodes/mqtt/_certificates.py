"""Certificates of a broker and of ours for it: what was shown at the last handshake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cryptography import x509

from gateway import Certificate
from nodes._certificate import shown


class Seen:
    """The broker's certificate as it was shown last."""

    def __init__(self) -> None:
        self._broker = b""

    def __call__(self, certificate: bytes) -> None:
        """A handshake is over: the broker has shown this, DER."""
        self._broker = certificate

    def listed(self, own: Path | None, ca: Path | None) -> Iterator[Certificate]:
        """Ours, that of the authority that is trusted, and the broker's; what is none is left out.

        Args:
            own: PEM file of our certificate.
            ca: PEM file of the authority.
        """
        for path, whose in ((own, "own"), (ca, "authority")):
            if path is None:
                continue
            with suppress(OSError, ValueError):
                for found in x509.load_pem_x509_certificates(path.read_bytes()):
                    if whose == "own":
                        yield shown(found, "own", "own", str(path))
                        break  # What follows are its issuers.
                    yield shown(found, "authority", "trusted", str(path))
        with suppress(ValueError):
            if self._broker:
                yield shown(x509.load_der_x509_certificate(self._broker), "server")


__all__ = ["Seen"]
