"""Keeper: the part of a flow that remembers. Recovery, commits with what waits, checkpoints.

What it keeps can be computed again from the journal; the journal is the promise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from gateway.data.alarm import AlarmEvent
from gateway.data.tasks import Tasks, WantedLock
from gateway.engine.alarmbook import AlarmBook
from gateway.engine.arrived import Arrived
from gateway.engine.bookkeeping import Intake, base_of
from gateway.engine.codec import pack_inputs
from gateway.engine.egress import Egress
from gateway.engine.faults import FaultDesk
from gateway.engine.graph import Graph, Input, Result
from gateway.engine.journal import (
    late_is_useless,
    outboxes,
    persist,
    settled,
    write_with_outboxes,
)
from gateway.engine.metrics import NodeStatus
from gateway.engine.outbox import Outbox
from gateway.engine.recovery import GraphOf, Recovery
from gateway.engine.steptime import StepTime
from gateway.engine.store import Entry, Store
from gateway.engine.store_state import Checkpoint
from gateway.engine.tagbook import TagBook
from gateway.engine.taps import Taps
from gateway.engine.workers import WorkerDriver
from gateway.flow.node import Clock

INBOX_ROWS_MAX: Final = 100_000


def _nobody(inputs: Sequence[Input], now: int, result: Result) -> None:
    """No shadow runs beside the flow."""


class Keeper:
    """One flow with its queues, and what it leaves on the disk.

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
        self.inbox.is_held = lambda: any(one.holds_up for one in self.workers.values())
        self.statuses: dict[str, NodeStatus] = {}
        self.durable = durable
        self.revision = 0  # the one that runs
        self.steps = 0
        self.seq = 0  # of the newest journal record
        self.since = clock.now()  # Its counters started then.
        self.base: dict[str, int] = {}  # see `base_of`
        self.after_step: Callable[[Sequence[Input], int, Result], None] = _nobody
        """Called after each live step, for a shadow; it must neither wait nor raise."""
        self.taps = Taps(lambda: self.graph)
        self.lock = WantedLock()  # Who holds it sees the flow between two steps.
        self._ahead = Tasks(f"flow/{graph.name}")
        self._done_seq = 0  # the newest record that the state contains
        self._store = store
        self.time = StepTime(clock)
        self._clock = clock
        self._book = book
        self._tag_book = tag_book
        self._faults = FaultDesk(graph.name, store)
        self._taken: list[Arrived] = []  # out of the inbox, and not yet served
        self._saved: tuple[int, ...] = ()
        self._saving = asyncio.Lock()
        self._settled = 0  # rows that had left the outboxes at the newest commit

    # ------------------------------------------------------------------ recovery

    async def recover(self, graph_of: GraphOf) -> list[str]:
        """Load the newest checkpoint and run the journal behind it through the graph.

        Returns: sentences about what could not be taken back.
        """
        if not self.durable:
            return []
        again = partial(self._hand_on, replay=True)
        names = await self._store.outlets(self.name)
        for egress in self.egresses.values():
            egress.empty_also(names)
        boxes, stale = self.outboxes(), late_is_useless(self.egresses)
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
            now, seq = self.graph.now, self.seq
            await persist(self._store, Entry(self.name, seq, now, alarms=alarms, urgent=True))

    async def _resume(self) -> list[AlarmEvent]:
        """Journal that the gateway was away, so that a silence of ours raises no alarm."""
        now, inputs = self.time.resumed(self.graph.now)
        entry = Entry(self.name, self.seq + 1, now, 1, pack_inputs(inputs, now))
        await persist(self._store, entry)
        self.seq = self._done_seq = entry.seq
        # What timers make now is as late as a replay: not fresh any more.
        return self._hand_on(self.graph.step(inputs, now), self.graph, replay=True)

    def outboxes(self) -> dict[str, Outbox]:
        """What waits for sinks and workers, by node id; a sink with lanes has one for each."""
        return outboxes(self.egresses, self.workers)

    async def _write(self, entry: Entry, **how: bool) -> None:
        """Commit an entry with what the sinks have taken, what waits for them, and new tags."""
        entry.tags, entry.stepped = self._tag_book.unsaved(), self._done_seq
        boxes, stale = self.outboxes(), late_is_useless(self.egresses)
        left = settled(boxes)
        await write_with_outboxes(self._store, entry, boxes, stale, **how)
        self._settled = left
        self._tag_book.saved(entry.tags)

    async def _note_taken(self) -> None:
        """Store what the sinks have taken, so that a crash does not send it again."""
        if self.durable and settled(self.outboxes()) != self._settled:
            async with self.lock:
                await self._write(Entry(self.name, self.seq, self.graph.now))

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
            head = {"now": self.graph.now, "revision": self.revision, "offered": offered}
            nodes = self.graph.transforms().items()
            head["versions"] = {node: transform.state_version for node, transform in nodes}
            head["faults"] = self.graph.faults()
            entry = Entry(self.name, seq, self.graph.now, urgent=True)
            await self._write(entry, everything=True, once=True)
        checkpoint = Checkpoint(self.name, seq, self._clock.now(), states, head)
        size = await self._store.save_snapshot(checkpoint)
        self._saved = mark
        return max(size, 1)
