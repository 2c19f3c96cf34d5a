"""Runner: one flow as it runs. Take, commit, acknowledge, step, hand on; and start again.

The order is the promise: input is on the disk before its source is told so, and what a step
gave is on the disk (alarms) or can be computed again from the journal (sinks) before it leaves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.engine.alarmbook import AlarmBook
from gateway.engine.backoff import Backoff
from gateway.engine.codec import pack_inputs, pack_states, unpack_inputs, unpack_states
from gateway.engine.egress import Egress
from gateway.engine.faults import report
from gateway.engine.graph import Graph, Input, Result, rows
from gateway.engine.inbox import Inbox
from gateway.engine.ingress import Arrived
from gateway.engine.metrics import NodeStatus
from gateway.engine.store import Entry, Store
from gateway.engine.tagbook import TagBook
from gateway.engine.workers import WorkerDriver
from gateway.errors import Disconnected, StateError
from gateway.flow.node import Clock

_log = logging.getLogger("genba.flow")
INBOX_ROWS_MAX = 100_000
STEP_ROWS_MAX = 8_192
FAULTS_MAX = 3  # A node that raised this often stays stopped; a person must look.


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
        self.steps = 0
        self.seq = 0
        self._store = store
        self._clock = clock
        self._book = book
        self._tag_book = tag_book
        self._alarm_count = 0
        self._fault_count: dict[str, int] = {}
        self._step_lock = asyncio.Lock()

    # ------------------------------------------------------------------ recovery

    async def recover(self) -> list[str]:
        """Load the newest snapshot and run the journal behind it through the graph.

        Returns:
            Sentences about what could not be taken back.
        """
        if not self.durable:
            return []
        said: list[str] = []
        stored = await self._store.snapshot(self.name)
        if stored is not None:
            self.seq = stored[0]
            try:
                said += self._load_snapshot(stored[1])
            except StateError as error:
                said.append(f"{self.name}: {error} Its windows and alarms start fresh.")
        for sink, delivered in (await self._store.cursors(self.name)).items():
            if sink in self.egresses:
                self.egresses[sink].delivered = max(self.egresses[sink].delivered, delivered)
        said += await self._replay()
        self.seq = max(self.seq, await self._store.last_seq(self.name))
        return said

    async def _replay(self) -> list[str]:
        said: list[str] = []
        alarms: list[tuple[str, AlarmEvent]] = []
        while records := await self._store.journal(self.name, self.seq):
            for seq, block in records:
                self.seq = seq
                try:
                    inputs, now = unpack_inputs(block)
                except StateError as error:
                    said.append(f"{self.name}: journal record {seq} is lost: {error}")
                    continue
                alarms += self._hand_on(self.graph.step(inputs, now), replay=True)
            await asyncio.sleep(0)
        if alarms:  # Those that were stored before are known by their keys.
            await self._store_entry(Entry(self.name, self.seq, self.graph.now, alarms=alarms))
        return said

    def _load_snapshot(self, block: bytes) -> list[str]:
        states, head = unpack_states(block)
        said = self.graph.restore(states)
        self.graph.now = int(head["now"])
        self._alarm_count = int(head["alarm_count"])
        for sink, numbers in head["outbox"].items():
            egress = self.egresses.get(sink)
            if egress is None:
                continue
            egress.offered = int(numbers["offered"])
            egress.delivered = int(numbers["delivered"])
            waiting, _ = unpack_inputs(states[f"outbox:{sink}"]["block"].tobytes())
            for number, (_, port, message) in zip(numbers["waiting"], waiting, strict=True):
                egress.queue.append((number, port, message))
                egress.queued_rows += rows(message)
        return said

    # ------------------------------------------------------------------ running

    async def run(self) -> None:
        """Serve the inbox until cancelled."""
        while True:
            due = self.graph.wake_at()
            timeout_s = None if due is None else (due - self._clock.now()) / 1e9
            entries = await self.inbox.take(STEP_ROWS_MAX, timeout_s)
            async with self._step_lock:
                await self._serve(entries)
            await asyncio.sleep(0)

    async def _serve(self, entries: Sequence[Arrived]) -> None:
        inputs = merged(entries)
        now = max(self._clock.now(), self.graph.now)
        if self.durable and entries:
            await self._commit(entries, inputs, now)
        for entry in entries:
            if entry.ingress is not None and entry.token is not None:
                await entry.ingress.source.acknowledge(entry.token)
        alarms = self._hand_on(self.graph.step(inputs, now), replay=False)
        if alarms and self.durable:
            await self._store_entry(Entry(self.name, self.seq, now, alarms=alarms))

    async def _commit(self, entries: Sequence[Arrived], inputs: list[Input], now: int) -> None:
        block = None
        if inputs:
            self.seq += 1
            block = pack_inputs(inputs, now)
        entry = Entry(
            self.name,
            self.seq,
            now,
            rows=sum(rows(message) for _, _, message in inputs),
            block=block,
            positions={e.node: e.position for e in entries if e.position is not None},
            cursors={sink: egress.delivered for sink, egress in self.egresses.items()},
            tags=self._tag_book.unsaved(),
        )
        await self._store_entry(entry)
        self._tag_book.saved(entry.tags)

    async def _store_entry(self, entry: Entry) -> None:
        """Commit an entry, as long as it takes: what cannot be stored is not acknowledged."""
        backoff = Backoff(f"{self.name}/journal")
        while True:
            try:
                await self._store.commit(entry)
            except Disconnected as error:
                if not backoff.tries:
                    _log.error("%s Nothing is acknowledged until it can be stored.", error)
                await asyncio.sleep(backoff.next_s())
                continue
            if backoff.tries:
                _log.info("The state file can be written again.")
            return

    def _hand_on(self, result: Result, *, replay: bool) -> list[tuple[str, AlarmEvent]]:
        """Give what a step made to sinks, workers and the alarm book."""
        self.steps += 1
        keyed: list[tuple[str, AlarmEvent]] = []
        for _, events in result.alarms:
            for event in events:
                self._alarm_count += 1
                keyed.append((f"{self.name}:{self._alarm_count}", event))
            if not replay:
                self._book.apply(events)
        for node, port, message in result.outputs:
            if node in self.egresses:
                self.egresses[node].offer(port, message, replay=replay)
            elif node in self.workers and not replay:
                self.workers[node].offer(port, message)
        for fault in result.faults:
            count = self._fault_count[fault.node] = self._fault_count.get(fault.node, 0) + 1
            if count < FAULTS_MAX:
                self.graph.revive(fault.node, None)
            report(fault, self.statuses.get(fault.node), stopped=count >= FAULTS_MAX)
        return keyed

    # ------------------------------------------------------------------ checkpoint

    async def checkpoint(self) -> int:
        """Store the state between two steps; returns its size [bytes]."""
        if not self.durable:
            return 0
        async with self._step_lock:
            seq = self.seq
            states: dict[str, Mapping[str, Any]] = dict(self.graph.snapshot())
            outbox = {}
            for sink, egress in self.egresses.items():
                waiting = list(egress.queue)
                block = pack_inputs([(sink, port, message) for _, port, message in waiting], 0)
                states[f"outbox:{sink}"] = {"block": np.frombuffer(block, np.uint8)}
                outbox[sink] = {
                    "offered": egress.offered,
                    "delivered": egress.delivered,
                    "waiting": [number for number, _, _ in waiting],
                }
            head = {"now": self.graph.now, "alarm_count": self._alarm_count, "outbox": outbox}
            entry = Entry(self.name, seq, self.graph.now, tags=self._tag_book.unsaved())
            await self._store_entry(entry)
            self._tag_book.saved(entry.tags)
        packed = await self._store.off_loop(lambda: pack_states(states, head))
        await self._store.save_snapshot(self.name, seq, self._clock.now(), packed)
        return len(packed)


def merged(entries: Sequence[Arrived]) -> list[Input]:
    """All messages in order; neighbours from the same port as one batch."""
    inputs: list[Input] = []
    parts: list[Batch] = []
    for entry in entries:
        for port, message in entry.outputs:
            is_next = bool(parts) and inputs[-1][:2] == (entry.node, port)
            if isinstance(message, Batch) and is_next:
                parts.append(message)
                continue
            _close(inputs, parts)
            inputs.append((entry.node, port, message))
            parts = [message] if isinstance(message, Batch) else []
    _close(inputs, parts)
    return inputs


def _close(inputs: list[Input], parts: list[Batch]) -> None:
    if len(parts) > 1:
        node, port, _ = inputs[-1]
        inputs[-1] = (node, port, Batch.concat(parts))
