"""Runner: one flow as it runs. Take, commit, acknowledge, step, hand on.

The order is the promise: input is on the disk before its source is told so, and what a step gave
can be computed again from the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from gateway.data.alarm import AlarmEvent
from gateway.data.event import Event
from gateway.engine.alarmbook import AlarmBook
from gateway.engine.codec import pack_inputs
from gateway.engine.crash import crash_point
from gateway.engine.egress import Egress
from gateway.engine.faults import FaultDesk, poison
from gateway.engine.graph import Graph, Input, Result, rows
from gateway.engine.inbox import Inbox
from gateway.engine.ingress import Arrived
from gateway.engine.journal import persist, write_with_outboxes
from gateway.engine.metrics import NodeStatus
from gateway.engine.outbox import Outbox
from gateway.engine.packing import gaps_of, merged, positions_of, storable
from gateway.engine.recovery import GraphOf, Recovery
from gateway.engine.steptime import StepTime
from gateway.engine.store import Entry, Store
from gateway.engine.store_file import Revision
from gateway.engine.store_state import Checkpoint
from gateway.engine.tagbook import TagBook
from gateway.engine.wiring import DEPLOYED
from gateway.engine.workers import WorkerDriver
from gateway.flow.node import Clock, Message

_log = logging.getLogger("genba.flow")
INBOX_ROWS_MAX: Final = 100_000
STEP_ROWS_MAX: Final = 8_192
NAP_S: Final = 0.005  # Shortest wait for a timer: while the clock is slowed, time hardly moves.


class FlowRunner:
    """One flow with its queues.

    Args:
        graph: The executable flow.
        store: Where input is committed; shared by all flows.
        clock: The time.
        durable: False for a flow whose input is not journalled.
        book: The current alarms of all flows.
        tag_book: Knows which tags are not yet in the store.
    """

    def __init__(
        self,
        graph: Graph,
        store: Store,
        clock: Clock,
        *,
        durable: bool,
        book: AlarmBook,
        tag_book: TagBook,
    ) -> None:
        self.graph = graph
        self.name = graph.name
        self.inbox: Inbox[Arrived] = Inbox(INBOX_ROWS_MAX)
        self.egresses: dict[str, Egress] = {}
        self.workers: dict[str, WorkerDriver] = {}
        self.statuses: dict[str, NodeStatus] = {}
        self.durable = durable
        self.revision = 0  # the one that runs
        self.steps = 0
        self.seq = 0  # of the newest journal record
        self.lock = asyncio.Lock()  # Who holds it sees the flow between two steps.
        self._done_seq = 0  # the newest record that the state contains
        self._store = store
        self.time = StepTime(clock)
        self._clock = clock
        self._book = book
        self._tag_book = tag_book
        self._faults = FaultDesk(graph.name, store)
        self._saved: tuple[int, ...] = ()

    # ------------------------------------------------------------------ recovery

    async def recover(self, graph_of: GraphOf) -> list[str]:
        """Load the newest checkpoint and run the journal behind it through the graph.

        Returns: sentences about what could not be taken back.
        """
        if not self.durable:
            return []
        again = partial(self._hand_on, replay=True)
        boxes, stale = self.outboxes(), self._stale()
        recovery = Recovery(self.name, self._store, self.graph, graph_of, boxes, stale, again)
        await recovery.run()
        self.graph, self.revision = recovery.graph, recovery.revision
        self.seq = self._done_seq = recovery.seq
        alarms = recovery.alarms + (await self._resume() if self.seq else [])
        await self._store_alarms(alarms)  # Those that were stored before are known.
        self._book.apply(alarms)
        return recovery.said

    async def _store_alarms(self, alarms: Sequence[AlarmEvent]) -> None:
        if alarms and self.durable:
            await persist(self._store, Entry(self.name, self.seq, self.graph.now, alarms=alarms))

    async def _resume(self) -> list[AlarmEvent]:
        """Journal that the gateway was away, so that a silence of ours raises no alarm."""
        now, inputs = self.time.resumed(self.graph.now)
        entry = Entry(self.name, self.seq + 1, now, 1, pack_inputs(inputs, now))
        await persist(self._store, entry)
        self.seq = self._done_seq = entry.seq
        # What timers make now is as late as a replay: nothing for a sink that wants it fresh.
        return self._hand_on(self.graph.step(inputs, now), replay=True)

    def outboxes(self) -> dict[str, Outbox]:
        """What waits for sinks and workers, by node id."""
        drivers: list[Egress | WorkerDriver] = [*self.egresses.values(), *self.workers.values()]
        return {driver.ctx.node_id: driver.outbox for driver in drivers}

    def _stale(self) -> frozenset[str]:
        """Sinks whose messages are of no use once they are old."""
        return frozenset(n for n, e in self.egresses.items() if e.sink.delivery == "fresh")

    async def _write(self, entry: Entry, *, everything: bool = False) -> None:
        """Commit an entry with what the sinks have taken, what waits for them, and new tags."""
        entry.tags = self._tag_book.unsaved()
        boxes = self.outboxes()
        await write_with_outboxes(self._store, entry, boxes, self._stale(), everything=everything)
        self._tag_book.saved(entry.tags)

    # ------------------------------------------------------------------ running

    async def run(self) -> None:
        """Serve the inbox until cancelled."""
        while True:
            with self.time.standing():
                for egress in list(self.egresses.values()):
                    await egress.room.wait()
            due = self.graph.wake_at()
            wait_s = None if due is None else max((due - self._clock.now()) / 1e9, 0.0)
            entries = await self.inbox.take(STEP_ROWS_MAX, wait_s and max(wait_s, NAP_S))
            async with self.lock:
                await self._serve(entries)
            await asyncio.sleep(0)

    async def _serve(self, entries: Sequence[Arrived]) -> None:
        now, inputs = self.time.next(self.graph.now)
        inputs += merged(entries)
        due = self.graph.wake_at()
        for entry in entries:  # Their questions are settled in the transaction that has them.
            if entry.answers and entry.node in self.workers:
                self.workers[entry.node].journalled(entry.answers)
        if self.durable and (inputs or entries or (due is not None and due <= now)):
            inputs = await self._commit(entries, inputs, now, due)
        for entry in entries:
            if entry.ingress is not None and entry.token is not None:
                crash_point("pre_ack")
                await entry.ingress.acknowledge(entry.token)
                crash_point("post_ack")
        if self.durable and self._done_seq == self.seq:
            return  # Nothing came and no timer is due: the state stays as the journal has it.
        result = self.graph.step(inputs, now)
        self._done_seq = self.seq
        crash_point("mid_step")
        alarms = self._hand_on(result, replay=False)
        await self._store_alarms(alarms)
        for fault in result.faults:
            await self._keep(fault.node, fault.port, fault.detail, poison(fault, now))

    async def _commit(
        self, entries: Sequence[Arrived], inputs: list[Input], now: int, due: int | None
    ) -> list[Input]:
        """Have the step on the disk, timers too; returns what of the input could be stored."""
        block = None
        if inputs or (due is not None and due <= now):
            inputs, refused = storable(inputs, now)
            for (node, port, message), error in refused:
                text = f"{node} sent what cannot be stored: {error}."
                _log.error("%s", text)
                await self._keep(node, port, text, repr(message)[:10_000].encode())
                if node in self.statuses:
                    self.statuses[node].counts["faults"] += 1
            block = pack_inputs(inputs, now)
            self.seq += 1
        size = sum(rows(message) for _, _, message in inputs)
        entry = Entry(self.name, self.seq, now, size, block, positions_of(entries))
        entry.gaps = gaps_of(inputs)
        with self.time.standing():
            await self._write(entry)
        return inputs

    async def _keep(self, node: str, port: str, error: str, data: bytes) -> None:
        now, revision = self._clock.now(), self.revision
        await self._faults.keep(node, port, error, data, seq=self.seq, now=now, revision=revision)

    def _hand_on(self, result: Result, *, replay: bool) -> list[AlarmEvent]:
        """Give what a step made to sinks, workers and the alarm book."""
        self.steps += 1
        alarms = [event for _, events in result.alarms for event in events]
        if alarms and not replay:
            self._book.apply(alarms)
        for node, port, message in result.outputs:
            if node in self.egresses:
                self.egresses[node].offer(port, message, replay=replay)
            elif node in self.workers:
                self.workers[node].offer(port, message)
        self._faults.attend(result, self.graph, self.statuses)
        return alarms

    async def drained(self) -> None:
        """Wait until all that arrived was served and every sink has taken its part."""
        while self.inbox.rows or self.lock.locked():  # noqa: ASYNC110 - only at the end
            await asyncio.sleep(NAP_S)
        for egress in self.egresses.values():
            await egress.drained()

    def act(self, event: Event) -> int:
        """Hand an operator's action to the nodes it is for; returns how many."""
        alarm = str(event.data.get("alarm", "*"))
        nodes = self.graph.alarm_nodes()
        mine = [n for n in nodes if alarm == "*" or alarm.startswith(f"{self.name}/{n}:")]
        for node in mine:
            self.put(node, "operator", (event,))
        return len(mine)

    def put(self, node: str, port: str, message: Message) -> None:
        """Hand in what a person or the gateway itself has to say, as journalled input."""
        self.inbox.put_now(Arrived(node, [(port, message)]), rows(message))

    # ------------------------------------------------------------------ revisions

    async def switch(
        self,
        graph: Graph,
        revision: Revision,
        gone: Sequence[AlarmEvent],
        closed: Sequence[str],
        install: Callable[[], None],
    ) -> list[str]:
        """Go on with another revision; called between two steps, with `lock` held.

        Args:
            graph: The new revision, not yet used.
            revision: Its text and number, stored with the marker in the journal.
            gone: Alarm events that end what nobody watches any more, stored likewise.
            closed: Sinks and workers that are gone.
            install: Puts the new sinks and workers in place.

        Returns: a sentence for each node that starts fresh.
        """
        now = self.time.settled(self.graph.now)
        self.seq += 1
        marker: Input = (*DEPLOYED, (Event(now, "engine/deployed", {"revision": revision.number}),))
        entry = Entry(self.name, self.seq, now, 1, pack_inputs([marker], now))
        entry.revision, entry.alarms, entry.closed = revision, gone, closed
        if self.durable:
            await self._write(entry)
        else:
            await persist(self._store, Entry(self.name, self.seq, now, revision=revision))
        self._book.apply(gone)
        crash_point("post_deploy")
        said = graph.adopt(self.graph)
        self.graph, self.revision = graph, revision.number
        install()
        self._faults.counts.clear()
        result = graph.step([marker], now)
        self._done_seq = self.seq
        alarms = self._hand_on(result, replay=False)
        await self._store_alarms(alarms)
        return said

    # ------------------------------------------------------------------ checkpoint

    async def checkpoint(self) -> int:
        """Store the state between two steps. Raises Disconnected when the disk refuses.

        Returns:
            Bytes written; 0 when nothing has changed since the last.
        """
        if not self.durable:
            return 0
        async with self.lock:
            outboxes = self.outboxes()
            mark = (self.steps, *(box.low for box in outboxes.values()), self.revision)
            if mark == self._saved:
                return 0
            seq, states = self._done_seq, self.graph.snapshot()
            offered = {n: [box.offered, box.books.offered] for n, box in outboxes.items()}
            head = {"now": self.graph.now, "revision": self.revision, "offered": offered}
            await self._write(Entry(self.name, seq, self.graph.now), everything=True)
        checkpoint = Checkpoint(self.name, seq, self._clock.now(), states, head)
        size = await self._store.save_snapshot(checkpoint)
        self._saved = mark
        return max(size, 1)
