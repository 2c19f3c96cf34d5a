"""What tests of setpoints share: a device that records, people, and a grant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from gateway import Batch, Config, Message, Outputs, Sink, TagTable, Transform
from gateway.data.tasks import Tasks
from gateway.engine.context import NodeContext, Secrets
from gateway.engine.destinations import Destinations
from gateway.engine.doors import Doors
from gateway.engine.metrics import Lines, NodeStatus
from gateway.engine.principal import Principal
from gateway.engine.runtime import Runtime
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.grant import Grant
from gateway.flow.node import Clock
from tests.engine.gear import Empty, Script, flow

ANNA = Principal("user:anna", "operator", True, "anna", "s1", is_fresh=True)
BOB = Principal("user:bob", "engineer", True, "bob", "s2", is_fresh=True)
CARL = Principal("user:carl", "administrator", False, "carl", "s3", is_fresh=True)
TAG = "press/speed/setpoint"
SHOWN = "press/speed"
RUNS = "press/running"


class ValveConfig(Config):
    tags: dict[str, str] = {TAG: "1"}


class Device:
    """What a test's device holds, and every value it was ever given, with what is to go wrong."""

    def __init__(self) -> None:
        self.given: list[tuple[str, float]] = []
        self.script = Script()

    def nodes(self) -> dict[str, type[Any]]:
        """The script's nodes, and a sink that changes the plant."""
        device = self
        script_sink: Any = self.script.nodes()["script.sink"]

        class Valve(script_sink):  # type: ignore[misc]  # a class that was made a moment ago
            Config = ValveConfig
            delivery: ClassVar[Literal["every", "latest", "fresh"]] = "fresh"
            writes = True
            inputs = Sink.inputs

            async def write(self, message: Message, port: str) -> None:
                await super().write(message, port)
                assert isinstance(message, Batch)
                rows = [(self.ctx.tags.name(c), v) for c, _, v, _ in message.rows()]
                device.given += rows
                self.ctx.count("written", len(rows))

        class Keeping(Valve):
            delivery: ClassVar[Literal["every", "latest", "fresh"]] = "every"

        class Only(Transform[Empty, Batch]):
            """Passes what is wanted on, as a computation in a flow would."""

            Config = Empty

            def process(self, message: Batch, port: str) -> Outputs:
                rows = message.where(message.tag == self.ctx.tags.code(TAG))
                return {"out": rows} if len(rows) else {}

        own = {"script.only": Only, "script.keeping": Keeping}
        return {**self.script.nodes(), **own, "script.valve": Valve}

    async def shows(self, runtime: Runtime, **values: float) -> None:
        """The device's source brings samples."""
        names = {"speed": SHOWN, "running": RUNS, "wanted": TAG}
        now = runtime.clock.now()
        rows = [(runtime.tags.code(names[n]), now, v, 0) for n, v in values.items()]
        self.script.readings.put_nowait(Batch.of(rows))


@contextmanager
def device() -> Iterator[Device]:
    """A device whose nodes are known to flows."""
    made = Device()
    registry.LENT.update(made.nodes())
    try:
        yield made
    finally:
        registry.LENT.clear()


def press(sink: str = "script.valve", more: str = "allow_write: true") -> Document:
    """A flow that reads the device and passes what is wanted on to it."""
    nodes = "src: {type: script.source}\n"
    nodes += f"only: {{type: script.only}}\nvalve: {{type: {sink}}}"
    return flow(nodes, "src -> only -> valve", "press", more)


def grant(**what: Any) -> Grant:
    """A grant for the one setpoint."""
    given = {"id": "speed", "flow": "press", "node": "valve", "tags": [TAG], "lo": 0, "hi": 100}
    return Grant.model_validate({**given, **what})


READ_BACK = {"read_back": {TAG: SHOWN}, "tolerance": 0.5}


def flow_context(name: str, node: str, tags: TagTable, clock: Clock) -> NodeContext:
    """The context of a sink whose gate is tested alone."""
    return NodeContext(
        NodeStatus(name, node, "test", "sink"),
        tags=tags,
        clock=clock,
        data_dir=Path(),
        tasks=Tasks("test"),
        secrets=Secrets(Path()),
        lines=Lines(),
        connections={},
        destinations=Destinations(Path("destinations.json")),
        doors=Doors(),
    )
