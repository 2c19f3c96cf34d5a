"""Certificates as they are shown on the connections page.

Not a family: `opcua` and `mqtt` show theirs alike.
"""

from __future__ import annotations

from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from gateway import Certificate


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate in pairs of hexadecimal digits, as servers show it."""
    return ":".join(f"{byte:02X}" for byte in certificate.fingerprint(hashes.SHA256()))


def shown(
    found: x509.Certificate,
    whose: Literal["own", "server", "authority"],
    state: Literal["own", "trusted", "rejected", ""] = "",
    file: str = "",
) -> Certificate:
    """A certificate of ours, of the other side, or of an authority.

    Args:
        found: It.
        whose: Of which side.
        state: What was decided about it; empty where its issuer decides.
        file: Where it lies.
    """
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(
        whose=whose,
        subject=str(names[0].value) if names else found.subject.rfc4514_string(),
        fingerprint=fingerprint(found),
        begins=round(found.not_valid_before_utc.timestamp()) * 10**9,
        ends=round(found.not_valid_after_utc.timestamp()) * 10**9,
        state=state,
        file=file,
    )


__all__ = ["fingerprint", "shown"]
