"""A real mosquitto, and a bed that drives nodes as the engine does."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from gateway import Batch, ConfigError, Event, Message, Reading, TagTable
from gateway.flow.harness import BenchContext
from nodes.mqtt.connection import MqttConnection
from nodes.mqtt.sink import MqttSink
from nodes.mqtt.source import MqttSource


class WallClock:
    """The machine's clocks."""

    def now(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class LiveContext(BenchContext):
    """A context with a clock, connections and tasks."""

    connections: dict[str, Any] = field(default_factory=dict)
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    def connection(self, kind: type[Any], name: str) -> Any:
        if name not in self.connections:
            raise ConfigError(f"There is no connection {name!r}.")
        return self.connections[name]

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.append(task)
        return task


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A mosquitto of our own; only this process is ever killed."""

    def __init__(self, folder: Path, extra: str = "", port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.extra = extra
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        conf = self.folder / "mosquitto.conf"
        lines = [
            "user root",
            f"listener {self.port} 127.0.0.1",
            "max_queued_messages 100000",
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
        ]
        if "allow_anonymous" not in self.extra:
            lines.append("allow_anonymous true")
        conf.write_text("\n".join([*lines, self.extra]) + "\n")
        log = (self.folder / "broker.log").open("ab")
        self._process = subprocess.Popen(
            ["/usr/sbin/mosquitto", "-c", str(conf)], stdout=log, stderr=log
        )
        log.close()
        for _ in range(200):
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError((self.folder / "broker.log").read_text())

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            if kill:
                self._process.kill()
            else:
                self._process.terminate()
            self._process.wait(10)
            self._process = None


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[Any]:
    made: list[Broker] = []

    def make(extra: str = "", *, start: bool = True) -> Broker:
        folder = tmp_path / f"broker{len(made)}"
        folder.mkdir()
        broker = Broker(folder, extra)
        made.append(broker)
        if start:
            broker.start()
        return broker

    yield make
    for broker in made:
        broker.stop()


@pytest.fixture
def broker(make_broker: Any) -> Broker:
    found: Broker = make_broker()
    return found


class Bed:
    """Plays the engine: opens, connects, reads, acknowledges, closes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tags = TagTable(1000)
        self.secrets: dict[str, str] = {}
        self.connections: dict[str, Any] = {}
        self.contexts: list[LiveContext] = []

    def context(self, name: str, position: Any = None) -> LiveContext:
        ctx = LiveContext(
            tags=self.tags,
            node_id=name,
            flow="test",
            clock=WallClock(),
            position=position,
            data_dir=self.folder,
            secrets=self.secrets,
            connections=self.connections,
        )
        self.contexts.append(ctx)
        return ctx

    def connection(self, url: str, name: str = "broker", **config: Any) -> MqttConnection:
        known = MqttConnection.Config.model_validate({"url": url, **config})
        self.connections[name] = MqttConnection(known, self.context(name))
        return self.connections[name]

    def source(self, name: str = "in", position: Any = None, **config: Any) -> MqttSource:
        known = MqttSource.Config.model_validate({"connection": "broker", **config})
        return MqttSource(known, self.context(name, position))

    def sink(self, name: str = "out", **config: Any) -> MqttSink:
        known = MqttSink.Config.model_validate({"connection": "broker", **config})
        return MqttSink(known, self.context(name))

    async def close(self) -> None:
        for connection in self.connections.values():
            await connection.close()
        for ctx in self.contexts:
            for task in ctx.tasks:
                task.cancel()


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncIterator[Bed]:
    made = Bed(tmp_path)
    yield made
    await made.close()


class Collector:
    """Reads from a source until enough came."""

    def __init__(self, source: MqttSource) -> None:
        self.source = source
        self.readings: list[Reading] = []
        self.batches: list[Batch] = []
        self.events: dict[str, list[Event]] = {"status": [], "events": []}

    async def read(
        self, rows: int = 0, *, status: int = 0, events: int = 0, commit: bool = False
    ) -> None:
        """Read until at least so many rows and events are there."""
        async with asyncio.timeout(20):
            while (
                self.rows < rows
                or len(self.events["status"]) < status
                or len(self.events["events"]) < events
            ):
                self.take(await self.source.read())
                if commit:
                    await self.commit()

    def take(self, reading: Reading) -> None:
        self.readings.append(reading)
        for port, message in reading.outputs.items():
            self._keep(port, message)

    def _keep(self, port: str, message: Message) -> None:
        if isinstance(message, Batch):
            self.batches.append(message)
        else:
            self.events[port].extend(message)  # type: ignore[arg-type]  # events by their ports

    @property
    def rows(self) -> int:
        return sum(map(len, self.batches))

    @property
    def batch(self) -> Batch:
        return Batch.concat(self.batches)

    def table(self) -> dict[str, list[float]]:
        """Values by tag name, in order."""
        found: dict[str, list[float]] = {}
        for tag, _, value, _ in self.batch.rows():
            found.setdefault(self.source.ctx.tags.name(tag), []).append(value)
        return found

    async def commit(self) -> None:
        """Acknowledge all that was read."""
        for reading in self.readings:
            await self.source.acknowledge(reading.token)
        self.readings.clear()


@pytest.fixture
def collect() -> type[Collector]:
    return Collector


async def publish(broker: Broker, messages: list[tuple[str, Any]], qos: int = 1) -> None:
    """Publish by another library than ours."""
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        for topic, payload in messages:
            await client.publish(topic, payload, qos=qos)


@pytest.fixture
def send() -> Any:
    return publish


@pytest.fixture
def settle() -> Any:
    async def wait(check: Any, timeout_s: float = 10.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not check():
                await asyncio.sleep(0.01)

    return wait
