"""EWMA: a control chart; finds small shifts that a limit never sees."""

from __future__ import annotations

from pydantic import Field

from gateway import Example
from models.ewma import Ewma as Kernel
from nodes.detect._scoring import (
    GivenMean,
    GivenSd,
    LearnRows,
    Resolution,
    ScoreName,
    Scoring,
    ScoringConfig,
)


class EwmaConfig(ScoringConfig):
    output: ScoreName = "ewma"
    weight: float = Field(
        0.2,
        gt=0,
        le=1,
        description="Weight of the newest sample (λ): 0.05 finds small shifts, 1 only looks at it.",
    )
    rows: LearnRows = 50
    mean: GivenMean = None
    sd: GivenSd = None
    resolution: Resolution = 0
    relearn_above: float = Field(
        3,
        gt=0,
        description="Score beyond which the process is out of control [σ].",
        json_schema_extra={"advanced": True},
    )
    relearn_rows: int = Field(
        0,
        ge=0,
        json_schema_extra={"unit": "rows", "advanced": True},
        description="Samples in a row beyond `relearn_above` after which mean and sd are learnt "
        "anew; 0 never does.",
    )


class Ewma(Scoring[EwmaConfig]):
    """Score each sample by the distance of the weighted moving average from the mean.

    The score is in standard deviations of the average itself, exact from the first sample
    on; a limit of 2.7 to 3 is usual. The chart counts samples, not seconds: it is for
    evenly sampled tags and for the features of windows.

    State: average, baseline and counters, per tag.
    Cost: 35 µs a batch and 0.1 µs a row when tags differ; 25 µs a row when one tag bursts.
    Source: Roberts (1959), Technometrics 1(3) 239; NIST/SEMATECH e-Handbook of Statistical
    Methods, 6.3.2.4.
    """

    Config = EwmaConfig
    examples = (
        Example(
            "The first samples of the handbook's example",
            {"weight": 0.3, "mean": 50, "sd": 2.0539},
            given="QT1 0s 52 | 1s 47 | 2s 53",
            expect="QT1#ewma 0s 0.973757242 | 1s -0.638186413 | 2s 0.695893774",
        ),
        Example(
            "Nothing is said while mean and sd are learnt",
            {"weight": 1, "rows": 3},
            given="QT1 0s 1 | 1s 2 | 2s 3 | 3s 4",
            expect="QT1#ewma 3s 2",
        ),
        Example(
            "A weight of one scores the sample itself",
            {"weight": 1, "mean": 10, "sd": 2},
            given="QT1 0s 10 | 1s 16 | 2s 7 | 3s 99 bad",
            expect="QT1#ewma 0s 0 | 1s 3 | 2s -1.5",
        ),
        Example(
            "Two in a row beyond the limit and the new level is learnt",
            {"weight": 1, "rows": 2, "resolution": 1, "relearn_rows": 2},
            given="QT1 0s 1 | 1s 1 | 2s 4 | 3s 5 | 4s 5 | 5s 9 | 6s 9 | 7s 10",
            expect="QT1#ewma 2s 3 | 3s 4 | 4s 4 | 7s 1",
        ),
    )

    def detector(self, limit: int) -> Kernel:
        config = self.config
        return Kernel(
            limit,
            weight=config.weight,
            rows=config.rows,
            resolution=config.resolution,
            mean=config.mean,
            sd=config.sd,
            relearn_above=config.relearn_above,
            relearn_rows=config.relearn_rows,
        )
