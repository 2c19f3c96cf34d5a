"""The clock: the one place that asks the machine for the time."""

from __future__ import annotations

import time

_SLEW = (9, 10)  # While the wall clock is behind, ours runs at this share of the true pace.


class SystemClock:
    """The machine's time. The wall clock never steps back: it slows down until time caught up.

    A clock that is set back (NTP, a person) would otherwise give two moments one name. It does
    not stand still either: an alarm that waits for its on-delay must not wait for an hour
    because the clock was set back by one. A delay is then at most 11 % longer.
    """

    def __init__(self) -> None:
        self._latest = 0
        self._at = self._steady()
        self._offset: int | None = None

    def now(self) -> int:
        """Wall clock [ns since 1970-01-01 UTC]; it never goes back."""
        at = self._steady()
        passed, self._at = at - self._at, at
        slowed = self._latest + passed * _SLEW[0] // _SLEW[1]
        self._latest = max(slowed, self._wall()) if self._latest else self._wall()
        return self._latest

    def monotonic(self) -> float:
        """Seconds since some start; unaffected by changes of the wall clock."""
        return self._steady() / 1e9

    def jumped(self) -> int:
        """By how much the wall clock was set since this was asked last [ns]; 0 the first time."""
        offset = self._wall() - self._steady()
        before, self._offset = self._offset, offset
        return 0 if before is None else offset - before

    def _wall(self) -> int:
        """What the machine takes for the time [ns since 1970]; it may jump."""
        return time.time_ns()

    def _steady(self) -> int:
        """Nanoseconds since some start."""
        return time.monotonic_ns()
