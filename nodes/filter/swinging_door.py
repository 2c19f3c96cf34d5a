"""Compress a trend: keep the corners, drop what a straight line says as well."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from gateway import Batch, Config, Context, Example, Outputs, Seconds, Transform

_NONE, _ONE, _OPEN = 0, 1, 2  # No corner yet; a corner; a corner and a sample held back.


class SwingingDoorConfig(Config):
    deviation: float = Field(
        gt=0,
        examples=[0.5],
        description="How far a dropped sample may lie from the line that replaces it, in the tag's "
        "unit.",
    )
    max_s: Seconds = Field(
        0, description="Keep a sample at least this often even on a straight line; 0 never does."
    )


class SwingingDoor(Transform[SwingingDoorConfig, Batch]):
    """Keep only the samples at which a trend turns by more than `deviation`.

    Straight lines between the kept samples are at most `deviation` away from every dropped one.
    The sample at a corner is sent when the next one shows that it is a corner, so the newest
    sample is always held back. A bad or uncertain sample, and the one before it, are kept. A
    sample that is not newer than the one before is sent at once and moves nothing.

    State: corner, held-back sample and the two slopes of the door, per tag.
    Cost: O(n) a batch, row by row: ~1 µs a row.
    Source: E. H. Bristol, "Swinging door trending", ISA 1990 National Conference, 749-753; the
    line to the kept sample is tested as well, which is what makes the bound hold.
    """

    Config = SwingingDoorConfig
    examples = (
        Example(
            "A ramp needs its two ends",
            {"deviation": 0.5},
            given="FT1 0s 0 | 1s 1 | 2s 2 | 3s 3 | 4s 10",
            expect="FT1 0s 0 | 3s 3",
        ),
        Example(
            "Noise within the deviation is no corner",
            {"deviation": 1},
            given="FT1 0s 5 | 1s 5.5 | 2s 4.5 | 3s 5.5 | 4s 9",
            expect="FT1 0s 5 | 3s 5.5",
        ),
        Example(
            "A failure is kept, and what stood before it",
            {"deviation": 1},
            given="FT1 0s 5 | 1s 5 | 2s 5 | 3s 5 bad | 4s 5",
            expect="FT1 0s 5 | 2s 5 | 3s 5 bad | 4s 5",
        ),
    )

    def __init__(self, config: SwingingDoorConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._phase = self.per_tag("phase", _NONE, np.uint8)
        self._corner_ts = self.per_tag("corner_ts", 0, np.int64)
        self._corner = self.per_tag("corner", 0.0)
        self._held_ts = self.per_tag("held_ts", 0, np.int64)
        self._held = self.per_tag("held", 0.0)
        self._upper = self.per_tag("upper", np.inf)
        self._lower = self.per_tag("lower", -np.inf)
        self._max_ns = round(config.max_s * 1e9) or 2**63 - 1

    def process(self, batch: Batch, port: str) -> Outputs:
        kept: list[tuple[int, int, float, int]] = []
        for tag, ts, value, status in batch.rows():
            if status >= 0x40000000:
                self._interrupt(tag, kept)
                kept.append((tag, ts, value, status))
            else:
                self._row(tag, ts, value, kept)
        return {"out": Batch.of(kept)} if kept else {}

    def _interrupt(self, tag: int, kept: list[tuple[int, int, float, int]]) -> None:
        """Send the held-back sample and forget the door."""
        if self._phase[tag] == _OPEN:
            kept.append((tag, int(self._held_ts[tag]), float(self._held[tag]), 0))
        self._phase[tag] = _NONE

    def _row(
        self, tag: int, ts: int, value: float, kept: list[tuple[int, int, float, int]]
    ) -> None:
        if self._phase[tag] == _NONE:
            self._start(tag, ts, value)
            self._phase[tag] = _ONE
            kept.append((tag, ts, value, 0))
            return
        newest = int(self._held_ts[tag] if self._phase[tag] == _OPEN else self._corner_ts[tag])
        if ts <= newest:
            kept.append((tag, ts, value, 0))
            return
        slope = (value - float(self._corner[tag])) / (ts - int(self._corner_ts[tag]))
        is_turn = not float(self._lower[tag]) <= slope <= float(self._upper[tag])
        too_long = ts - int(self._corner_ts[tag]) > self._max_ns
        if self._phase[tag] == _OPEN and (is_turn or too_long):
            held_ts, held = int(self._held_ts[tag]), float(self._held[tag])
            kept.append((tag, held_ts, held, 0))
            self._start(tag, held_ts, held)
        self._narrow(tag, ts, value)
        self._held_ts[tag], self._held[tag] = ts, value
        self._phase[tag] = _OPEN

    def _start(self, tag: int, ts: int, value: float) -> None:
        self._corner_ts[tag], self._corner[tag] = ts, value
        self._upper[tag], self._lower[tag] = np.inf, -np.inf

    def _narrow(self, tag: int, ts: int, value: float) -> None:
        """Lines from the corner that pass this sample within the deviation, in units per ns."""
        span = ts - int(self._corner_ts[tag])
        corner, deviation = float(self._corner[tag]), self.config.deviation
        self._upper[tag] = min(float(self._upper[tag]), (value + deviation - corner) / span)
        self._lower[tag] = max(float(self._lower[tag]), (value - deviation - corner) / span)
