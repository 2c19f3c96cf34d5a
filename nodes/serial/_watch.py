"""What is wrong with a device on a line, told once each way. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from gateway import Cause, Event, Gap

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
        self._refused = 0
        self._unanswered = 0
        self._interrupted: Cause | None = None

    @property
    def is_silent(self) -> bool:
        """True from the loss of the device until it is understood again."""
        return bool(self._silent)

    def refused(self, ts: int, text: str) -> list[Event]:
        """Bytes came that are not understood; the first of a row is told."""
        self._refused += 1
        if self._refused > 1:
            return []
        self._say("warning", text)
        return [self._event(ts, "payload/refused", {"text": text})]

    def interrupted(self, cause: Cause) -> None:
        """Nobody listens from now until the next frame is understood."""
        self._interrupted = cause

    def silent(self, ts: int, text: str, *, asked: bool) -> list[Event]:
        """Nothing that is understood comes any more; `asked`: to a question."""
        self._unanswered += asked
        if self._silent:
            return []
        self._silent = text
        self._say("warning", text)
        return [self._event(ts, "device/lost", {"text": text})]

    def good(self, ts: int) -> list[Event]:
        """A frame was understood."""
        events = []
        if self.good_at:
            if self._interrupted:
                events.append(self.gap(ts, self._interrupted))
            elif self._silent:
                missing = self._unanswered
                events.append(self.gap(ts, "device_silent", self._silent, missing=missing))
            elif self._refused:
                events.append(self.gap(ts, "not_understood", missing=self._refused))
        self._interrupted, self._unanswered, self._refused = None, 0, 0
        if self._silent:
            text = "The device is heard again."
            self._say("info", text)
            events.append(self._event(ts, "device/back", {"text": text}))
            self._silent = ""
        self.good_at = ts
        return events

    def gap(self, end: int, cause: Cause, text: str = "", *, missing: int = 0) -> Event:
        """A time without samples since the last one, until `end` [ns]."""
        start = self.good_at or end
        return Gap(self._source, cause, start, end, missing=missing, text=text).event()

    def _event(self, ts: int, topic: str, data: dict[str, Any]) -> Event:
        return Event(ts, topic, {"source": self._source, **data}, f"{self._source}:{topic}:{ts}")
