"""What could not be read: each is counted, a person is told now and then with a sample."""

from __future__ import annotations

from typing import Any

from gateway import Context, Event, Gap

_EVERY_NS = 10_000_000_000  # one event per kind in this time; the count has them all
SAMPLE_BYTES = 4096
_BY_LIMIT = ("too_large", "tags_full")  # a sample was there, and a limit of ours refused it


class Refusals:
    """Counts refused payloads and makes the events that tell of them.

    Args:
        ctx: Counts and clock.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._told: dict[str, int] = {}
        self._silent: dict[str, int] = {}
        self._events: list[Event] = []

    def note(self, kind: str, topic: str, reason: str, payload: bytes = b"", size: int = 0) -> None:
        """One payload that was refused; its first 4 kB go into the event.

        Args:
            kind: The counter: undecodable, too_large, no_tag, tags_full, bad_time.
            topic: Where it came from.
            reason: Why, for people.
            payload: The payload or its start.
            size: The payload's whole size [bytes], if it is larger.
        """
        self._ctx.count(kind)
        now = self._ctx.clock.now()
        if now - self._told.get(kind, now - _EVERY_NS) < _EVERY_NS:
            self._silent[kind] = self._silent.get(kind, 0) + 1
            return
        since, self._told[kind] = self._told.get(kind, now), now
        data: dict[str, Any] = {
            "kind": kind,
            "topic": topic[:SAMPLE_BYTES],
            "reason": reason,
            "payload": payload[:SAMPLE_BYTES].decode("utf-8", "replace"),
            "size_bytes": size or len(payload),
            "not_told": self._silent.pop(kind, 0),
        }
        self._events.append(Event(now, "payload/refused", data))
        if kind in _BY_LIMIT:  # what has a tag has got a Bad row; the rest has no tag
            text = f"{reason} First on {topic[:SAMPLE_BYTES]}."
            n = 1 + data["not_told"]
            self.gap(Gap(self._ctx.node_id, "limit", since, now, "", (), n, text))

    def tell(self, topic: str, data: dict[str, Any]) -> None:
        """Another event for the status port."""
        self._events.append(Event(self._ctx.clock.now(), topic, data))

    def gap(self, gap: Gap) -> None:
        """Something is missing."""
        self._events.append(gap.event())

    def take(self) -> tuple[Event, ...]:
        """The events since the last call."""
        events = tuple(self._events)
        self._events.clear()
        return events

    def __bool__(self) -> bool:
        return bool(self._events)
