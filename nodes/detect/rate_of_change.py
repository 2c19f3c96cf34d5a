"""Rate of change: how fast a value rises or falls, per second."""

from __future__ import annotations

from pydantic import Field

from gateway import Example, PositiveSeconds
from models.rate import Rate as Kernel
from nodes.detect._scoring import ScoreName, Scoring, ScoringConfig


class RateOfChangeConfig(ScoringConfig):
    output: ScoreName = "rate_of_change"
    horizon_s: PositiveSeconds = Field(
        10,
        ge=1e-6,
        description="Time over which the change is measured; longer is calmer and later.",
    )


class RateOfChange(Scoring[RateOfChangeConfig]):
    """Score each sample by the change per second over the last `horizon_s`.

    It is compared with the oldest sample within the horizon, or with the one before where
    samples are further apart than that. Until half the horizon is known there is no score.

    State: at most 32 samples spread over the horizon, per tag: 16 bytes each.
    Cost: 50 µs a batch and 0.1 µs a row when tags differ; 40 µs a row when one tag bursts.
    """

    Config = RateOfChangeConfig
    examples = (
        Example(
            "From half the horizon on",
            {"horizon_s": 10},
            given="TT1 0s 0 | 4.999s 5 | 5s 10 | 10s 30",
            expect="TT1#rate_of_change 5s 2 | 10s 3",
        ),
        Example(
            "A sample older than the horizon is no reference, unless it is the only one",
            {"horizon_s": 10},
            given="TT1 0s 0 | 5s 10 | 11s 28 | 100s 917",
            expect="TT1#rate_of_change 5s 2 | 11s 3 | 100s 9.98876404",
        ),
        Example(
            "A bad sample is no reference; falling is negative",
            {"horizon_s": 2},
            given="TT1 0s 8 | 1s 900 bad | 2s 4",
            expect="TT1#rate_of_change 2s -2",
        ),
    )

    def detector(self, limit: int) -> Kernel:
        return Kernel(limit, horizon_s=self.config.horizon_s)

    def unit(self, parent: str) -> str:
        return f"{parent}/s" if parent else ""
