"""Edits under load lose or double nothing: a flow is edited at random while its source runs.

The branch that is never edited must come out as if nobody had touched the flow: its rows once and
in order, its windows bit for bit, its state the same. `GENBA_TORTURE=1` makes 1,000 edits; a seed
that fails is run again with `GENBA_CHURN_SEED`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway import Batch, ConfigError, Message, Reading, Sink, Source
from gateway.engine import store_writer
from gateway.engine.graph import Graph
from gateway.engine.runtime import Runtime
from gateway.flow import registry
from gateway.flow.document import Document
from tests.engine.gear import NS, Script, Wanted, kill, lent, started, until

IS_LONG = os.environ.get("GENBA_TORTURE") == "1"
EDITS = 1_000 if IS_LONG else 60
SEEDS = [int(os.environ["GENBA_CHURN_SEED"])] if "GENBA_CHURN_SEED" in os.environ else [1, 2]
ROWS = 20
"""Rows of one reading."""
T0 = 1_700_000_000 * NS
STEP_NS = NS // 10
AHEAD = 64
"""Readings that may be on their way, not yet acknowledged."""


@dataclass(eq=False)
class World:
    """What is outside of the gateway: it outlives a kill."""

    sent: int = 0
    """Readings that are known to be stored: the device sends on from there after a kill."""
    raw: list[float] = field(default_factory=list)
    windows: list[tuple[Any, ...]] = field(default_factory=list)
    twice: int = 0

    def reading(self, number: int) -> tuple[Any, Any]:
        """Time and value of the rows of a reading."""
        at = np.arange(number * ROWS, (number + 1) * ROWS)
        return T0 + at * STEP_NS, at.astype(np.float64)


def nodes_of(world: World) -> dict[str, type[Any]]:
    """A device at full speed that repeats what was not stored, and receivers of its rows."""

    class Device(Source[Wanted]):
        Config = Wanted

        def __init__(self, config: Wanted, ctx: Any) -> None:
            super().__init__(config, ctx)
            self._next = world.sent = max(world.sent, ctx.position or 0)
            self._code = ctx.tags.code("line/force")

        async def read(self) -> Reading:
            while self._next >= world.sent + AHEAD:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.001)
            ts, value = world.reading(self._next)
            code = np.full(len(ts), self._code, np.uint16)
            self._next += 1
            good = np.zeros(len(ts), np.uint32)
            rows = Batch(code, ts, value, good)
            return Reading({"out": rows}, token=self._next, position=self._next)

        async def acknowledge(self, token: Any) -> None:
            assert token == world.sent + 1, "acknowledged in order, each once"
            world.sent = token

    class Raw(Sink[Wanted]):
        Config = Wanted

        async def write(self, message: Message, port: str) -> None:
            assert isinstance(message, Batch)
            world.raw += message.value.tolist()

    class Stored(Sink[Wanted]):
        Config = Wanted

        async def write(self, message: Message, port: str) -> None:
            assert isinstance(message, Batch)
            names = self.ctx.tags.names()
            columns = (message.tag, message.ts, message.value, message.quality)
            world.windows += [
                (names[t], ts, v, q)
                for t, ts, v, q in zip(*(c.tolist() for c in columns), strict=True)
            ]

    return {"churn.device": Device, "churn.raw": Raw, "churn.stored": Stored}


CORE = {
    "device": "{type: churn.device}",
    "raw": "{type: churn.raw}",
    "minute": "{type: window.tumbling, size_s: 7}",
    "stats": "{type: feature.statistics}",
    "band": "{type: filter.deadband, band: 3}",
    "windows": "{type: churn.stored}",
}
CORE_WIRES = ["device -> raw", "device -> minute -> stats -> windows", "device -> band"]
OTHERS = (
    "{{type: filter.deadband, band: {n}}}",
    "{{type: filter.rate, every_s: {n}}}",
    "{{type: alarm.limit, hi: {n}}}",
    "{{type: alarm.limit, hi: {n}, tags: 'line/+'}}",
    "{{type: detect.ewma}}",
    "{{type: window.tumbling, size_s: {n}}}",
    "{{type: window.count, size: {n}}}",
    "{{type: script.sink}}",
    "{{type: script.latest}}",
    "{{type: script.fresh}}",
    "{{type: script.sink, outbox: {{bytes_max: {n}0000}}}}",
    "{{type: script.worker}}",
    "{{type: test.fault, above: {n}}}",
)
WRONG = (
    ("x: {type: no.such}", "device -> x"),
    ("x: {type: filter.deadband, band: -1}", "device -> x"),
    ("x: {type: script.broken}", "device -> x"),
    ("x: {type: script.broken_sink}", "device -> x"),
    ("x: {type: script.sink}", "device -> x.nowhere"),
    ("a: {type: filter.rate, every_s: 1}\n  b: {type: filter.rate, every_s: 1}", "a -> b -> a"),
    ("x: {type: modbus.source, connection: none, tags: {a: holding:0}}", ""),
)


class Editor:
    """Makes one valid flow after the other; the core is in all of them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.extra: dict[str, str] = {}
        self.feeds: dict[str, str] = {}
        self.line = "script.connection"
        self.more: dict[str, str] = {}
        self.count = 0

    def edit(self) -> None:
        """One random valid edit."""
        acts = [self.add, self.add, self.change, self.remove, self.rewire, self.rename]
        self.chance.choice([*acts, self.disable, self.reconnect, self.reorder])()

    def add(self) -> None:
        if len(self.extra) < 8:
            self.count += 1
            name = f"n{self.count}"
            self.extra[name] = self.fresh()
            self.feeds[name] = "device"

    def fresh(self) -> str:
        return self.chance.choice(OTHERS).format(n=self.chance.randint(1, 90))

    def pick(self) -> str | None:
        return self.chance.choice(sorted(self.extra)) if self.extra else None

    def change(self) -> None:
        if (name := self.pick()) is not None:
            self.extra[name] = self.fresh()

    def remove(self) -> None:
        if (name := self.pick()) is not None:
            del self.extra[name], self.feeds[name]

    def rename(self) -> None:
        if (name := self.pick()) is not None:
            self.count += 1
            self.extra[f"n{self.count}"] = self.extra.pop(name)
            self.feeds[f"n{self.count}"] = self.feeds.pop(name)

    def rewire(self) -> None:
        if (name := self.pick()) is not None:
            self.feeds[name] = self.chance.choice(["device", "band"])

    def disable(self) -> None:
        if (name := self.pick()) is not None and "disabled" not in self.extra[name]:
            self.extra[name] = self.extra[name][:-1] + ", disabled: true}"

    def reconnect(self) -> None:
        kinds = ("script.connection", "script.other_connection")
        self.line = kinds[self.line == kinds[0]]
        self.more = {"plc": "{type: script.source, connection: line}"} if not self.more else {}

    def reorder(self) -> None:
        names = list(self.extra)
        self.chance.shuffle(names)
        self.extra = {name: self.extra[name] for name in names}

    def text(self, nodes: str = "", wires: str = "") -> str:
        """The flow as it is now, with more of its own besides."""
        entries = {**CORE, **self.extra, **self.more}
        if self.chance.random() < 0.5:
            entries = dict(reversed(entries.items()))
        body = "".join(f"  {name}: {entry}\n" for name, entry in entries.items())
        lines = [*CORE_WIRES, *(f"{f} -> {n}" for n, f in self.feeds.items())]
        lines += [wires] if wires else []
        listed = "".join(f"  - {line}\n" for line in lines)
        head = f"flow: test\nversion: 1\nconnections:\n  line: {{type: {self.line}}}\n"
        return f"{head}nodes:\n{body}  {nodes}\nwires:\n{listed}"

    def wrong(self) -> str:
        """A flow that must be refused."""
        nodes, wires = self.chance.choice(WRONG)
        return self.text(nodes, wires)


