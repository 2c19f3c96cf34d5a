"""Drop samples that were delivered twice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gateway import Batch, Config, Context, Example, Outputs, Port, Transform

_NEVER = np.iinfo(np.int64).min


class DuplicateConfig(Config):
    older: bool = Field(
        False, description="Also drop samples older than the newest of their tag, not only repeats."
    )


class Duplicate(Transform[DuplicateConfig, Batch]):
    """Drop a sample whose tag, time, value and quality repeat the newest one of its tag.

    What is delivered at least once may come twice in a row; a value that stays the same at a
    later time is no duplicate (see filter.deadband for that).

    State: time, value and quality of the newest sample, per tag.
    Cost: O(n) a batch, in rounds.
    """

    Config = DuplicateConfig
    outputs = (
        Port("out", "samples", "Samples seen for the first time."),
        Port("duplicates", "samples", "The repeats."),
    )
    examples = (
        Example(
            "Redelivered after a crash",
            {},
            given="TT1 0s 20 | 1s 21 | 1s 21 | 2s 21",
            expect={"out": "TT1 0s 20 | 1s 21 | 2s 21", "duplicates": "TT1 1s 21"},
        ),
        Example(
            "Another value at the same time is a correction",
            {},
            given="TT1 0s 20 | 0s 20.5 | 0s 20.5",
            expect="TT1 0s 20 | 0s 20.5",
        ),
        Example(
            "Older ones too",
            {"older": True},
            given="~TT1 0s 20 | 2s 22 | 1s 21 | 3s 23",
            expect="TT1 0s 20 | 2s 22 | 3s 23",
        ),
    )

    def __init__(self, config: DuplicateConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._ts = self.per_tag("ts", _NEVER, np.int64)
        self._value = self.per_tag("value", np.nan)
        self._quality = self.per_tag("quality", 0, np.uint32)

    def keeps(self, old: DuplicateConfig) -> bool:
        """The newest row is the same, whatever is dropped."""
        return True

    def process(self, batch: Batch, port: str) -> Outputs:
        repeats = np.zeros(len(batch), np.bool_)
        for rows in batch.rounds():
            repeats[rows] = self._repeats(batch.where(rows))
        kept = {"out": batch.where(~repeats)} if not repeats.all() else {}
        return {**kept, "duplicates": batch.where(repeats)} if repeats.any() else kept

    def _repeats(self, rows: Batch) -> NDArray[np.bool_]:
        tag, last = rows.tag, self._value[rows.tag]
        same: NDArray[np.bool_] = (rows.value == last) | (np.isnan(rows.value) & np.isnan(last))
        same &= (rows.ts == self._ts[tag]) & (rows.quality == self._quality[tag])
        if self.config.older:
            same |= rows.ts < self._ts[tag]
        newer = ~same & (rows.ts >= self._ts[tag])
        tag = tag[newer]
        self._ts[tag] = rows.ts[newer]
        self._value[tag] = rows.value[newer]
        self._quality[tag] = rows.quality[newer]
        return same
