"""Queue of alarms that wait to be explained: bounded, the most urgent first.

In a storm of alarms there is more to explain than anybody reads. What a person has asked for
comes first, then the most urgent, then the oldest; when there is no room, the oldest of the
least urgent ones goes, and is counted. Whoever opens it still gets it explained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.data.alarm import AlarmEvent
from gateway.engine.alarmbook import PRIORITIES
from gateway.engine.store_explain import Key

QUEUE_MAX: Final = 100
"""Alarms that may wait."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One alarm that waits.

    Args:
        event: What raised it.
        came_s: When it was put in, on the steady clock [s].
        is_asked: A person has asked for it.
        is_again: It is over, and is looked at a second time: others come first.
    """

    event: AlarmEvent
    came_s: float
    is_asked: bool = False
    is_again: bool = False

    @property
    def key(self) -> Key:
        """Which annunciation it is."""
        return self.event.alarm, self.event.occurrence

    @property
    def rank(self) -> tuple[bool, bool, int, float]:
        """The smallest is taken first."""
        urgency = PRIORITIES.index(self.event.priority)
        return (not self.is_asked, self.is_again, -urgency, self.came_s)

    @property
    def worth(self) -> tuple[bool, bool, int, float]:
        """The smallest is dropped first."""
        urgency = PRIORITIES.index(self.event.priority)
        return (self.is_asked, not self.is_again, urgency, self.came_s)


class Queue:
    """Alarms that wait to be explained.

    Args:
        rows_max: How many may wait.
    """

    def __init__(self, rows_max: int = QUEUE_MAX) -> None:
        self._waiting: dict[Key, Wish] = {}
        self._rows_max = rows_max
        self.dropped = 0
        """How many found no room."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: object) -> bool:
        return key in self._waiting

    def put(self, wish: Wish) -> Wish | None:
        """Let one wait; returns the one that was dropped for it, which may be the same."""
        known = self._waiting.get(wish.key)
        if known is not None:
            if wish.is_asked and not known.is_asked:
                self._waiting[wish.key] = Wish(known.event, known.came_s, is_asked=True)
            return None
        self._waiting[wish.key] = wish
        if len(self._waiting) <= self._rows_max:
            return None
        least = min(self._waiting.values(), key=lambda one: one.worth)
        del self._waiting[least.key]
        self.dropped += 1
        return least

    def first(self) -> Wish | None:
        """The one that is next; it stays."""
        return min(self._waiting.values(), key=lambda one: one.rank, default=None)

    def remove(self, key: Key) -> Wish | None:
        """Take one out."""
        return self._waiting.pop(key, None)

    def take_all(self, fits: Callable[[Wish], bool]) -> list[Wish]:
        """Take out all that fit, the oldest first."""
        found = sorted(filter(fits, self._waiting.values()), key=lambda one: one.came_s)
        for wish in found:
            del self._waiting[wish.key]
        return found


__all__ = ["QUEUE_MAX", "Queue", "Wish"]
