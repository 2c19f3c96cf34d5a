"""Feed: what comes over the web as JSON, as events and as samples.

Not a family: `http` and `websocket` stand on it.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import orjson
from pydantic import Field

from gateway import (
    MISSING,
    Batch,
    Config,
    Context,
    DataPath,
    Event,
    JsonPath,
    Message,
    TagName,
    quality,
)

ITEMS_MAX: Final = 10_000
"""Items of one document; what is more is counted and left out."""
_SECONDS_MAX: Final = 9_000_000_000


class FeedConfig(Config):
    items: DataPath = Field(
        "",
        examples=["data.rows"],
        description="Path of a list whose items are events of their own; empty takes the whole.",
    )
    topic: str = Field(
        "", max_length=255, description="Topic of the events; empty takes the node's name."
    )
    id: DataPath = Field(
        "", examples=["message.id"], description="Path of what names an item for ever; empty: none."
    )
    ts: DataPath = Field(
        "",
        examples=["time"],
        description="Path of an item's time, as ISO 8601 or seconds or milliseconds since 1970; "
        "empty takes the time of arrival.",
    )
    values: dict[TagName, DataPath] = Field(
        {},
        max_length=1_000,
        examples=[{"market/price": "trade.price"}],
        description="Samples to make of each item: the path of each tag's number.",
    )


class Feed:
    """Makes messages of JSON documents.

    Args:
        config: Where things stand.
        ctx: Of the node.
    """

    def __init__(self, config: FeedConfig, ctx: Context) -> None:
        self._ctx = ctx
        self._items = JsonPath(config.items)
        self._topic = config.topic or ctx.node_id
        self._id = JsonPath(config.id) if config.id else None
        self._ts = JsonPath(config.ts) if config.ts else None
        self._values = [(tag, JsonPath(path)) for tag, path in config.values.items()]

    def names(self) -> list[str]:
        """The tags it makes samples for."""
        return [tag for tag, _ in self._values]

    def take(self, document: Any, name: str = "") -> tuple[list[Event], Batch]:
        """(events, samples) of one document.

        Args:
            document: Of JSON.
            name: Names the document for ever, where its items have no id of their own.
        """
        found = self._items.find(document)
        if found is MISSING:
            self._ctx.count("without_items")
            return [], Batch.of([])
        items = found if isinstance(found, list) else [found]
        if len(items) > ITEMS_MAX:
            self._ctx.count("dropped_items", len(items) - ITEMS_MAX)
            items = items[:ITEMS_MAX]
        now = self._ctx.clock.now()
        events, rows = [], []
        for i, item in enumerate(items):
            ts = self._time(item, now)
            key = self._name(item) or (f"{name}/{i}" if name and len(items) > 1 else name)
            data = item if isinstance(item, dict) else {"value": item}
            events.append(Event(ts, self._topic, data, key))
            for tag, path in self._values:
                at = path.find(item)
                if at is not MISSING:
                    value = _number(at)
                    status = quality.GOOD if math.isfinite(value) else quality.BAD_DECODING
                    rows.append((self._ctx.tags.code(tag), ts, value, status))
        return events, Batch.of(rows)

    def _name(self, item: Any) -> str:
        found = self._id.find(item) if self._id is not None else MISSING
        return str(found)[:255] if isinstance(found, str | int | float) else ""

    def _time(self, item: Any, now: int) -> int:
        if self._ts is None:
            return now
        found = self._ts.find(item)
        ts = time_of(found)
        if ts is None:
            self._ctx.count("bad_time")
            return now
        return ts


def outputs_of(events: list[Event], rows: Batch) -> dict[str, Message]:
    """Messages by port."""
    found: dict[str, Message] = {}
    if events:
        found["events"] = tuple(events)
    if len(rows):
        found["out"] = rows
    return found


def parsed(body: str | bytes) -> Any:
    """A body as JSON; a text that is none becomes an object with that text.

    Raises:
        ValueError: It is JSON that cannot be kept: nested too deep, a number too large.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if _looks_like_json(body):
            raise ValueError(f"This is no JSON: {error}") from error
    text = body if isinstance(body, str) else body.decode("utf-8", "replace")
    return {"text": text.replace("\x00", "\ufffd")}


def _looks_like_json(body: str | bytes) -> bool:
    head = body[:64].strip()
    return head[:1] in ("{", "[", b"{", b"[")


def time_of(found: Any) -> int | None:
    """A time [ns] of what stands in a document; None when it is none.

    >>> time_of(1.5), time_of(1795204364500), time_of("2026-11-20T19:52:44.5Z"), time_of("soon")
    (1500000000, 1795204364500000000, 1795204364500000000, None)
    """
    if isinstance(found, bool) or found is MISSING or found is None:
        return None
    if isinstance(found, str):
        try:
            at = datetime.fromisoformat(found)
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            since = at - datetime(1970, 1, 1, tzinfo=UTC)
            return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000
        except (ValueError, OverflowError):
            found = _number(found)
    if not isinstance(found, int | float) or found - found != 0 or found < 0:
        return None
    if found < _SECONDS_MAX:
        return int(Decimal(repr(found)) * 10**9)
    for unit in (10**6, 10**3, 1):  # ms, µs, ns
        if found * unit < _SECONDS_MAX * 10**9:
            return int(found * unit)
    return None


def _number(found: Any) -> float:
    if isinstance(found, bool | int | float | str):
        try:
            return float(found)
        except (ValueError, OverflowError):
            return math.nan
    return math.nan


__all__ = ["Feed", "FeedConfig", "outputs_of", "parsed", "time_of"]
