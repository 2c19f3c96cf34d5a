"""Mark or drop values that cannot be true."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gateway import (
    Batch,
    Config,
    Context,
    Example,
    Outputs,
    Port,
    TagFilter,
    TagSelect,
    Transform,
    quality,
)


class RangeConfig(Config):
    low: float | None = Field(
        None,
        description="Lowest value that can be true, in the tag's unit; empty has no lower end.",
    )
    high: float | None = Field(
        None,
        description="Highest value that can be true, in the tag's unit; empty has no upper end.",
    )
    outside: Literal["mark", "clamp", "drop"] = Field(
        "mark",
        description="What happens outside: mark it Bad_OutOfRange, clamp it to the end and mark it "
        "Uncertain_SubNormal, or drop it to the port `rejected`.",
    )
    tags: TagFilter = Field("#", description="Tags to check; the others pass unchanged.")

    @model_validator(mode="after")
    def _ends_in_order(self) -> RangeConfig:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("`low` must be below `high`.")
        return self


class Range(Transform[RangeConfig, Batch]):
    """Mark, clamp or drop values outside the range a sensor can measure.

    Without `low` and `high` the tag's own range counts. A value at the very end is inside.

    State: none.
    Cost: O(n) a batch.
    Source: NAMUR NE 43 (2003) for why a reading beyond the span is a failure, not a value.
    """

    Config = RangeConfig
    outputs = (
        Port("out", "samples", "All samples; those outside are marked or clamped."),
        Port("rejected", "samples", "Samples outside the range, when they are dropped."),
    )
    examples = (
        Example(
            "A broken wire reads far below zero",
            {"low": 0, "high": 120},
            given="TT101 0s 20 | 1s -200 | 2s 120 | 3s 120.1",
            expect="TT101 0s 20 | 1s -200 Bad_OutOfRange | 2s 120 | 3s 120.1 Bad_OutOfRange",
        ),
        Example(
            "Clamped to the ends",
            {"low": 0, "high": 100, "outside": "clamp"},
            given="LT3 0s -1 | 1s 50 | 2s 101",
            expect="LT3 0s 0 Uncertain_SubNormal | 1s 50 | 2s 100 Uncertain_SubNormal",
        ),
        Example(
            "The tag's own range, dropped",
            {"outside": "drop"},
            given="LT3 0s 50 | 1s 201",
            expect={"out": "LT3 0s 50", "rejected": "LT3 1s 201"},
            tags={"LT3": {"low": 0, "high": 200}},
        ),
    )

    def __init__(self, config: RangeConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._select = TagSelect(config.tags, ctx.tags)

    def process(self, batch: Batch, port: str) -> Outputs:
        low, high = self._ends(batch)
        select = self._select.mask(batch.tag)
        outside = select & ((batch.value < low) | (batch.value > high))
        if not outside.any():
            return {"out": batch} if len(batch) else {}
        self.ctx.count("outside", int(outside.sum()))
        match self.config.outside:
            case "mark":
                return {"out": batch.degraded(outside, quality.BAD_OUT_OF_RANGE)}
            case "clamp":
                value = np.where(outside, np.clip(batch.value, low, high), batch.value)
                clamped = Batch(batch.tag, batch.ts, value, batch.quality)
                return {"out": clamped.degraded(outside, quality.UNCERTAIN_SUBNORMAL)}
            case _:
                kept, rejected = batch.where(~outside), batch.where(outside)
                return {"rejected": rejected, **({"out": kept} if len(kept) else {})}

    def _ends(self, batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest true value of each row, (n,) each."""
        low, high = self.config.low, self.config.high
        if low is None and high is None:
            codes, row = np.unique(batch.tag, return_inverse=True)
            tags = [self.ctx.tags[code] for code in codes.tolist()]
            lows = np.nan_to_num(np.array([tag.low for tag in tags]), nan=-np.inf)
            highs = np.nan_to_num(np.array([tag.high for tag in tags]), nan=np.inf)
            return lows[row], highs[row]
        return (
            np.full(len(batch), -np.inf if low is None else low),
            np.full(len(batch), np.inf if high is None else high),
        )
