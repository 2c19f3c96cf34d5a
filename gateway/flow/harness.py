"""Runs one transform in virtual time: for examples, the contract suite and authors' tests.

There is no engine here and nothing waits: the time is a number that the harness moves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from gateway.data.batch import Batch
from gateway.data.table import parse_time
from gateway.data.tag import Tag, TagTable
from gateway.data.windows import Windows
from gateway.errors import ConfigError
from gateway.flow import notation
from gateway.flow.config import Secret
from gateway.flow.generate import Ask, Generated, OnChunk
from gateway.flow.inbound import GiveBack, OnCall, OnLine
from gateway.flow.node import Carries, Example, Message, Node, Outputs, Port, Transform

K = TypeVar("K")


class _NoClock:
    """A clock that refuses: a transform must not look at one."""

    def now(self) -> int:
        raise AssertionError("A transform has no clock; use self.ctx.now.")

    def monotonic(self) -> float:
        raise AssertionError("A transform has no clock; use self.ctx.now.")


@dataclass
class BenchContext:
    """A context without an engine; counts and sentences are kept for the test to look at."""

    tags: TagTable = field(default_factory=lambda: TagTable(64))
    node_id: str = "node"
    flow: str = "example"
    clock: Any = field(default_factory=_NoClock)
    now: int = 0
    position: Any = None
    number: int = 0
    data_dir: Path = Path()
    counts: dict[str, int] = field(default_factory=dict)
    said: list[tuple[str, str]] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    def connection(self, kind: type[K], name: str) -> K:
        raise ConfigError(f"There is no connection {name!r} here.")

    def secret(self, ref: Secret) -> str:
        if ref.secret not in self.secrets:
            raise ConfigError(f"The secret {ref.secret!r} is not set.")
        return self.secrets[ref.secret]

    async def resolve(self, host: str, port: int) -> list[str]:
        return [host]

    async def generate(self, ask: Ask, on_chunk: OnChunk | None = None) -> Generated:
        raise AssertionError("A transform asks no model.")

    def serve(
        self,
        path: str,
        *,
        on_call: OnCall | None = None,
        on_line: OnLine | None = None,
        body_bytes_max: int = 65_536,
    ) -> GiveBack:
        raise AssertionError("A transform serves nothing.")

    def figures(self) -> Mapping[str, float]:
        return {}

    def count(self, name: str, n: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + n

    def say(self, level: Literal["debug", "info", "warning", "error"], text: str) -> None:
        self.said.append((level, text))

    def show(self, text: str, key: str, *, is_over: bool = False) -> None:
        self.said.append(("show", text))

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
        raise AssertionError("A transform starts nothing.")


def context_of(example: Example, *, limit: int = 64) -> BenchContext:
    """A context whose tag table knows what the example says of its tags."""
    ctx = BenchContext(tags=TagTable(limit))
    for name, facts in example.tags.items():
        ctx.tags.add(Tag(name, **facts))
    return ctx


def make(cls: type[Node[Any]], config: Mapping[str, Any], ctx: BenchContext) -> Any:
    """A node with a validated config."""
    return cls(cls.Config.model_validate(dict(config)), ctx)


@dataclass(frozen=True)
class Arrival:
    """One message that reaches a port at a virtual time [ns]."""

    now: int
    port: str
    message: Message


def arrivals(
    node: type[Node[Any]], given: str | Mapping[str, str], tags: TagTable
) -> list[Arrival]:
    """What `given` says, one message an instant; a window arrives at its end."""
    ports = {port.name: port for port in node.inputs}
    texts = {node.inputs[0].name: given} if isinstance(given, str) else given
    found: list[Arrival] = []
    for name, text in texts.items():
        if name not in ports:
            raise ValueError(f"There is no input {name!r}; there is {', '.join(ports)}.")
        message = notation.parse(text, ports[name].carries, tags)
        latest = 0
        for part, ts in instants(message):
            latest = max(latest, ts)  # what arrives late does not turn the time back
            found.append(Arrival(latest, name, part))
    return sorted(found, key=lambda item: item.now)


def instants(message: Message) -> list[tuple[Message, int]]:
    """The parts of a message, one an instant, each with its time [ns]."""
    if isinstance(message, Batch):
        cuts = np.flatnonzero(np.diff(message.ts)) + 1
        bounds = [0, *cuts.tolist(), len(message)]
        pairs = pairwise(bounds)
        return [(message.where(slice(a, b)), int(message.ts[a])) for a, b in pairs if b > a]
    if isinstance(message, Windows):
        return [(window(message, i), int(message.end[i])) for i in range(len(message))]
    return [((item,), item.ts) for item in message]  # type: ignore[misc]  # one kind a port


def window(windows: Windows, i: int) -> Windows:
    """Window number i alone."""
    a, b = int(windows.offset[i]), int(windows.offset[i + 1])
    return Windows(
        windows.tag[i : i + 1],
        windows.start[i : i + 1],
        windows.end[i : i + 1],
        np.array([0, b - a], np.intp),
        windows.rows.where(slice(a, b)),
    )


class Bench:
    """Drives one transform and collects what leaves each port."""

    def __init__(self, node: Transform[Any, Any]) -> None:
        self.node = node
        self.out: dict[str, list[Message]] = {port.name: [] for port in node.outputs}

    def send(self, message: Message, port: str, now: int) -> None:
        """One message at one time; timers that are due go first."""
        self.run_until(now)
        self._set_now(now)
        self._collect(self.node.process(_frozen(message), port))

    def run_until(self, now: int) -> None:
        """Fire every timer that is due at or before a time, in order."""
        for _ in range(100_000):
            due = self.node.wake_at()
            if due is None or due > now:
                return
            self._set_now(max(due, self.node.ctx.now))
            self._collect(self.node.wake(self.node.ctx.now))
            assert self.node.wake_at() != due, "wake() must move wake_at() on"
        raise AssertionError("A node asked to be woken 100,000 times: its timer does not move on.")

    def text(self) -> dict[str, str]:
        """What left each port so far, as text."""
        shown = {}
        for port, messages in self.out.items():
            whole = notation.concat(messages)
            shown[port] = "" if whole is None else notation.show(whole, self.node.ctx.tags)
        return shown

    def _set_now(self, now: int) -> None:
        self.node.ctx.now = now

    def _collect(self, outputs: Outputs) -> None:
        for port, message in outputs.items():
            assert port in self.out, f"{self.node.ctx.node_id} has no port {port!r}"
            assert len(message) > 0, f"an empty message left {port!r}"
            self.out[port].append(_frozen(message))


def _frozen(message: Message) -> Message:
    return message.freeze() if isinstance(message, Batch | Windows) else message


def run_example(cls: type[Transform[Any, Any]], example: Example) -> dict[str, str]:
    """Run an example in virtual time and show every port, in the notation of `expect`."""
    assert example.given is not None
    ctx = context_of(example)
    bench = Bench(make(cls, example.config, ctx))
    for arrival in arrivals(cls, example.given, ctx.tags):
        bench.send(arrival.message, arrival.port, arrival.now)
    if example.until is not None:
        bench.run_until(parse_time(example.until))
    return bench.text()


def expected(cls: type[Node[Any]], example: Example) -> dict[str, str]:
    """What an example expects, by port and in normal form; a port not named may say anything."""
    assert example.expect is not None
    ports: dict[str, Port] = {port.name: port for port in cls.outputs}
    texts: Mapping[str, str]
    if isinstance(example.expect, str):
        texts = {cls.outputs[0].name: example.expect}
    else:
        texts = example.expect
    return {name: notation.normal(text, _carries(ports, name)) for name, text in texts.items()}


def _carries(ports: Mapping[str, Port], name: str) -> Carries:
    if name not in ports:
        raise ValueError(f"There is no output {name!r}; there is {', '.join(ports)}.")
    return ports[name].carries


def feed(
    node: Transform[Any, Any], batch: Batch, cuts: Sequence[int], now: int, port: str = "in"
) -> Bench:
    """Feed one batch cut at row numbers, all at one time: for the law that cuts are invisible."""
    bench = Bench(node)
    bounds = [0, *cuts, len(batch)]
    for a, b in pairwise(bounds):
        bench.send(batch.where(slice(a, b)), port, now)
    return bench


__all__ = [
    "Arrival",
    "Bench",
    "BenchContext",
    "arrivals",
    "context_of",
    "expected",
    "feed",
    "instants",
    "make",
    "run_example",
    "window",
]
