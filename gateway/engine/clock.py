"""The clock: the one place that asks the machine for the time."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's time. The wall clock never steps back: it waits until time has caught up.

    A clock that is set back (NTP, a person) would otherwise give two moments one name.
    """

    def __init__(self) -> None:
        self._latest = 0

    def now(self) -> int:
        """Wall clock [ns since 1970-01-01 UTC]."""
        self._latest = max(self._latest, time.time_ns())
        return self._latest

    def monotonic(self) -> float:
        """Seconds since some start; unaffected by changes of the wall clock."""
        return time.monotonic()
