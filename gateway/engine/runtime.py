"""Runtime: the flows, their devices and the store as one running gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.engine.alarmbook import AlarmBook
from gateway.engine.clock import SystemClock
from gateway.engine.codec import pack_inputs
from gateway.engine.connections import ConnectionDriver
from gateway.engine.context import NodeContext, Secrets
from gateway.engine.egress import Egress
from gateway.engine.graph import Graph, new_node
from gateway.engine.ingress import Ingress
from gateway.engine.journal import opened
from gateway.engine.metrics import Lines, Live, NodeStatus, StatusBoard
from gateway.engine.runner import FlowRunner
from gateway.engine.store import Store
from gateway.engine.tagbook import TagBook
from gateway.engine.tasks import Tasks
from gateway.engine.view import wires_of
from gateway.engine.workers import WorkerDriver
from gateway.errors import ConfigError, Disconnected, GatewayError
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.node import Clock, Connection, Message, Node, Sink, Source, Worker
from gateway.flow.variables import resolve

_log = logging.getLogger("genba.runtime")
CHECKPOINT_S = 60.0
DRAIN_S = 3.0


class Runtime:
    """Runs flows until stopped.

    Args:
        documents: The flows.
        state_dir: Folder for the state file, secrets and certificates; made when absent.
        variables: Values for ``${name}`` in the flows.
        clock: The time; the machine's unless a simulation brings its own.
        store: The state file; `genba.db` in `state_dir` unless a simulation brings its own.
        tags_max: How many tags there may be.
        checkpoint_s: Seconds between checkpoints.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        state_dir: Path,
        *,
        variables: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        store: Store | None = None,
        tags_max: int = 10_000,
        checkpoint_s: float = CHECKPOINT_S,
    ) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self.state_dir = state_dir
        self.clock: Clock = clock or SystemClock()
        self.tags = TagTable(tags_max)
        self.live = Live(self.tags)
        self.lines = Lines()
        self.book = AlarmBook()
        self.store = store or Store(state_dir / "genba.db")
        self.store.told = self.lines.teller(self.clock.now, "store")
        self.runners: dict[str, FlowRunner] = {}
        self._board = StatusBoard()
        self.started_s = self.clock.monotonic()
        self._documents = list(documents)
        self._variables = dict(variables or {})
        self._secrets = Secrets(state_dir / "secrets")
        self._tasks = Tasks("engine")
        self._node_tasks = Tasks("nodes")
        self._reading = Tasks("sources")
        self._tag_book = TagBook(self.tags)
        self._connections: list[ConnectionDriver] = []
        self._ingresses: list[Ingress] = []
        self._checkpoint_s = checkpoint_s
        self._is_running = False

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Open the store, recover every flow and start all loops.

        No absent device prevents the start; a flow with an error is left out and said. A disk
        that is away or full is waited for.

        Raises:
            ConfigError: No flow can run, or another gateway has the state file.
            Disconnected: The disk went away while the state was read.
        """
        try:
            if damaged := await opened(self.store):
                self._say("error", "store", damaged)
            self.tags.load(await self.store.tags())
            self._tag_book.loaded()
            await self._add_flows()
            self.book.apply(await self.store.alarm_events())
        except BaseException:
            await self._tasks.stop()
            await self.store.close()
            raise
        self._is_running = True
        for runner in self.runners.values():
            self._tasks.start(f"flow/{runner.name}", self._keep_running(runner))
        for driver in self._connections:
            self._tasks.start(f"connection/{driver.ctx.node_id}", driver.run())
        for ingress in self._ingresses:
            self._reading.start(ingress.ctx.node_id, ingress.run())
        self._tasks.start("checkpoint", self._checkpoints())

    async def _add_flows(self) -> None:
        errors = []
        for document in self._documents:
            try:
                await self._add_flow(document)
            except Disconnected:
                raise  # The state file is away: that is no matter of one flow.
            except GatewayError as error:
                errors.append(str(error))
                self._say("error", document.name, f"This flow does not run: {error}")
        if errors and not self.runners:
            raise ConfigError("No flow can run.", hint=" ".join(errors))

    async def _keep_running(self, runner: FlowRunner) -> None:
        """Serve a flow; an error of our own costs what was taken, never the flow."""
        while True:
            try:
                await runner.run()
            except Exception as error:  # noqa: BLE001 - whatever it is, the flow goes on
                _log.exception("%s failed.", runner.name)
                self._say("error", runner.name, f"Rows were lost by an error of ours: {error!r}.")
                await asyncio.sleep(1.0)

    async def stop(self) -> None:
        """Stop reading, let the sinks finish for a moment, store a checkpoint, close."""
        if not self._is_running:
            return
        self._is_running = False
        for ingress in self._ingresses:
            ingress.released.clear()
        self._reading.cancel()
        with contextlib.suppress(TimeoutError):  # What still waits is part of the checkpoint.
            async with asyncio.timeout(DRAIN_S):
                for runner in self.runners.values():
                    await runner.drained()
        for ingress in self._ingresses:
            ingress.released.set()
        await self._reading.stop()
        await self._tasks.stop()
        await self._node_tasks.stop()
        await self._checkpoint()
        await self.store.close()

    async def _checkpoints(self) -> None:
        while True:
            await asyncio.sleep(self._checkpoint_s)
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        for runner in self.runners.values():
            try:
                await runner.checkpoint()
            except Disconnected as error:
                self._say("error", runner.name, f"No checkpoint: {error}")
            except Exception as error:  # noqa: BLE001 - one flow must not cost the others theirs
                self._say("error", runner.name, f"No checkpoint by an error of ours: {error!r}.")

    async def _add_flow(self, document: Document) -> None:
        document = document.with_values(lambda value: resolve(value, self._variables))
        connections: dict[str, Connection[Any]] = {}
        drivers: dict[str, ConnectionDriver] = {}
        for name, entry in document.connections.items():
            status = self._board.of(document.name, name, entry.type, "connection")
            ctx = self._context(status, connections)
            cls = registry.node_class(entry.type)
            connection = new_node(document, name, cls, ctx, "connections")
            if not isinstance(connection, Connection):
                raise ConfigError(f"{entry.type} is no connection.", where=f"connections.{name}")
            connections[name] = connection
            drivers[name] = ConnectionDriver(connection, ctx)

        def make(node_id: str, cls: type[Node[Any]]) -> NodeContext:
            entry = document.nodes.get(node_id)  # The communication alarm stands in no file.
            type_name = entry.type if entry is not None else "alarm.communication"
            status = self._board.of(document.name, node_id, type_name, cls.kind)
            return self._context(status, connections)

        graph = Graph(document, self.tags, make, observe=self.live.observer(document.name))
        runner = FlowRunner(
            graph,
            self.store,
            self.clock,
            durable=document.durability == "journal",
            book=self.book,
            tag_book=self._tag_book,
        )
        positions = await self.store.positions(document.name)
        ingresses = []
        for node_id, cls in graph.classes.items():
            if cls.kind == "transform":
                continue
            ctx = make(node_id, cls)
            ctx.position = positions.get(node_id)
            node = new_node(document, node_id, cls, ctx)
            driver = drivers.get(getattr(node.config, "connection", ""))
            if isinstance(node, Source):
                ingresses.append(Ingress(node, ctx, runner.inbox, driver))
            elif isinstance(node, Sink):
                runner.egresses[node_id] = Egress(node, ctx, driver, self._keeper(document.name))
            elif isinstance(node, Worker):
                runner.workers[node_id] = WorkerDriver(node, ctx, runner.inbox, driver)
        runner.statuses = self._board.nodes(document.name)
        for text in await runner.recover():
            self._say("error", document.name, text)
        self.runners[document.name] = runner
        self._connections += drivers.values()
        self._ingresses += ingresses
        for egress in runner.egresses.values():
            self._tasks.start(f"sink/{egress.ctx.node_id}", egress.run())
        for worker in runner.workers.values():
            self._tasks.start(f"worker/{worker.ctx.node_id}", worker.run())

    def _keeper(self, flow: str) -> Any:
        async def keep(node: str, error: str, port: str, message: Message) -> None:
            now = self.clock.now()
            block = pack_inputs([(node, port, message)], now)
            await self.store.dead_letter(flow, node, now, error, block)

        return keep

    def _context(
        self, status: NodeStatus, connections: Mapping[str, Connection[Any]]
    ) -> NodeContext:
        return NodeContext(
            status,
            tags=self.tags,
            clock=self.clock,
            data_dir=self.state_dir,
            tasks=self._node_tasks,
            secrets=self._secrets,
            lines=self.lines,
            connections=connections,
        )

    def _say(self, level: str, where: str, text: str) -> None:
        _log.log({"error": logging.ERROR, "info": logging.INFO}[level], "%s: %s", where, text)
        self.lines.add(self.clock.now(), level, where, text)

    async def act(self, action: str, data: Mapping[str, Any]) -> int:
        """Hand an operator's action to every flow, as journalled input.

        Args:
            action: ack, reset, shelve, unshelve, suppress, unsuppress, remove_from_service or
                return_to_service.
            data: At least ``alarm`` and ``actor``; what else the action needs.

        Returns:
            How many nodes it was handed to; 0 when no node has such an alarm.

        Raises:
            Disconnected: It cannot be recorded; nothing was done.
        """
        now = self.clock.now()
        await self.store.audit(now, str(data.get("actor", "")), f"alarm/{action}", data)
        event = Event(now, f"alarm/{action}", data)
        return sum(runner.act(event) for runner in self.runners.values())

    @property
    def statuses(self) -> list[NodeStatus]:
        """How every node is."""
        return self._board.all

    def wires(self) -> list[dict[str, Any]]:
        """Every wire with its rows, its drops and what waits at its end."""
        return [row for runner in self.runners.values() for row in wires_of(runner)]

    def status(self) -> dict[str, Any]:
        """Everything a screen shows but the tags, as plain values."""
        inboxes = {n: {"rows": r.inbox.rows, "peak": r.inbox.peak} for n, r in self.runners.items()}
        return {
            "now": self.clock.now(),
            "uptime_s": self.clock.monotonic() - self.started_s,
            "tags": len(self.tags),
            "nodes": [status.as_dict() for status in self.statuses],
            "wires": self.wires(),
            "inboxes": inboxes,
            "commits": self.store.commits,
            "bytes_written": self.store.bytes_written,
            "lines": [list(line) for line in self.lines.kept],
        }
