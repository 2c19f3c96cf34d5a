"""Windows of so many samples."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from gateway import (
    Batch,
    Context,
    Example,
    Outputs,
    Port,
    Rows,
    TagSelect,
    Transform,
    Windows,
    windowing,
)


class CountConfig(windowing.TagsConfig):
    size: Rows = Field(examples=[100], description="Samples in a window.")
    every: int = Field(
        0,
        ge=0,
        description="Begin a window every so many samples; 0 is `size`. Less overlaps, more "
        "leaves samples out.",
        json_schema_extra={"unit": "rows"},
    )

    @model_validator(mode="after")
    def _window_fits(self) -> Self:
        if self.size > self.rows_max:
            raise ValueError("`size` must not be more than `rows_max`.")
        return self


class Count(Transform[CountConfig, Batch]):
    """Cut each tag's samples into windows of `size` samples, in the order they arrive.

    A window leaves with its last sample, whatever the timestamps say, and reaches from its
    least to its greatest. An unfinished window waits for ever: where a silent tag must still
    report, use `window.tumbling`. When `rows_max` samples wait, the next one ends the window
    of its tag early (counted as `early`); if none of its tag waits it leaves by `late`.

    State: the samples of unfinished windows; how many to leave out, per tag.
    Cost: ~60 ns a row for thousands of rows, ~5 µs for one that fills nothing.
    Source: Carbone et al., Cutty, CIKM 2016, 2 (count-based windows).
    """

    Config = CountConfig
    outputs = (
        Port("out", "windows", "Windows that are full."),
        Port("late", "samples", "Rows without room."),
    )
    examples = (
        Example(
            "The second window is not full yet",
            {"size": 2},
            given="TT101 0s 1 | 1s 2 bad | 2s 3",
            expect="TT101 0s-1s: 0s 1, 1s 2 bad",
        ),
        Example(
            "Three samples, a window for each new one",
            {"size": 3, "every": 1},
            given="TT101 0s 1 | 1s 2 | 2s 3 | 3s 4",
            expect="TT101 0s-2s: 0s 1, 1s 2, 2s 3 | 1s-3s: 1s 2, 2s 3, 3s 4",
        ),
        Example(
            "Two of every three samples",
            {"size": 2, "every": 3},
            given="TT101 0s 1 | 1s 2 | 2s 3 | 3s 4 | 4s 5",
            expect="TT101 0s-1s: 0s 1, 1s 2 | 3s-4s: 3s 4, 4s 5",
        ),
        Example(
            "Arrival decides, time sorts",
            {"size": 3},
            given="~ TT101 5s 1 | 3s 2 | 4s 3 | 1s 4",
            expect="TT101 3s-5s: 3s 2, 4s 3, 5s 1",
        ),
        Example(
            "With no room a sample ends the window of its tag early",
            {"size": 3, "rows_max": 3},
            given="A 0s 1 | 3s 4\nB 1s 2\nC 2s 3\nD 4s 5",
            expect={"out": "A 0s-0s: 0s 1", "late": "D 4s 5"},
        ),
    )

    def __init__(self, config: CountConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._size = config.size
        self._every = config.every or config.size
        self._select = TagSelect(config.tags, ctx.tags)
        self._ring = self.keep("rows", windowing.Ring(ctx.tags.limit, config.rows_max + 1))
        self._skip = self.per_tag("skip", 0, np.int64)

    def process(self, message: Batch, port: str) -> Outputs:
        batch = self._select.split(message)[0]
        out: list[Windows] = []
        late: list[Batch] = []
        if len(batch) == 1 and self._one(batch):
            return {}
        while len(batch):
            n = self._ring.room - 1  # The last place is for a row that fills its window.
            if n < len(batch):
                part, batch = batch.where(slice(0, n or 1)), batch.where(slice(n or 1, None))
                if n == 0 and not self._make_room(part, out):
                    late.append(part)
                    continue
            else:
                part, batch = batch, batch.where(slice(0, 0))
            self._step(part, out)
        return windowing.outputs(out, late)

    def _one(self, row: Batch) -> bool:
        """The idle plant, in plain numbers: one row that fits and fills no window."""
        code = int(row.tag[0])
        if self._ring.room < 2 or self._skip[code] or self._ring.count[code] + 1 >= self._size:
            return False
        self._ring.add(code, int(row.ts[0]), float(row.value[0]), int(row.quality[0]))
        return True

    def _make_room(self, row: Batch, out: list[Windows]) -> bool:
        """End the window of the row's tag early if it must; False when there is none."""
        if self._skip[row.tag[0]] or self._ring.count[row.tag[0]] == self._size - 1:
            return True
        rows = self._ring.gather(row.tag)
        if not len(rows.ts):
            self.ctx.count("rows_max")
            return False
        self.ctx.count("early")
        whole = np.array([len(rows.ts)], np.intp)
        out.append(_cut(rows, np.zeros(1, np.intp), np.zeros(1, np.intp), whole, whole - 1))
        self._ring.put(replace(rows, count=whole * 0, ts=rows.ts[:0]))
        return True

    def _step(self, batch: Batch, out: list[Windows]) -> None:
        order = np.argsort(batch.tag, kind="stable")
        order, rows = self._left_in(order, windowing.grouped(batch, order))
        self._ring.extend(rows)
        full = self._ring.count[rows.code] >= self._size
        if not full.any():
            return
        added = rows.count[full]
        arrival = order[np.repeat(full, rows.count)]
        rows = self._ring.gather(rows.code[full])
        ends = np.cumsum(rows.count)
        number = (rows.count - self._size) // self._every + 1
        group = np.repeat(np.arange(len(number)), number)
        nth = windowing.ranges(np.zeros(len(number), np.intp), number)
        low = (ends - rows.count)[group] + nth * self._every
        # The last row of a window arrived in this call: its place in `arrival` is known.
        closer = arrival[low + self._size - 1 - (ends - np.cumsum(added))[group]]
        out.append(_cut(rows, group, low, low + self._size, closer))
        gone = number * self._every
        self._skip[rows.code] = np.maximum(gone - rows.count, 0)
        left = np.maximum(rows.count - gone, 0)
        rest = windowing.ranges(ends - left, left)
        self._ring.put(
            windowing.Rows(rows.code, left, rows.ts[rest], rows.value[rest], rows.quality[rest])
        )

    def _left_in(
        self, order: windowing.Index, rows: windowing.Rows
    ) -> tuple[windowing.Index, windowing.Rows]:
        """Without the rows that lie between two windows."""
        if self._every <= self._size:
            return order, rows
        skip = np.minimum(self._skip[rows.code], rows.count)
        if not skip.any():
            return order, rows
        self._skip[rows.code] -= skip
        left = rows.count - skip
        at = windowing.ranges(np.cumsum(rows.count) - left, left)
        some = left > 0
        return order[at], windowing.Rows(
            rows.code[some], left[some], rows.ts[at], rows.value[at], rows.quality[at]
        )


def _cut(
    rows: windowing.Rows,
    group: windowing.Index,
    low: windowing.Index,
    high: windowing.Index,
    closer: windowing.Index,
) -> Windows:
    """Windows in the order of the rows that closed them."""
    times = rows.ts[low]
    closed = windowing.Closed(low, high, times, times, times)
    return windowing.sorted_windows(
        windowing.windows_of(rows, group, closed, np.argsort(closer, kind="stable"))
    )
