"""Host: one flow with all its loops, and how a new revision takes its place while it runs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.data.alarm import AlarmEvent, AlarmState, Overlay
from gateway.engine.assembly import Assembly, Border, Shop
from gateway.engine.change import Change, prepare
from gateway.engine.connections import ConnectionDriver
from gateway.engine.egress import Egress
from gateway.engine.graph import Graph
from gateway.engine.ingress import Ingress
from gateway.engine.runner import FlowRunner
from gateway.engine.store_file import Revision
from gateway.engine.store_records import revisions
from gateway.engine.tasks import Tasks
from gateway.engine.workers import WorkerDriver
from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.variables import resolve

_log = logging.getLogger("genba.host")
HAND_OVER_S: Final = 5.0
"""How long a source that goes away may take until what it read is acknowledged."""


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
        self._shop = shop
        self._tasks = Tasks(f"flow/{self.name}")
        self._loops: dict[str, asyncio.Task[Any]] = {}
        self._deploying = asyncio.Lock()
        self._is_started = False
        self.drivers = {
            name: self.assembly.connection(document, name) for name in document.connections
        }
        graph = self.assembly.graph(document)
        self.runner: FlowRunner = self.assembly.runner(document, graph)
        self.ingresses: dict[str, Ingress] = {}

    # ------------------------------------------------------------------ life

    async def open(self) -> list[str]:
        """Make the border nodes and bring the state back.

        Returns: sentences about what could not be taken back.

        Raises:
            ConfigError: A node cannot be made.
        """
        store, runner = self._shop.store, self.runner
        positions = await store.positions(self.name)
        for node_id, border in self._made(self.document, positions).items():
            self._place(node_id, border)
        known = {revision.number: revision for revision in await revisions(store, self.name)}

        def graph_of(number: int) -> Graph:
            if number not in known:
                raise ConfigError(f"Revision {number} is not stored.")
            return self.assembly.graph(resolved(known[number]))

        said = await runner.recover(graph_of)
        self._forget_statuses()
        if runner.revision != self.revision.number:
            said += await self._catch_up(runner, known)
        return said

    async def _catch_up(self, runner: FlowRunner, known: Mapping[int, Revision]) -> list[str]:
        """The flow was edited while the gateway was off: go on with the new revision."""
        graph = self.assembly.graph(self.document)
        borders = {*runner.egresses, *runner.workers}
        before = known.get(runner.revision)
        was = resolved(before).nodes if before is not None else {}
        gone = [node for node in was if node not in borders]
        async with runner.lock:
            return await runner.switch(
                graph, self.revision, self._ends(graph, runner), gone, lambda: None
            )

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

    def _place(self, node_id: str, border: Border) -> None:
        if isinstance(border, Ingress):
            self.ingresses[node_id] = border
        elif isinstance(border, WorkerDriver):
            self.runner.workers[node_id] = border
        else:
            self.runner.egresses[node_id] = border

    def start(self) -> None:
        """Start all loops."""
        self._is_started = True
        self._loops["flow"] = self._tasks.start("flow", self._keep_running())
        for driver in self.drivers.values():
            self._start(driver)
        for border in self.borders().values():
            self._start(border)

    def borders(self) -> dict[str, Border]:
        return {**self.ingresses, **self.runner.egresses, **self.runner.workers}

    def _start(self, driver: Border | ConnectionDriver) -> None:
        key = _key(driver)
        self._loops[key] = self._tasks.start(key, driver.run())

    async def _keep_running(self) -> None:
        """Serve the flow; an error of our own costs what was taken, never the flow."""
        while True:
            try:
                await self.runner.run()
            except Exception as error:  # noqa: BLE001 - whatever it is, the flow goes on
                _log.exception("%s failed.", self.name)
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
        self._shop.lines.add(self._shop.clock.now(), level, self.name, text)

    # ------------------------------------------------------------------ deploy

    async def deploy(self, document: Document, revision: Revision) -> list[str]:
        """Let a new revision take the place of the one that runs; nothing is lost or doubled.

        What did not change goes on: nodes with their state, windows and timers, sources and
        connections with their sessions, sinks with what waits for them.

        Returns: sentences about what starts fresh.

        Raises:
            ConfigError: It cannot run; the old revision runs on as if nothing had been asked.
        """
        async with self._deploying:
            change = prepare(self, document)
            await self._hand_over(change.leaving)
            async with self.runner.lock:
                gone = self._ends(change.graph, self.runner)
                said = await self.runner.switch(
                    change.graph, revision, gone, change.closed, lambda: self._install(change)
                )
            await self._settle(change)
            self.document, self.revision = document, revision
            self._forget_statuses()
            return said

    def _forget_statuses(self) -> None:
        self._shop.board.keep(self.name, {*self.document.nodes, *self.document.connections})
        self.runner.statuses = self._shop.board.nodes(self.name)

    async def _hand_over(self, leaving: Mapping[str, Border]) -> None:
        """End sources that go away once what they have read is on the disk and acknowledged."""
        sources = {n: b for n, b in leaving.items() if isinstance(b, Ingress)}
        tasks = [task for n in sources if (task := self._loops.pop(f"source/{n}", None))]
        for ingress in sources.values():
            ingress.released.clear()
        for task in tasks:
            task.cancel()
        if sources and self._is_started:
            try:
                async with asyncio.timeout(HAND_OVER_S):
                    while self.runner.inbox.rows:  # noqa: ASYNC110 - a moment, once a deploy
                        await asyncio.sleep(0.005)
                    async with self.runner.lock:
                        pass
            except TimeoutError:
                pass  # The disk is away; what is not acknowledged comes again.
        for ingress in sources.values():
            ingress.released.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _install(self, change: Change) -> None:
        """Put the new borders in place; a sink with another config keeps its queue."""
        for node_id, border in change.made.items():
            before = change.running.get(node_id)
            if isinstance(border, Ingress) or type(before) is not type(border):
                continue
            border.take_over(before)  # type: ignore[arg-type]  # of the same type
        borders = change.borders
        self.ingresses = {n: b for n, b in borders.items() if isinstance(b, Ingress)}
        self.runner.egresses = {n: b for n, b in borders.items() if isinstance(b, Egress)}
        self.runner.workers = {n: b for n, b in borders.items() if isinstance(b, WorkerDriver)}
        self.drivers = change.drivers

    async def _settle(self, change: Change) -> None:
        """End the loops of what is gone, then start those of what is new."""
        ended: list[Border | ConnectionDriver] = list(change.leaving.values())
        ended += [d for n, d in change.old_drivers.items() if change.drivers.get(n) is not d]
        tasks = [task for one in ended if (task := self._loops.pop(_key(one), None))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        positions = await self._shop.store.positions(self.name)
        for name, driver in change.drivers.items():
            if change.old_drivers.get(name) is not driver:
                self._start(driver)
        for node_id, border in change.made.items():
            if isinstance(border, Ingress):
                border.ctx.position = positions.get(node_id)
            elif isinstance(border, Egress):
                border.wake()
            self._start(border)

    def _ends(self, graph: Graph, runner: FlowRunner) -> list[AlarmEvent]:
        """Ends of the alarms that no node watches any more."""
        kept = graph.kept(runner.graph)
        now = max(self._shop.clock.now(), runner.graph.now)
        found = []
        for event in self._shop.book.current():
            flow, _, rest = event.alarm.partition("/")
            node = rest.partition(":")[0]
            if flow == self.name and node not in kept:
                found.append(
                    replace(
                        event,
                        ts=now,
                        change="removed",
                        state=AlarmState.NORM,
                        overlay=Overlay.NONE,
                        text="The flow was changed: nothing watches this any more, or anew.",
                        actor=f"flow:{self.name}",
                    )
                )
        return found


def _key(driver: Border | ConnectionDriver) -> str:
    kind = {
        "Ingress": "source",
        "Egress": "sink",
        "WorkerDriver": "worker",
        "ConnectionDriver": "connection",
    }[type(driver).__name__]
    return f"{kind}/{driver.ctx.node_id}"


__all__ = ["FlowHost", "resolved"]
