"""Windows that last while a state lasts: a machine runs, a valve is open, a recipe is on."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gateway import (
    Batch,
    Context,
    Example,
    Outputs,
    PositiveSeconds,
    TagName,
    TagSelect,
    Windows,
    quality,
    windowing,
)


class StateConfig(windowing.BoundedConfig):
    when: Literal["same", "above", "below", "equal", "not_equal"] = Field(
        "same",
        description="What keeps a window open: the value stays the same, or it is above, below, "
        "equal or not equal to `value`. Samples outside of it are in no window.",
    )
    value: float = Field(
        0, description="What the deciding value is compared with, in its unit; unused by `same`."
    )
    by: TagName | None = Field(
        None, description="The tag that decides for all; without one each tag decides for itself."
    )
    max_s: PositiveSeconds = Field(
        3600, description="A longer window is cut every so often, counted from its first sample."
    )


class State(windowing.WindowTransform[StateConfig]):
    """Collect each tag's samples while a state lasts, in the order they arrive.

    The sample that ends a state is not in its window. A bad sample cannot tell the state: the
    last one holds, and the sample is in its window with its quality. With `by`, a change of
    that tag ends the windows of all tags at once. A window that a silent tag leaves open is
    cut by the timer after `max_s`. Samples outside of every window are counted as `outside`.

    State: the rows of open windows; state, start and pieces cut of each, per tag.
    Cost: ~250 ns a row for thousands of rows; ~10 µs for one, ~150 µs where the state changes.
    Source: Grossniklaus et al., Frames: Data-Driven Windows, DEBS 2016, 3 (threshold frames).
    """

    Config = StateConfig
    by_arrival = True
    examples = (
        Example(
            "While the spindle turns; exactly 10 is not above 10",
            {"when": "above", "value": 10},
            given="S1 0s 0 | 1s 11 | 2s 12 | 3s 10 | 4s 15",
            expect="S1 1s-2s: 1s 11, 2s 12",
        ),
        Example(
            "A window for each step of a recipe; a bad sample holds the step",
            {"when": "same"},
            given="R1 0s 1 | 1s 1 | 2s nan | 3s 1 | 4s 2 | 5s 3",
            expect="R1 0s-3s: 0s 1, 1s 1, 2s nan bad, 3s 1 | 4s-4s: 4s 2",
        ),
        Example(
            "Vibration while the machine runs",
            {"by": "run", "when": "equal", "value": 1, "tags": "VT1"},
            given="VT1 0s 5 | 2s 6 | 3s 7 | 5s 8\nrun 1s 1 | 4s 0",
            expect="VT1 2s-3s: 2s 6, 3s 7",
        ),
        Example(
            "A long state is cut, by the timer when the tag is silent",
            {"when": "same", "max_s": 10},
            given="R1 0s 1 | 9s 1 | 10s 1",
            expect="R1 0s-9s: 0s 1, 9s 1 | 10s-10s: 10s 1",
            until="20s",
        ),
    )

    def __init__(self, config: StateConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._max = windowing.nanoseconds(config.max_s)
        self._by = None if config.by is None else TagSelect(config.by, ctx.tags)
        # The deciding value as 0 or 1, or itself; the first cell for all where `by` decides.
        self._key = self.per_tag("key", np.nan)
        # First time of the run that lasts (BEGIN: none yet), and which piece of it.
        self._anchor = self.per_tag("anchor", windowing.BEGIN, np.int64)
        self._piece = self.per_tag("piece", 0, np.int64)
        # Of the call that runs, not state: the row at each head, the heads up to each row and
        # up to a tag's first and last row.
        self._head_row: windowing.Index = np.zeros(0, np.intp)
        self._label: windowing.Index = np.zeros(0, np.intp)
        self._label_first: windowing.Index = np.zeros(ctx.tags.limit, np.intp)
        self._label_last: windowing.Index = np.zeros(ctx.tags.limit, np.intp)

    def process(self, message: Batch, port: str) -> Outputs:
        if self._by is None:
            return super().process(message, port)
        out: list[Windows] = []
        late: list[Batch] = []
        begin = 0
        deciding = np.flatnonzero(self._by.mask(message.tag) & message.usable)
        for row, key in zip(deciding, self._decide(message.value[deciding]), strict=True):
            if key != self._key[0]:
                self._work(self._select.split(message.where(slice(begin, row)))[0], out, late)
                begin = int(row)
                self._end_all(out)
                self._key[0] = key
        self._work(self._select.split(message.where(slice(begin, None)))[0], out, late)
        return windowing.outputs(out, late)

    def wake(self, now: int) -> Outputs:
        self._head_row = np.zeros(0, np.intp)
        return super().wake(now)

    def alone(self, row: Batch, code: int, ts: int, before: int, after: int) -> int | None:
        """One row of a state that lasts; anything else is for `judge`."""
        anchor, piece, key = int(self._anchor[code]), int(self._piece[code]), self._key[code]
        cut = anchor + (piece + 1) * self._max
        if (
            self._by is not None
            or anchor == windowing.BEGIN
            or ts >= cut
            or not self._ring.count[code]
        ):
            return None
        if row.quality[0] < quality.BAD and self._decide(row.value)[0] != key:
            return None
        return cut if cut > after else after + self._max

    def judge(self, run: windowing.Run) -> tuple[windowing.Mask, windowing.Mask, windowing.Times]:
        rows, starts, code = run.rows, run.starts, run.rows.code
        key, changed = self._keys(run)
        changed[starts] |= self._anchor[code] == windowing.BEGIN
        begins = changed.copy()
        begins[starts] = True
        first = np.flatnonzero(begins)
        run_of = np.cumsum(begins) - 1
        going = ~changed[starts]
        anchor = rows.ts[first]
        anchor[run_of[starts[going]]] = self._anchor[code[going]]
        piece = np.maximum((rows.ts - anchor[run_of]) // self._max, 0)
        known = self._piece[code[going]]
        piece[starts[going]] = np.maximum(piece[starts[going]], known)
        piece = windowing.running_max(piece, first)
        head = changed.copy()
        head[1:] |= (piece[1:] != piece[:-1]) & ~begins[1:]
        head[starts[going]] = piece[starts[going]] > known
        ends = starts + rows.count - 1
        self._anchor[code], self._piece[code] = anchor[run_of[ends]], piece[ends]
        if self._by is None:
            self._key[code] = key[ends]
        label = np.cumsum(head)
        self._head_row = run.order[head]
        self._label = np.zeros(int(run.order.max()) + 1, np.intp)
        self._label[run.order] = label
        self._label_first[code] = label[starts] - head[starts]
        self._label_last[code] = label[ends]
        inside = ~np.isnan(key) if self.config.when == "same" else key == 1
        self._count("outside", ~inside)
        return inside, np.zeros_like(inside), rows.ts

    def note_due(self, run: windowing.Run, keep: windowing.Mask, due: windowing.Times) -> None:
        code = run.rows.code
        ends = self._label_last[code] != self._label_first[code]
        waits = self._ring.count[code] > 0
        lasts = np.where(waits, self._deadline(code, run.last), windowing.NEVER)
        self._due[code] = np.where(waits & ends, windowing.BEGIN, lasts)

    def close(
        self, pending: windowing.Pending
    ) -> tuple[windowing.Closed, windowing.Mask, windowing.Times]:
        rows, code, starts, group = pending.rows, pending.rows.code, pending.starts, pending.group
        if not len(self._head_row):  # By the timer: all that waits.
            self._piece[code] += 1
            at = self._due[code]
            closed = windowing.Closed(starts, starts + rows.count, at, at, at)
            return closed, np.zeros(len(rows.ts), np.bool_), np.full(len(code), windowing.NEVER)
        label = self._label_first[code][group]
        new = pending.arrival >= 0
        label[new] = self._label[pending.arrival[new]]
        done = label < self._label_last[code][group]
        head = windowing.heads(label)
        head[starts] = True
        low, high = windowing.whole_runs(head, done)
        at = np.full(len(low), windowing.BEGIN)
        closed = windowing.Closed(low, high, at, at, at, self._head_row[label[low]])
        waits = np.logical_or.reduceat(~done, starts)
        return closed, ~done, np.where(waits, self._deadline(code, pending.mark), windowing.NEVER)

    def _first_closing(self, batch: Batch, odd: windowing.Mask) -> int:
        return 1  # With no room row by row: any may end a state.

    def _decide(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """The state each value stands for: itself, or 1 where the condition holds, else 0."""
        limit = self.config.value
        match self.config.when:
            case "same":
                return value.copy()
            case "above":
                holds = value > limit
            case "below":
                holds = value < limit
            case "equal":
                holds = value == limit
            case "not_equal":
                holds = value != limit
        return holds.astype(np.float64)

    def _keys(self, run: windowing.Run) -> tuple[NDArray[np.float64], windowing.Mask]:
        """The state at each row, NaN while unknown, and where it is another than before."""
        rows, starts = run.rows, run.starts
        n = len(rows.ts)
        if self._by is not None:
            return np.full(n, self._key[0]), np.zeros(n, np.bool_)
        before = self._key[rows.code]
        key = self._decide(rows.value)
        usable = rows.quality < quality.BAD
        key[starts] = np.where(usable[starts], key[starts], before)
        usable[starts] = True
        key = key[np.maximum.accumulate(np.where(usable, np.arange(n), 0))]
        previous = np.empty(n)
        previous[1:] = key[:-1]
        previous[starts] = before
        return key, (key != previous) & ~np.isnan(key)

    def _deadline(self, code: NDArray[np.uint16], mark: windowing.Times) -> windowing.Times:
        """When the timer cuts the window of each tag; a full `max_s` off if its time ran back."""
        cut = self._anchor[code] + (self._piece[code] + 1) * self._max
        deadline: windowing.Times = np.where(cut > mark, cut, mark + self._max)
        return deadline

    def _end_all(self, out: list[Windows]) -> None:
        """The deciding tag changed: the windows of all tags end."""
        code = np.flatnonzero(self._ring.count).astype(np.uint16)
        if len(code):
            rows = self._ring.gather(code)
            ends = np.cumsum(rows.count)
            low, group = ends - rows.count, np.arange(len(code))
            closed = windowing.Closed(low, ends, rows.ts[low], rows.ts[low], rows.ts[low])
            out.append(windowing.sorted_windows(windowing.windows_of(rows, group, closed, group)))
            empty = rows.ts[:0]
            self._ring.put(
                windowing.Rows(code, np.zeros_like(low), empty, rows.value[:0], rows.quality[:0])
            )
        self._due[:] = windowing.NEVER
        self._anchor[:] = windowing.BEGIN
        self._piece[:] = 0
