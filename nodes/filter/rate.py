"""Limit how often a tag's samples pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gateway import Batch, Config, Context, Example, Outputs, PositiveSeconds, Transform

_NEVER = np.iinfo(np.int64).min // 2  # Long before every time there is.


class RateConfig(Config):
    every_s: PositiveSeconds = Field(
        examples=[1.0], description="Shortest time between two samples of one tag."
    )


class Rate(Transform[RateConfig, Batch]):
    """Pass at most one sample of each tag every `every_s`: the first, then the next that is due.

    Time is the samples' own. A change of quality severity passes at once. A sample older than
    the last passed one is not due.

    State: time and severity last passed, per tag.
    Cost: O(n) a batch, in rounds.
    """

    Config = RateConfig
    examples = (
        Example(
            "One a second of five",
            {"every_s": 1},
            given="PT1 0s 1 | 200ms 2 | 999ms 3 | 1s 4 | 1500ms 5 | 2s 6",
            expect="PT1 0s 1 | 1s 4 | 2s 6",
        ),
        Example(
            "A failure does not wait",
            {"every_s": 10},
            given="PT1 0s 1 | 1s 1 bad | 2s 1 bad | 3s 1",
            expect="PT1 0s 1 | 1s 1 bad | 3s 1",
        ),
        Example(
            "Every tag for itself",
            {"every_s": 1},
            given="PT1 0s 1 | 500ms 2\nPT2 500ms 7 | 1s 8",
            expect="PT1 0s 1\nPT2 500ms 7",
        ),
    )

    def __init__(self, config: RateConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._ts = self.per_tag("ts", _NEVER, np.int64)
        self._severity = self.per_tag("severity", 255, np.uint8)
        self._every_ns = round(config.every_s * 1e9)

    def keeps(self, old: RateConfig) -> bool:
        """When a row passed last is the same, whatever the next has to wait."""
        return True

    def process(self, batch: Batch, port: str) -> Outputs:
        keep = np.zeros(len(batch), np.bool_)
        for rows in batch.rounds():
            keep[rows] = self._passes(batch.where(rows))
        return {"out": batch.where(keep)} if keep.any() else {}

    def _passes(self, rows: Batch) -> NDArray[np.bool_]:
        tag, severity = rows.tag, rows.quality >> 30
        passes: NDArray[np.bool_] = rows.ts - self._ts[tag] >= self._every_ns
        passes |= severity != self._severity[tag]
        tag = tag[passes]
        self._ts[tag] = rows.ts[passes]
        self._severity[tag] = severity[passes]
        return passes
