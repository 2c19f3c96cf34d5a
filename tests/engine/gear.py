"""What the engine's tests share: nodes that are told what to do, and a runtime around them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from gateway import (
    Batch,
    Config,
    Context,
    Disconnected,
    Message,
    Port,
    Reading,
    Sink,
    Source,
    Transform,
    Worker,
)
from gateway.engine.runtime import Runtime
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.node import Connection, Outputs

NS = 10**9
T0 = 1_800_000_000 * NS


class Empty(Config):
    """Nothing to set."""


class Wanted(Config):
    connection: str = ""


Act = Callable[..., Awaitable[Any]]


class Script:
    """What the nodes of one test do; each test has its own."""

    def __init__(self) -> None:
        self.readings: asyncio.Queue[Any] = asyncio.Queue()
        self.acknowledged: list[Any] = []
        self.log: list[str] = []
        self.written: list[tuple[str, Message]] = []
        self.trouble: list[Exception] = []
        """Raised by the next writes (or answers), one each."""
        self.connect_trouble: list[Exception] = []
        self.open_trouble: list[Exception] = []
        self.acknowledge_trouble: list[Exception] = []
        self.lost: asyncio.Queue[str] = asyncio.Queue()
        self.opened = 0
        self.tags: list[str] = []
        self.poison: Callable[[Message], Exception | None] = lambda message: None
        self.slow = asyncio.Event()
        self.slow.set()
        self.away = False
        """True while no sink and no worker of the script can be reached."""
        self.asked: list[float] = []
        """First value of every question the worker was given."""
        self.writing = 0
        self.writing_max = 0
        """How many writes were under way at once."""

    def nodes(self) -> dict[str, type[Any]]:  # noqa: C901 - seven small classes
        """Node classes that follow this script."""
        script = self

        class ScriptSource(Source[Wanted]):
            Config = Wanted
            tells_gaps = True

            async def connect(self) -> None:
                if script.connect_trouble:
                    raise script.connect_trouble.pop(0)
                if self.config.connection:
                    self.ctx.connection(Connection, self.config.connection)

            async def read(self) -> Reading:
                item = await script.readings.get()
                if isinstance(item, BaseException):
                    raise item
                return item if isinstance(item, Reading) else Reading({"out": item})

            async def acknowledge(self, token: Any) -> None:
                if script.acknowledge_trouble:
                    raise script.acknowledge_trouble.pop(0)
                script.acknowledged.append(token)
                script.log.append(f"acknowledge {token}")

            async def close(self) -> None:
                script.log.append("close")

            def tag_names(self) -> list[str]:
                return script.tags

        class ScriptSink(Sink[Empty]):
            Config = Empty
            inputs = (
                Port("in", "samples", "Samples."),
                Port("alarms", "alarms", "Alarms."),
                Port("events", "events", "Events."),
            )

            async def connect(self) -> None:
                if script.away:
                    raise Disconnected("It is away.")

            async def write(self, message: Message, port: str) -> None:
                script.writing += 1
                script.writing_max = max(script.writing, script.writing_max)
                try:
                    await script.slow.wait()
                    await asyncio.sleep(0)
                finally:
                    script.writing -= 1
                if script.away:
                    raise Disconnected("It is away.")
                if script.trouble:
                    raise script.trouble.pop(0)
                if (error := script.poison(message)) is not None:
                    raise error
                script.written.append((port, message))

        class ScriptLanes(ScriptSink):
            lanes: ClassVar[int] = 4

        class ScriptLatest(ScriptSink):
            delivery: ClassVar[Literal["every", "latest", "fresh"]] = "latest"

        class ScriptFresh(ScriptSink):
            delivery: ClassVar[Literal["every", "latest", "fresh"]] = "fresh"

        class ScriptConnection(Connection[Empty]):
            Config = Empty

            async def open(self) -> None:
                script.opened += 1
                if script.open_trouble:
                    raise script.open_trouble.pop(0)

            async def lost(self) -> str:
                return await script.lost.get()

        class ScriptWorker(Worker[Empty, Batch]):
            Config = Empty
            inputs = (Port("in", "samples", "Questions."),)
            outputs = (Port("out", "samples", "Answers."),)

            async def connect(self) -> None:
                if script.away:
                    raise Disconnected("It is away.")

            async def handle(self, message: Batch, port: str) -> Outputs:
                script.asked.append(float(message.value[0]))
                await script.slow.wait()
                if script.away:
                    raise Disconnected("It is away.")
                if script.trouble:
                    raise script.trouble.pop(0)
                return {"out": message.with_value(message.value * 2)}

        class ScriptTimer(Transform[Empty, Batch]):
            Config = Empty

            def wake_at(self) -> int | None:
                return T0

            def process(self, message: Batch, port: str) -> Outputs:
                return {"out": message}

        class OtherSource(ScriptSource):
            """Does the same, but is another type, as for a node that was changed."""

        class OtherSink(ScriptSink):
            pass

        class OtherWorker(ScriptWorker):
            pass

        class OtherConnection(ScriptConnection):
            pass

        class Broken(ScriptTimer):
            def __init__(self, config: Empty, ctx: Context) -> None:
                raise ValueError("it was told to")

        class BrokenSink(ScriptSink):
            def __init__(self, config: Empty, ctx: Context) -> None:
                raise ValueError("it was told to")

        return {
            "script.other_source": OtherSource,
            "script.other_sink": OtherSink,
            "script.other_worker": OtherWorker,
            "script.other_connection": OtherConnection,
            "script.broken": Broken,
            "script.broken_sink": BrokenSink,
            "script.source": ScriptSource,
            "script.sink": ScriptSink,
            "script.lanes": ScriptLanes,
            "script.latest": ScriptLatest,
            "script.fresh": ScriptFresh,
            "script.connection": ScriptConnection,
            "script.worker": ScriptWorker,
            "script.timer": ScriptTimer,
        }


@contextmanager
def lent(script: Script) -> Iterator[Script]:
    """The script's nodes are known to flows."""
    registry.LENT.update(script.nodes())
    try:
        yield script
    finally:
        registry.LENT.clear()