def uninterrupted(world: World, runtime: Runtime) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """Windows and state of a run of the core in which nobody edited anything."""
    body = "".join(f"  {name}: {entry}\n" for name, entry in CORE.items())
    wires = "".join(f"  - {line}\n" for line in CORE_WIRES)
    document = Document.parse(f"flow: test\nversion: 1\nnodes:\n{body}wires:\n{wires}")
    graph = Graph(document, runtime.tags)
    code = runtime.tags.code("line/force")
    names = runtime.tags.names()
    found: list[tuple[Any, ...]] = []
    now = runtime.runners["test"].graph.now
    for number in range(world.sent):
        ts, value = world.reading(number)
        rows = Batch(np.full(ROWS, code, np.uint16), ts, value, np.zeros(ROWS, np.uint32))
        for node, _, message in graph.step([("device", "out", rows)], now).outputs:
            if node == "windows":
                assert isinstance(message, Batch)
                columns = (message.tag, message.ts, message.value, message.quality)
                found += [
                    (names[t], *rest)
                    for t, *rest in zip(*(c.tolist() for c in columns), strict=True)
                ]
    return found, graph.snapshot()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.01)
    with lent(Script()) as script:
        yield script


def once(values: list[float]) -> list[float]:
    """Without what came again: after a kill the newest rows may."""
    return list(dict.fromkeys(values))


