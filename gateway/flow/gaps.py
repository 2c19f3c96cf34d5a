"""Gaps: a time for which a source has no samples, told in one form by every source.

A hole is data like any other: an event on the source's `status` port, journalled, kept in the
table of gaps, and marked in the samples by rows of quality Bad, so that windows over it know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeGuard, get_args

from gateway.data.event import Event

Cause = Literal[
    "buffer_overflow",
    "clock_step",
    "device_overflow",
    "device_silent",
    "disconnected",
    "gateway_away",
    "limit",
    "not_understood",
    "poll_missed",
    "publisher_restarted",
    "qos_0",
    "refused",
    "sequence",
    "session_lost",
    "subscription_recreated",
]
CAUSES: Final[Mapping[Cause, str]] = {
    "buffer_overflow": "The flow was slower than the source, and what waited here was dropped.",
    "clock_step": "The gateway's clock was set forward; no samples bear the times between.",
    "device_overflow": "The device's own queue was full, and it dropped samples.",
    "device_silent": "The device or unit did not answer, while the way to it was open.",
    "disconnected": "The way to the device or broker was cut.",
    "gateway_away": "The gateway was not running.",
    "limit": "A limit of the gateway refused them; the text names it.",
    "not_understood": "What came could not be understood.",
    "poll_missed": "Polls came late, and the cycles between were left out.",
    "publisher_restarted": "The publisher counts anew; what it sent last may be missing.",
    "qos_0": "The line was cut, and with QoS 0 the broker keeps nothing for us.",
    "refused": "The device refused to give them.",
    "sequence": "Numbers are missing in the count of the publisher or server.",
    "session_lost": "The broker had forgotten our session and what it kept for it.",
    "subscription_recreated": "The session ended, and the server published nothing until the next.",
}
"""Every cause with a sentence for people."""
TOPIC: Final = "source/gap"
TAGS_MAX: Final = 1_000
"""More tags are not listed in an event: then it stands for all of its source."""
_OWN: Final = frozenset(
    {"source", "device", "cause", "from", "to", "tags", "missing", "text"}
)  # What `more` cannot replace.


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in what a source brings.

    Args:
        source: The id of the source's node.
        cause: Why; see `CAUSES`.
        start: The last sample before the hole [ns], in the clock of the samples.
        end: The first sample after it [ns].
        device: Whom it is about; empty: the engine puts the connection or the source here.
        tags: Tags that miss samples; None: all of the source; none at all when what was
            missed has been filled in.
        missing: How many samples a tag, polls or messages are missing; 0: not known.
        text: One sentence more than the cause says, such as what to change.
        more: Further facts, as plain JSON values.
    """

    source: str
    cause: Cause
    start: int
    end: int
    device: str = ""
    tags: tuple[str, ...] | None = None
    missing: int = 0
    text: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    def event(self) -> Event:
        """The event for the `status` port: topic ``source/gap``.

        >>> Gap("plc", "poll_missed", 10, 30, missing=1).event().data["from"]
        10
        """
        data: dict[str, Any] = {key: v for key, v in self.more.items() if key not in _OWN}
        data |= {"source": self.source, "cause": self.cause, "from": self.start, "to": self.end}
        if self.device:
            data["device"] = self.device
        if self.tags is not None and len(self.tags) <= TAGS_MAX:
            data["tags"] = list(self.tags)
        if self.missing:
            data["missing"] = self.missing
        data["text"] = self.text or CAUSES[self.cause]
        where = f"{self.device}:{self.tags[0] if self.tags else ''}"
        name = f"{self.source}:gap:{self.cause}:{where}:{self.start}:{self.end}"
        return Event(self.end, TOPIC, data, name)

    @classmethod
    def of(cls, event: Event) -> Gap | None:
        """The gap that an event tells of; None when it tells of something else.

        Raises:
            ValueError: It has the topic of a gap and not its form.
        """
        if event.topic != TOPIC:
            return None
        data = event.data
        cause, start, end = data.get("cause"), data.get("from"), data.get("to")
        tags, missing = data.get("tags"), data.get("missing", 0)
        if not _is_cause(cause):
            raise ValueError(f"{cause!r} is no cause of a gap; use {', '.join(get_args(Cause))}.")
        if not _is_count(start) or not _is_count(end) or not _is_count(missing):
            raise ValueError("`from`, `to` and `missing` of a gap are whole numbers.")
        if tags is not None and not all(isinstance(tag, str) for tag in tags):
            raise ValueError("`tags` of a gap are names.")
        text = str(data.get("text", ""))
        return cls(
            str(data.get("source", "")),
            cause,
            start,
            end,
            str(data.get("device", "")),
            None if tags is None else tuple(tags),
            missing,
            "" if text == CAUSES[cause] else text,
            {key: value for key, value in data.items() if key not in _OWN},
        )

    def joined(self, later: Gap) -> Gap:
        """This gap and a later one of the same kind as one, with the sum of what is missing."""
        return replace(
            later,
            start=min(self.start, later.start),
            end=max(self.end, later.end),
            missing=self.missing + later.missing if self.missing and later.missing else 0,
        )


def _is_cause(value: Any) -> TypeGuard[Cause]:
    return isinstance(value, str) and value in CAUSES


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


__all__ = ["CAUSES", "TAGS_MAX", "TOPIC", "Cause", "Gap"]
