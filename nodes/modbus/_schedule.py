"""When to scan, and what was missed. Pure: the times come from outside."""

from __future__ import annotations

from collections.abc import Sequence


class Schedule:
    """Due times of some periods. Each is counted from the start, so nothing drifts.

    Args:
        periods_s: The periods [s], (k,).
    """

    def __init__(self, periods_s: Sequence[float]) -> None:
        self.periods_s = tuple(periods_s)
        self.start(0.0)

    def start(self, now: float) -> None:
        """Everything is due now."""
        self._origin = now
        self._turn = [0] * len(self.periods_s)

    def next(self) -> tuple[int, float]:
        """Which period is due next, and when."""
        return min(
            ((i, self._due(i)) for i in range(len(self.periods_s))), key=lambda item: item[1]
        )

    def take(self, i: int, now: float) -> int:
        """Begin the scan that is due; returns how many whole periods were missed before it.

        >>> schedule = Schedule([1.0])
        >>> [schedule.take(0, now) for now in (0.1, 1.0, 4.5)], schedule.next()
        ([0, 0, 2], (0, 5.0))
        """
        missed = max(0, int((now - self._due(i)) // self.periods_s[i]))
        self._turn[i] += missed + 1
        return missed

    def _due(self, i: int) -> float:
        return self._origin + self._turn[i] * self.periods_s[i]
