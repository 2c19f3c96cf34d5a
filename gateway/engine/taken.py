"""Taken: which numbers have left an outbox. All up to a number, and some runs above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

RUNS_MAX: Final = 100
"""Outages that may begin while the backlog of an earlier one still waits."""


class Taken:
    """The numbers that have left an outbox.

    Without a backlog that is one number: all up to `low`. While new messages go before a
    backlog, the runs of new ones that were taken stand above it; so do single messages of a
    worker that answers several at once.

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
        """Above `low`, in order, with at least one number between two of them."""

    def __contains__(self, number: int) -> bool:
        return number <= self.low or any(a <= number <= b for a, b in self._runs)

    def has_all(self, first: int, last: int) -> bool:
        """True when nothing from `first` to `last` waits."""
        return last <= self.low or any(a <= first and last <= b for a, b in self._runs)

    def has_some(self, first: int, last: int) -> bool:
        """True when at least one from `first` to `last` has left."""
        return first <= self.low or any(a <= last and first <= b for a, b in self._runs)

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
            return
        first = self.split_at + 1
        apart = [run for run in self._runs if run[1] < first - 1 or run[0] > last + 1]
        joined = [run for run in self._runs if run not in apart]
        first, last = min([first, *(a for a, _ in joined)]), max([last, *(b for _, b in joined)])
        self._runs = sorted([*apart, [first, last]])
        self._tidy()

    def one(self, number: int) -> None:
        """A single message has left, while others before it still wait."""
        joined: list[list[int]] = []
        for first, last in sorted([*self._runs, [number, number]]):
            if joined and first <= joined[-1][1] + 1:
                joined[-1][1] = max(joined[-1][1], last)
            else:
                joined.append([first, last])
        self._runs = joined
        self._tidy()

    def backlog_to(self, last: int, *, is_over: bool) -> None:
        """A message of the backlog and all before it have left."""
        self.all_to(max(last, self.split_at) if is_over else last)

    def all_to(self, last: int) -> None:
        """Nothing up to this number waits."""
        self.low = max(self.low, last)
        self._tidy()

    def _tidy(self) -> None:
        while self._runs and self._runs[0][0] <= self.low + 1:
            self.low = max(self.low, self._runs.pop(0)[1])
        if self.low >= self.split_at:
            self.split_at = 0

    def mark(self) -> dict[str, Any]:
        """As JSON values."""
        if not self._runs and not self.split_at:
            return {"low": self.low}
        return {"low": self.low, "split": self.split_at, "runs": [list(r) for r in self._runs]}
