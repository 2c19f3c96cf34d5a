"""Flatline: how long a value has not moved; finds stuck sensors."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from gateway import Example, Seconds
from models.flatline import Flatline as Kernel
from nodes.detect._scoring import ScoreName, Scoring, ScoringConfig


class FlatlineConfig(ScoringConfig):
    output: ScoreName = "flatline"
    band: float = Field(
        0,
        ge=0,
        description="Movement that does not count, in the tag's unit: highest minus lowest value.",
    )
    gap_s: Seconds = Field(
        0,
        description="A hole between samples longer than this starts over; 0 never does, for "
        "devices that report only changes.",
    )


class Flatline(Scoring[FlatlineConfig]):
    """Score each sample by the seconds for which the value has not moved.

    Moving means that highest minus lowest value exceeds `band`. The score is in seconds:
    compare it with how long this value may honestly stand still.

    State: since when, lowest, highest and newest, per tag.
    Cost: 25 µs a batch and 0.1 µs a row when tags differ; 15 µs a row when one tag bursts.
    """

    Config = FlatlineConfig
    examples = (
        Example(
            "Exactly the band is no movement",
            {"band": 0.5},
            given="LT1 0s 20 | 10s 20.5 | 20s 20 | 30s 19.9",
            expect="LT1#flatline 0s 0 | 10s 10 | 20s 20 | 30s 0",
        ),
        Example(
            "A hole as long as allowed goes on, a longer one starts over",
            {"gap_s": 60},
            given="LT1 0s 7 | 60s 7 | 120.5s 7 | 130s 7",
            expect="LT1#flatline 0s 0 | 60s 60 | 120.5s 0 | 130s 9.5",
        ),
        Example(
            "Bad samples are not looked at",
            {},
            given="LT1 0s 7 | 10s 9 bad | 20s 7 | 30s nan | 40s 7.001",
            expect="LT1#flatline 0s 0 | 20s 20 | 40s 0",
        ),
    )

    def detector(self, limit: int) -> Kernel:
        return Kernel(limit, band=self.config.band, gap_s=self.config.gap_s or np.inf)

    def unit(self, parent: str) -> str:
        return "s"
