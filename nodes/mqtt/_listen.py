"""Listening: what is published under a filter, and in which form, to choose from.

It has a session of its own with nothing kept at the broker, so that it takes no message from
a flow, and QoS 0, so that the broker need not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway import Disconnected, Found
from nodes.mqtt._document import Path, as_number
from nodes.mqtt._intake import Intake, Part
from nodes.mqtt._session import Session
from nodes.mqtt._topics import check_filter

LISTEN_S: Final = 5.0
MESSAGES_MAX: Final = 50_000
TOPICS_MAX: Final = 2_000
_ROWS: Final = 2_000
_SHOWN: Final = 500
_FIELDS_MAX: Final = 50
_DEPTH_MAX: Final = 6


@dataclass(slots=True)
class Topic:
    """What came under one topic."""

    payload: bytes = b""
    messages: int = 0
    is_retained: bool = False
    size_max: int = 0


@dataclass(slots=True)
class Heard:
    """What came under a filter."""

    topics: dict[str, Topic] = field(default_factory=dict)
    messages: int = 0

    def take(self, part: Part) -> None:
        """Count a part; topics beyond the limit are passed over."""
        retained = set(part.retained)
        for row, (raw, payload) in enumerate(zip(part.topics, part.payloads, strict=True)):
            self.messages += 1
            name = raw.decode(errors="replace")
            topic = self.topics.get(name)
            if topic is None:
                if len(self.topics) >= TOPICS_MAX:
                    continue
                topic = self.topics[name] = Topic()
            topic.payload, topic.is_retained = payload, row in retained
            topic.messages += 1
            topic.size_max = max(topic.size_max, part.large.get(row, len(payload)))


async def listen(session: Session, pattern: str, seconds: float) -> Heard:
    """Everything that comes under a filter for some seconds, within the limits.

    Raises:
        ConfigError: It is no filter, or the broker refuses it.
        Disconnected: The session ended.
    """
    check_filter(pattern)
    heard = Heard()
    intake = Intake("browser", [pattern], lambda topic: True, qos=0, retained=0)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await session.subscribe(intake)
            while heard.messages < MESSAGES_MAX and len(heard.topics) < TOPICS_MAX:
                for part in await intake.take(_ROWS):
                    heard.take(part)
                await asyncio.sleep(0)  # A broker that floods us must not stop the gateway.
    if intake.reason and not heard.messages:
        raise Disconnected(intake.reason)
    return heard


async def browse(session: Session, pattern: str) -> AsyncIterator[Found]:
    """The topics under a filter, by name, each with its newest message and a guess of its form."""
    heard = await listen(session, pattern, LISTEN_S)
    for name in sorted(heard.topics):
        topic = heard.topics[name]
        form, value, facts = guess(name, topic.payload)
        yield Found(
            name=name,
            kind="topic",
            address=name,
            type=form,
            value=value,
            facts={
                **facts,
                "messages": topic.messages,
                "seconds": LISTEN_S,
                "retained": topic.is_retained,
                "bytes": topic.size_max,
            },
        )


def guess(topic: str, payload: bytes) -> tuple[str, Any, dict[str, Any]]:
    """The form of a message, a value to show, and how a source would read it.

    Returns: number, json, sparkplug, text or binary; the number, or the text cut to a line; for
    JSON the paths of the numbers in it under ``fields``, and the options of an `mqtt.source`.

    >>> guess("a/b", b"21.5")
    ('number', 21.5, {'options': {'payload': 'number'}})
    >>> guess("a", b'{"v": 1, "at": {"x": true}}')[2]["fields"]
    {'v': 1.0, 'at.x': 1.0}
    """
    if topic.startswith("spBv1.0/"):
        return "sparkplug", f"{len(payload)} bytes", {}
    text = _text(payload)
    if text is None:
        return "binary", payload[:_SHOWN].hex(), {}
    try:
        document = orjson.loads(payload)
    except orjson.JSONDecodeError:
        try:
            return "number", as_number(text.strip()), {"options": {"payload": "number"}}
        except ValueError:
            return "text", text[:_SHOWN], {}
    if isinstance(document, int | float) and not isinstance(document, bool):
        return "number", float(document), {"options": {"payload": "number"}}
    if not isinstance(document, dict | list):
        return "text", text[:_SHOWN], {}
    fields: dict[str, float] = {}
    for path, number in _numbers(document, (), 0):
        fields[_written(path)] = number
        if len(fields) >= _FIELDS_MAX:
            break
    facts: dict[str, Any] = {"fields": fields}
    if fields:
        facts["options"] = {"payload": "json", "value": _likely(fields)}
    return "json", text[:_SHOWN], facts


def _text(payload: bytes) -> str | None:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\r\n\t" for c in text) else None


def _likely(fields: dict[str, float]) -> str:
    """The field that is the value most likely: one that is called so, else the first."""
    for word in ("value", "val", "v", "reading"):
        if word in fields:
            return word
    times = ("ts", "time", "timestamp", "seq")
    return next((name for name in fields if name not in times), next(iter(fields)))


def _written(path: Path) -> str:
    """A path as `parse_path` reads it: ``oil[0].value``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _numbers(document: Any, path: Path, depth: int) -> Iterator[tuple[Path, float]]:
    if depth > _DEPTH_MAX:
        return
    if isinstance(document, dict):
        for key, item in document.items():
            yield from _numbers(item, (*path, key), depth + 1)
    elif isinstance(document, list):
        for place, item in enumerate(document[:10]):
            yield from _numbers(item, (*path, place), depth + 1)
    elif isinstance(document, bool | int | float):
        yield path, float(document)


__all__ = ["LISTEN_S", "Heard", "browse", "guess", "listen"]