async def churn(world: World, editor: Editor, folder: Path) -> Runtime:
    """Edit the flow while it runs, and kill the gateway now and then."""
    chance = editor.chance
    first = Document.parse(editor.text())
    runtime = await started(first, folder, checkpoint_s=0.5)
    await asyncio.to_thread(int)  # The loop's own thread for files, which health uses as well.
    tasks, threads = len(asyncio.all_tasks()), threading.active_count()
    for number in range(EDITS):
        before = world.sent
        if chance.random() < 0.15:
            with pytest.raises(ConfigError):
                await runtime.deploy(Document.parse(editor.wrong()), "user:bob")
        editor.edit()
        text = editor.text()
        await runtime.deploy(Document.parse(text), "user:anna", f"edit {number}")
        if chance.random() < 0.7:
            await until(lambda: world.sent > before)  # noqa: B023 - awaited at once
        if chance.random() < 0.06:
            await kill(runtime)
            world.twice += 1
            runtime = await started(first, folder, checkpoint_s=0.5)
    for name in list(editor.extra):
        del editor.extra[name], editor.feeds[name]
    editor.more.clear()
    await runtime.deploy(Document.parse(editor.text()), "user:anna", "the end")
    gc.collect()
    await until(lambda: len(asyncio.all_tasks()) <= tasks, 60)
    assert threading.active_count() <= threads
    return runtime


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_edits_under_load_lose_or_double_nothing(
    script: Script, tmp_path: Path, seed: int
) -> None:
    print(f"GENBA_CHURN_SEED={seed}")
    world = World()
    registry.LENT.update(nodes_of(world))
    editor = Editor(random.Random(seed))
    runtime = await churn(world, editor, tmp_path)
    host, runner = runtime.hosts["test"], runtime.runners["test"]
    ingress = host.ingresses["device"]
    ingress.released.clear()
    task = host.end_loop(ingress)
    assert task is not None
    await until(lambda: ingress.held.is_set() and not runner.inbox.rows)
    await runner.drained()
    ingress.released.set()
    total = world.sent * ROWS
    assert total > EDITS * ROWS / 2, "there was no load"
    assert once(world.raw) == [float(i) for i in range(total)], f"seed {seed}"
    again = len(world.raw) - total
    print(f"{EDITS} edits, {world.twice} kills, {total} rows, {again} came again after a kill")
    if not world.twice:
        assert again == 0
    wanted, state = uninterrupted(world, runtime)
    assert wanted
    assert list(dict.fromkeys(world.windows)) == list(dict.fromkeys(wanted)), f"seed {seed}"
    found = runner.graph.snapshot()
    for node in ("minute", "stats", "band"):
        assert found[node].keys() == state[node].keys()
        for key, array in state[node].items():
            if not key.startswith("seen"):  # Of the time of the steps.
                assert array.tobytes() == found[node][key].tobytes(), (node, key, f"seed {seed}")
    await runtime.stop()
