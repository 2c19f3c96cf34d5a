"""Who may speak on a bus, and which units are worth asking."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

_URGENT_RUN_MAX: Final = 8  # so many writes in a row, then a poll: a flood of writes starves none


class Arbiter:
    """One turn at a time on a bus; writes go before polls, and each kind in order of arrival."""

    def __init__(self) -> None:
        self._busy = False
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._normal: deque[asyncio.Future[None]] = deque()
        self._run = 0

    async def acquire(self, *, urgent: bool) -> None:
        """Wait for a turn; `release` gives it on."""
        if not self._busy:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._normal).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the turn had come and nobody takes it
            raise

    def release(self) -> None:
        """Give the turn to the next who waits."""
        while self._urgent or self._normal:
            urgent = bool(self._urgent) and not (self._normal and self._run >= _URGENT_RUN_MAX)
            turn = (self._urgent if urgent else self._normal).popleft()
            if not turn.done():
                self._run = self._run + 1 if urgent else 0
                turn.set_result(None)
                return
        self._busy = False


@dataclass(slots=True)
class _Unit:
    failures: int = 0
    retry_at: float | None = None


class Breaker:
    """Which units answer: a silent one is asked once in a while only.

    Waiting for a silent unit costs a bus its timeout. After `failures_max` silent requests in
    a row a unit is asked one request every `retry_s`, so that it costs the others nearly nothing.

    Args:
        failures_max: Silent requests in a row until the unit is taken for away.
        retry_s: Time between two tries of a unit that is away [s].
    """

    def __init__(self, failures_max: int, retry_s: float) -> None:
        self.failures_max = failures_max
        self.retry_s = retry_s
        self._units: dict[int, _Unit] = {}

    def wait_s(self, unit: int, now: float) -> float:
        """How long the unit is not to be asked [s]; 0 when it may be asked."""
        known = self._units.get(unit)
        if known is None or known.retry_at is None:
            return 0.0
        return max(0.0, known.retry_at - now)

    def is_away(self, unit: int) -> bool:
        """True from the last of `failures_max` silent requests until it answers."""
        known = self._units.get(unit)
        return known is not None and known.retry_at is not None

    def answered(self, unit: int) -> None:
        """The unit spoke: whatever it said, it is there."""
        self._units.pop(unit, None)

    def silent(self, unit: int, now: float) -> None:
        """A request to the unit had no reply."""
        known = self._units.setdefault(unit, _Unit())
        known.failures += 1
        if known.failures >= self.failures_max:
            known.retry_at = now + self.retry_s

    def forgive(self) -> None:
        """Ask every unit once more at once: the line was opened anew."""
        for known in self._units.values():
            if known.retry_at is not None:
                known.retry_at = float("-inf")
