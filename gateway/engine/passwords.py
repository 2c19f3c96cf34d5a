"""Passwords: how they are kept and compared; `passwords_easy` judges them.

scrypt of the standard library: 32 MB and 0.25 s a try (measured; more on a small machine), on
one thread of its own with a short queue, so that a flood of logins costs the gateway one thread
and never its event loop.

Source: RFC 7914 (scrypt); OWASP ASVS 5.0, 6.2 (length, no composition rules) and 11.4.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from gateway.errors import Disconnected

WAITING_MAX: Final = 4
_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 32
_SPARE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Cost:
    """What one hash costs: memory is 128 · n · r bytes, time grows with n · r · p."""

    n: int = 2**15
    r: int = 8
    p: int = 3


class Hasher:
    """Makes and compares hashes on a thread of its own.

    Args:
        cost: Of new hashes; a stored one says what it cost itself.
    """

    def __init__(self, cost: Cost | None = None) -> None:
        self._cost = cost or Cost()
        self._pool = ThreadPoolExecutor(1, "genba-password")
        self._waiting = 0
        self._nobody = _text(self._cost, secrets.token_bytes(_SALT_BYTES), bytes(_KEY_BYTES))

    async def make(self, password: str) -> str:
        """A hash with its salt and its cost, as text.

        Raises:
            Disconnected: Too many wait for one.
        """
        salt = secrets.token_bytes(_SALT_BYTES)
        return _text(self._cost, salt, await self._derive(password, salt, self._cost))

    async def fits(self, password: str, stored: str | None) -> bool:
        """Whether a password is that of a stored hash; None takes as long and fits nothing.

        Raises:
            Disconnected: Too many wait for an answer.
        """
        cost, salt, wanted = _parts(stored or self._nobody)
        found = await self._derive(password, salt, cost)
        return hmac.compare_digest(found, wanted) and stored is not None

    def is_old(self, stored: str) -> bool:
        """True for a hash of another cost: the next login makes a new one."""
        return _parts(stored)[0] != self._cost

    def close(self) -> None:
        """No more will be asked."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _derive(self, password: str, salt: bytes, cost: Cost) -> bytes:
        if self._waiting >= WAITING_MAX:
            raise Disconnected("Too many log in at once. Try again in some seconds.")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, _scrypt, password, salt, cost)
        finally:
            self._waiting -= 1


def _scrypt(password: str, salt: bytes, cost: Cost) -> bytes:
    memory = 128 * cost.r * (cost.n + cost.p + 2) + _SPARE_BYTES
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(
        secret, salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=memory, dklen=_KEY_BYTES
    )


def _text(cost: Cost, salt: bytes, key: bytes) -> str:
    ends = (base64.b64encode(part).decode() for part in (salt, key))
    return "$".join(("scrypt", f"{cost.n}", f"{cost.r}", f"{cost.p}", *ends))


def _parts(stored: str) -> tuple[Cost, bytes, bytes]:
    _, n, r, p, salt, key = stored.split("$")
    return Cost(int(n), int(r), int(p)), base64.b64decode(salt), base64.b64decode(key)
