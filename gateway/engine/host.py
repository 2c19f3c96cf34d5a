"""Host: one flow with all its loops, and how a new revision takes its place while it runs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

from gateway.data.tasks import Tasks
from gateway.engine.assembly import Assembly, Border, Shop
from gateway.engine.change import changed_sources, classes_of, closed
from gateway.engine.closing import close_queues, drop_orphans, told
from gateway.engine.connections import ConnectionDriver
from gateway.engine.egress import Egress
from gateway.engine.graph import Graph
from gateway.engine.ingress import Ingress
from gateway.engine.place import about
from gateway.engine.runner import FlowRunner
from gateway.engine.store_entry import Revision
from gateway.engine.store_records import revisions
from gateway.engine.swap import Swap
from gateway.engine.turn import ends_of, turn_of
from gateway.engine.workers import WorkerDriver
from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.variables import resolve

_log = logging.getLogger("genba.host")


def resolved(revision: Revision) -> Document:
    """The document of a revision, with the variables it had.

    Raises:
        ConfigError: It cannot be read any more.
    """
    values = json.loads(revision.variables)
    document = Document.parse(revision.text)
    return document.with_values(lambda value: resolve(value, values))


class FlowHost:
    """One flow as it runs: its runner, its border nodes and connections, and their loops.

    Args:
        shop: What all flows share.
        document: The flow, its variables replaced.
        revision: The text it was made from.
    """

    def __init__(self, shop: Shop, document: Document, revision: Revision) -> None:
        self.document = document
        self.revision = revision
        self.name = document.name
        self.assembly = Assembly(shop, document.name)
        self.shop = shop
        self._tasks = Tasks(f"flow/{self.name}")
        self._loops: dict[str, asyncio.Task[Any]] = {}
        self._deploying = asyncio.Lock()
        self._is_started = False
        self.drivers = {
            name: self.assembly.connection(document, name) for name in document.connections
        }
        graph = self.assembly.graph(document)
        self.runner: FlowRunner = self.assembly.runner(document, graph)
        self.lost: tuple[str, ...] = ()  # What could not be taken back at the start.
        self.ingresses: dict[str, Ingress] = {}

    # ------------------------------------------------------------------ life

    async def open(self) -> list[str]:
        """Make the border nodes and bring the state back.

        Returns: sentences about what could not be taken back.

        Raises:
            ConfigError: A node cannot be made.
        """
        store, runner = self.shop.store, self.runner
        positions = await store.positions(self.name)
        known = {revision.number: revision for revision in await revisions(store, self.name)}
        for node_id in self._foreign(known):
            positions.pop(node_id, None)
        self.place(self._made(self.document, positions))

        def graph_of(number: int) -> Graph:
            if number not in known:
                raise ConfigError(f"Revision {number} is not stored.")
            return self.assembly.graph(resolved(known[number]))

        said = await runner.recover(graph_of)
        self.lost = tuple(said)
        self.forget_statuses()
        if runner.revision != self.revision.number:
            said += await self._catch_up(known)
        return said + await drop_orphans(store, runner)

    async def _catch_up(self, known: Mapping[int, Revision]) -> list[str]:
        """The flow was edited while the gateway was off: go on with the new revision."""
        runner, document = self.runner, self.document
        old = runner.graph
        async with runner.lock:
            graph = self.assembly.graph(document)
            taken = graph.adopt(old)
            gone = closed(old.classes, graph.classes)
            ended = await close_queues(self.shop.store, runner, gone)
            now = runner.time.settled(old.now)
            turn = turn_of(
                graph,
                old,
                self.revision,
                now,
                closed=ended,
                ends=ends_of(self.shop.book.current(), self.name, taken.kept, now),
                gone=dict.fromkeys(changed_sources(old, document)),
                positions=dict.fromkeys(self._foreign(known), "null"),
            )
            said = [*taken.said, *told(ended)]
            # There is no older revision to run on: a disk that refuses is waited for.
            await runner.switch(turn, lambda: None, once=False)
        return said

    def _foreign(self, known: Mapping[int, Revision]) -> set[str]:
        """Nodes whose stored position is that of another kind of source."""
        before = [number for number in known if number < self.revision.number]
        if self.revision.number in known or not before:
            return set()
        try:
            old = classes_of(resolved(known[max(before)]))
        except ConfigError:
            return set()  # It cannot be read any more, so nothing can be said.
        return {n for n, cls in classes_of(self.document).items() if old.get(n, cls) is not cls}

    def _made(self, document: Document, positions: Mapping[str, Any]) -> dict[str, Border]:
        made: dict[str, Border] = {}
        for node_id, entry in document.nodes.items():
            if not entry.disabled:
                border = self.assembly.border(
                    document, node_id, self.runner, self.drivers, positions.get(node_id)
                )
                if border is not None:
                    made[node_id] = border
        return made

    def place(self, borders: Mapping[str, Border]) -> None:
        """These are the sources, sinks and workers from here on."""
        self.ingresses = {n: b for n, b in borders.items() if isinstance(b, Ingress)}
        self.runner.egresses = {n: b for n, b in borders.items() if isinstance(b, Egress)}
        self.runner.workers = {n: b for n, b in borders.items() if isinstance(b, WorkerDriver)}

    def start(self) -> None:
        """Start all loops."""
        self._is_started = True
        self._loops["flow"] = self._tasks.start("flow", self._keep_running())
        for driver in self.drivers.values():
            self.start_loop(driver)
        for border in self.borders().values():
            self.start_loop(border)

    def borders(self) -> dict[str, Border]:
        """All sources, sinks and workers."""
        return {**self.ingresses, **self.runner.egresses, **self.runner.workers}

    def start_loop(self, driver: Border | ConnectionDriver) -> None:
        """Start what drives a node, unless the flow itself has not started yet."""
        if self._is_started:
            key = _key(driver)
            self._loops[key] = self._tasks.start(key, driver.run())

    def end_loop(self, driver: Border | ConnectionDriver) -> asyncio.Task[Any] | None:
        """Cancel what drives a node; returns its task, which has not ended yet."""
        task = self._loops.pop(_key(driver), None)
        if task is not None:
            task.cancel()
        return task

    async def _keep_running(self) -> None:
        """Serve the flow; an error of our own costs what was taken, never the flow."""
        while True:
            try:
                await self.runner.run()
            except Exception as error:  # noqa: BLE001 - whatever it is, the flow goes on
                _log.exception("%s failed.", self.name, extra=about(self.name))
                self._say("error", f"Rows were lost by an error of ours: {error!r}.")
                await asyncio.sleep(1.0)

    async def stop_reading(self, drain_s: float) -> None:
        """Read nothing more, have what was read served, and let the sinks finish for a moment."""
        for ingress in self.ingresses.values():
            ingress.released.clear()
        reading = [task for n in self.ingresses if (task := self._loops.get(f"source/{n}"))]
        for task in reading:
            task.cancel()
        try:
            async with asyncio.timeout(drain_s):
                await self.runner.drained()
        except TimeoutError:
            pass  # What still waits is part of the checkpoint.
        for ingress in self.ingresses.values():
            ingress.released.set()
        await asyncio.gather(*reading, return_exceptions=True)

    async def stop(self) -> None:
        """End all loops."""
        await self._tasks.stop()

    def _say(self, level: str, text: str) -> None:
        self.shop.lines.add(self.shop.clock.now(), level, self.name, text)

    # ------------------------------------------------------------------ deploy

    async def deploy(self, document: Document, revision: Revision) -> list[str]:
        """Let a new revision take the place of the one that runs; nothing is lost or doubled.

        What did not change goes on: nodes with their state, windows and timers, sources and
        connections with their sessions, sinks with what waits for them. Whoever asks may be
        gone before it is done.

        Returns: sentences about nodes that were changed and queues that were closed.

        Raises:
            ConfigError: It cannot run; the old revision runs on as if nothing had been asked.
            Disconnected: The state file is away; likewise.
        """
        async with self._deploying:
            try:
                change = Swap(self, document, revision)
            except BaseException:
                self.forget_statuses()
                raise
            return await asyncio.shield(self._tasks.start("deploy", change.run()))

    def forget_statuses(self) -> None:
        """Leave nothing on the board of nodes that are not there, or work again."""
        entries = {**self.document.nodes, **self.document.connections}
        self.shop.board.keep(self.name, {(name, entry.type) for name, entry in entries.items()})
        self.shop.live.keep(self.name, entries)
        self.runner.statuses = self.shop.board.nodes(self.name)
        faulted = self.runner.graph.faulted()
        for node_id, status in self.runner.statuses.items():
            if status.state == "faulted" and node_id not in faulted:
                status.state, status.text = "running", ""


def _key(driver: Border | ConnectionDriver) -> str:
    kinds = {"Ingress": "source", "Egress": "sink", "WorkerDriver": "worker"}
    return f"{kinds.get(type(driver).__name__, 'connection')}/{driver.ctx.node_id}"


__all__ = ["FlowHost", "resolved"]
