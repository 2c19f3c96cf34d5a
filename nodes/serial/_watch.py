"""What is wrong with a device on a line, told once each way. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from gateway import Event

Say = Callable[[Literal["debug", "info", "warning", "error"], str], None]


class Watch:
    """Remembers when a device was last understood; makes events of what goes wrong.

    Args:
        source: The node's id, for the events.
        say: Says a sentence to people.
    """

    def __init__(self, source: str, say: Say, good_at: int = 0) -> None:
        self.good_at = good_at
        """When a frame was last understood [ns]; 0 for never."""
        self._source = source
        self._say = say
        self._silent = ""
        self._refuses = False
        self._interrupted = ""

    @property
    def is_silent(self) -> bool:
        """True from the loss of the device until it is understood again."""
        return bool(self._silent)

    def refused(self, ts: int, text: str) -> list[Event]:
        """Bytes came that are not understood; the first of a row is told."""
        if self._refuses:
            return []
        self._refuses = True
        self._say("warning", text)
        return [self._event(ts, "payload/refused", {"text": text})]

    def interrupted(self, cause: str) -> None:
        """Nobody listens from now until the next frame is understood."""
        self._interrupted = cause

    def silent(self, ts: int, text: str) -> list[Event]:
        """Nothing that is understood comes any more."""
        if self._silent:
            return []
        self._silent = text
        self._say("warning", text)
        return [self._event(ts, "device/lost", {"text": text})]

    def good(self, ts: int) -> list[Event]:
        """A frame was understood."""
        events = []
        cause = self._silent or self._interrupted
        if cause and self.good_at:
            events.append(self.gap(self.good_at, ts, cause))
        self._interrupted = ""
        if self._silent:
            text = "The device is heard again."
            self._say("info", text)
            events.append(self._event(ts, "device/back", {"text": text}))
            self._silent = ""
        self._refuses = False
        self.good_at = ts
        return events

    def gap(self, start: int, end: int, cause: str) -> Event:
        """A time without samples [ns]."""
        return self._event(end, "gap", {"from": start, "to": end, "cause": cause})

    def _event(self, ts: int, topic: str, data: dict[str, Any]) -> Event:
        return Event(ts, topic, {"source": self._source, **data}, f"{self._source}:{topic}:{ts}")
