"""Runtime: the flows, their devices and the store as one running gateway."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.data.alarm import AlarmEvent
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.engine.alarmbook import AlarmBook
from gateway.engine.clock import SystemClock
from gateway.engine.codec import pack_inputs
from gateway.engine.connections import ConnectionDriver
from gateway.engine.context import NodeContext, Secrets
from gateway.engine.egress import Egress
from gateway.engine.graph import COMMUNICATION, Graph
from gateway.engine.ingress import Arrived, Ingress
from gateway.engine.metrics import Lines, Live, NodeStatus
from gateway.engine.runner import FlowRunner
from gateway.engine.store import Executor, Store
from gateway.engine.tagbook import TagBook
from gateway.engine.tasks import Tasks
from gateway.engine.workers import WorkerDriver
from gateway.errors import ConfigError
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.node import Clock, Connection, Context, Message, Node, Sink, Source, Worker
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
        executor: Where SQL runs; a thread unless a simulation runs it inline.
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
        executor: Executor | None = None,
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
        self.store = Store(state_dir / "genba.db", executor)
        self.runners: dict[str, FlowRunner] = {}
        self.statuses: list[NodeStatus] = []
        self.started_s = self.clock.monotonic()
        self._documents = list(documents)
        self._variables = dict(variables or {})
        self._secrets = Secrets(state_dir / "secrets")
        self._tasks = Tasks("engine")
        self._node_tasks = Tasks("nodes")
        self._tag_book = TagBook(self.tags)
        self._connections: list[ConnectionDriver] = []
        self._ingresses: list[Ingress] = []
        self._checkpoint_s = checkpoint_s
        self._is_running = False

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Open the store, recover every flow and start all loops.

        An absent device never prevents the start; a flow with an error is left out and said.

        Raises:
            ConfigError: No flow at all can run.
        """
        damaged = await self.store.open()
        if damaged:
            self._say("error", "store", damaged)
        facts = await self.store.tags()
        self.tags.load(facts)
        self._tag_book.saved(dict(enumerate(facts)))
        errors = []
        for document in self._documents:
            try:
                await self._add_flow(document)
            except ConfigError as error:
                errors.append(str(error))
                self._say("error", document.name, f"This flow does not run: {error}")
        if errors and not self.runners:
            await self.store.close()
            raise ConfigError("No flow can run.", hint=" ".join(errors))
        self.book.apply(await self.store.alarm_events())
        self._is_running = True
        for runner in self.runners.values():
            self._tasks.start(f"flow/{runner.name}", runner.run())
        for driver in self._connections:
            self._tasks.start(f"connection/{driver.ctx.node_id}", driver.run())
        for ingress in self._ingresses:
            self._tasks.start(f"source/{ingress.ctx.node_id}", ingress.run())
        self._tasks.start("checkpoint", self._checkpoints())

    async def stop(self) -> None:
        """Stop reading, let the sinks finish for a moment, store a checkpoint, close."""
        if not self._is_running:
            return
        self._is_running = False
        egresses = [e for runner in self.runners.values() for e in runner.egresses.values()]
        try:
            waits = [egress.drained() for egress in egresses]
            await asyncio.wait_for(asyncio.gather(*waits), DRAIN_S)
        except TimeoutError:
            pass  # What still waits is part of the checkpoint.
        await self._tasks.stop()
        await self._node_tasks.stop()
        for runner in self.runners.values():
            await runner.checkpoint()
        await self.store.close()

    async def _checkpoints(self) -> None:
        while True:
            await asyncio.sleep(self._checkpoint_s)
            for runner in self.runners.values():
                await runner.checkpoint()

    # ------------------------------------------------------------------ building

    async def _add_flow(self, document: Document) -> None:
        document = document.with_values(lambda value: resolve(value, self._variables))
        connections: dict[str, Connection[Any]] = {}
        drivers: dict[str, ConnectionDriver] = {}
        for name, entry in document.connections.items():
            status = self._status(document.name, name, entry.type, "connection")
            ctx = self._context(status, connections)
            cls = registry.node_class(entry.type)
            connection = cls(cls.Config.model_validate(dict(entry.config)), ctx)
            if not isinstance(connection, Connection):
                raise ConfigError(f"{entry.type} is no connection.", where=f"connections.{name}")
            connections[name] = connection
            drivers[name] = ConnectionDriver(connection, ctx)

        def make(node_id: str, cls: type[Node[Any]]) -> Context:
            return self._context(self._node_status(document, node_id, cls), connections)

        graph = Graph(document, self.tags, make, observe=self.live.observe)
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
            ctx = self._context(self._node_status(document, node_id, cls), connections)
            ctx.position = positions.get(node_id)
            node = cls(cls.Config.model_validate(dict(document.nodes[node_id].config)), ctx)
            driver = drivers.get(getattr(node.config, "connection", ""))
            if isinstance(node, Source):
                ingresses.append(Ingress(node, ctx, runner.inbox, driver))
            elif isinstance(node, Sink):
                runner.egresses[node_id] = Egress(node, ctx, driver, self._keeper(document.name))
            elif isinstance(node, Worker):
                runner.workers[node_id] = WorkerDriver(node, ctx, runner.inbox, driver)
        runner.statuses = {s.node: s for s in self.statuses if s.flow == document.name}
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

    def _node_status(self, document: Document, node_id: str, cls: type[Node[Any]]) -> NodeStatus:
        for status in self.statuses:
            if status.flow == document.name and status.node == node_id:
                return status
        entry = document.nodes.get(node_id)
        kind = entry.type if entry is not None else "alarm.communication"
        status = self._status(document.name, node_id, kind, cls.kind)
        if cls.kind == "transform":
            status.state = "running"
        return status

    def _status(self, flow: str, node: str, kind_name: str, kind: str) -> NodeStatus:
        status = NodeStatus(flow, node, kind_name, kind)
        self.statuses.append(status)
        return status

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

    # ------------------------------------------------------------------ operators

    async def act(self, action: str, data: Mapping[str, Any]) -> None:
        """Hand an operator's action to every flow, as journalled input.

        Args:
            action: ack, reset, shelve, unshelve, suppress, unsuppress, remove_from_service or
                return_to_service.
            data: At least ``alarm`` and ``actor``; what else the action needs.
        """
        now = self.clock.now()
        await self.store.audit(now, str(data.get("actor", "")), f"alarm/{action}", data)
        alarm = str(data.get("alarm", "*"))
        for runner in self.runners.values():
            nodes = runner.graph.alarm_nodes()
            if alarm != "*":
                nodes = [n for n in nodes if alarm.startswith(f"{runner.name}/{n}:")]
            for node in nodes:
                event = Event(now, f"alarm/{action}", data)
                runner.inbox.put_now(Arrived(node, [("operator", (event,))]), 1)

    # ------------------------------------------------------------------ what there is

    def open_alarms(self) -> list[AlarmEvent]:
        """The newest event of every alarm that is open."""
        return self.book.open()

    def wires(self) -> list[dict[str, Any]]:
        """Every wire with its rows, its drops and what waits at its end."""
        found = []
        for runner in self.runners.values():
            for (source, port, target, target_port), count in runner.graph.wires.items():
                if target == COMMUNICATION and not count.rows:
                    continue
                queued = dropped = 0
                if target in runner.egresses:
                    egress = runner.egresses[target]
                    queued = egress.queued_rows
                    dropped = egress.ctx.status.counts["dropped_full"]
                elif target in runner.workers:
                    queued = runner.workers[target].queued
                found.append(
                    {
                        "flow": runner.name,
                        "from": f"{source}.{port}",
                        "to": f"{target}.{target_port}",
                        "rows": count.rows,
                        "dropped": count.dropped + dropped,
                        "queued": queued,
                    }
                )
        return found

    def status(self) -> dict[str, Any]:
        """Everything a screen shows but the tags, as plain values."""
        inboxes = {
            r.name: {"rows": r.inbox.rows, "peak": r.inbox.peak} for r in self.runners.values()
        }
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
