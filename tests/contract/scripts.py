"""Scripts: inputs for the laws, drawn on purpose from few values, few tags and few gaps.

Random floats are almost never within a deadband of each other, so state would never matter.
Here values, gaps and thresholds come from the example and its config, so boundaries are hit.
"""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gateway import (
    EMPTY,
    NO_WINDOWS,
    AlarmEvent,
    AlarmState,
    Batch,
    Event,
    Example,
    Message,
    Node,
    Port,
    TagTable,
    Windows,
    quality,
)
from gateway.flow import harness, notation

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
LIMIT = 512
"""Tags a bench has room for; features derive up to some twenty of each."""
NEWCOMER = "newcomer/x"
_QUALITIES = (
    *[quality.GOOD] * 7,
    quality.UNCERTAIN,
    quality.BAD,
    quality.BAD_SENSOR_FAILURE,
)
_KINDS = ("groups", "burst", "single", "groups", "burst", "disorder")


@dataclass(frozen=True)
class Op:
    """One message that reaches a port at a time [ns]."""

    now: int
    port: str
    message: Message


@dataclass(frozen=True)
class Script:
    """What one run of a node gets: at least 20 rows in messages that may be cut.

    Args:
        example: Gives the config and the facts about tags.
        names: Tags in the order of their codes, after those of the example's facts.
        ops: The messages in order; `now` never goes back.
        until: Timers up to then fire at the end [ns].
        seed: Makes the same script again.
    """

    example: Example
    names: tuple[str, ...]
    ops: tuple[Op, ...]
    until: int
    seed: int

    def context(self, *, know_tags: bool = True) -> harness.BenchContext:
        ctx = harness.context_of(self.example, limit=LIMIT)
        if know_tags:
            for name in self.names:
                ctx.tags.code(name)
        return ctx

    def __str__(self) -> str:
        table = self.context().tags
        head = f"seed {self.seed}, config {dict(self.example.config)}"
        lines = [
            f"at {op.now / SECOND:g}s to {op.port!r}: {notation.show(op.message, table)}"
            for op in self.ops
        ]
        return "\n".join([head, *lines, f"until {self.until / SECOND:g}s"])


def size(message: Message) -> int:
    """How many rows a message may be cut into."""
    return len(message)


def part(message: Message, start: int, end: int) -> Message:
    """Rows start to end of a message of any kind."""
    if isinstance(message, Batch):
        return message.where(slice(start, end))
    if isinstance(message, Windows):
        return Windows.concat([harness.window(message, i) for i in range(start, end)])
    return message[start:end]  # type: ignore[return-value]  # a slice of one kind is that kind


def frozen(message: Any) -> Any:
    """The message itself, its arrays read-only: a node that writes to them fails at once."""
    return message.freeze() if isinstance(message, Batch | Windows) else message


def empty(carries: str) -> Message:
    """A message without rows."""
    return {"samples": EMPTY, "windows": NO_WINDOWS}.get(carries, ())  # type: ignore[return-value]  # by kind


def copy(message: Message) -> Message:
    """A message that shares no memory with the first."""
    if isinstance(message, Batch):
        return Batch(
            message.tag.copy(), message.ts.copy(), message.value.copy(), message.quality.copy()
        )
    if isinstance(message, Windows):
        return Windows(
            message.tag.copy(),
            message.start.copy(),
            message.end.copy(),
            message.offset.copy(),
            copy(message.rows),  # type: ignore[arg-type]  # a batch gives a batch
        )
    return message


def given_by_port(cls: type[Node[Any]], example: Example) -> Mapping[str, str]:
    """The texts of an example's `given`, by port."""
    if example.given is None:
        return {}
    return {cls.inputs[0].name: example.given} if isinstance(example.given, str) else example.given


def numbers(value: Any) -> Iterator[float]:
    """Every number in a config."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from numbers(item)


@dataclass
class Pools:
    """The few values, tags, gaps and texts that a node's scripts are drawn from."""

    tags: list[str] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)
    items: dict[str, list[Any]] = field(default_factory=dict)
    """Alarms and events by port, from all examples."""


