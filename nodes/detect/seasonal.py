"""Seasonal: compares with the same phase of earlier periods, such as the hour."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from gateway import Example, PositiveSeconds, Rows
from models.seasonal import Seasonal as Kernel
from nodes.detect._scoring import RefuseAbove, Resolution, ScoreName, Scoring, ScoringConfig


class SeasonalConfig(ScoringConfig):
    output: ScoreName = "seasonal"
    period_s: PositiveSeconds = Field(
        86_400, ge=1e-3, description="Length of the period: 86,400 for a day, or a machine's cycle."
    )
    bins: int = Field(
        24, ge=1, le=10_000, description="Equal parts of the period, a baseline each."
    )
    offset_s: float = Field(
        0,
        ge=-1e9,
        le=1e9,
        json_schema_extra={"unit": "s", "advanced": True},
        description="When a period begins, after midnight UTC; -3600 for midnight at UTC+1.",
    )
    min_rows: Rows = Field(
        10,
        ge=2,
        description="Samples a bin needs before it scores.",
        json_schema_extra={"advanced": True},
    )
    min_periods: Rows = Field(
        3,
        description="Different periods a bin has to see before it scores.",
        json_schema_extra={"advanced": True},
    )
    memory_rows: Rows = Field(
        10_000,
        description="Samples over which a bin remembers; older ones fade.",
        json_schema_extra={"advanced": True},
    )
    resolution: Resolution = 0
    refuse_above: RefuseAbove = 0
    refuse_rows_max: Rows = Field(
        60,
        description="Refused samples in a row in a bin after which they enter all the same.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _bin_can_fill(self) -> Self:
        if self.min_rows > self.memory_rows:
            raise ValueError("min_rows is greater than memory_rows: there would never be a score.")
        return self


class Seasonal(Scoring[SeasonalConfig]):
    """Score each sample by its distance from what is usual at this phase, in sd.

    For values that are right at ten in the morning and wrong at ten at night, or that
    follow a machine's cycle. Each part of the period learns its own mean and sd.

    State: 36 bytes a bin, per tag.
    Cost: 60 µs a batch and 0.2 µs a row when tags differ; 45 µs a row when one tag bursts.
    Source: Finch (2009), "Incremental calculation of weighted mean and variance"; for the
    mathematics see `models.seasonal`.
    """

    Config = SeasonalConfig
    examples = (
        Example(
            "Each half of the period has its own normal",
            {"period_s": 10, "bins": 2, "min_rows": 2, "min_periods": 2, "resolution": 1},
            given="ET1 0s 1 | 5s 70 | 10s 1 | 15s 70 | 20s 4 | 25s 70",
            expect="ET1#seasonal 20s 3 | 25s 0",
        ),
        Example(
            "A bin is not judged by its own first visit",
            {"period_s": 10, "bins": 1, "min_rows": 2, "min_periods": 2, "resolution": 1},
            given="ET1 0s 5 | 1s 5 | 9.999s 9 | 10s 5 | 11s 5",
            expect="ET1#seasonal 11s -0.5",
        ),
        Example(
            "Bad samples neither count nor score",
            {"period_s": 1, "bins": 1, "min_rows": 2, "min_periods": 2, "resolution": 1},
            given="ET1 0s 5 | 1s 900 bad | 2s 5 | 3s 6 uncertain",
            expect="ET1#seasonal 3s 1 uncertain",
        ),
        Example(
            "An anomaly enters the baseline only when it stays",
            {
                "period_s": 1,
                "bins": 1,
                "min_rows": 2,
                "min_periods": 2,
                "resolution": 1,
                "refuse_above": 6,
                "refuse_rows_max": 1,
            },
            given="ET1 0s 0 | 1s 0 | 2s 10 | 3s 10 | 4s 10",
            expect="ET1#seasonal 2s 10 | 3s 10 | 4s 1.15470054",
        ),
    )

    def detector(self, limit: int) -> Kernel:
        config = self.config
        return Kernel(
            limit,
            period_s=config.period_s,
            bins=config.bins,
            offset_s=config.offset_s,
            min_rows=config.min_rows,
            min_periods=config.min_periods,
            memory_rows=config.memory_rows,
            resolution=config.resolution,
            refuse_above=config.refuse_above or np.inf,
            refuse_rows_max=config.refuse_rows_max,
        )
