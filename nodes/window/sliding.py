"""A window over the last seconds for every sample, or for one every so often."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from gateway import Batch, Context, Example, PositiveSeconds, Seconds, windowing


class SlidingConfig(windowing.WindowConfig):
    size_s: PositiveSeconds = Field(
        examples=[300], description="Length of a window, back from its sample."
    )
    every_s: Seconds = Field(
        0,
        description="Make a window only for the first sample of each such period, counted from "
        "1970; 0 makes one for every sample.",
    )


class Sliding(windowing.WindowTransform[SlidingConfig]):
    """For a sample, the samples of its tag in the `size_s` up to and with it.

    The window reaches from just after `start` to `end`, the time of its sample: a sample
    exactly `size_s` old is no longer in it. A window leaves when the watermark reaches its
    sample, without lateness at once. A sample older than the watermark leaves by `late`.

    State: the rows of the last `size_s`; watermark, last step time and next time per tag.
    Cost: ~150 ns a row, and every window copies its rows: with many samples in `size_s`, set
    `every_s`. ~35 µs for one row.
    Source: Carbone et al., Cutty: Aggregate Sharing for User-Defined Windows, CIKM 2016, 2.
    """

    Config = SlidingConfig
    examples = (
        Example(
            "A sample exactly as old as the window is out",
            {"size_s": 10},
            given="TT101 0s 1 | 5s 2 | 10s 3 bad",
            expect="TT101 -10s-0s: 0s 1 | -5s-5s: 0s 1, 5s 2 | 0s-10s: 5s 2, 10s 3 bad",
        ),
        Example(
            "Once in ten seconds",
            {"size_s": 10, "every_s": 10},
            given="TT101 1s 1 | 9s 2 | 10s 3 | 19s 4 | 25s 5",
            expect="TT101 -9s-1s: 1s 1 | 0s-10s: 1s 1, 9s 2, 10s 3 | 15s-25s: 19s 4, 25s 5",
        ),
        Example(
            "Lateness waits for order; what is older is late",
            {"size_s": 10, "lateness_s": 2},
            given="~ TT101 1s 1 | 3s 2 | 2s 3 | 4s 4 | 1.5s 5",
            expect={
                "out": "TT101 -9s-1s: 1s 1 | -8s-2s: 1s 1, 2s 3",
                "late": "TT101 1.5s 5",
            },
        ),
        Example(
            "A silent tag: the timer brings the last window",
            {"size_s": 10, "lateness_s": 2},
            given="TT101 1s 1 | 2s 2",
            expect="TT101 -9s-1s: 1s 1 | -8s-2s: 1s 1, 2s 2",
            until="4s",
        ),
    )

    def __init__(self, config: SlidingConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._size = windowing.nanoseconds(config.size_s)
        self._every = windowing.nanoseconds(config.every_s)
        # Earliest time that may make a window, and how many of the waiting rows made theirs.
        self._next = self.per_tag("next", windowing.TS_MIN, np.int64)
        self._settled = self.per_tag("settled", 0, np.int64)

    def alone(self, row: Batch, code: int, ts: int, before: int, after: int) -> int | None:
        following = int(self._next[code])
        if ts < before or ts <= following - self._size:
            return None
        known = int(self._due[code])
        return min(ts, known) if ts >= following else known

    def judge(self, run: windowing.Run) -> tuple[windowing.Mask, windowing.Mask, windowing.Times]:
        ts = run.rows.ts
        late = ts < run.before
        following = self._next[run.tag]
        keep = ~late & (ts > following - self._size)
        return keep, late, np.where(ts >= following, ts, windowing.NEVER)

    def close(
        self, pending: windowing.Pending
    ) -> tuple[windowing.Closed, windowing.Mask, windowing.Times]:
        ts, group, code = pending.rows.ts, pending.group, pending.rows.code
        place = np.arange(len(ts)) - pending.starts[group]
        fresh = place >= self._settled[code][group]
        ready = ts <= pending.mark[group]
        makes = fresh & ready & (ts >= self._next[code][group])
        if self._every:
            period = ts // self._every
            makes[1:] &= (period[1:] != period[:-1]) | (group[1:] != group[:-1])
        at = np.flatnonzero(makes)
        of = group[at]
        low = windowing.first_at_least(ts, pending.starts[of], at, ts[at] - self._size + 1)
        closed = windowing.Closed(
            low, at + 1, ts[at] - self._size, ts[at], ts[at], pending.arrival[at]
        )
        following = self._next[code]
        later = (ts[at] // self._every + 1) * self._every if self._every else ts[at]
        np.maximum.at(following, of, later)
        self._next[code] = following
        rest = ts > following[group] - self._size
        done = rest & (ready | ~fresh)
        self._settled[code] = np.add.reduceat(done, pending.starts, dtype=np.int64)
        waits = ~ready & (ts >= following[group])
        return closed, rest, pending.least(ts, waits)
