"""Quiet: for each tag the values and times between which nothing changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gateway import Batch, TagTable, quality
from nodes.alarm._level import NEVER, Level, Point


class Quiet:
    """The fast path of a watch, as arrays indexed by tag code.

    All of it is derived from points and values, so it is not saved. A tag that nobody
    watches is quiet whatever comes.

    Args:
        tags: The tag table.
        levels: What values are compared with.
        watches: Whether a tag name is the node's business.
    """

    def __init__(
        self, tags: TagTable, levels: Sequence[Level], watches: Callable[[str], bool]
    ) -> None:
        self._tags = tags
        self._levels = levels
        self._watches = watches
        self.low = np.full(tags.limit, -np.inf)
        self.high = np.full(tags.limit, np.inf)
        self.due = np.full(tags.limit, NEVER, np.int64)
        self.watched = np.zeros(tags.limit, np.bool_)
        self._mark = np.zeros(tags.limit, np.bool_)
        self._met = 0
        self._waiting = np.zeros(0, np.intp)
        self._changed = False

    def rows(
        self, batch: Batch, at: NDArray[np.intp], last: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Good rows inside the interval, in order, and before the next timer; (n,).

        A row may be called loud for no reason but never quiet: the loud are looked at again.
        """
        if self._met < len(self._tags):
            self.meet()
        ts, value = batch.ts, batch.value
        inside = (value >= self.low[at]) & (value <= self.high[at])
        inside &= batch.quality < quality.UNCERTAIN
        inside &= ts < self.due[at]
        inside &= ts >= last
        if _disordered(batch):
            inside &= ~_late(batch)
        return np.asarray(inside, np.bool_)

    def idle(
        self, batch: Batch, at: NDArray[np.intp], last: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Rows in order of tags that wait for nothing: a Bad one changes nothing; (n,)."""
        idle = (self.due[at] == NEVER) & (self.low[at] <= self.high[at]) & (batch.ts >= last)
        if _disordered(batch):
            idle &= ~_late(batch)
        return np.asarray(idle, np.bool_)

    def all_of(self, at: NDArray[np.intp], loud: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Every row (n,) of a watched tag that has at least one loud row (n,)."""
        tags = at[loud & self.watched[at]]
        self._mark[tags] = True
        rows: NDArray[np.bool_] = self._mark[at]
        self._mark[tags] = False
        return rows

    def settle(self, code: int, point: Point, value: float) -> None:
        """Derive one tag's interval and timer from its point and last value."""
        low, high = -math.inf, math.inf
        for level, active, due in zip(self._levels, point.active, point.due, strict=True):
            below, above = level.zone(active != (due != NEVER), active, value)
            low, high = max(low, below), min(high, above)
        if point.late or point.moved:
            low, high = math.inf, -math.inf  # so that the next row is looked at
        self.low[code], self.high[code] = low, high
        due = min(point.due)
        self._changed = self._changed or due != self.due[code]
        self.due[code] = due

    def meet(self, anew: bool = False) -> None:
        """Look at tags that are new, or at all of them."""
        if anew:
            self._met, self._changed = 0, True
            self.low[:], self.high[:], self.due[:] = -np.inf, np.inf, NEVER
            self.watched[:] = False
        names = self._tags.names()
        rest = [level.zone(False, False, 0.0) for level in self._levels]
        for code in range(self._met, len(names)):
            if self._watches(names[code]):
                self.watched[code] = True
                self.low[code] = max(low for low, _ in rest)
                self.high[code] = min(high for _, high in rest)
        self._met = len(names)

    def waiting(self) -> NDArray[np.intp]:
        """Codes of the tags that have a timer."""
        if self._changed:
            self._waiting = np.flatnonzero(self.due[: self._met] != NEVER)
            self._changed = False
        return self._waiting


def _disordered(batch: Batch) -> bool:
    return len(batch) > 1 and bool(np.count_nonzero(batch.ts[1:] < batch.ts[:-1]))


def _late(batch: Batch) -> NDArray[np.bool_]:
    """Rows (n,) that are older than the row of their tag before them in the batch."""
    order = np.argsort(batch.tag, kind="stable")
    tag, ts = batch.tag[order], batch.ts[order]
    late = np.zeros(len(batch), np.bool_)
    late[order[1:]] = (tag[1:] == tag[:-1]) & (ts[1:] < ts[:-1])
    return late
