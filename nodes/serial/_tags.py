"""How a flow writes the fields of a line as tags."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field, field_validator, model_validator

from gateway import Config
from nodes.serial._fields import FieldRule


class FieldTag(Config):
    """One tag and the field that it comes from."""

    field: str = Field(
        examples=["weight", "2"],
        description="A named group of the pattern, or the number of a column from 1.",
    )
    unit: str = Field("", examples=["kg"], description="UCUM unit of the value.")
    units: dict[str, float] = Field(
        default_factory=dict,
        examples=[{"g": 0.001, "kg": 1}],
        description="Factors by the unit behind the number; any other unit makes the value Bad.",
    )
    words: dict[str, float] = Field(
        default_factory=dict, examples=[{"ON": 1, "OFF": 0}], description="Values of words."
    )
    scale: float = Field(1.0, description="Value = number * scale + offset.")
    offset: float = Field(0.0, description="Added after scaling, in the tag's unit.")
    low: float | None = Field(None, description="Lower end of the expected range.")
    high: float | None = Field(None, description="Upper end of the expected range.")
    about: str = Field("", description="One sentence for people.")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        """The field alone is enough: ``weight`` or ``2``."""
        return {"field": given} if isinstance(given, str | int) else given

    @field_validator("field", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        return str(given) if isinstance(given, int) else given

    def rule(self, decimal: str) -> FieldRule:
        """How the field becomes a value."""
        return FieldRule(
            self.field, self.unit, self.units, self.words, self.scale, self.offset, decimal
        )

    def range(self) -> tuple[float, float]:
        """(low, high), NaN where it is not known."""
        return (
            math.nan if self.low is None else self.low,
            math.nan if self.high is None else self.high,
        )
