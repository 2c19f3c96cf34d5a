"""Ports: what a wire carries and where it ends, and the examples that show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.windows import Windows

Alarms = tuple[AlarmEvent, ...]
Events = tuple[Event, ...]
Message = Batch | Windows | Alarms | Events
"""All that a wire carries. An empty message is never sent."""
Outputs = Mapping[str, Message]
"""Messages by output port; an absent port means nothing."""
Carries = Literal["samples", "windows", "alarms", "events"]


@dataclass(frozen=True, slots=True)
class Port:
    """Where a wire ends: its name, what it carries and one sentence for people."""

    name: str
    carries: Carries
    about: str


@dataclass(frozen=True, slots=True)
class Example:
    """One decision a reader might doubt, shown and executed.

    Args:
        title: What it shows.
        config: The node's config.
        given: What comes in, in the notation of the port; by port where there are several,
            ``{"in": …, "operator": …}``; see `gateway.flow.notation`.
        expect: What comes out, likewise. None for nodes that cannot run without a device: then
            the example is only validated and shown.
        tags: Facts about tags that `given` relies on: ``{"TT101": {"unit": "Cel", "low": 0}}``.
        until: Virtual time at which the example ends, such as ``1h``: timers up to then fire.
    """

    title: str
    config: Mapping[str, Any]
    given: str | Mapping[str, str] | None = None
    expect: str | Mapping[str, str] | None = None
    tags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    until: str | None = None
