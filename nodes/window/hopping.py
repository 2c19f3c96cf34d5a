"""Windows of one length that begin at a steady pace and may overlap."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from gateway import Batch, Context, Example, PositiveSeconds, windowing

_OVERLAP_MAX = 1000


class HoppingConfig(windowing.WindowConfig):
    size_s: PositiveSeconds = Field(examples=[60], description="Length of a window.")
    hop_s: PositiveSeconds = Field(
        examples=[10],
        description="A window begins every so often. More than `size_s` leaves gaps, whose "
        "samples are in no window.",
    )
    offset_s: float = Field(
        0,
        description="Where windows begin, after any multiple of `hop_s` since 1970.",
        json_schema_extra={"unit": "s"},
    )

    @model_validator(mode="after")
    def _overlap_is_bounded(self) -> Self:
        if self.size_s > _OVERLAP_MAX * self.hop_s:
            raise ValueError(
                f"A sample would be in more than {_OVERLAP_MAX} windows. Raise `hop_s`."
            )
        return self


class Hopping(windowing.WindowTransform[HoppingConfig]):
    """Cut each tag's samples into windows of `size_s`, one every `hop_s`.

    A sample belongs to every window that is open and holds its time; when all of them are
    closed it leaves by `late`. Samples in a gap (`hop_s` above `size_s`) are counted as `gap`.

    State: the rows of open windows; watermark, last step time and next end per tag.
    Cost: ~100 ns a row, plus size ÷ hop copies of it; ~10 µs for one that closes nothing.
    Source: Akidau et al., The Dataflow Model, VLDB 2015, 2.2 (sliding windows, here by hop).
    """

    Config = HoppingConfig
    examples = (
        Example(
            "The last ten seconds, every five",
            {"size_s": 10, "hop_s": 5},
            given="TT101 1s 1 | 5s 2 | 9s 3 | 10s 4",
            expect="TT101 -5s-5s: 1s 1 | 0s-10s: 1s 1, 5s 2, 9s 3",
        ),
        Example(
            "A late sample still joins the windows that are open",
            {"size_s": 10, "hop_s": 5},
            given="~ TT101 1s 1 | 10s 2 | 9s 3 | 15s 4 | 3s 5",
            expect={
                "out": "TT101 -5s-5s: 1s 1 | 0s-10s: 1s 1 | 5s-15s: 9s 3, 10s 2",
                "late": "TT101 3s 5",
            },
        ),
        Example(
            "One second of every ten",
            {"size_s": 1, "hop_s": 10},
            given="VT1 0s 1 | 0.5s 2 | 1s 3 | 9s 4 | 10s 5 | 12s 6",
            expect="VT1 0s-1s: 0s 1, 0.5s 2 | 10s-11s: 10s 5",
        ),
    )

    def __init__(self, config: HoppingConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._size = windowing.nanoseconds(config.size_s)
        self._hop = windowing.nanoseconds(config.hop_s)
        self._offset = windowing.nanoseconds(config.offset_s)
        # Windows of one class do not overlap: every `classes`-th of them.
        self._classes = -(-self._size // self._hop)

    def alone(self, row: Batch, code: int, ts: int, before: int, after: int) -> int | None:
        past = max(ts, before) - self._size - self._offset
        start = (past // self._hop + 1) * self._hop + self._offset
        return None if start > ts else min(start + self._size, int(self._due[code]))

    def judge(self, run: windowing.Run) -> tuple[windowing.Mask, windowing.Mask, windowing.Times]:
        ts = run.rows.ts
        end = self._first_end(ts, run.before)
        keep = end - self._size <= ts
        late = ~keep
        if self._hop > self._size:
            gap = (ts - self._offset) % self._hop >= self._size
            late &= ~gap
            if gap.any():
                self.ctx.count("gap", int(gap.sum()))
        return keep, late, end

    def cut(self, run: windowing.Run, keep: windowing.Mask) -> int:
        """Cut before a row whose earlier window closes within this very call."""
        ts = run.rows.ts
        behind = keep & (ts < run.before)
        if self._classes == 1 or not behind.any():
            return 0
        floor = np.repeat(run.before[run.starts], run.rows.count)
        early = behind & (self._first_end(ts, floor) <= run.before)
        return int(run.order[early].min()) if early.any() else 0

    def close(
        self, pending: windowing.Pending
    ) -> tuple[windowing.Closed, windowing.Mask, windowing.Times]:
        ts, group = pending.rows.ts, pending.group
        mark, floor = pending.mark[group], pending.floor[group]
        period = self._classes * self._hop
        lows, highs, starts = [], [], []
        for number in range(self._classes):
            shift = self._offset + number * self._hop
            start = (ts - shift) // period * period + shift
            end = start + self._size
            head = windowing.heads(start)
            head[pending.starts] = True
            done = (ts < end) & (end <= mark) & (end > floor)
            low, high = windowing.whole_runs(head, done)
            lows.append(low)
            highs.append(high)
            starts.append(start[low])
        start = np.concatenate(starts)
        end = start + self._size
        closed = windowing.Closed(np.concatenate(lows), np.concatenate(highs), start, end, end)
        due = self._first_end(ts, mark)
        rest = due - self._size <= ts
        return closed, rest, pending.least(due, rest)

    def _first_end(self, ts: windowing.Times, mark: windowing.Times) -> windowing.Times:
        """End of the first window not closed at the mark that ends after the timestamp, (n,).

        It holds the timestamp if it begins at or before it.
        """
        after = np.maximum(ts, mark) - (self._size + self._offset)
        return (after // self._hop + 1) * self._hop + (self._offset + self._size)
