"""Records: rows, alarms and events as JSON objects, each with a key that names it for ever.

What leaves the gateway one by one, as a mail, a webhook or a line, is made from these. The key
comes from inputs only: what is sent again after a crash has the same one, so the receiver can
know it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from gateway.data import quality
from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.flow.context import Context
from gateway.flow.port import Message

_SHARED: Final = frozenset({"kind", "flow", "node", "ts", "time"})
_OF_ALARM: Final = (
    "alarm tag change state overlay occurrence priority condition value limit unit text actor"
)
FIELDS: Final[dict[str, frozenset[str]]] = {
    "sample": _SHARED | {"tag", "value", "unit", "quality"},
    "event": _SHARED | {"topic", "id", "data"},
    "alarm": _SHARED | set(_OF_ALARM.split(" ")),
}
"""The fields of each kind of record, for those who write templates."""


@dataclass(frozen=True, slots=True)
class Record:
    """One row, alarm or event, ready to be sent on its own.

    Args:
        key: Names it for ever; 32 hexadecimal digits.
        kind: What it is.
        data: Its fields as plain JSON values; see `FIELDS`. `value` is null where it is no number.
        item: The alarm or event itself; None for a row.
    """

    key: str
    kind: Literal["sample", "alarm", "event"]
    data: dict[str, Any]
    item: AlarmEvent | Event | None = None


def records(message: Message, ctx: Context) -> list[Record]:
    """A message as records, in its order.

    Args:
        message: Samples, alarms or events; of windows their rows.
        ctx: Of the node that sends them: its name is part of every key.
    """
    if isinstance(message, Windows):
        message = message.rows
    if isinstance(message, Batch):
        return list(_samples(message, ctx))
    return [_alarm(i, ctx) if isinstance(i, AlarmEvent) else _event(i, ctx) for i in message]


def iso(ts: int) -> str:
    """A time as text, in UTC and to the millisecond.

    >>> iso(1_795_204_364_500_000_000)
    '2026-11-20T19:52:44.500Z'
    """
    seconds, ns = divmod(ts, 10**9)
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns // 10**6:03d}Z"
    except (ValueError, OverflowError, OSError):
        return str(ts)


def key_of(ctx: Context, *parts: object) -> str:
    """A key from inputs only: the same parts give the same one for ever."""
    text = "\x1f".join(map(str, (ctx.flow, ctx.node_id, *parts)))
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _head(kind: str, ts: int, ctx: Context) -> dict[str, Any]:
    return {"kind": kind, "flow": ctx.flow, "node": ctx.node_id, "ts": ts, "time": iso(ts)}


def _finite(value: float) -> float | None:
    return value if value - value == 0 else None


def _samples(batch: Batch, ctx: Context) -> Iterator[Record]:
    tags: TagTable = ctx.tags
    for code, ts, value, status in batch.rows():
        tag = tags[code]
        data = _head("sample", ts, ctx) | {
            "tag": tag.name,
            "value": _finite(value),
            "unit": tag.unit,
            "quality": quality.name(status),
        }
        key = key_of(ctx, "sample", tag.name, ts, repr(value), status)
        yield Record(key, "sample", data)


def _alarm(item: AlarmEvent, ctx: Context) -> Record:
    data = _head("alarm", item.ts, ctx) | {
        "alarm": item.alarm,
        "tag": item.tag,
        "change": item.change,
        "state": item.state.value,
        "overlay": item.overlay.value,
        "occurrence": item.occurrence,
        "priority": item.priority,
        "condition": item.condition,
        "value": _finite(item.value),
        "limit": _finite(item.limit),
        "unit": item.unit,
        "text": item.text,
        "actor": item.actor,
    }
    key = key_of(ctx, "alarm", item.alarm, item.occurrence, item.change, item.ts)
    return Record(key, "alarm", data, item)


def _event(item: Event, ctx: Context) -> Record:
    data = _head("event", item.ts, ctx) | {
        "topic": item.topic,
        "id": item.id,
        "data": dict(item.data),
    }
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    content = item.id or orjson.dumps(dict(item.data), default=str, option=options).hex()
    return Record(key_of(ctx, "event", item.topic, item.ts, content), "event", data, item)


__all__ = ["FIELDS", "Record", "iso", "key_of", "records"]
