"""When to scan, and what was missed. Pure: the times come from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MERGE_NS: Final = 10_000_000_000  # scans that are missed all the time are told every 10 s


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


@dataclass(slots=True)
class Gap:
    """A time for which there are no samples."""

    start: int
    end: int
    missed: int
    cause: str


class Gaps:
    """Collects gaps so that a bus that is always late tells of it now and then, with the sum."""

    def __init__(self) -> None:
        self._open: dict[int, Gap] = {}
        self._told: dict[int, int] = {}

    def add(self, i: int, gap: Gap) -> None:
        """Scan i has missed something."""
        known = self._open.get(i)
        if known is None:
            self._open[i] = gap
        else:
            known.end = gap.end
            known.missed += gap.missed

    def take(self, i: int, now: int, *, on_time: bool) -> list[Gap]:
        """What is to be told of scan i now: the first gap at once, a row of them in sum."""
        if i not in self._open or (not on_time and now - self._told.get(i, 0) < _MERGE_NS):
            return []
        self._told[i] = now
        return [self._open.pop(i)]
