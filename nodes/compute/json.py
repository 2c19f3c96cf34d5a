"""Take numbers out of JSON events."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from gateway import (
    MISSING,
    Batch,
    Config,
    Context,
    DataPath,
    Event,
    Events,
    Example,
    JsonPath,
    Outputs,
    Port,
    TagName,
    Transform,
)
from gateway import quality as q


class JsonConfig(Config):
    values: dict[TagName, DataPath] = Field(
        min_length=1,
        max_length=1_000,
        examples=[{"market/price": "trade.price"}],
        description="Where each tag's number stands: a path of keys and list positions with dots.",
    )
    topic: str = Field("", max_length=255, description="Only events of this topic; empty is all.")
    ts: DataPath = Field(
        "",
        description="Path of the time in seconds since 1970; empty takes the event's.",
    )


class Json(Transform[JsonConfig, Events]):
    """Make samples of numbers inside JSON events: ticks, logs, webhooks.

    True and false are 1 and 0, and a text that is a number is read as one. A path that leads
    nowhere gives no sample; one that leads to something else gives Bad_DecodingError. A text
    on the way that is JSON itself is looked into, such as the `text` of a raw MQTT message.

    State: none.
    Cost: ~2 µs a value.
    """

    Config = JsonConfig
    inputs = (Port("in", "events", "Events to read."),)
    examples = (
        Example(
            "A market tick",
            {"values": {"market/price": "trade.price", "market/size": "trade.size"}},
            given='1s tick {"trade": {"price": 101.5, "size": "200"}}',
            expect="market/price 1s 101.5\nmarket/size 1s 200",
        ),
        Example(
            "Its own time, and a list",
            {"values": {"x": "rows.1"}, "ts": "at"},
            given='5s t {"at": 2.5, "rows": [1, 2]}',
            expect="x 2.5s 2",
        ),
        Example(
            "Nothing there, and something else there",
            {"values": {"a": "missing", "b": "name"}},
            given='1s t {"name": "pump"}',
            expect="b 1s nan Bad_DecodingError",
        ),
        Example(
            "JSON in a text, as a raw MQTT message has it",
            {"values": {"web/status": "text.status"}},
            given='1s log/web {"text": "{\\"status\\": 500}"}\n2s log/web {"text": "no JSON"}',
            expect="web/status 1s 500",
        ),
    )

    def __init__(self, config: JsonConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._paths = [(ctx.tags.code(tag), JsonPath(path)) for tag, path in config.values.items()]
        self._time = JsonPath(config.ts) if config.ts else None

    def process(self, events: Events, port: str) -> Outputs:
        rows: list[tuple[int, int, float, int]] = []
        for event in events:
            if self.config.topic and event.topic != self.config.topic:
                continue
            ts = self._ts(event)
            for tag, path in self._paths:
                found = path.find(event.data)
                if found is not MISSING:
                    value = number(found)
                    status = q.GOOD if math.isfinite(value) else q.BAD_DECODING
                    rows.append((tag, ts, value, status))
        return {"out": Batch.of(rows)} if rows else {}

    def _ts(self, event: Event) -> int:
        if self._time is None:
            return event.ts
        seconds = number(self._time.find(event.data))
        if not math.isfinite(seconds) or not 0 <= seconds < 9.2e9:
            self.ctx.count("bad_time")
            return event.ts
        return round(seconds * 1e9)


def number(found: Any) -> float:
    """A JSON value as a number; NaN when it is none."""
    if isinstance(found, bool | int | float | str):
        try:
            return float(found)
        except (ValueError, OverflowError):
            return math.nan
    return math.nan
