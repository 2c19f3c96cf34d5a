"""Wiring: what a graph is made of, and what a step gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Protocol

from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.errors import ConfigError, GatewayError
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.findings import valid_config
from gateway.flow.node import Alarms, Context, Message, Node, Transform

Input = tuple[str, str, Message]
"""(node, port, message): a source's output port, or a transform's input port."""
RESUMED: Final = ("", "resumed")
"""Node and port of the input that says: the gateway was away until now."""
DEPLOYED: Final = ("", "deployed")
"""Node and port of the input that says: from here on another revision of the flow runs."""
COMMUNICATION: Final = "communication"
"""Id of the node that every flow has without being told: one alarm a lost device."""
Ends = tuple[str, str, str, str]
"""A wire: source, its port, target, its port."""
_CANNOT: Final = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)
"""What a constructor of a stranger may raise."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A node raised: our code is wrong. The message is kept, because it is a ready-made test.

    Args:
        node: Its id.
        port: Where the message came in; empty for a timer.
        message: What it was working on; None for a timer.
        text: The error in a line.
        detail: The traceback.
    """

    node: str
    port: str
    message: Message | None
    text: str
    detail: str


@dataclass(slots=True)
class Result:
    """What one step gave.

    Args:
        outputs: (node, port, message) for every sink and worker that was reached, in order.
        alarms: Every alarm event that left any node, in order.
        trace: All that left any port, when the graph was asked to trace.
        faults: Nodes that raised in this step, with the message that did it.
    """

    outputs: list[Input] = field(default_factory=list)
    alarms: list[tuple[str, Alarms]] = field(default_factory=list)
    trace: list[Input] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


class WireCount:
    """Rows that went over one wire, and rows a stopped node did not take."""

    __slots__ = ("dropped", "rows")

    def __init__(self) -> None:
        self.rows = 0
        self.dropped = 0


class Stage:
    """A transform inside the graph, with what waits for it and the wires that leave it."""

    __slots__ = ("faulted", "id", "inbox", "node", "ports", "rank", "routes")

    def __init__(self, node_id: str, node: Transform[Any, Any], rank: int) -> None:
        self.id = node_id
        self.node = node
        self.rank = rank
        self.ports = frozenset(port.name for port in node.inputs)
        self.routes: dict[str, list[Route]] = {}
        self.inbox: list[tuple[str, Message, WireCount | None]] = []
        self.faulted = ""


class Route:
    """One wire: where it ends and what has gone over it."""

    __slots__ = ("count", "stage", "target", "target_port")

    def __init__(self, target: str, port: str, stage: Stage | None) -> None:
        self.target = target
        self.target_port = port
        self.stage = stage
        self.count = WireCount()


def in_order(nodes: Sequence[str], wires: Sequence[Ends]) -> list[str]:
    """Nodes so that each comes after those that feed it; ties in the order of the file.

    Raises:
        ConfigError: The wires form a cycle.

    Source: Kahn, Communications of the ACM 5 (1962) 558, topological sorting.
    """
    after: dict[str, set[str]] = {node: set() for node in nodes}
    for source, _, target, _ in wires:
        after[target].add(source)
    done: list[str] = []
    waiting = list(nodes)
    placed: set[str] = set()
    while waiting:
        ready = next((node for node in waiting if after[node] <= placed), None)
        if ready is None:
            raise ConfigError(
                f"The wires form a cycle through {', '.join(sorted(waiting))}.",
                hint="Cut one wire; a value can come back through a tag of the next reading.",
            )
        waiting.remove(ready)
        placed.add(ready)
        done.append(ready)
    return done


def add_communication(classes: dict[str, type[Node[Any]]]) -> list[Ends]:
    """Wire the status of every source to one alarm node, unless the flow has its own."""
    sources = [node_id for node_id, cls in classes.items() if cls.kind == "source"]
    kinds = {cls.__module__ for cls in classes.values()}
    if not sources or "nodes.alarm.communication" in kinds or COMMUNICATION in classes:
        return []
    classes[COMMUNICATION] = registry.node_class("alarm.communication")
    return [(source, "status", COMMUNICATION, "in") for source in sources]


def new_node(
    document: Document, node_id: str, cls: type[Node[Any]], ctx: Context, section: str = "nodes"
) -> Node[Any]:
    """A node or a connection of a document, with a config that was checked.

    Raises:
        ConfigError: An option is wrong, or the node cannot be made.
    """
    entry = (document.nodes if section == "nodes" else document.connections).get(node_id)
    where = partial(document.where, section, node_id)
    config = valid_config(cls.Config, entry.config if entry is not None else {}, where)
    try:
        return cls(config, ctx)
    except GatewayError as error:
        place = getattr(error, "where", "") or where()
        raise ConfigError(
            getattr(error, "text", str(error)), where=place, hint=getattr(error, "hint", "")
        ) from error
    except _CANNOT as error:
        text = f"The node cannot be made: {type(error).__name__}: {error}."
        raise ConfigError(text, where=where()) from error


def rows(message: Message) -> int:
    """Rows in a message; a window counts its samples."""
    return len(message.rows) if isinstance(message, Windows) else len(message)


class ContextFactory(Protocol):
    """Makes the context of a node."""

    def __call__(self, node_id: str, cls: type[Node[Any]]) -> Context:
        """The context for the node with this id."""


def bench_contexts(flow: str, tags: TagTable) -> ContextFactory:
    """Contexts without an engine, for tests of flows."""
    from gateway.flow.harness import BenchContext

    def make(node_id: str, cls: type[Node[Any]]) -> Context:
        return BenchContext(tags=tags, node_id=node_id, flow=flow)

    return make
