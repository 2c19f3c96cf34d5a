"""Every sink, of every protocol, writes through its gate; and nothing else in the engine writes.

Each is run by the real engine with its own example as a config; only what reaches for the device
is replaced. A new protocol is in this test as soon as it is a node.
"""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Batch, Connection, Event, Message, Node, Sink, Worker
from gateway.engine import store_writer
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import letters
from gateway.flow import registry
from gateway.flow.document import Document, Entry
from gateway.flow.grant import Grant
from tests.engine.gear import started, until

ROOT = Path(__file__).resolve().parent.parent
SINKS = {name: cls for name, cls in registry.node_classes() if issubclass(cls, Sink)}
WORKERS = {n: c for n, c in registry.node_classes() if issubclass(c, Worker) and c.writes}
TAG = "site/setpoint"


@pytest.fixture
def got(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Message]]:
    """What reaches the devices of all nodes."""
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    found: list[Message] = []

    async def nothing(self: Any) -> None:
        """No device is there."""

    async def for_ever(self: Any) -> str:
        await asyncio.Event().wait()
        return ""

    async def write(self: Any, message: Message, port: str) -> None:
        found.append(message)
        self.ctx.count("written", len(message))

    async def handle(self: Any, message: Message, port: str) -> Any:
        found.append(message)
        return {}

    for _, cls in registry.node_classes():
        for base, methods in (
            (Sink, {"connect": nothing, "close": nothing, "write": write}),
            (Worker, {"connect": nothing, "close": nothing, "handle": handle}),
            (Connection, {"open": nothing, "close": nothing, "lost": for_ever}),
        ):
            if issubclass(cls, base):
                for name, method in methods.items():
                    monkeypatch.setattr(cls, name, method)
    yield found


def document(name: str, cls: type[Node[Any]], **more: Any) -> Document:
    """A flow of this one node."""
    config = dict(cls.examples[0].config)
    connections = {}
    if isinstance(config.get("connection"), str):
        kind = f"{name.partition('.')[0]}.connection"
        example = registry.node_class(kind).examples[0].config
        connections[config["connection"]] = Entry(kind, dict(example))
    nodes = {"it": Entry(name, config)}
    return Document("device", nodes=nodes, connections=connections, **more)


async def told(runtime: Runtime, tag: str, value: float) -> None:
    """The flow hands one sample to the node."""
    port = next(p.name for p in SINKS[_type(runtime)].inputs if p.carries == "samples")
    batch = Batch.of([(runtime.tags.code(tag), runtime.clock.now(), value, 0)])
    runtime.runners["device"].put("it", port, batch)


def _type(runtime: Runtime) -> str:
    return runtime.hosts["device"].document.nodes["it"].type


def tag_of(cls: type[Node[Any]]) -> str:
    tags = cls.examples[0].config.get("tags")
    return next(iter(tags)) if isinstance(tags, dict) else TAG


@pytest.mark.parametrize("name", SINKS)
async def test_each_sink_writes_through_its_gate(
    name: str, got: list[Message], tmp_path: Path
) -> None:
    cls = SINKS[name]
    assert any(port.carries == "samples" for port in cls.inputs)
    runtime = await started(document(name, cls, allow_write=True), tmp_path)
    egress = runtime.runners["device"].egresses["it"]
    await until(lambda: egress.is_up)
    tag = tag_of(cls)
    given = {"id": "it", "flow": "device", "node": "it", "tags": [tag], "lo": 0, "hi": 10}
    await runtime.setpoints.book.put("test", Grant.model_validate(given))
    counts = egress.ctx.status.counts
    await told(runtime, tag, 11.0)
    await until(lambda: counts["refused_writes"] == 1)
    await told(runtime, tag, 9.0)
    await until(lambda: got)
    assert [message.value.tolist() for message in got if isinstance(message, Batch)] == [[9.0]]
    await runtime.setpoints.book.put("test", Grant.model_validate({**given, "by": "people"}))
    await told(runtime, tag, 8.0)
    await until(lambda: counts["refused_writes"] == 2)
    assert len(got) == 1
    await runtime.stop()


@pytest.mark.parametrize("name", [n for n, c in SINKS.items() if c.writes] + list(WORKERS))
async def test_what_changes_the_plant_needs_the_word_of_its_flow(
    name: str, got: list[Message], tmp_path: Path
) -> None:
    cls = registry.node_class(name)
    runtime = await started(document(name, cls), tmp_path)
    if name in SINKS:
        await until(lambda: runtime.runners["device"].egresses["it"].is_up)
        await told(runtime, tag_of(cls), 1.0)
    else:
        runtime.runners["device"].put("it", "in", (Event(runtime.clock.now(), "do", {}),))
    error = await _letter(runtime)
    assert "may not change the plant" in error
    assert got == []
    await runtime.stop()


@pytest.mark.parametrize("name", WORKERS)
async def test_each_worker_that_changes_the_plant_asks_the_gate(
    name: str, got: list[Message], tmp_path: Path
) -> None:
    """Numbers in the events it acts on are judged by the grant of their name."""
    runtime = await started(document(name, WORKERS[name], allow_write=True), tmp_path)
    given = {"id": "it", "flow": "device", "node": "it", "tags": ["recipe"], "lo": 0, "hi": 10}
    await runtime.setpoints.book.put("test", Grant.model_validate(given))
    runner = runtime.runners["device"]
    runner.put("it", "in", (Event(runtime.clock.now(), "do", {"recipe": 11}),))
    assert "11 is outside 0 to 10" in await _letter(runtime)
    runner.put("it", "in", (Event(runtime.clock.now(), "do", {"recipe": 9}),))
    await until(lambda: got)
    assert [event.data for event in got[0]] == [{"recipe": 9}]  # type: ignore[union-attr]  # events
    await runtime.stop()


async def _letter(runtime: Runtime) -> str:
    async with asyncio.timeout(10):
        while not (found := await letters(runtime.store)):
            await asyncio.sleep(0.01)
    return str(found[0]["error"])


def test_what_is_never_late_says_that_it_changes_the_plant() -> None:
    """`delivery = fresh` is for setpoints, and who writes those says so."""
    assert [name for name, cls in SINKS.items() if cls.delivery == "fresh" and not cls.writes] == []
    assert {"modbus.sink", "opcua.sink", "serial.sink"} <= {n for n, c in SINKS.items() if c.writes}
    assert "opcua.method" in WORKERS


def test_only_the_gate_calls_a_sink() -> None:
    """By the words in the engine: `sink.write` is handed out by the gate and by nothing else."""
    found = []
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("write", "handle", "answer"):
                owner = ast.unparse(node.value)
                if owner.rpartition(".")[2].strip("_") in ("sink", "worker", "node"):
                    found.append((path.name, f"{owner}.{node.attr}"))
    assert found == [("workers.py", "self.worker.answer"), ("writegate.py", "sink.write")]