def pools(cls: type[Node[Any]], example: Example) -> Pools:
    """What the example and its config suggest; thresholds and what is next to them."""
    found = Pools()
    table = TagTable(LIMIT)
    ports = {port.name: port for port in cls.inputs}
    values: list[float] = []
    times: list[int] = []
    for other in (example, *cls.examples):
        for name, text in given_by_port(cls, other).items():
            message = notation.parse(text, ports[name].carries, table)
            rows = message.rows if isinstance(message, Windows) else message
            if isinstance(rows, Batch):
                if other is example:
                    values += [v for v in rows.value.tolist() if np.isfinite(v)]
                    times += rows.ts.tolist()
            else:
                found.items.setdefault(name, []).extend(rows)
                times += [item.ts for item in rows] if other is example else []
            if isinstance(message, Windows) and other is example:
                times += [*message.start.tolist(), *message.end.tolist()]
        if other is example:
            found.tags = list(dict.fromkeys(tag.name for tag in table))
    config = cls.Config.model_validate(dict(example.config)).model_dump(mode="json")
    steps = sorted({abs(n) for n in numbers(config) if 0 < abs(n) < 1e12})[:6]
    base = list(dict.fromkeys(values))[:6]
    near = [v + sign * step for v in base[:2] for step in steps[:3] for sign in (1, -1)]
    found.values = list(dict.fromkeys([*base, *steps[:3], *near, 0.0, 1.0, -1.0, 20.5]))
    gaps = np.diff(np.unique(times)).tolist() if times else []
    stretches = [g for n in steps for g in (n, n / 2) if 0 < g * SECOND <= DAY]
    found.gaps = list(
        dict.fromkeys([0, SECOND, *gaps[:6], *(round(g * SECOND) for g in stretches)])
    )
    found.tags += [name for name in ("X1", "X2", "X3") if name not in found.tags][:3]
    return found


@functools.cache
def _pools(cls: type[Node[Any]], index: int) -> Pools:
    return pools(cls, cls.examples[index])


def scripts(cls: type[Node[Any]], index: int, count: int) -> Iterator[Script]:
    """The first `count` scripts for one example of a node; always the same ones."""
    for seed in range(count):
        yield script(cls, index, seed)


@functools.lru_cache(maxsize=4096)
def script(cls: type[Node[Any]], index: int, seed: int) -> Script:
    """One script; every kind of delivery comes in turn."""
    return _Writer(cls, index, seed).write(_KINDS[seed % len(_KINDS)])


