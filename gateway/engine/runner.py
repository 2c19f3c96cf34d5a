"""Runner: one flow as it runs. Take, commit, acknowledge, step, hand on.

The order is the promise: input is on the disk before its source is told so, and what a step gave
can be computed again from the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from gateway.data.alarm import AlarmEvent
from gateway.data.event import Event
from gateway.engine.alarmbook import AlarmBook
from gateway.engine.arrived import Arrived
from gateway.engine.bookkeeping import Intake, base_of
from gateway.engine.codec import pack_inputs
from gateway.engine.crash import crash_point
from gateway.engine.egress import Egress
from gateway.engine.faults import FaultDesk
from gateway.engine.graph import Graph, Input, Result, rows
from gateway.engine.journal import persist, stored, write_with_outboxes
from gateway.engine.metrics import NodeStatus
from gateway.engine.outbox import Outbox
from gateway.engine.packing import gaps_of, merged, positions_of, storable
from gateway.engine.recovery import GraphOf, Recovery
from gateway.engine.store import Entry, Store
from gateway.engine.store_state import Checkpoint
from gateway.engine.tagbook import TagBook
from gateway.engine.turn import Turn
from gateway.engine.wiring import RESUMED
from gateway.engine.workers import WorkerDriver
from gateway.flow.node import Clock, Message

INBOX_ROWS_MAX: Final = 100_000
STEP_ROWS_MAX: Final = 8_192
NAP_S: Final = 0.005  # Shortest wait for a timer: while the clock is slowed, time hardly moves.


def _nobody(inputs: Sequence[Input], now: int, result: Result) -> None:
    """No shadow runs beside the flow."""


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
        self.inbox = Intake(INBOX_ROWS_MAX)
        self.egresses: dict[str, Egress] = {}
        self.workers: dict[str, WorkerDriver] = {}
        self.statuses: dict[str, NodeStatus] = {}
        self.durable = durable
        self.revision = 0  # the one that runs
        self.steps = 0
        self.seq = 0  # of the newest journal record
        self.since = clock.now()  # Its counters started then.
        self.base: dict[str, int] = {}  # see `base_of`
        self.after_step: Callable[[Sequence[Input], int, Result], None] = _nobody
        """Called after each live step, for a shadow; it must neither wait nor raise."""
        self.lock = asyncio.Lock()  # Who holds it sees the flow between two steps.
        self._done_seq = 0  # the newest record that the state contains
        self._store = store
        self._clock = clock
        self._book = book
        self._tag_book = tag_book
        self._faults = FaultDesk(graph.name, store)
        self._taken: list[Arrived] = []  # out of the inbox, and not yet served
        self._saved: tuple[int, ...] = ()
        self._saving = asyncio.Lock()

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
        self.graph.traffic.clear()  # What a replay counted says nothing of this life.
        self.base = base_of(self.graph, boxes)
        alarms = recovery.alarms + (await self._resume() if self.seq else [])
        await self._store_alarms(alarms)  # Those that were stored before are known.
        self._book.apply(alarms)
        return recovery.said

    async def _store_alarms(self, alarms: Sequence[AlarmEvent]) -> None:
        if alarms and self.durable:
            await persist(self._store, Entry(self.name, self.seq, self.graph.now, alarms=alarms))

    async def _resume(self) -> list[AlarmEvent]:
        """Journal that the gateway was away, so that a silence of ours raises no alarm."""
        now = max(self._clock.now(), self.graph.now)
        inputs: list[Input] = [(*RESUMED, (Event(now, "engine/resumed"),))]
        entry = Entry(self.name, self.seq + 1, now, 1, pack_inputs(inputs, now))
        await persist(self._store, entry)
        self.seq = self._done_seq = entry.seq
        # What timers make now is as late as a replay: not fresh any more.
        return self._hand_on(self.graph.step(inputs, now), self.graph, replay=True)

    def outboxes(self) -> dict[str, Outbox]:
        """What waits for sinks and workers, by node id."""
        drivers: list[Egress | WorkerDriver] = [*self.egresses.values(), *self.workers.values()]
        return {driver.ctx.node_id: driver.outbox for driver in drivers}

    def _stale(self) -> frozenset[str]:
        """Sinks whose messages are of no use once they are old."""
        return frozenset(n for n, e in self.egresses.items() if e.sink.delivery == "fresh")

    async def _write(self, entry: Entry, **how: bool) -> None:
        """Commit an entry with what the sinks have taken, what waits for them, and new tags."""
        entry.tags = self._tag_book.unsaved()
        await write_with_outboxes(self._store, entry, self.outboxes(), self._stale(), **how)
        self._tag_book.saved(entry.tags)

    # ------------------------------------------------------------------ running

    async def run(self) -> None:
        """Serve the inbox until cancelled."""
        while True:
            for egress in list(self.egresses.values()):
                await egress.room.wait()
            due = self.graph.wake_at()
            timeout_s = None
            if due is not None:
                wait_s = (due - self._clock.now()) / 1e9
                timeout_s = max(wait_s, NAP_S) if wait_s > 0 else 0.0
            self._taken = await self.inbox.take(STEP_ROWS_MAX, timeout_s)
            async with self.lock:
                entries, self._taken = self._taken, []
                await self._serve(entries)
            await asyncio.sleep(0)

    async def _serve(self, entries: Sequence[Arrived]) -> None:
        entries = self.inbox.admitted(entries, self.graph.classes)
        inputs = merged(entries)
        now = max(self._clock.now(), self.graph.now)
        due = self.graph.wake_at()
        for entry in entries:  # Their questions are settled in the transaction that has them.
            worker = self.workers.get(entry.node) if entry.answers else None
            if worker is not None and worker.outbox is entry.outbox:
                worker.journalled(entry.answers)
        if self.durable and (entries or (due is not None and due <= now)):
            inputs = await self._commit(entries, inputs, now, due)
        self.inbox.journalled(inputs, entries)
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
        await self._store_alarms(self._hand_on(result, self.graph, replay=False))
        await self._faults.keep(result.faults, self.seq, now, self.revision)
        self.after_step(inputs, now, result)

    async def _commit(
        self, entries: Sequence[Arrived], inputs: list[Input], now: int, due: int | None
    ) -> list[Input]:
        """Have the step on the disk, timers too; returns what of the input could be stored."""
        block = None
        if inputs or (due is not None and due <= now):
            inputs, refused = storable(inputs, now)
            for item, error in refused:
                self.inbox.refused(item)
                status = self.statuses.get(item[0])
                await self._faults.refuse(item, error, status, self.seq + 1, now, self.revision)
            block = pack_inputs(inputs, now)
            self.seq += 1
        size = sum(rows(message) for _, _, message in inputs)
        entry = Entry(self.name, self.seq, now, size, block, positions_of(entries))
        entry.gaps = gaps_of(inputs)
        entry.decisions = [e.again.decision for e in entries if e.again is not None]
        await self._write(entry)
        return inputs

    def _hand_on(self, result: Result, graph: Graph, *, replay: bool) -> list[AlarmEvent]:
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
        self._faults.attend(result, graph, self.statuses)
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
        """Hand in what the gateway itself has to say, as journalled input."""
        self.inbox.put_now(Arrived(node, [(port, message)]), rows(message))

    # ------------------------------------------------------------------ revisions

    async def serve_waiting(self) -> None:
        """Serve all that has arrived by now; called with `lock` held."""
        waiting, self._taken = [*self._taken, *self.inbox.take_now()], []
        await self._serve(waiting)

    async def switch(self, turn: Turn, install: Callable[[], None], *, once: bool = True) -> None:
        """Go on with another revision; called between two steps, with `lock` held.

        Args:
            turn: The new revision, which has taken over what it keeps.
            install: Puts the new sinks and workers in place.
            once: A disk that refuses raises Disconnected, and the old revision runs on.
        """
        seq = self.seq + 1
        if self.durable:
            await self._write(turn.entry(self.name, seq), once=once)
        else:
            entry = Entry(self.name, seq, turn.now, revision=turn.revision)
            await stored(self._store, entry, once=once)
        self.seq = seq
        crash_point("post_deploy")
        self._book.apply(turn.ends)
        self.graph, self.revision = turn.graph, turn.revision.number
        install()
        self.base = base_of(self.graph, self.outboxes())
        result = self.graph.step(turn.inputs, turn.now)
        self._done_seq = seq
        await self._store_alarms(self._hand_on(result, self.graph, replay=False))

    # ------------------------------------------------------------------ checkpoint

    async def checkpoint(self) -> int:
        """Store the state between two steps. Raises Disconnected when the disk refuses.

        Returns:
            Bytes written; 0 when nothing has changed since the last.
        """
        if not self.durable:
            return 0
        async with self._saving:  # Two at a time would mix their chunks.
            return await self._checkpoint()

    async def _checkpoint(self) -> int:
        async with self.lock:
            outboxes = self.outboxes()
            mark = (self.steps, *(box.low for box in outboxes.values()), self.revision)
            if mark == self._saved:
                return 0
            seq, states = self._done_seq, self.graph.snapshot()
            offered = {n: [box.offered, box.books.offered] for n, box in outboxes.items()}
            now, faults = self.graph.now, self.graph.faults()
            head = {"now": now, "revision": self.revision, "offered": offered, "faults": faults}
            await self._write(Entry(self.name, seq, self.graph.now), everything=True, once=True)
        checkpoint = Checkpoint(self.name, seq, self._clock.now(), states, head)
        size = await self._store.save_snapshot(checkpoint)
        self._saved = mark
        return max(size, 1)
