"""Convert values from one unit to another."""

from __future__ import annotations

from functools import partial

import numpy as np
from pydantic import Field, model_validator

from gateway import (
    Batch,
    Config,
    ConfigError,
    Context,
    Example,
    Outputs,
    Room,
    Tag,
    TagFilter,
    TagSelect,
    Transform,
    converter,
)

_UNSEEN, _KEPT, _CONVERTED = 0, 1, 2


class UnitConfig(Config):
    to: str = Field(
        min_length=1, max_length=32, examples=["Cel"], description="The unit to convert to (UCUM)."
    )
    source: str = Field(
        "", max_length=32, description="The unit the values have, where the tags do not say (UCUM)."
    )
    suffix: str = Field(
        "",
        max_length=32,
        pattern=r"^[^\s/+]*$",
        description="Added to the tag's name behind `#`; empty takes the unit.",
    )
    tags: TagFilter = Field("#", description="Tags to convert; the others pass unchanged.")

    @model_validator(mode="after")
    def _units_are_known(self) -> UnitConfig:
        try:
            converter(self.source or self.to, self.to)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self


class Unit(Transform[UnitConfig, Batch]):
    """Convert values to another unit, under a derived tag such as ``oil/temperature#Cel``.

    A tag keeps its name and unit, since one tag has one unit for ever; the converted values are
    a tag of their own. Tags whose unit is not known or of another kind pass unchanged and are
    counted.

    State: none (units are looked up again after a restart).
    Cost: O(n) a batch.
    Source: UCUM 2.1 codes, converted by pint.
    """

    Config = UnitConfig
    examples = (
        Example(
            "Fahrenheit to Celsius",
            {"to": "Cel"},
            given="TT1 0s 212 | 1s 50 uncertain",
            expect="TT1#Cel 0s 100 | 1s 10 uncertain",
            tags={"TT1": {"unit": "[degF]"}},
        ),
        Example(
            "Named by hand",
            {"to": "kPa", "source": "bar", "suffix": "si"},
            given="PT1 0s 2",
            expect="PT1#si 0s 200",
        ),
        Example(
            "Another kind of unit passes unchanged",
            {"to": "kPa"},
            given="TT1 0s 20",
            expect="TT1 0s 20",
            tags={"TT1": {"unit": "Cel"}},
        ),
    )

    def __init__(self, config: UnitConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._select = TagSelect(config.tags, ctx.tags)
        self._room = Room(ctx)
        self._state = np.zeros(ctx.tags.limit, np.uint8)
        self._gain = np.ones(ctx.tags.limit)
        self._offset = np.zeros(ctx.tags.limit)
        self._new = np.zeros(ctx.tags.limit, np.uint16)

    def process(self, batch: Batch, port: str) -> Outputs:
        if not len(batch):
            return {}
        unseen = self._state[batch.tag] == _UNSEEN
        if unseen.any():
            for code in dict.fromkeys(batch.tag[unseen].tolist()):
                self._learn(code)
            batch = self._room.kept(batch, self._state[batch.tag] != _UNSEEN)
            if not len(batch):
                return {}
        tag = batch.tag
        with np.errstate(all="ignore"):
            value = batch.value * self._gain[tag] + self._offset[tag]
        return {"out": batch.with_tag(self._new[tag]).with_value(value)}

    def _learn(self, code: int) -> None:
        """Work out once how a tag is converted."""
        tag = self.ctx.tags[code]
        self._new[code] = code
        self._state[code] = _KEPT
        unit = tag.unit or self.config.source
        if not unit or not bool(self._select.mask(np.array([code], np.uint16))[0]):
            return
        try:
            gain, offset = converter(unit, self.config.to)
        except ConfigError:
            self.ctx.count("other_unit")
            return
        name = f"{tag.name}#{self.config.suffix or self.config.to.replace('/', '_')}"
        low, high = tag.low * gain + offset, tag.high * gain + offset
        made = Tag(name, self.config.to, min(low, high), max(low, high))
        new = self._room.made(partial(self.ctx.tags.add, made))
        if new is None:
            self._state[code] = _UNSEEN
            return
        self._new[code] = new
        self._gain[code], self._offset[code] = gain, offset
        self._state[code] = _CONVERTED
