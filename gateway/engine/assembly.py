"""Assembly: makes the running parts of a flow from its document."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from gateway.data.tag import TagTable
from gateway.data.tasks import Tasks
from gateway.engine.alarmbook import AlarmBook
from gateway.engine.codec import pack_inputs
from gateway.engine.connections import ConnectionDriver
from gateway.engine.context import NodeContext
from gateway.engine.destinations import Destinations
from gateway.engine.doors import Doors
from gateway.engine.egress import DeadLetter, Egress
from gateway.engine.graph import Graph, new_node
from gateway.engine.ingress import Ingress
from gateway.engine.lane import Waiting
from gateway.engine.metrics import Lines, Live, NodeStatus, StatusBoard
from gateway.engine.models_pool import ModelPool
from gateway.engine.outbox import node_of_box
from gateway.engine.packing import unpack_messages
from gateway.engine.runner import FlowRunner
from gateway.engine.secrets import Secrets
from gateway.engine.spans import Spans
from gateway.engine.store import Store
from gateway.engine.store_letters import letter_key
from gateway.engine.store_records import keep_letter
from gateway.engine.tagbook import TagBook
from gateway.engine.timed import TimedGate, TimedGraph, TimedRunner, TimedWorker
from gateway.engine.wiring import rows
from gateway.engine.workers import WorkerDriver
from gateway.engine.writegate import WriteGate
from gateway.engine.writeledger import WriteLedger
from gateway.errors import ConfigError, StateError
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.entries import OutboxOptions
from gateway.flow.node import Clock, Connection, Message, Node, Sink, Source
from gateway.flow.worker import Worker

MEMORY_BYTES_MAX: Final = 64_000_000
"""What may wait for a sink of a flow that keeps nothing on the disk, unless the flow says more."""
Border: TypeAlias = Ingress | Egress | WorkerDriver


def outbox_options(document: Document, node_id: str) -> OutboxOptions | None:
    """How much may wait for a node of a flow; None is as much as is usual."""
    options = document.nodes[node_id].outbox
    cls = document.class_of(node_id)
    is_bounded = document.durability != "journal" and cls is not None and cls.kind == "sink"
    if options is None and is_bounded:
        options = OutboxOptions(bytes_max=MEMORY_BYTES_MAX)
    return options


@dataclass(slots=True)
class Shop:
    """What all flows of a gateway share."""

    state_dir: Path
    clock: Clock
    store: Store
    tags: TagTable
    live: Live
    lines: Lines
    book: AlarmBook
    tag_book: TagBook
    secrets: Secrets
    writes: WriteLedger
    destinations: Destinations
    models: ModelPool
    spans: Spans | None = None
    doors: Doors = field(default_factory=Doors)
    figures: Callable[[], Mapping[str, float]] = dict
    """How the gateway is; the runtime says it."""
    board: StatusBoard = field(default_factory=StatusBoard)
    node_tasks: Tasks = field(default_factory=lambda: Tasks("nodes"))


class Assembly:
    """Makes connections, graph and border nodes of one flow.

    Args:
        shop: What all flows share.
        flow: The flow's name.
    """

    def __init__(self, shop: Shop, flow: str) -> None:
        self.shop = shop
        self.flow = flow

    def context(
        self, status: NodeStatus, connections: Mapping[str, Connection[Any]]
    ) -> NodeContext:
        """What one node may use."""
        shop = self.shop
        return NodeContext(
            status,
            tags=shop.tags,
            clock=shop.clock,
            data_dir=shop.state_dir,
            tasks=shop.node_tasks,
            secrets=shop.secrets,
            lines=shop.lines,
            connections=connections,
            destinations=shop.destinations,
            doors=shop.doors,
            models=shop.models,
            figures=lambda: shop.figures(),  # As it is when it is asked.
        )

    def connection(self, document: Document, name: str) -> ConnectionDriver:
        """A connection and the loop that keeps it open, not yet started.

        Raises:
            ConfigError: Its type or an option is wrong.
        """
        entry = document.connections[name]
        status = self.shop.board.of(self.flow, name, entry.type, "connection")
        cls = registry.node_class(entry.type)
        ctx = self.context(status, {})
        connection = new_node(document, name, cls, ctx, "connections")
        if not isinstance(connection, Connection):
            raise ConfigError(f"{entry.type} is no connection.", where=f"connections.{name}")
        return ConnectionDriver(connection, ctx, is_off=entry.disabled)

    def node_context(
        self,
        document: Document,
        node_id: str,
        cls: type[Node[Any]],
        connections: Mapping[str, Connection[Any]],
    ) -> NodeContext:
        """The context of a node of the flow."""
        entry = document.nodes.get(node_id)  # The communication alarm stands in no file.
        type_name = entry.type if entry is not None else "alarm.communication"
        status = self.shop.board.of(self.flow, node_id, type_name, cls.kind)
        return self.context(status, connections)

    def graph(self, document: Document) -> Graph:
        """The flow made executable.

        Raises:
            ConfigError: A node type or a config is wrong, or wires form a cycle.
        """

        def make(node_id: str, cls: type[Node[Any]]) -> NodeContext:
            return self.node_context(document, node_id, cls, {})

        observe = self.shop.live.observer(self.flow)
        kind = TimedGraph if self.shop.spans is not None else Graph
        return kind(document, self.shop.tags, make, observe=observe)

    def runner(self, document: Document, graph: Graph) -> FlowRunner:
        """The flow with its queues, without its border nodes."""
        shop = self.shop
        kind = TimedRunner if shop.spans is not None else FlowRunner
        runner = kind(
            graph,
            shop.store,
            shop.clock,
            durable=document.durability == "journal",
            book=shop.book,
            tag_book=shop.tag_book,
        )
        if isinstance(runner, TimedRunner) and shop.spans is not None:
            runner.trace_with(shop.spans)
        return runner

    def border(
        self,
        document: Document,
        node_id: str,
        runner: FlowRunner,
        drivers: Mapping[str, ConnectionDriver],
        position: Any,
    ) -> Border | None:
        """A source, sink or worker with the loop that drives it, not yet started.

        Raises:
            ConfigError: Its config is wrong.
        """
        cls = registry.node_class(document.nodes[node_id].type)
        connections = {name: driver.connection for name, driver in drivers.items()}
        ctx = self.node_context(document, node_id, cls, connections)
        ctx.position = position
        node = new_node(document, node_id, cls, ctx)
        driver = drivers.get(getattr(node.config, "connection", ""))
        options = outbox_options(document, node_id)
        if isinstance(node, Source):
            return Ingress(node, ctx, runner.inbox, driver)
        keep = self._keeper(runner)
        spans = self.shop.spans
        gate = (WriteGate if spans is None else TimedGate)(
            self.shop.writes,
            ctx,
            writes=cls.writes,
            allowed=document.allow_write,
            is_fresh=isinstance(node, Sink) and node.delivery == "fresh",
        )
        if isinstance(gate, TimedGate) and spans is not None:
            gate.spans = spans
        if isinstance(node, Worker):
            attend = WorkerDriver if spans is None else TimedWorker
            found = attend(node, ctx, runner.inbox, driver, keep, self._read_block, gate, options)
            if isinstance(found, TimedWorker) and spans is not None:
                found.spans = spans
            return found
        if isinstance(node, Sink):
            return Egress(node, ctx, driver, keep, self._read_block, gate, options)
        return None

    def _keeper(self, runner: FlowRunner) -> DeadLetter:
        async def keep(node: str, number: int, error: str, port: str, message: Message) -> None:
            now = self.shop.clock.now()
            owner = node_of_box(node)
            block = pack_inputs([(owner, port, message)], 0)
            key = letter_key(f"{self.flow}/{node}/{number}", block)
            await keep_letter(
                self.shop.store,
                key,
                self.flow,
                owner,
                port,
                now,
                runner.revision,
                error,
                rows(message),
                block,
            )

        return keep

    async def _read_block(self, node: str, first: int) -> Sequence[Waiting]:
        """What waits on the disk; a block that is damaged is lost, and said."""
        data = await self.shop.store.block(self.flow, node, first)
        try:
            return unpack_messages(data, first) if data else []
        except StateError as error:
            self.shop.store.lost(f"Rows that waited for {node} in {self.flow} are lost: {error}")
            return []
