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

TOGETHER_NS: Final = 30 * 10**9
"""An alarm that comes so long after the last one of an incident may still belong to it."""
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
        last: When the newest of them was raised [ns].
        moved: Measured tags that moved, by the facts of the lead.
        steady: Measured tags that did not move, where so many did that `moved` names not all of
            them; else None.
        members: All of them, the lead first.
        is_again: It was looked at once more when its lead was over.
    """

    event: AlarmEvent
    last: int
    moved: frozenset[str]
    steady: frozenset[str] | None = None
    members: dict[Key, None] = field(default_factory=dict)
    is_again: bool = False

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
            abs(event.ts - self.last) <= TOGETHER_NS
            and line_of(event.tag) == line_of(self.event.tag)
            and self._moved(base_of(event.tag))
            and len(self.members) < MEMBERS_MAX
        )

    def _moved(self, tag: str) -> bool:
        return tag in self.moved or (self.steady is not None and tag not in self.steady)

    def add(self, event: AlarmEvent) -> None:
        """Take one in."""
        self.members[event.alarm, event.occurrence] = None
        self.last = max(self.last, event.ts)


class Incidents:
    """The incidents of the last time."""

    def __init__(self) -> None:
        self._known: OrderedDict[Key, Incident] = OrderedDict()

    def begin(
        self, event: AlarmEvent, moved: Iterable[str], steady: Iterable[str] | None = None
    ) -> Incident:
        """An incident with its lead; it takes the place of the one that the lead belonged to.

        Args:
            event: The lead.
            moved: Tags that moved with it.
            steady: Tags that did not, where more moved than are named; else None.
        """
        key = (event.alarm, event.occurrence)
        names = frozenset(map(base_of, moved)) | {base_of(event.tag)}
        still = None if steady is None else frozenset(map(base_of, steady))
        incident = Incident(event, event.ts, names, still, {key: None})
        before = self._known.get(key) or self.of(event)
        if before is not None:
            del self._known[before.lead]
            incident.members |= before.members
            incident.last = max(incident.last, before.last)
            incident.is_again = before.is_again and before.lead == key
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
