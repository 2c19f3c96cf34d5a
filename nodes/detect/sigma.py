"""Sigma: the distance from the mean of the last minutes, in sd."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from gateway import Example, Rows
from models.sigma import Sigma as Kernel
from nodes.detect._scoring import RecentConfig, RefuseAbove, RowsMax, ScoreName, Scoring


class SigmaConfig(RecentConfig):
    output: ScoreName = "sigma"
    rows_max: RowsMax = 1000
    resolution: float = Field(
        0,
        ge=0,
        examples=[0.05],
        description="Least standard deviation that counts, in the tag's unit, such as the "
        "sensor's step: without it the first movement of a constant signal scores a million.",
        json_schema_extra={"advanced": True},
    )
    refuse_above: RefuseAbove = 0
    refuse_rows_max: Rows = Field(
        60,
        description="Refused samples in a row after which they enter: the process has a new level.",
        json_schema_extra={"advanced": True},
    )


class Sigma(Scoring[SigmaConfig]):
    """Score each sample by its distance from the mean of the last minutes, in sd.

    The sign says on which side. A sample is scored first and learnt afterwards. Samples
    that come late are scored and not learnt; when that goes on for `min_rows` samples the
    device's clock was set back, and the baseline starts over.

    State: the samples of the window, at most `rows_max`, per tag: 24 bytes each.
    Cost: 55 µs a batch and 0.3 µs a row when tags differ; 60 µs a row when one tag bursts.
    Once a window all samples of a tag are worked over again, 30 ns each.
    Source: Shewhart (1931), Economic Control of Quality of Manufactured Product; for the
    mathematics see `models.sigma`.
    """

    Config = SigmaConfig
    examples = (
        Example(
            "Four values of mean 2 and sd 1.63, then 8 twice",
            {"window_s": 60, "min_rows": 4},
            given="TT1 0s 0 | 1s 2 | 2s 2 | 3s 4 | 4s 8 | 5s 8",
            expect="TT1#sigma 4s 3.67423461 | 5s 1.58251314",
        ),
        Example(
            "A sample as old as the window has left it",
            {"window_s": 2, "min_rows": 2},
            given="TT1 0s 1 | 1s 3 | 1.999s 4 | 3.5s 9",
            expect="TT1#sigma 1.999s 1.41421356",
        ),
        Example(
            "A constant signal is measured by the resolution",
            {"min_rows": 2, "resolution": 0.5},
            given="TT1 0s 7 | 1s 7 | 2s 7 | 3s 8",
            expect="TT1#sigma 2s 0 | 3s 2",
        ),
        Example(
            "Bad samples neither count nor score",
            {"min_rows": 2, "resolution": 1},
            given="TT1 0s 5 | 1s 900 bad | 2s 5 | 3s nan | 4s 6 uncertain",
            expect="TT1#sigma 4s 1 uncertain",
        ),
        Example(
            "Refused samples do not hide the next, until they are the new level",
            {"min_rows": 2, "resolution": 1, "refuse_above": 6, "refuse_rows_max": 2},
            given="TT1 0s 0 | 1s 0 | 2s 10 | 3s 10 | 4s 10 | 5s 10",
            expect="TT1#sigma 2s 10 | 3s 10 | 4s 10 | 5s 1.15470054",
        ),
        Example(
            "Only the tags of the filter",
            {"min_rows": 2, "resolution": 1, "tags": "press1/+/pressure", "output": "score"},
            given="press1/oil/pressure 0s 5 | 1s 5 | 2s 6; press1/oil/level 0s 5 | 1s 5 | 2s 6",
            expect="press1/oil/pressure#score 2s 1",
        ),
    )

    def detector(self, limit: int) -> Kernel:
        config = self.config
        return Kernel(
            limit,
            window_s=config.window_s,
            rows_max=config.rows_max,
            min_rows=config.min_rows,
            resolution=config.resolution,
            refuse_above=config.refuse_above or np.inf,
            refuse_rows_max=config.refuse_rows_max,
        )
