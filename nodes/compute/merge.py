"""Bring several wires together as one tag: the best of redundant sensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gateway import (
    Batch,
    Config,
    Context,
    Example,
    Outputs,
    Seconds,
    Tag,
    TagName,
    Transform,
    quality,
)

_NEVER = np.iinfo(np.int64).min // 2
_STATISTICS: dict[str, Callable[[NDArray[np.float64]], Any]] = {
    "median": np.median,
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
}


class MergeConfig(Config):
    inputs: list[TagName] = Field(
        min_length=2, max_length=16, description="Tags that measure the same, best first."
    )
    output: TagName = Field(description="The tag to write; it has the first input's unit.")
    how: Literal["first", "median", "mean", "min", "max"] = Field(
        "first", description="first: the first good one; else that statistic over the good ones."
    )
    stale_s: Seconds = Field(
        0, description="An input older than this against the newest does not count; 0 never ages."
    )


class Merge(Transform[MergeConfig, Batch]):
    """Make one tag of redundant sensors: the first good one, or a vote over the good ones.

    Every sample of an input gives one sample of the output. While no input is good the output
    is Bad. With `first` the output is Uncertain while it is not the best sensor that speaks.

    State: newest value, time and quality of each input.
    Cost: ~2 µs a row.
    """

    Config = MergeConfig
    examples = (
        Example(
            "The spare sensor steps in",
            {"inputs": ["TT1", "TT2"], "output": "tank/temperature"},
            given="TT1 0s 20 | 2s 20 bad | 4s 21\nTT2 1s 20.5 | 3s 20.6",
            expect="tank/temperature 0s 20 | 1s 20 | 2s 20.5 uncertain | 3s 20.6 uncertain | 4s 21",
        ),
        Example(
            "Two out of three",
            {"inputs": ["A", "B", "C"], "output": "level", "how": "median"},
            given="A 0s 5\nB 0s 5.1\nC 0s 99",
            expect="level 0s 5 | 0s 5.05 | 0s 5.1",
        ),
        Example(
            "No one is good",
            {"inputs": ["A", "B"], "output": "x"},
            given="A 0s 1 bad | 1s 2",
            expect="x 0s nan bad | 1s 2",
        ),
    )

    def __init__(self, config: MergeConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        codes = [ctx.tags.code(name) for name in config.inputs]
        first = ctx.tags[codes[0]]
        self._codes = np.array(codes, np.uint16)
        self._output = ctx.tags.add(Tag(config.output, first.unit, first.low, first.high))
        self._value = self.per_tag("value", np.nan)
        self._ts = self.per_tag("ts", _NEVER, np.int64)
        self._quality = self.per_tag("quality", quality.BAD_WAITING, np.uint32)
        self._stale_ns = round(config.stale_s * 1e9) or 2**62

    def process(self, batch: Batch, port: str) -> Outputs:
        rows = []
        for tag, ts, value, status in batch.where(np.isin(batch.tag, self._codes)).rows():
            self._value[tag], self._ts[tag], self._quality[tag] = value, ts, status
            merged, code = self._vote(ts)
            rows.append((self._output, ts, merged, code))
        return {"out": Batch.of(rows)} if rows else {}

    def _vote(self, ts: int) -> tuple[float, int]:
        status, values = self._quality[self._codes], self._value[self._codes]
        good = (status < 0x40000000) & (ts - self._ts[self._codes] <= self._stale_ns)
        if not good.any():
            return float("nan"), quality.BAD
        if self.config.how == "first":
            best = int(np.argmax(good))
            return float(values[best]), quality.UNCERTAIN if best else quality.GOOD
        return float(_STATISTICS[self.config.how](values[good])), quality.GOOD
