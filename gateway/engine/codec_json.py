"""Codec JSON: alarm events and events as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from gateway.data.alarm import AlarmEvent, AlarmState, Overlay
from gateway.data.event import Event


def plain(item: AlarmEvent | Event) -> dict[str, Any]:
    """An alarm event or an event as JSON values; a number that is not finite becomes null."""
    if isinstance(item, Event):
        return {"ts": item.ts, "topic": item.topic, "data": dict(item.data), "id": item.id}
    row = asdict(item)
    row["state"], row["overlay"] = item.state.value, item.overlay.value
    for key in ("value", "limit"):
        if not np.isfinite(row[key]):
            row[key] = None
    if not item.until:  # Of the few that are shelved only; records from before have none.
        del row["until"]
    return row


def alarm_of(row: Mapping[str, Any]) -> AlarmEvent:
    """The alarm event that `plain` described."""
    fields = dict(row)
    fields["state"], fields["overlay"] = AlarmState(row["state"]), Overlay(row["overlay"])
    for key in ("value", "limit"):
        if fields[key] is None:
            fields[key] = float("nan")
    return AlarmEvent(**fields)


def json_number(value: Any) -> Any:
    """A numpy number inside an event as a plain one; anything else is no JSON.

    Raises:
        TypeError: It is no number.
    """
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON value")
