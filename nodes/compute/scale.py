"""Straight-line scaling: raw counts to a unit, one range to another."""

from __future__ import annotations

import numpy as np
from pydantic import Field, model_validator

from gateway import Batch, Config, Context, Example, Outputs, TagFilter, TagSelect, Transform


class ScaleConfig(Config):
    gain: float = Field(1.0, description="The value is multiplied by this.")
    offset: float = Field(0.0, description="Then this is added, in the new unit.")
    raw: tuple[float, float] | None = Field(
        None, examples=[(4.0, 20.0)], description="Two raw values, as an alternative to `gain`."
    )
    scaled: tuple[float, float] | None = Field(
        None, examples=[(0.0, 100.0)], description="What the two raw values mean, in the new unit."
    )
    tags: TagFilter = Field("#", description="Tags to scale; the others pass unchanged.")

    @model_validator(mode="after")
    def _one_way_of_saying_it(self) -> ScaleConfig:
        if (self.raw is None) != (self.scaled is None):
            raise ValueError("`raw` and `scaled` go together.")
        if self.raw is not None and self.raw[0] == self.raw[1]:
            raise ValueError("The two values of `raw` must differ.")
        if self.raw is not None and (self.gain, self.offset) != (1.0, 0.0):
            raise ValueError("Give `raw` and `scaled`, or `gain` and `offset`, not both.")
        return self


class Scale(Transform[ScaleConfig, Batch]):
    """Scale values along a straight line: ``value * gain + offset``.

    Or say what two raw values mean, as for a 4 to 20 mA loop. Values beyond the two are scaled
    along the same line; follow with filter.range to mark them.

    State: none.
    Cost: O(n) a batch.
    """

    Config = ScaleConfig
    stage = "stable"
    examples = (
        Example(
            "A 4 to 20 mA loop as 0 to 10 bar",
            {"raw": [4, 20], "scaled": [0, 10]},
            given="PT1 0s 4 | 1s 12 | 2s 20 | 3s 3.2",
            expect="PT1 0s 0 | 1s 5 | 2s 10 | 3s -0.5",
        ),
        Example(
            "Gain and offset",
            {"gain": 1.8, "offset": 32},
            given="TT1 0s 100 | 1s 0 bad",
            expect="TT1 0s 212 | 1s 32 bad",
        ),
        Example(
            "Only some tags",
            {"gain": 10, "tags": "press1/+/level"},
            given="press1/oil/level 0s 1\npress1/oil/temperature 0s 40",
            expect="press1/oil/level 0s 10\npress1/oil/temperature 0s 40",
        ),
    )

    def __init__(self, config: ScaleConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._select = TagSelect(config.tags, ctx.tags)
        if config.raw is not None and config.scaled is not None:
            (x0, x1), (y0, y1) = config.raw, config.scaled
            self._gain = (y1 - y0) / (x1 - x0)
            self._offset = y0 - x0 * self._gain
        else:
            self._gain, self._offset = config.gain, config.offset

    def process(self, batch: Batch, port: str) -> Outputs:
        if not len(batch):
            return {}
        with np.errstate(all="ignore"):  # What is not finite becomes Bad in with_value.
            value = batch.value * self._gain + self._offset
        if not self._select.takes_all:
            value = np.where(self._select.mask(batch.tag), value, batch.value)
        return {"out": batch.with_value(value)}
