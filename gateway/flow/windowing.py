"""Windowing: what the nodes that cut a stream by event time share.

The watermark says how far a tag's time has come, the ring keeps rows that wait, and a node says
which windows they make. Rows decide by their timestamps only, so any cut of them gives the same
windows in the same order: that of the rows that closed them. A timer closes a silent tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.data.batch import Batch
from gateway.data.ragged import Index, Mask, Times, first_at_least, heads, ranges, running_max
from gateway.data.ring import Ring, Rows, grouped
from gateway.data.watermark import BEGIN, NEVER, TS_MAX, TS_MIN
from gateway.data.windows import Windows
from gateway.flow.closing import (
    Closed,
    Pending,
    Run,
    nanoseconds,
    outputs,
    sorted_windows,
    whole_runs,
    windows_of,
)
from gateway.flow.node import Context, Outputs
from gateway.flow.window_base import WindowBase
from gateway.flow.window_config import BoundedConfig, TagsConfig, WindowConfig

_TICK: Final = 100_000_000  # Timers fire on this grid [ns], so that many tags share one.


W = TypeVar("W", bound=BoundedConfig)


class WindowTransform(WindowBase[W]):
    """Windows by event time: a node adds `judge` (rows in) and `close` (windows out)."""

    def __init__(self, config: W, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._wake: int | None = None
        self._wake_known = True

    def process(self, message: Batch, port: str) -> Outputs:
        out: list[Windows] = []
        late: list[Batch] = []
        self._work(self._select.split(message)[0], out, late)
        return outputs(out, late)

    def _work(self, batch: Batch, out: list[Windows], late: list[Batch]) -> None:
        if len(batch) == 1 and self._one(batch, out):
            return
        while len(batch):
            n = self._step(batch, out, late)
            if n == len(batch):
                return
            batch = batch.where(slice(n, None))

    def wake_at(self) -> int | None:
        if not self._wake_known:
            code = self._waiting()
            times = self._clock.reaches(code, self._due[code])
            self._wake = -(-int(times.min()) // _TICK) * _TICK if len(times) else None
            self._wake_known = True
        return self._wake

    def paused(self, ns: int) -> None:
        self._clock.seen[self._clock.seen != 0] += ns
        self._wake_known = False

    def clock_set(self, ns: int) -> None:
        """Tags whose time is further ahead than any row may be start over.

        That is so only when the gateway's own clock was days ahead, and made their times.
        """
        super().clock_set(ns)
        used = slice(len(self.ctx.tags))
        ahead = np.flatnonzero(self._clock.at[used] > self.ctx.now + self._future)
        if ns >= 0 or not len(ahead):
            return
        rows = int(self._ring.count[ahead].sum())
        for code in ahead.tolist():
            self._ring.clear(code)
        self.forget(ahead)
        self._wake_known = False
        self.ctx.count("clock_set_back", rows)
        self.ctx.say(
            "warning",
            f"The clock was set back: {len(ahead)} tags start over, and {rows} rows in their open "
            "windows are left out. The journal has them.",
        )

    def wake(self, now: int) -> Outputs:
        self._wake_known = False
        code = self._waiting()
        mark = self._clock.idle(code, now)
        ripe = mark >= self._due[code]
        if not np.count_nonzero(ripe):
            return {}
        code, mark = code[ripe], mark[ripe]
        if len(code) == 1:
            one = int(code[0])
            whole = self._close_whole(one, int(mark[0]))
            if whole is not None:
                self._clock.idle_move(one, max(int(self._clock.at[one]), int(whole.end[0])))
                return {"out": whole}
        pending = self._pending(code.astype(np.uint16), self._clock.at[code], mark)
        closed = self._shut(pending)
        # No further than the windows that closed: what a source still brings is not late.
        at = pending.floor.copy()
        group = pending.group[closed.low]
        np.maximum.at(at, group, closed.at)
        # In the order of their times, so that a timer that fires late changes nothing.
        time = -(-self._clock.reaches(code[group], closed.at) // _TICK)
        self._clock.idle_move(code, at)
        if not len(closed.low):
            return {}
        order = np.lexsort((closed.start, group, time))
        return {"out": self._windows(pending, closed, order)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        super().restore(state)
        self._wake_known = False

    def _one(self, batch: Batch, out: list[Windows]) -> bool:
        """The idle plant, in plain numbers: one row that fits and has a plain window."""
        code, ts, now = int(batch.tag[0]), int(batch.ts[0]), self.ctx.now
        if not TS_MIN < ts <= min(now + self._future, TS_MAX) or self._ring.room == 0:
            return False
        before = int(self._clock.at[code])
        after = max(before, ts - self._lateness)
        due = self.alone(batch, code, ts, before, after)
        if due is not None and due <= after:
            whole = self._close_whole(code, after)
            if whole is not None:  # And now the row is the only one that waits.
                out.append(whole)
                due = self.alone(batch, code, ts, before, after)
        if due is None:
            return False
        self._ring.add(code, ts, float(batch.value[0]), int(batch.quality[0]))
        self._clock.at[code], self._clock.seen[code], self._due[code] = after, now, due
        if due <= after:
            self._close_one(code, before, after, out)
            due = int(self._due[code])
        if due < NEVER:
            self._alarm_at(now + due - after)
        return True

    def _step(self, batch: Batch, out: list[Windows], late: list[Batch]) -> int:
        """Work on the first rows of a batch, as many as can be told apart; how many."""
        ts = batch.ts
        odd = (ts > min(self.ctx.now + self._future, TS_MAX)) | (ts <= TS_MIN)
        room, n = self._ring.room, len(batch)
        if room < n:
            n = room or self._first_closing(batch, odd)
            batch, odd = batch.where(slice(0, n)), odd[:n]
        lost = np.flatnonzero(odd)
        if len(lost) == n:
            self._count("future", odd)
            late.append(batch)
            return n
        run = self._look(batch, odd if len(lost) else None)
        keep, stale, due = self.judge(run)
        first = self.cut(run, keep)
        if first:
            return self._step(batch.where(slice(0, first)), out, late)
        away = stale
        if room == 0:
            self._count("rows_max", keep)
            away, keep = stale | keep, np.zeros_like(keep)
        self._store(run, keep, due)
        last = run.last
        self._clock.move(run.rows.code, last, self.ctx.now)
        closing = last >= self._due[run.rows.code]
        if closing.any():
            self._close_run(run, keep, closing, out)
        self._plan(run.rows.code, last)
        self._count("late", stale)
        self._count("future", odd)
        if len(lost) or away.any():
            late.append(batch.where(np.sort(np.concatenate((lost, run.order[away])))))
        return n

    def _count(self, name: str, rows: Mask) -> None:
        if rows.any():
            self.ctx.count(name, int(rows.sum()))

    def _first_closing(self, batch: Batch, odd: Mask) -> int:
        """With no room: the rows up to the first that closes something and so makes room."""
        closing = ~odd & (batch.ts - self._lateness >= self._due[batch.tag])
        return int(closing.argmax()) + 1 if closing.any() else len(batch)

    def _look(self, batch: Batch, odd: Mask | None) -> Run:
        if odd is None:
            order = np.argsort(batch.tag, kind="stable")
        else:
            kept = np.flatnonzero(~odd)
            order = kept[np.argsort(batch.tag[kept], kind="stable")]
        rows = grouped(batch, order)
        starts = np.cumsum(rows.count) - rows.count
        before, after = self._clock.look(rows.code, starts, rows.ts)
        return Run(order, rows, starts, before, after)

    def _store(self, run: Run, keep: Mask, due: Times) -> None:
        rows = run.rows
        if not keep.all():
            count = np.add.reduceat(keep, run.starts, dtype=np.intp)
            some = count > 0
            rows = Rows(
                rows.code[some], count[some], rows.ts[keep], rows.value[keep], rows.quality[keep]
            )
        self._ring.extend(rows)
        self.note_due(run, keep, due)

    def _plan(self, code: NDArray[np.uint16], at: Times) -> None:
        """Keep the next wake-up a lower bound: other tags only ever moved theirs later."""
        due = self._due[code]
        wait = int(np.where(due < NEVER, due - at, NEVER).min())
        if wait < NEVER:
            self._alarm_at(self.ctx.now + wait)

    def _alarm_at(self, time: int) -> None:
        if self._wake_known and (self._wake is None or time < self._wake):
            self._wake = -(-time // _TICK) * _TICK

    def _close_run(self, run: Run, keep: Mask, closing: Mask, out: list[Windows]) -> None:
        code = run.rows.code[closing]
        pending = self._pending(code, run.before[run.starts[closing]], run.last[closing])
        count = run.rows.count
        fresh = keep & closing.repeat(count)
        added = np.add.reduceat(keep, run.starts, dtype=np.intp)[closing]
        ends = pending.starts + pending.rows.count
        pending.arrival[ranges(ends - added, added)] = run.order[fresh]
        closed = self._shut(pending)
        if not len(closed.low):
            return
        group = pending.group[closed.low]
        low = run.starts[closing][group]
        closer = run.order[first_at_least(run.after, low, low + count[closing][group], closed.at)]
        if closed.own is not None:
            closer = np.maximum(closer, closed.own)
        out.append(self._windows(pending, closed, np.lexsort((closed.start, closer))))


__all__ = [
    "BEGIN",
    "NEVER",
    "TS_MIN",
    "BoundedConfig",
    "Closed",
    "Index",
    "Mask",
    "Pending",
    "Ring",
    "Rows",
    "Run",
    "TagsConfig",
    "Times",
    "WindowConfig",
    "WindowTransform",
    "first_at_least",
    "grouped",
    "heads",
    "nanoseconds",
    "outputs",
    "ranges",
    "running_max",
    "sorted_windows",
    "whole_runs",
    "windows_of",
]
