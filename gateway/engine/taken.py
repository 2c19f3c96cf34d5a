"""Taken: which numbers have left an outbox. All up to a number, and some runs above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

RUNS_MAX: Final = 100
"""Outages that may begin while the backlog of an earlier one still waits."""


class Taken:
    """The numbers that have left an outbox.

    Without a backlog that is one number: all up to `low`. While new messages go before a
    backlog, the runs of new ones that were taken stand above it.

    >>> taken = Taken()
    >>> taken.live_to(3, has_backlog=False)
    >>> taken.split(8)          # 4 to 8 are the backlog now
    >>> taken.live_to(10, has_backlog=True)
    >>> [n for n in range(1, 13) if n in taken]
    [1, 2, 3, 9, 10]
    >>> taken.backlog_to(8, is_over=True)
    >>> taken.low
    10

    Args:
        mark: What `mark` gave once.
    """

    def __init__(self, mark: Mapping[str, Any] | None = None) -> None:
        mark = mark or {}
        self.low = int(mark.get("low", 0))
        self.split_at = int(mark.get("split", 0))
        """The backlog reaches up to this number; 0 when there is none."""
        self._runs: list[list[int]] = [[int(a), int(b)] for a, b in mark.get("runs", ())]

    def __contains__(self, number: int) -> bool:
        return number <= self.low or any(a <= number <= b for a, b in self._runs)

    def has_all(self, first: int, last: int) -> bool:
        """True when nothing from `first` to `last` waits."""
        return last <= self.low or any(a <= first and last <= b for a, b in self._runs)

    @property
    def high(self) -> int:
        """The greatest number that has left."""
        return max([self.low, *(b for _, b in self._runs)])

    @property
    def may_split(self) -> bool:
        """False when there are too many runs to remember one more."""
        return len(self._runs) < RUNS_MAX

    def split(self, at: int) -> None:
        """All that waits up to this number is a backlog."""
        self.split_at = at

    def live_to(self, last: int, *, has_backlog: bool) -> None:
        """A new message and all new ones before it have left."""
        if not has_backlog:
            self.all_to(last)
        elif self._runs and self._runs[-1][0] > self.split_at:
            self._runs[-1][1] = max(self._runs[-1][1], last)
        else:
            self._runs.append([self.split_at + 1, last])

    def backlog_to(self, last: int, *, is_over: bool) -> None:
        """A message of the backlog and all before it have left."""
        self.low = max(self.low, last)
        if is_over:
            self.all_to(self.split_at)
            self.low = max([self.low, *(b for _, b in self._runs)])
            self._runs.clear()
            self.split_at = 0
        self._runs = [run for run in self._runs if run[1] > self.low]

    def all_to(self, last: int) -> None:
        """Nothing up to this number waits."""
        self.low = max(self.low, last)

    def mark(self) -> dict[str, Any]:
        """As JSON values."""
        if not self._runs and not self.split_at:
            return {"low": self.low}
        return {"low": self.low, "split": self.split_at, "runs": [list(r) for r in self._runs]}
