"""Swap: one revision of a flow takes the place of another while it runs.

First everything new is made. Then the sources that go away stop reading, and what they have read
is served and acknowledged. Then one transaction says that the new revision runs; up to there all
can be called off. Whatever did not change never notices.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

from gateway.engine.assembly import Border
from gateway.engine.change import Change, prepare
from gateway.engine.closing import told
from gateway.engine.connections import close_quietly
from gateway.engine.egress import Egress
from gateway.engine.ingress import Ingress
from gateway.engine.store_entry import Revision
from gateway.engine.succession import Takeover
from gateway.engine.turn import Turn, ends_of, turn_of
from gateway.engine.workers import WorkerDriver
from gateway.flow.document import Document

if TYPE_CHECKING:
    from gateway.engine.host import FlowHost

_log = logging.getLogger("genba.deploy")
HAND_OVER_S: Final = 5.0
"""How long a node that goes away may take to end."""


class Swap:
    """One change of a flow that runs.

    Args:
        host: The flow.
        document: What it is to be, its variables replaced.
        revision: The text that was made from.

    Raises:
        ConfigError: It cannot run; nothing was touched.
    """

    def __init__(self, host: FlowHost, document: Document, revision: Revision) -> None:
        self._host = host
        self._document = document
        self._revision = revision
        self._change: Change = prepare(host, document)
        self._ended: list[asyncio.Task[Any]] = []

    async def run(self) -> list[str]:
        """Do it.

        Returns: a sentence for each node that was changed and each queue that was closed.

        Raises:
            ConfigError: A source cannot go on from where it was; the old revision runs on.
            Disconnected: The state file is away; the old revision runs on.
        """
        host, change = self._host, self._change
        runner = host.runner
        is_done = False
        try:
            await self._stop_reading()
            async with runner.lock:
                await runner.serve_waiting()
                forgotten = self._lend(await host.shop.store.positions(host.name))
                taken = change.graph.adopt(runner.graph)
                await runner.switch(self._turn(taken, forgotten), self._install)
                is_done = True
        finally:
            for ingress in change.sources.values():
                ingress.released.set()
            if not is_done:
                await self._call_off()
        host.document, host.revision = self._document, self._revision
        said = [*taken.said, *await self._settle()]
        self._tell_again(taken.kept)
        return said

    async def _stop_reading(self) -> None:
        """Have sources read nothing more, but hold the device, so that it can be told."""
        sources = self._change.sources
        for ingress in sources.values():
            ingress.released.clear()
        waiting = {}
        for ingress in sources.values():
            if (task := self._host.end_loop(ingress)) is not None:
                self._ended.append(task)
                waiting[task] = ingress
        try:
            async with asyncio.timeout(HAND_OVER_S):
                while any(  # noqa: ASYNC110 - a few turns of the loop, once a deploy
                    not (task.done() or ingress.held.is_set()) for task, ingress in waiting.items()
                ):
                    await asyncio.sleep(0.001)
        except TimeoutError:
            _log.warning("A source of %s does not stop reading.", self._host.name)

    def _lend(self, positions: dict[str, Any]) -> dict[str, str]:
        """Let new sources go on where the old ones were; returns positions to forget."""
        host, change = self._host, self._change
        forgotten = {}
        for node_id, border in list(change.made.items()):
            if not isinstance(border, Ingress) or positions.get(node_id) is None:
                continue
            before = change.running.get(node_id)
            if isinstance(before, Ingress) and type(before.source) is not type(border.source):
                forgotten[node_id] = "null"
                continue
            again = host.assembly.border(
                self._document, node_id, host.runner, change.drivers, positions[node_id]
            )
            assert isinstance(again, Ingress)
            if isinstance(before, Ingress) and before.is_off and again.away:
                again.away = "disconnected"  # The gateway was there; the connection was not.
            change.made[node_id] = change.borders[node_id] = again
        return forgotten

    def _turn(self, taken: Takeover, forgotten: dict[str, str]) -> Turn:
        host, change = self._host, self._change
        now = host.runner.time.settled(host.runner.graph.now)
        kept = taken.kept | {n for n, b in change.borders.items() if change.running.get(n) is b}
        return turn_of(
            change.graph,
            host.runner.graph,
            self._revision,
            now,
            closed={node_id: self._waiting(node_id) for node_id in change.closed},
            ends=ends_of(host.shop.book.current(), host.name, kept, now),
            gone={
                node_id: None if _reads(change.borders.get(node_id)) else old.bad(now)
                for node_id, old in change.sources.items()
            },
            positions=forgotten,
        )

    def _install(self) -> None:
        """Put the new borders in place; a sink with another config keeps its queue."""
        host, change = self._host, self._change
        closed = set(change.closed)
        for node_id, border in change.made.items():
            before = None if node_id in closed else change.running.get(node_id)
            match border, before:
                case Egress(), Egress():
                    border.take_over(before)
                case WorkerDriver(), WorkerDriver():
                    border.take_over(before)
        for node_id, options in change.options.items():
            border = change.borders[node_id]
            if not isinstance(border, Ingress):
                border.set_options(options)
        for border in change.leaving.values():
            if isinstance(border, Egress):
                border.room.set()  # What is gone holds nobody up.
        host.place(change.borders)
        host.drivers = change.drivers

    async def _settle(self) -> list[str]:
        """End the loops of what is gone, then start those of what is new."""
        host, change = self._host, self._change
        leaving = change.leaving
        await self._end(leaving.values())
        for node_id, border in leaving.items():
            if isinstance(border, Ingress) and change.is_elsewhere(node_id):
                await close_quietly(border.source.leave())
        await self._end(change.ended_drivers)
        for driver in (*leaving.values(), *change.ended_drivers):
            driver.ctx.end()
        host.forget_statuses()
        for name, connection in change.drivers.items():
            if change.old_drivers.get(name) is not connection:
                host.start_loop(connection)
        for border in change.made.values():
            host.start_loop(border)
        return told({node_id: self._waiting(node_id) for node_id in change.closed})

    def _waiting(self, node_id: str) -> int:
        """Rows that wait for a sink or worker of the old revision."""
        border = self._change.running[node_id]
        return 0 if isinstance(border, Ingress) else border.queued_rows

    async def _end(self, drivers: Iterable[Any]) -> None:
        for driver in drivers:
            if (task := self._host.end_loop(driver)) is not None:
                self._ended.append(task)
        if self._ended:
            _, pending = await asyncio.wait(self._ended, timeout=HAND_OVER_S)
            for task in pending:
                _log.warning("%s does not end; it is left alone.", task.get_name())
        self._ended.clear()

    async def _call_off(self) -> None:
        """The old revision runs on."""
        change = self._change
        await self._end(())
        self._host.forget_statuses()
        for ingress in change.sources.values():
            self._host.start_loop(ingress)

    def _tell_again(self, kept: Collection[str]) -> None:
        """A device that is away is told of to those who listen for the first time."""
        change = self._change
        knowing = {*kept, *(n for n, b in change.borders.items() if n not in change.made)}
        listened = {
            source
            for source, port, target, _ in change.graph.traffic.wires
            if port == "status" and target not in knowing
        }
        for node_id in listened - change.made.keys():
            border = change.borders.get(node_id)
            if isinstance(border, Ingress):
                border.tell_again()


def _reads(border: Border | None) -> bool:
    """True when somebody goes on to bring what a source brought."""
    return isinstance(border, Ingress) and not border.is_off


__all__ = ["Swap"]