def flow(nodes: str, wires: str, name: str = "test", more: str = "") -> Document:
    """A document of nodes (``id: {type: …}`` a line) and wires (comma separated)."""
    body = "\n".join(f"  {line.strip()}" for line in nodes.strip().splitlines())
    return Document.parse(f"flow: {name}\nversion: 1\n{more}\nnodes:\n{body}\nwires: [{wires}]\n")


async def until(check: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.005)


async def started(document: Document | list[Document], folder: Path, **more: Any) -> Runtime:
    """A running runtime."""
    documents = document if isinstance(document, list) else [document]
    runtime = Runtime(documents, folder, **more)
    await runtime.start()
    return runtime


async def kill(runtime: Runtime) -> None:
    """Drop a runtime as kill -9 does: no stop, no checkpoint, no tidying of the file."""
    store = runtime.store
    store._db, store_db = None, store._db
    own = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not own]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    store._executor.close()
    await runtime.models.stop()  # Else its sockets would outlive the loop of the test.
    store._unlock()
    assert store_db is not None
    store_db.close()


def samples(ctx: Context | Runtime, text: str) -> Batch:
    """Samples in table notation, for the tags of a runtime; 0s is T0."""
    from gateway import parse_table

    return parse_table(text, ctx.tags, origin=T0)


def values(script: Script) -> list[float]:
    """All values that the sinks took, in order."""
    return [v for _, message in script.written if isinstance(message, Batch) for v in message.value]


__all__ = [
    "NS",
    "T0",
    "Disconnected",
    "Script",
    "flow",
    "kill",
    "lent",
    "samples",
    "started",
    "until",
    "values",
]
