"""Back-off: how long to wait before the next try, with a spread that is the same every time."""

from __future__ import annotations

import hashlib

FIRST_S = 0.5
LAST_S = 10.0  # A device that is back is read again within ten seconds.


class Backoff:
    """Doubles from 0.5 s to 10 s, spread by ±20 % so that fifty gateways do not knock together.

    The spread is computed from the name and the number of the try, not drawn, so that a
    simulation of the same day waits the same times.

    Args:
        name: Whose waits these are.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.tries = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """Seconds to wait before the next try."""
        base: float = min(FIRST_S * 2.0 ** min(self.tries, 10), LAST_S)
        digest = hashlib.blake2b(f"{self._name}:{self.tries}".encode(), digest_size=4).digest()
        self.tries += 1
        spread = int.from_bytes(digest, "big") / 2**32
        return max(base * (0.8 + 0.4 * spread), at_least_s)

    def reset(self) -> None:
        """The connection stood: the next wait is the first again."""
        self.tries = 0


def with_next_try(reason: str, pause_s: float) -> str:
    """What happened, and when we try again; a short wait is not worth the words.

    >>> with_next_try("No answer. Is it switched on?", 2.4)
    'No answer. Is it switched on? Next try in 2 s.'
    >>> with_next_try("It closed the connection", 30)
    'It closed the connection. Next try in 30 s.'
    """
    if pause_s < 1:
        return reason
    end = "" if reason.endswith(("?", "!", ".")) else "."
    next_try = f"Next try in {pause_s:.0f} s."
    return f"{reason}{end} {next_try}"
