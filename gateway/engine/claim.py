"""Claim: the single-use code with which the first administrator takes a new gateway.

There is no account and no password at first boot: who can read the console or the log is who
stands at the machine.

Source: OWASP ASVS 5.0, 6.3.2 (no default accounts); EU 2024/2847, annex I, 1 (2) (b).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Final

VALID_S: Final = 1_800.0
_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""32 signs that are not taken for each other: five bits each."""
_SIGNS: Final = 16


class Claim:
    """One code at a time, kept as a hash.

    Args:
        monotonic: Seconds since some start.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._hash = b""
        self._until_s = 0.0

    def renew(self) -> str:
        """A new code of 80 bits, for 30 minutes; an older one is worth nothing any more."""
        code = "".join(secrets.choice(_ALPHABET) for _ in range(_SIGNS))
        self._hash = _hash(code)
        self._until_s = self._monotonic() + VALID_S
        return "-".join(code[i : i + 4] for i in range(0, _SIGNS, 4))

    def fits(self, code: str) -> bool:
        """Whether this is the code, in whatever case and with or without dashes."""
        is_right = hmac.compare_digest(_hash(code), self._hash or bytes(32))
        return is_right and bool(self._hash) and self._monotonic() < self._until_s

    def burn(self) -> None:
        """It was used."""
        self._hash = b""


def _hash(code: str) -> bytes:
    signs = "".join(c for c in code.upper() if c.isalnum())
    return hashlib.sha256(signs.encode("utf-8", "surrogatepass")).digest()