class _Writer:
    """Draws one script."""

    def __init__(self, cls: type[Node[Any]], index: int, seed: int) -> None:
        name = f"{cls.__module__}.{cls.__qualname__}.{index}".encode()
        self.rng = np.random.default_rng([zlib.crc32(name), seed])
        self.cls = cls
        self.example = cls.examples[index]
        self.pools = _pools(cls, index)
        self.seed = seed
        self.table = harness.context_of(self.example, limit=LIMIT).tags
        for tag in self.pools.tags:
            self.table.code(tag)
        hot = [self.table.code(tag) for tag in self.pools.tags]
        self.hot = hot[: 1 + int(self.rng.integers(len(hot)))]
        self.values = self.some(self.pools.values, 6)
        self.gaps = self.some(self.pools.gaps, 4)
        self.now = 0
        self.ts = 0
        self.starts: dict[int, int] = {}

    def some(self, items: list[Any], count: int) -> list[Any]:
        """Few of many, the first ones more often than the last."""
        if len(items) <= count:
            return items
        picked = self.rng.choice(len(items), size=count, replace=False)
        return [items[i] for i in sorted({0, *picked.tolist()})]

    def pick(self, items: Any) -> Any:
        return items[int(self.rng.integers(len(items)))]

    def write(self, kind: str) -> Script:
        ops: list[Op] = []
        total = 24 + int(self.rng.integers(16))
        while sum(size(op.message) for op in ops if op.port == self.cls.inputs[0].name) < total:
            rows = {"burst": total, "single": 1}.get(kind, 1 + int(self.rng.integers(10)))
            for port in self.cls.inputs:
                if port is not self.cls.inputs[0]:
                    if self.rng.random() < 0.5:
                        continue
                    rows = 1 + int(self.rng.integers(3))
                message = self.message(port, rows, disorder=kind == "disorder")
                if size(message):
                    ops.append(Op(self.now, port.name, frozen(message)))
        longest = max(self.pools.gaps, default=0)
        return Script(
            self.example,
            tuple(self.pools.tags),
            tuple(self._not_back(ops)),
            max(self.now, self.ts) + 2 * longest + SECOND,
            self.seed,
        )

    def _not_back(self, ops: list[Op]) -> Iterator[Op]:
        latest = 0
        for op in ops:
            latest = max(latest, op.now)
            yield dataclasses.replace(op, now=latest)

    def message(self, port: Port, rows: int, *, disorder: bool) -> Message:
        match port.carries:
            case "samples":
                return self.batch(rows, disorder=disorder)
            case "windows":
                return Windows.concat([self.window() for _ in range(rows)])
            case "alarms":
                return tuple(self.alarm(port.name) for _ in range(rows))
            case "events":
                return tuple(self.event(port.name) for _ in range(rows))

    def batch(self, rows: int, *, disorder: bool) -> Batch:
        found = []
        for _ in range(rows):
            self.ts += self.pick(self.gaps)
            ts = self.ts
            if disorder or self.rng.random() < 0.1:
                ts = max(0, ts - int(self.pick(self.pools.gaps)) * int(self.rng.integers(1, 4)))
            found.append((self.pick(self.hot), ts, *self.measured()))
        # Now and then the device's clock is ahead of ours, and time may stand still.
        if self.rng.random() < 0.85:
            self.now = max(self.now, self.ts) + int(self.pick((0, 0, SECOND)))
        return Batch.of(found)

    def measured(self) -> tuple[float, int]:
        status = self.pick(_QUALITIES)
        broken = status >= quality.BAD and self.rng.random() < 0.5
        return (float("nan") if broken else float(self.pick(self.values))), status

    def window(self) -> Windows:
        tag = self.pick(self.hot)
        length = max(self.pick(self.pools.gaps), SECOND)
        start = self.starts.get(tag, 0)
        self.starts[tag] = start + (length if self.rng.random() < 0.8 else length // 2)
        count = int(self.pick((0, 1, 2, 3, 5, 8)))
        inside = sorted(int(self.rng.integers(8)) * length // 8 for _ in range(count))
        rows = Batch.of([(tag, start + at, *self.measured()) for at in inside])
        self.now = self.ts = max(self.now, start + length)
        return Windows(
            np.array([tag], np.uint16),
            np.array([start], np.int64),
            np.array([start + length], np.int64),
            np.array([0, count], np.intp),
            rows,
        )

    def alarm(self, port: str) -> AlarmEvent:
        self.ts += self.pick(self.gaps)
        self.now = max(self.now, self.ts)
        known = self.pools.items.get(port)
        tag = self.table.name(self.pick(self.hot))
        event = (
            self.pick(known)
            if known
            else AlarmEvent(
                f"test:{tag}:HI",
                tag,
                0,
                "raised",
                AlarmState.UNACK,
                condition="HI",
                value=1.0,
                limit=0.5,
            )
        )
        if self.rng.random() < 0.3:
            state = self.pick(list(AlarmState))
            event = dataclasses.replace(event, state=state, change=self.pick(("raised", "cleared")))
        return dataclasses.replace(event, ts=self.ts)

    def event(self, port: str) -> Event:
        known = self.pools.items.get(port)
        if port == self.cls.inputs[0].name:
            self.ts += self.pick(self.gaps)
            self.now = max(self.now, self.ts)
        if known and self.rng.random() < 0.85:
            return dataclasses.replace(self.pick(known), ts=self.now)
        return Event(
            self.now, self.pick(("", "unknown/topic")), self.pick(({}, {"x": 1}, {"x": [{}]}))
        )
