"""Incidents: alarms that belong together, so that they are explained once.

A failing pump raises ten alarms within seconds. They belong to one incident when they are of the
same line, come within a short time of each other, and the facts of the first that was explained
say that their signals moved with it. What moved without them is an incident of its own, however
near it is: two faults at once must not become one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from gateway.data.alarm import AlarmEvent
from gateway.engine.alarmbook import PRIORITIES
from gateway.engine.store_explain import Key

TOGETHER_NS: Final = 10 * 10**9
"""An alarm that comes so long before or after the lead of an incident may still belong to it."""
INCIDENTS_MAX: Final = 200
"""Incidents that are remembered; the oldest go first."""
MEMBERS_MAX: Final = 200
"""Alarms of one incident that are named; others of it are explained by themselves."""


def base_of(tag: str) -> str:
    """The measured tag behind a derived one.

    >>> base_of("plant/press1/bearing/vibration#mean")
    'plant/press1/bearing/vibration'
    """
    return tag.partition("#")[0]


def line_of(tag: str) -> str:
    """The line that a tag is of: its name without the unit and the measure.

    >>> line_of("plant/press1/bearing/vibration#mean"), line_of("hall/temperature"), line_of("x")
    ('plant/press1', 'hall', '')
    """
    parts = base_of(tag).split("/")
    return "/".join(parts[:-2] if len(parts) > 2 else parts[:-1])


@dataclass(slots=True)
class Incident:
    """Alarms that belong together.

    Args:
        event: What raised the one whose explanation is that of all.
        moved: Measured tags that moved, by the facts of the lead.
        members: All of them, the lead first.
        is_over: Its lead was over, and it is looked at once more for that.
        is_young: Its lead jumped so lately that nobody can know whether it stays.
        looks: How often it was looked at once more for that.
    """

    event: AlarmEvent
    moved: frozenset[str]
    members: dict[Key, None] = field(default_factory=dict)
    is_over: bool = False
    is_young: bool = False
    looks: int = 0

    @property
    def lead(self) -> Key:
        """The annunciation whose explanation is that of all."""
        return self.event.alarm, self.event.occurrence

    @property
    def urgency(self) -> int:
        """Of the lead's priority, from 0."""
        return PRIORITIES.index(self.event.priority)

    def takes(self, event: AlarmEvent) -> bool:
        """Whether an alarm belongs to it."""
        return (
            abs(event.ts - self.event.ts) <= TOGETHER_NS
            and line_of(event.tag) == line_of(self.event.tag)
            and base_of(event.tag) in self.moved
            and len(self.members) < MEMBERS_MAX
        )

    def add(self, event: AlarmEvent) -> None:
        """Take one in."""
        self.members[event.alarm, event.occurrence] = None


class Incidents:
    """The incidents of the last time."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, Incident] = OrderedDict()

    def begin(self, event: AlarmEvent, moved: Iterable[str]) -> Incident:
        """An incident with its lead.

        It takes the place of the one that it led before, and of one that it belongs to and is
        more urgent than.
        """
        key = (event.alarm, event.occurrence)
        names = frozenset(map(base_of, moved)) | {base_of(event.tag)}
        incident = Incident(event, names, {key: None})
        before = self._known.get(key)
        if before is None:
            larger = self.of(event)
            before = larger if larger is not None and larger.urgency < incident.urgency else None
        for one in self._known.values():
            one.members.pop(key, None)
        if before is not None:
            del self._known[before.lead]
            incident.members |= before.members
            if before.lead == key:
                incident.is_over, incident.looks = before.is_over, before.looks
        self._known[key] = incident
        while len(self._known) > INCIDENTS_MAX:
            self._known.popitem(last=False)
        return incident

    def of(self, event: AlarmEvent) -> Incident | None:
        """The incident that an alarm belongs to, the newest first; None when it is alone."""
        fitting = (one for one in reversed(self._known.values()) if one.takes(event))
        return next(fitting, None)

    def led_by(self, key: Key) -> Incident | None:
        """The incident with this lead."""
        return self._known.get(key)


__all__ = ["Incident", "Incidents", "base_of", "line_of"]
