"""Robust z: the distance from the median of the last minutes, in robust sd."""

from __future__ import annotations

from pydantic import Field

from gateway import Example
from models.robust_z import RobustZ as Kernel
from nodes.detect._scoring import RecentConfig, RowsMax, ScoreName, Scoring


class RobustZConfig(RecentConfig):
    output: ScoreName = "robust_z"
    rows_max: RowsMax = 300
    resolution: float = Field(
        0,
        ge=0,
        examples=[0.05],
        description="Least robust standard deviation that counts, in the tag's unit; a signal "
        "that mostly stands still has none of its own.",
        json_schema_extra={"advanced": True},
    )


class RobustZ(Scoring[RobustZConfig]):
    """Score each sample by its distance from the recent median, in robust sd.

    Like `detect.sigma`, but up to half of the baseline may be spikes and the score still
    holds. It costs more; a limit of 3.5 is usual.

    State: the samples of the window, at most `rows_max`, per tag: 16 bytes each.
    Cost: sorts the tag's window twice a sample: 4 µs a row with 300 samples kept, and
    80 µs a row when one tag bursts.
    Source: Iglewicz and Hoaglin (1993), How to Detect and Handle Outliers, ASQC; for the
    mathematics see `models.robust_z`.
    """

    Config = RobustZConfig
    examples = (
        Example(
            "A spike in the baseline changes nothing",
            {"min_rows": 5},
            given="PT1 0s 1 | 1s 2 | 2s 3 | 3s 4 | 4s 1000 | 5s 6",
            expect="PT1#robust_z 5s 2.02347228",
        ),
        Example(
            "A sample as old as the window has left it",
            {"window_s": 3, "min_rows": 3},
            given="PT1 0s 1 | 1s 2 | 2s 4 | 2.999s 4 | 4.5s 9",
            expect="PT1#robust_z 2.999s 1.34898152",
        ),
        Example(
            "A signal that stands still is measured by the resolution",
            {"min_rows": 3, "resolution": 0.5},
            given="PT1 0s 7 | 1s 7 | 2s 7 | 3s 8 | 4s 7",
            expect="PT1#robust_z 3s 2 | 4s 0",
        ),
        Example(
            "Bad samples neither count nor score",
            {"min_rows": 2, "resolution": 1},
            given="PT1 0s 5 | 1s 900 bad | 2s 5 | 3s 6 uncertain",
            expect="PT1#robust_z 3s 1 uncertain",
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
        )
