"""Watch: from samples to conditions that hold or do not, with deadband and delays.

Delays run in event time, per tag. A condition true since 5 s with an on-delay of 10 s is
raised at 15 s with the value that held then, whether a sample at 20 s or a timer reveals it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway import Batch, Node
from nodes.alarm._level import NEVER, UNSEEN, Level, Point
from nodes.alarm._quiet import Quiet
from nodes.alarm._saved import pack, unpack

LATE_ROWS_MAX: Final = 10
"""After so many late samples in a row the device's clock was set back (as in `models`)."""
T = TypeVar("T")

Decide = Callable[[int, Level, bool, int, float], list[T]]


class Watch(Generic[T]):
    """Watches the values of all tags of a node against the same levels.

    For each tag the interval of values is kept in which nothing changes, and the event time
    of its next timer. A sample inside both is remembered with a handful of array operations
    and no Python; the others are decided one by one.

    Bad quality, and Uncertain, hold the condition: no alarm and no return, and a delay that
    runs starts over with the next good sample. A sample older than the newest of its tag is
    counted and says nothing of the present; after ten in a row the device's clock was set
    back, and they count again.

    State: time, value and processing time of the last sample per tag; delays of few tags.
    Cost: O(n) a batch, about 20 ns a row; a few microseconds for each change.
    Source: ANSI/ISA-18.2-2016, 10.5 (deadband, on- and off-delay).

    Args:
        node: Where per-tag state is declared.
        levels: What to compare with, innermost first.
        delays_s: (on-delay, off-delay) [s].
        watches: Whether a tag name is this node's business.
        decide: Called with code, level, whether it holds now, since when [ns] and the value.
    """

    def __init__(
        self,
        node: Node[Any],
        levels: Sequence[Level],
        delays_s: tuple[float, float],
        watches: Callable[[str], bool],
        decide: Decide[T],
    ) -> None:
        self._ctx = node.ctx
        self._levels = tuple(levels)
        self._on_ns, self._off_ns = (round(delay * 1e9) for delay in delays_s)
        self._decide = decide
        self._last = node.per_tag("last", UNSEEN, np.int64)
        self._value = node.per_tag("value", np.nan)
        self._seen = node.per_tag("seen", 0, np.int64)
        self._quiet = Quiet(node.ctx.tags, self._levels, watches)
        self._points: dict[int, Point] = {}

    # ------------------------------------------------------------------ samples

    def feed(self, batch: Batch) -> list[T]:
        """What the rows decide, in the order of the rows."""
        if len(batch) == 0:
            return []
        at = batch.tag.astype(np.intp)
        quiet = self._quiet.rows(batch, at, self._last[at])
        if np.count_nonzero(quiet) == len(quiet):
            self._value[at] = batch.value
            self._remember(at, batch.ts)
            return []
        return self._sift(batch, at, quiet)

    def _remember(self, at: NDArray[np.intp], ts: NDArray[np.int64]) -> None:
        """When the tags were seen last: at their last rows, because the rows are in order."""
        self._last[at] = ts
        self._seen[at] = self._ctx.now

    def _sift(self, batch: Batch, at: NDArray[np.intp], quiet: NDArray[np.bool_]) -> list[T]:
        """Remember tags whose rows change nothing, and go through the others row by row."""
        good = batch.good & ~np.isnan(batch.value)
        quiet |= ~good & self._quiet.idle(batch, at, self._last[at])
        slow = self._quiet.all_of(at, ~quiet)
        rest = ~slow & self._quiet.watched[at]
        usable = rest & good
        self._value[at[usable]] = batch.value[usable]
        self._remember(at[rest], batch.ts[rest])
        if not slow.any():
            return []
        rows = np.flatnonzero(slow)
        part = batch.where(rows)
        part_good = good[rows]
        found: list[tuple[int, T]] = []
        for code, index in part.by_tag():
            found += self._scan(code, part, part_good, index)
        found.sort(key=lambda item: item[0])
        return [item for _, item in found]

    def _scan(
        self, code: int, part: Batch, part_good: NDArray[np.bool_], index: NDArray[np.intp]
    ) -> list[tuple[int, T]]:
        """All rows of one tag in order; (row, what it decided)."""
        point = self._points.setdefault(code, Point(len(self._levels)))
        found: list[tuple[int, T]] = []
        rows, good = index.tolist(), part_good[index].tolist()
        times, values = part.ts[index].tolist(), part.value[index].tolist()
        low, high, due, last, held = self._cells(code)
        fresh = False
        for row, t, x, usable in zip(rows, times, values, good, strict=True):
            if usable and low <= x <= high and last <= t < due:
                last, held, fresh = t, x, True
                continue
            if fresh:
                self._last[code], self._value[code] = last, held
                self._seen[code] = self._ctx.now
                fresh = False
            found += [(row, item) for item in self._row(code, point, t, x, usable)]
            self._quiet.settle(code, point, float(self._value[code]))
            low, high, due, last, held = self._cells(code)
        if fresh:
            self._last[code], self._value[code] = last, held
            self._seen[code] = self._ctx.now
        return found

    def _cells(self, code: int) -> tuple[float, float, int, int, float]:
        return (
            float(self._quiet.low[code]),
            float(self._quiet.high[code]),
            int(self._quiet.due[code]),
            int(self._last[code]),
            float(self._value[code]),
        )

    def _row(self, code: int, point: Point, t: int, value: float, good: bool) -> list[T]:
        """One row that may change something: first what was due, then the row itself."""
        if t < self._last[code]:
            point.late += 1
            if point.late <= LATE_ROWS_MAX:
                self._ctx.count("late")
                return []
            self._set_back(code, point, t)
        point.late = 0
        t_event = max(t, point.clock)
        out = self._fire(code, point, t_event)
        self._last[code] = t
        self._seen[code] = self._ctx.now
        point.moved = False
        return out + self._judge(code, point, t_event, value if good else math.nan)

    def _judge(self, code: int, point: Point, t: int, value: float) -> list[T]:
        """Compare a value with every level; NaN holds them all."""
        if math.isnan(value):
            point.due = [NEVER] * len(self._levels)
            return []
        self._value[code] = value
        for i, level in enumerate(self._levels):
            active = point.active[i]
            if level.holds(value, active) == active:
                point.due[i] = NEVER
            else:
                point.due[i] = min(point.due[i], t + (self._off_ns if active else self._on_ns))
        return self._fire(code, point, t)

    def reconsider(self, code: int, ts: int, value: float) -> list[T]:
        """A value is another one since `ts` [ns] without a sample, as when a setpoint moves.

        The tag's own clock does not follow `ts`, which may be another device's time; a delay
        that starts ahead of it is corrected by the tag's next sample. NaN holds the condition.
        """
        if not self._quiet.watched[code]:
            return []
        point = self._points.setdefault(code, Point(len(self._levels)))
        t = max(ts, point.clock, int(self._last[code]))
        found = self._fire(code, point, t) + self._judge(code, point, t, value)
        # The tag is silent since it was seen: its timers may be due already.
        found += self._fire(code, point, int(self._last[code] + self._ctx.now - self._seen[code]))
        point.moved = True
        self._quiet.settle(code, point, float(self._value[code]))
        return found

    def _set_back(self, code: int, point: Point, t: int) -> None:
        """The device's clock was set back: go on with its time, and delays start over."""
        point.clock = t
        for i, due in enumerate(point.due):
            if due != NEVER:
                point.due[i] = t + (self._off_ns if point.active[i] else self._on_ns)
        back = (int(self._last[code]) - t) / 1e9
        self._ctx.say(
            "warning",
            f"The clock of {self._ctx.tags.name(code)} went back by {back:.3f} s; "
            "its alarms follow it. Check the time of the device.",
        )

    def _fire(self, code: int, point: Point, until: int) -> list[T]:
        """Decide what is due at or before `until` [ns], in order, with the value that held."""
        out: list[T] = []
        while (due := min(point.due)) <= until and due != NEVER:
            # Raised from the inside out, returned from the outside in.
            i = min(
                (i for i, at in enumerate(point.due) if at == due),
                key=lambda i: -i if point.active[i] else i,
            )
            point.active[i] = not point.active[i]
            point.due[i] = NEVER
            point.clock = due
            value = float(self._value[code])
            out += self._decide(code, self._levels[i], point.active[i], due, value)
        return out

    def newest(self, at: NDArray[np.intp]) -> NDArray[np.int64]:
        """Time of the newest sample of each tag (n,) [ns]."""
        return self._last[at]

    # ------------------------------------------------------------------ timers

    def paused(self, ns: int) -> None:
        """Nobody listened for so long [ns]: the clocks of silent tags stood still."""
        self._seen[self._seen != 0] += ns

    def clock_set(self, ns: int) -> None:
        """The gateway's clock was set by so much [ns], after `paused` was told.

        Back: a tag whose time a clock that was days ahead has made goes on from when it was
        seen, delays included; its next samples are not late.
        """
        seen = np.flatnonzero(self._seen) if ns < 0 else np.zeros(0, np.intp)
        ahead = self._last[seen] - self._seen[seen]
        wrong = ahead > -ns // 2
        for code, by in zip(seen[wrong].tolist(), ahead[wrong].tolist(), strict=True):
            self._last[code] -= by
            if (point := self._points.get(code)) is not None:
                point.due = [due if due == NEVER else due - by for due in point.due]
                point.clock -= by if point.clock != UNSEEN else 0
                self._quiet.settle(code, point, float(self._value[code]))

    def wake_at(self) -> int | None:
        """When the next delay ends for tags that fall silent [ns], or None."""
        waiting = self._quiet.waiting()
        if waiting.size == 0:
            return None
        return int((self._seen[waiting] + (self._quiet.due[waiting] - self._last[waiting])).min())

    def wake(self, now: int) -> list[T]:
        """Advance the clocks of silent tags by the time since they were seen, up to `now`."""
        waiting = self._quiet.waiting()
        reach = self._last[waiting] + (now - self._seen[waiting])
        out: list[T] = []
        ready = self._quiet.due[waiting] <= reach
        for code, until in zip(waiting[ready].tolist(), reach[ready].tolist(), strict=True):
            point = self._points[code]
            out += self._fire(code, point, until)
            self._quiet.settle(code, point, float(self._value[code]))
        return out

    # ------------------------------------------------------------------ state

    def save(self) -> Mapping[str, NDArray[Any]]:
        """The points that say something, as JSON in bytes; the rest is declared per tag."""
        rows = [
            [code, p.active, p.due, p.clock, p.late, p.moved]
            for code, p in sorted(self._points.items())
            if p.clock != UNSEEN or p.late or p.moved or any(due != NEVER for due in p.due)
        ]
        return {"json": pack({"levels": [level.condition for level in self._levels], "rows": rows})}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `save` gave; the per-tag arrays are back already."""
        self._points = {}
        self._quiet.meet(anew=True)
        saved = unpack(state["json"])
        # By name, so that a level may be added or taken away between two runs.
        place = {name: i for i, name in enumerate(saved["levels"])}
        for code, active, due, clock, late, moved in saved["rows"]:
            point = self._points[code] = Point(len(self._levels))
            point.clock, point.late, point.moved = clock, late, moved
            for i, level in enumerate(self._levels):
                if (j := place.get(level.condition)) is not None:
                    point.active[i], point.due[i] = active[j], due[j]
            self._quiet.settle(code, point, float(self._value[code]))
