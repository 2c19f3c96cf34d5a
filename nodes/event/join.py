"""Bring together two events that belong together."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gateway import (
    MISSING,
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

_SIDES: Final = ("left", "right")


class JoinConfig(Config):
    left_key: DataPath = Field(
        min_length=1, examples=["id"], description="Path of what a left event is matched by."
    )
    right_key: DataPath = Field(
        "", examples=["order.id"], description="Path of it in a right event; empty is the same."
    )
    within_s: PositiveSeconds = Field(
        60.0, le=604_800, description="So long an event waits for its partner, from its arrival."
    )
    topic: str = Field(
        "joined", min_length=1, max_length=255, description="Topic of the joined events."
    )
    pending_max: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Events that may wait on each side; at the limit the oldest leaves alone.",
    )


class Pending:
    """Events of one side that wait for a partner, as state that saves itself.

    All wait equally long, so they leave in the order in which they came.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[str, int, Event]] = {}
        self._of_key: dict[str, deque[int]] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, key: str, due: int, event: Event) -> None:
        """It waits until `due` [ns]."""
        self._waiting[self._next] = (key, due, event)
        self._of_key.setdefault(key, deque()).append(self._next)
        self._next += 1

    def take(self, key: str) -> Event | None:
        """The one that has waited longest under a key."""
        numbers = self._of_key.get(key)
        if not numbers:
            return None
        number = numbers.popleft()
        if not numbers:
            del self._of_key[key]
        return self._waiting.pop(number)[2]

    def due(self) -> int | None:
        """When the time of the oldest is up [ns]."""
        return next((due for _, due, _ in self._waiting.values()), None)

    def take_oldest(self) -> Event | None:
        """The one that has waited longest of all."""
        key = next((key for key, _, _ in self._waiting.values()), None)
        return None if key is None else self.take(key)

    def overdue(self, now: int) -> Iterator[Event]:
        """Take off all whose time is up."""
        while (due := self.due()) is not None and due <= now:
            event = self.take_oldest()
            assert event is not None, "one is due"
            yield event

    def later(self, ns: int) -> None:
        """All wait so much longer [ns]."""
        self._waiting = {n: (key, due + ns, e) for n, (key, due, e) in self._waiting.items()}

    def save(self) -> Mapping[str, NDArray[Any]]:
        rows = [
            [key, due, e.ts, e.topic, dict(e.data), e.id] for key, due, e in self._waiting.values()
        ]
        text = json.dumps(rows, ensure_ascii=False, separators=(",", ":"))
        return {"json": np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).copy()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        text = state["json"].astype(np.uint8).tobytes().decode("utf-8", "surrogatepass")
        self._waiting, self._of_key, self._next = {}, {}, 0
        for key, due, ts, topic, data, name in json.loads(text):
            self.add(key, due, Event(ts, topic, data, name))


class Join(Transform[JoinConfig, Events]):
    """Bring together events of two streams that have the same key, such as an order and its result.

    The joined event has the fields of both, each under `left` and `right`, the key, and the later
    of the two times. Partners are matched in the order in which they came. An event whose partner
    does not come within `within_s` leaves alone, and so does one without a key.

    State: the events that wait, at most `pending_max` a side.
    Cost: ~3 µs an event.
    """

    Config = JoinConfig
    inputs = (
        Port("left", "events", "Events of one stream."),
        Port("right", "events", "Events of the other."),
    )
    outputs = (
        Port("out", "events", "Pairs."),
        Port("left_alone", "events", "Left events without a partner."),
        Port("right_alone", "events", "Right events without a partner."),
    )
    examples = (
        Example(
            "An order and its result",
            {"left_key": "id", "right_key": "order.id", "topic": "done"},
            given={
                "left": '1s order {"id": 7, "what": "gear"}',
                "right": '3s result {"order": {"id": 7}, "ok": true}',
            },
            expect={
                "out": '3s done {"key": "7", "left": {"id": 7, "what": "gear"}, '
                '"right": {"ok": true, "order": {"id": 7}}}'
            },
        ),
        Example(
            "No partner in time",
            {"left_key": "id", "within_s": 10},
            given={"left": '1s a {"id": 1}\n2s a {"id": 2}', "right": '11.5s b {"id": 1}'},
            expect={"left_alone": '1s a {"id": 1}\n2s a {"id": 2}'},
            until="20s",
        ),
        Example(
            "Without a key it leaves at once; no room, and the oldest leaves",
            {"left_key": "id", "pending_max": 1},
            given={"left": '1s a {}\n2s a {"id": 2}\n3s a {"id": 3}', "right": '4s b {"id": 3}'},
            expect={
                "left_alone": '1s a {}\n2s a {"id": 2}',
                "out": '4s joined {"key": "3", "left": {"id": 3}, "right": {"id": 3}}',
            },
        ),
    )

    def __init__(self, config: JoinConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._paths = {
            "left": JsonPath(config.left_key),
            "right": JsonPath(config.right_key or config.left_key),
        }
        self._pending = {side: self.keep(side, Pending()) for side in _SIDES}
        self._within = round(config.within_s * 1e9)

    def process(self, message: Events, port: str) -> Outputs:
        other = _SIDES[1 - _SIDES.index(port)]
        found: dict[str, list[Event]] = {"out": [], f"{port}_alone": [], f"{other}_alone": []}
        for side in _SIDES:
            found[f"{side}_alone"] += self._pending[side].overdue(self.ctx.now)
        for event in message:
            key = _key(self._paths[port].find(event.data))
            partner = self._pending[other].take(key) if key else None
            if partner is not None:
                pair = (event, partner) if port == "left" else (partner, event)
                found["out"].append(self._joined(key, *pair))
            elif key:
                found[f"{port}_alone"] += self._wait(self._pending[port], key, event)
            else:
                found[f"{port}_alone"].append(event)
        return {name: tuple(events) for name, events in found.items() if events}

    def _wait(self, pending: Pending, key: str, event: Event) -> list[Event]:
        """Let an event wait; returns the one that leaves for it."""
        gone = []
        if len(pending) >= self.config.pending_max:
            leaving = pending.take_oldest()
            if leaving is not None:
                self.ctx.count("dropped_pending")
                gone.append(leaving)
        pending.add(key, self.ctx.now + self._within, event)
        return gone

    def _joined(self, key: str, left: Event, right: Event) -> Event:
        ts = max(left.ts, right.ts)
        data = {"key": key, "left": dict(left.data), "right": dict(right.data)}
        name = key_of(self.ctx, key, *(record.key for record in records((left, right), self.ctx)))
        return Event(ts, self.config.topic, data, name)

    def wake_at(self) -> int | None:
        dues = [due for p in self._pending.values() if (due := p.due()) is not None]
        return min(dues, default=None)

    def wake(self, now: int) -> Outputs:
        found = {f"{side}_alone": tuple(self._pending[side].overdue(now)) for side in _SIDES}
        return {port: events for port, events in found.items() if events}

    def paused(self, ns: int) -> None:
        """The gateway was away: nobody could have brought the partner."""
        for pending in self._pending.values():
            pending.later(ns)


def _key(found: Any) -> str:
    """A key as text; empty for what is none."""
    if found is MISSING or found is None or isinstance(found, dict | list | tuple):
        return ""
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    return str(found)[:512]
