"""The clock: the one place that asks the machine for the time."""

from __future__ import annotations

import time
from typing import Final

_SLEW: Final = (9, 10)  # While the wall clock is behind, ours runs at this share of the true pace.
LEAP_NS: Final = 500_000_000
"""A wall clock that is ahead of ours by more has been set, or the machine was asleep."""
BACK_MAX_NS: Final = 48 * 3600 * 10**9
"""How far the records may be ahead of the machine's clock, and still be believed before it."""
_WRITTEN_NS: Final = 1_767_225_600 * 10**9  # 2026: a clock that shows less has lost its battery.


class SystemClock:
    """The machine's time. The wall clock never steps back: it slows down until time caught up.

    A clock that is set back (NTP, a person) would otherwise give two moments one name. It does
    not stand still either: an alarm that waits for its on-delay must not wait for an hour
    because the clock was set back by one. A delay is then at most 11 % longer.

    A clock that is set forward is followed at once, and `leapt` says by how much, so that
    nobody takes that for time that has passed; see `engine.steptime`.
    """

    def __init__(self) -> None:
        self.leapt = 0
        """By how much the wall clock was set forward since the start, in sum [ns]."""
        self._latest = 0
        self._at = self._steady()
        self._offset: int | None = None

    def begin(self, floor: int) -> int:
        """Go on from the newest time that was recorded before this start.

        A machine whose clock was set back while the gateway was off would else write one time
        twice, and wait with its timers until the clock has caught up. So ours goes on from the
        record, as it does when the clock is set back while it runs. Not where the record is days
        ahead of a clock that shows a sensible year: then the record is what was wrong.

        Args:
            floor: The newest recorded time [ns].

        Returns:
            By how much the machine's clock is behind it [ns], 0 when it is not.
        """
        wall = self._wall()
        behind = max(floor - wall, 0)
        if behind and (behind <= BACK_MAX_NS or wall < _WRITTEN_NS):
            self._latest = max(self.now(), floor)
        return behind

    def now(self) -> int:
        """Wall clock [ns since 1970-01-01 UTC]; it never goes back."""
        at = self._steady()
        passed, self._at = at - self._at, at
        wall = self._wall()
        if not self._latest:
            self._latest = wall
            return wall
        leap = wall - self._latest - passed
        if leap > LEAP_NS:
            self.leapt += leap
        slowed = self._latest + passed * _SLEW[0] // _SLEW[1]
        self._latest = max(slowed, wall)
        return self._latest

    def monotonic(self) -> float:
        """Seconds since some start; unaffected by changes of the wall clock."""
        return self._steady() / 1e9

    def jumped(self) -> int:
        """By how much the wall clock was set since this was asked last [ns]; 0 the first time."""
        offset = self._wall() - self._steady()
        before, self._offset = self._offset, offset
        return 0 if before is None else offset - before

    def ahead(self) -> int:
        """By how much ours is ahead of the wall clock, which was set back [ns]."""
        return max(self.now() - self._wall(), 0)

    def _wall(self) -> int:
        """What the machine takes for the time [ns since 1970]; it may jump."""
        return time.time_ns()

    def _steady(self) -> int:
        """Nanoseconds since some start."""
        return time.monotonic_ns()
