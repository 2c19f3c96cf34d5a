"""Rows, alarms and events as messages to publish."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from gateway import AlarmEvent, Batch, Event, TagTable, quality
from nodes.mqtt._topics import fill, topic_name
from nodes.mqtt._wire import Outgoing

TsStyle = Literal["ms", "ns", "iso"]


def key_of(*parts: object) -> str:
    """A key from inputs only, so that a second delivery has the same one.

    >>> key_of("flow", "node", "oil", 5) == key_of("flow", "node", "oil", 5)
    True
    """
    text = "\x1f".join(map(str, parts))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def stamp(ts: int, style: TsStyle) -> int | str:
    """A timestamp as it is written.

    >>> stamp(1_795_204_364_500_000_000, "iso"), stamp(1_795_204_364_500_000_000, "ms")
    ('2026-11-20T19:52:44.500000000Z', 1795204364500)
    """
    if style == "ns":
        return ts
    if style == "ms":
        return ts // 1_000_000
    seconds, ns = divmod(ts, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"


class Writer:
    """Makes messages.

    Args:
        owner: ``(flow, node)``, for keys.
        tags: Names and units.
        topics: Topic template by port.
        payload: json, plain or template, for samples.
        template: The payload's template.
        ts_style: How timestamps are written.
        qos, retain: As in MQTT.
        has_keys: Whether messages carry an `ikey`.
    """

    def __init__(
        self,
        owner: tuple[str, str],
        tags: TagTable,
        topics: Mapping[str, str],
        *,
        payload: Literal["json", "plain", "template"],
        template: str,
        ts_style: TsStyle,
        qos: int,
        retain: bool,
        has_keys: bool,
    ) -> None:
        self._owner = owner
        self._tags = tags
        self._topics = topics
        self._payload = payload
        self._template = template
        self._ts_style: TsStyle = ts_style
        self._qos, self._retain, self._has_keys = qos, retain, has_keys
        self._known: dict[int, tuple[str, str, str, dict[str, str]]] = {}
        self._version = -1

    def samples(self, batch: Batch) -> list[Outgoing]:
        """A message a row."""
        if self._version != self._tags.version:  # a unit may have become known
            self._known.clear()
            self._version = self._tags.version
        messages = []
        for code, ts, value, status in batch.rows():
            known = self._known.get(code)
            if known is None:
                known = self._known[code] = self._meet(code)
            topic, name, unit, words = known
            body = self._body(name, unit, words, ts, value, status)
            messages.append(self._message(topic, body, name, ts, "sample"))
        return messages

    def alarms(self, events: Iterable[AlarmEvent]) -> list[Outgoing]:
        """A message a transition."""
        messages = []
        for event in events:
            words = {
                "tag": event.tag,
                "condition": event.condition,
                "change": event.change,
                "alarm": event.alarm,
                **self._own(),
            }
            topic = topic_name(fill(self._topics["alarms"], words))
            data = {
                "alarm": event.alarm,
                "tag": event.tag,
                "ts": stamp(event.ts, self._ts_style),
                "change": event.change,
                "state": event.state.value,
                "overlay": event.overlay.value,
                "occurrence": event.occurrence,
                "priority": event.priority,
                "condition": event.condition,
                "value": event.value,
                "limit": event.limit,
                "unit": event.unit,
                "text": event.text,
                "actor": event.actor,
            }  # orjson writes NaN as null
            key = f"{event.alarm}/{event.occurrence}/{event.change}"
            messages.append(self._message(topic, orjson.dumps(data), key, event.ts, "alarm"))
        return messages

    def events(self, events: Iterable[Event]) -> list[Outgoing]:
        """A message an event."""
        messages = []
        for event in events:
            topic = topic_name(fill(self._topics["events"], {"topic": event.topic, **self._own()}))
            data = {
                "ts": stamp(event.ts, self._ts_style),
                "topic": event.topic,
                "id": event.id,
                "data": dict(event.data),
            }
            body = orjson.dumps(data, default=str, option=orjson.OPT_NON_STR_KEYS)
            messages.append(self._message(topic, body, event.id or body, event.ts, "event"))
        return messages

    def _own(self) -> dict[str, str]:
        return {"flow": self._owner[0], "node": self._owner[1]}

    def _meet(self, code: int) -> tuple[str, str, str, dict[str, str]]:
        tag = self._tags[code]
        base, _, feature = tag.name.partition("#")
        words = {"tag": tag.name, "base": base, "feature": feature, "unit": tag.unit, **self._own()}
        return topic_name(fill(self._topics["in"], words)), tag.name, tag.unit, words

    def _body(
        self, name: str, unit: str, words: dict[str, str], ts: int, value: float, status: int
    ) -> bytes:
        moment = stamp(ts, self._ts_style)
        if self._payload == "json":
            data: dict[str, Any] = {"value": value, "ts": moment, "quality": quality.name(status)}
            if unit:
                data["unit"] = unit
            return orjson.dumps(data)
        text = "null" if value != value else repr(value + 0.0)
        if self._payload == "plain":
            return b"nan" if value != value else text.encode()
        changing = {"value": text, "ts": str(moment), "quality": quality.name(status)}
        return fill(self._template, words | changing).encode()

    def _message(self, topic: str, body: bytes, key: str | bytes, ts: int, kind: str) -> Outgoing:
        ikey = key_of(*self._owner, key, ts, kind) if self._has_keys else ""
        return Outgoing(topic, body, self._qos, self._retain, ikey)
