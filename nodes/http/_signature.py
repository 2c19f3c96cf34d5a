"""Signatures of webhooks: an HMAC over the body, so that the receiver knows who sent it.

Source: RFC 2104; the form ``sha256=<hex>`` is that of GitHub's X-Hub-Signature-256.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

HEADER: Final = "X-Hub-Signature-256"
_PREFIX: Final = "sha256="


def sign(secret: str, body: bytes) -> str:
    """The signature of a body.

    >>> sign("key", b"The quick brown fox jumps over the lazy dog")[:23]
    'sha256=f7bc83f430538424'
    """
    return _PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def is_signed(secret: str, body: bytes, signature: str) -> bool:
    """Whether a signature is that of a body; with the prefix or without."""
    given = signature.strip().lower().removeprefix(_PREFIX)
    wanted = sign(secret, body).removeprefix(_PREFIX)
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


__all__ = ["HEADER", "is_signed", "sign"]
