"""Shapes of what the API takes and gives."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Action = Literal[
    "ack",
    "reset",
    "shelve",
    "unshelve",
    "suppress",
    "unsuppress",
    "remove_from_service",
    "return_to_service",
]


class AlarmAction(BaseModel):
    """An operator's action on one alarm, or on all with ``*``."""

    model_config = ConfigDict(extra="forbid")
    action: Action
    alarm: str = Field("*", max_length=512, description="The alarm's id, or * for all.")
    actor: str = Field("user:local", max_length=128, description="Who acts.")
    occurrence: int | None = Field(None, ge=0, description="Which annunciation is meant.")
    for_s: float | None = Field(None, gt=0, le=86_400, description="How long to shelve [s].")
    reason: str = Field("", max_length=500, description="Why, in words; shelving needs one.")

    def data(self) -> dict[str, Any]:
        """What the alarm nodes read."""
        return self.model_dump(exclude={"action"}, exclude_none=True)


class LetterAction(BaseModel):
    """What a person does about a dead letter; discarding it needs a reason."""

    model_config = ConfigDict(extra="forbid")
    actor: str = Field("user:local", max_length=128, description="Who acts.")
    reason: str = Field("", max_length=500, description="Why, in words.")


class Letter(BaseModel):
    """A dead letter without its message."""

    id: int = Field(description="Its number.")
    flow: str = Field(description="The flow it is of.")
    node: str = Field(description="The node that refused it or failed on it.")
    port: str = Field(description="Where it came in; empty for a timer.")
    ts: int = Field(description="When it was refused [ns].")
    revision: int = Field(description="The revision of the flow that ran.")
    error: str = Field(description="Why.")
    rows: int = Field(description="Rows in it.")
    bytes: int = Field(description="Bytes that were kept.")
    state: Literal["waiting", "replayed", "discarded"]


class LetterShown(Letter):
    """A dead letter with its message."""

    kind: Literal["samples", "windows", "alarms", "events", "text"]
    items: list[dict[str, Any]] = Field(description="The first 1,000 rows.")
    text: str = Field(description="What could not be stored as a message, in words.")


class Gap(BaseModel):
    """A hole in what a source brought; times are event times."""

    flow: str
    source: str
    cause: str
    begin: int = Field(alias="from", description="First instant that is missing [ns].")
    end: int = Field(alias="to", description="First instant that is there again [ns].")
    detail: dict[str, Any] = Field(description="What else the source said.")

    @classmethod
    def of(cls, row: dict[str, Any]) -> Gap:
        """A gap as the store tells it."""
        return cls.model_validate(row)


class Done(BaseModel):
    """What became of it, in a sentence."""

    text: str
