"""Shapes of what is asked and said about explanations."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Language = Literal["en", "ja"]


class ExplainAsk(BaseModel):
    """Explain an alarm anew, with what is known by now."""

    model_config = ConfigDict(extra="forbid")
    alarm: str = Field(min_length=1, max_length=512, description="The alarm's id.")
    occurrence: int = Field(0, ge=0, description="Which annunciation; 0 is the newest.")
    language: Language = Field("en", description="In which language the answer is.")


class Feedback(BaseModel):
    """What an operator says of an explanation."""

    model_config = ConfigDict(extra="forbid")
    alarm: str = Field(min_length=1, max_length=512, description="The alarm's id.")
    occurrence: int = Field(0, ge=0, description="Which annunciation; 0 is the newest.")
    verdict: Literal["right", "wrong", "other"] = Field(
        description="It was right, wrong, or it was something else, which `cause` or `said` tells."
    )
    cause: str = Field("", max_length=64, description="Id of the cause that it was.")
    said: str = Field("", max_length=500, description="What it was, in the operator's words.")
    actor: str = Field("user:local", max_length=128, description="Who says so.")
