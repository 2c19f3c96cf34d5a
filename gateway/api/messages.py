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
