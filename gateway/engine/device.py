"""Device: what a source says of the device behind it, from which alarms of communication come."""

from __future__ import annotations

from dataclasses import replace

from gateway.data.event import Event
from gateway.flow.node import Message


def link_event(topic: str, ts: int, source: str, device: str, text: str) -> Event:
    """``source/lost`` or ``source/back``, with who is meant and what happened; `ts` [ns]."""
    return Event(ts, topic, {"source": source, "device": device, "text": text})


def with_device(message: Message, device: str) -> Message:
    """Events that say who is away, with the device they are about: one alarm a device."""
    assert isinstance(message, tuple)
    return tuple(
        replace(event, data={"device": device, **event.data})
        if isinstance(event, Event) and event.topic.endswith(("/lost", "/back"))
        else event
        for event in message
    )  # type: ignore[return-value]  # all of one kind, as the port says


__all__ = ["link_event", "with_device"]
