"""Shapes of what the API takes about setpoints."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Arm(_Message):
    """What a person wants to write."""

    tag: str = Field(min_length=1, max_length=255, description="The tag to write.")
    value: float = Field(description="The value, in the tag's unit.")
    flow: str = Field("", max_length=128, description="The flow, where several can write it.")
    node: str = Field("", max_length=128, description="The sink, where several can write it.")
    cause: str = Field("", max_length=500, description="Why, in words; it goes into the audit.")


class ConfirmSetpoint(_Message):
    """The token that arming gave."""

    token: str = Field(min_length=1, max_length=256, repr=False, description="Good once.")
