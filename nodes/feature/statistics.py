"""Statistics of windows: mean, spread, extremes, percentiles, slope and more."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from gateway import Config, Context, Example, Outputs, Percent, Port, Transform, Windows
from models.statistics import Statistics as Reduction
from nodes.feature._derived import PARENT, PER_SECOND, Features

Name = Literal[
    "mean",
    "sd",
    "min",
    "max",
    "count",
    "range",
    "median",
    "sum",
    "rate",
    "slope",
    "rms",
    "crest_factor",
    "skew",
    "kurtosis",
    "zero_crossings",
    "percent_good",
]
_UNITS = {
    "count": "1",
    "crest_factor": "1",
    "kurtosis": "1",
    "percent_good": "%",
    "rate": PER_SECOND,
    "skew": "1",
    "slope": PER_SECOND,
    "zero_crossings": "1",
}
_ABOUT_QUALITY = frozenset({"count", "percent_good"})


class StatisticsConfig(Config):
    features: tuple[Name, ...] = Field(
        ("mean", "sd", "min", "max"),
        max_length=len(get_args(Name)),
        examples=[["mean", "sd"]],
        description="What to compute of each window; `sd` is the sample standard deviation, "
        "`rate` last minus first value a second, `slope` that of the least-squares line.",
    )
    percentiles: tuple[Percent, ...] = Field(
        (),
        max_length=20,
        examples=[[95]],
        description="Percentiles to compute, each as `#p95` and so on.",
    )
    time_above: tuple[Annotated[float, Field(ge=-1e15, le=1e15)], ...] = Field(
        (),
        max_length=20,
        examples=[[75]],
        description="Limits, in the tag's unit; for each the seconds above it, as "
        "`#time_above_75`. A value holds until the next sample.",
    )
    good_percent_min: Percent = Field(
        100, description="Windows with a smaller share of good samples give uncertain features."
    )

    @model_validator(mode="after")
    def _something_to_compute_once(self) -> Self:
        names = _names(self)
        if not names:
            raise ValueError("there is nothing to compute: name a feature.")
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))} is named twice: take one out.")
        return self


def _names(config: StatisticsConfig) -> list[str]:
    return [
        *config.features,
        *(f"p{percent:.6g}" for percent in config.percentiles),
        *(f"time_above_{limit:.9g}" for limit in config.time_above),
    ]


class Statistics(Transform[StatisticsConfig, Windows]):
    """Compute statistics of each window, as samples of tags such as `oil#mean`.

    Only good samples count. A window without one gives bad features; one with too few gives
    uncertain ones; a feature that a window cannot have, such as the sd of one sample, is
    bad. `count` and `percent_good` are facts about the quality and always good. The samples
    carry the time of the window's end.

    State: none.
    Cost: 40 µs a message and 5 ns a row; percentiles and the median sort, 10 ns a row more.
    Source: OPC 10000-13 v1.05, 5.4.3 (quality of aggregates); the formulas are in
    `models.statistics`.
    """

    Config = StatisticsConfig
    inputs: ClassVar[tuple[Port, ...]] = (Port("in", "windows", "Windows to reduce."),)
    outputs: ClassVar[tuple[Port, ...]] = (
        Port("out", "samples", "A sample a window and feature, at the window's end."),
    )
    examples = (
        Example(
            "Mean, spread and extremes",
            {},
            given="TT1 0s-10s: 0s 1, 3s 2, 9s 3 | 10s-20s: 10s 5, 15s 5",
            expect="""TT1#mean 10s 2 | 20s 5
            TT1#sd 10s 1 | 20s 0
            TT1#min 10s 1 | 20s 5
            TT1#max 10s 3 | 20s 5""",
        ),
        Example(
            "Bad samples count in the quality and not in the values",
            {"features": ["mean", "count", "percent_good"], "good_percent_min": 75},
            given="TT1 0s-4s: 0s 1, 1s 2, 2s 3, 3s 900 bad | "
            "4s-8s: 4s 1, 5s 9 bad | 8s-9s: 8s 9 bad",
            expect="""TT1#mean 4s 2 | 8s 1 Uncertain_SubNormal | 9s nan bad
            TT1#count 4s 3 | 8s 1 | 9s 0
            TT1#percent_good 4s 75 | 8s 50 | 9s 0""",
        ),
        Example(
            "The spread of one sample is not known",
            {"features": ["mean", "sd"]},
            given="TT1 0s-10s: 5s 7",
            expect="""TT1#mean 10s 7
            TT1#sd 10s nan bad""",
        ),
        Example(
            "Percentiles, and seconds above a limit that exactly the limit is not",
            {"features": ["median"], "percentiles": [95], "time_above": [3, 4.5]},
            given="TT1 0s-10s: 0s 1, 2s 3, 4s 4, 6s 5, 9s 2",
            expect="""TT1#median 10s 3
            TT1#p95 10s 4.8
            TT1#time_above_3 10s 5
            TT1#time_above_4.5 10s 3""",
        ),
        Example(
            "A ramp with a dip: the rate sees its ends, the slope all of it",
            {"features": ["rate", "slope", "range", "sum"]},
            given="FT1 0s-4s: 0s 0, 1s 2, 2s -2, 3s 6",
            expect="""FT1#rate 4s 2
            FT1#slope 4s 1.4
            FT1#range 4s 8
            FT1#sum 4s 6""",
            tags={"FT1": {"unit": "L"}},
        ),
    )

    def __init__(self, config: StatisticsConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        units = [_UNITS.get(name, PARENT) for name in config.features]
        units += [PARENT for _ in config.percentiles] + ["s" for _ in config.time_above]
        self._features = Features(
            ctx, _names(config), units, config.good_percent_min, _ABOUT_QUALITY
        )

    def process(self, windows: Windows, port: str) -> Outputs:
        if len(windows) == 0:
            return {}
        rows = windows.rows
        # Sums of values near the end of float64 overflow; what is not finite leaves as bad.
        with np.errstate(over="ignore", invalid="ignore"):
            reduction = Reduction(
                rows.value, rows.ts, rows.good, windows.offset, windows.start, windows.end
            )
            columns = [getattr(reduction, name) for name in self.config.features]
            columns += [reduction.percentile(percent) for percent in self.config.percentiles]
            columns += [reduction.time_above(limit) for limit in self.config.time_above]
        table = np.concatenate(columns).reshape(len(columns), -1).T
        return {"out": self._features.samples(windows, table, reduction.percent_good)}
