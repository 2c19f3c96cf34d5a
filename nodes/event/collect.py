"""Gather events into one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gateway import (
    MISSING,
    Alarms,
    Config,
    Context,
    DataPath,
    Event,
    Events,
    Example,
    JsonPath,
    Outputs,
    Port,
    PositiveSeconds,
    Transform,
    key_of,
    records,
)
from nodes._events import ALARMS, IN, events_of


class CollectConfig(Config):
    for_s: PositiveSeconds = Field(
        60.0, le=604_800, description="So long is gathered, from the arrival of the first event."
    )
    key: DataPath = Field(
        "", examples=["service"], description="Path of what events are gathered by; empty: all."
    )
    count_min: int = Field(
        1, ge=1, le=1_000_000, description="Fewer are no burst: what was gathered leaves at `few`."
    )
    count_max: int = Field(
        1_000, ge=1, le=1_000_000, description="So many leave at once, before the time is up."
    )
    keep_max: int = Field(
        20, ge=1, le=1_000, description="Of so many events the fields are kept, the first ones."
    )
    keys_max: int = Field(
        1_000, ge=1, le=100_000, description="Keys at once; at the limit the oldest leaves early."
    )
    topic: str = Field(
        "collected", min_length=1, max_length=255, description="Topic of what is gathered."
    )


@dataclass(slots=True)
class Heap:
    """What was gathered under one key."""

    due: int
    first: int
    last: int = 0
    count: int = 0
    names: str = ""
    """Names what is in it, from the keys of its events."""
    kept: list[dict[str, Any]] = field(default_factory=list)


class Heaps:
    """All heaps by key, oldest first; all are gathered equally long, so that is their order."""

    def __init__(self) -> None:
        self.of: dict[str, Heap] = {}

    def save(self) -> Mapping[str, NDArray[Any]]:
        rows = [
            [key, h.due, h.first, h.last, h.count, h.names, h.kept] for key, h in self.of.items()
        ]
        text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
        return {"json": np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).copy()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        text = state["json"].astype(np.uint8).tobytes().decode("utf-8", "surrogatepass")
        self.of = {key: Heap(*rest) for key, *rest in json.loads(text)}


class Collect(Transform[CollectConfig, Events | Alarms]):
    """Gather the events of a time into one event, such as a burst of errors.

    The event that leaves has `key`, `count`, `seconds` from the first to the last, and `events`:
    the fields of the first `keep_max`, with their topic and time. Its time is that of the last.
    Alarms may come in as well; see `event.filter`.

    State: of each key that is open the events that are kept.
    Cost: ~3 µs an event.
    """

    Config = CollectConfig
    inputs = (IN, ALARMS)
    outputs = (
        Port("out", "events", "What was gathered."),
        Port("few", "events", "What was gathered and is no burst; see `count_min`."),
    )
    examples = (
        Example(
            "Three errors within ten seconds are a burst, two are few",
            {"for_s": 10, "key": "service", "count_min": 3, "keep_max": 2},
            given='1s log {"service": "pay", "n": 1}\n2s log {"service": "web", "n": 2}\n'
            '3s log {"service": "pay", "n": 3}\n4s log {"service": "pay", "n": 4}\n'
            '5s log {"service": "web", "n": 5}',
            expect={
                "out": '4s collected {"key": "pay", "count": 3, "seconds": 3.0, "events": '
                '[{"topic": "log", "time": 1.0, "service": "pay", "n": 1}, '
                '{"topic": "log", "time": 3.0, "service": "pay", "n": 3}]}',
                "few": '5s collected {"key": "web", "count": 2, "seconds": 3.0, "events": '
                '[{"topic": "log", "time": 2.0, "service": "web", "n": 2}, '
                '{"topic": "log", "time": 5.0, "service": "web", "n": 5}]}',
            },
            until="20s",
        ),
        Example(
            "So many leave at once",
            {"count_max": 2, "topic": "pair"},
            given="1s a {}\n2s b {}\n3s c {}",
            expect={
                "out": '2s pair {"key": "", "count": 2, "seconds": 1.0, "events": '
                '[{"topic": "a", "time": 1.0}, {"topic": "b", "time": 2.0}]}\n'
                '3s pair {"key": "", "count": 1, "seconds": 0.0, "events": '
                '[{"topic": "c", "time": 3.0}]}'
            },
            until="5min",
        ),
        Example(
            "No room for another key, and the oldest leaves",
            {"key": "k", "keys_max": 1},
            given='1s a {"k": 1}\n2s a {"k": 2}',
            expect={
                "out": '1s collected {"key": "1", "count": 1, "seconds": 0.0, "events": '
                '[{"topic": "a", "time": 1.0, "k": 1}]}'
            },
        ),
    )

    def __init__(self, config: CollectConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._path = JsonPath(config.key) if config.key else None
        self._heaps = self.keep("heaps", Heaps())
        self._for = round(config.for_s * 1e9)

    def process(self, message: Events | Alarms, port: str) -> Outputs:
        found: dict[str, list[Event]] = {"out": [], "few": []}
        self._overdue(self.ctx.now, found)
        open_heaps = self._heaps.of
        for event in events_of(message, self.ctx):
            key = self._key(event)
            heap = open_heaps.get(key)
            if heap is None:
                if len(open_heaps) >= self.config.keys_max:
                    self.ctx.count("closed_early")
                    self._leave(next(iter(open_heaps)), found)
                heap = open_heaps[key] = Heap(self.ctx.now + self._for, event.ts, event.ts)
            self._add(heap, event)
            if heap.count >= self.config.count_max:
                self._leave(key, found)
        return _filled(found)

    def _key(self, event: Event) -> str:
        found = self._path.find(event.data) if self._path is not None else ""
        if found is MISSING or found is None or isinstance(found, dict | list | tuple):
            return ""
        return str(found)[:255]

    def _add(self, heap: Heap, event: Event) -> None:
        heap.first, heap.last = min(heap.first, event.ts), max(heap.last, event.ts)
        heap.count += 1
        (record,) = records((event,), self.ctx)
        heap.names = key_of(self.ctx, heap.names, record.key)
        if len(heap.kept) < self.config.keep_max:
            head = {"topic": event.topic, "time": event.ts / 1e9}
            heap.kept.append({**head, **event.data})

    def _leave(self, key: str, found: dict[str, list[Event]]) -> None:
        heap = self._heaps.of.pop(key)
        seconds = (heap.last - heap.first) / 1e9
        data = {"key": key, "count": heap.count, "seconds": seconds, "events": heap.kept}
        port = "out" if heap.count >= self.config.count_min else "few"
        found[port].append(Event(heap.last, self.config.topic, data, heap.names))

    def _overdue(self, now: int, found: dict[str, list[Event]]) -> None:
        while (due := self.wake_at()) is not None and due <= now:
            self._leave(next(iter(self._heaps.of)), found)

    def wake_at(self) -> int | None:
        return next((heap.due for heap in self._heaps.of.values()), None)

    def wake(self, now: int) -> Outputs:
        found: dict[str, list[Event]] = {"out": [], "few": []}
        self._overdue(now, found)
        return _filled(found)

    def paused(self, ns: int) -> None:
        """The gateway was away: nothing could come in meanwhile."""
        for heap in self._heaps.of.values():
            heap.due += ns


def _filled(found: dict[str, list[Event]]) -> Outputs:
    return {port: tuple(events) for port, events in found.items() if events}


__all__ = ["Collect", "CollectConfig"]
