"""Runner: one flow as it runs. Take, commit, acknowledge, step, hand on; and start again.

The order is the promise: input is on the disk before its source is told so, and what a step gave
can be computed again from the journal.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.data.alarm import AlarmEvent
from gateway.data.event import Event
from gateway.engine.alarmbook import AlarmBook
from gateway.engine.codec import pack_inputs, unpack_inputs, unpack_states
from gateway.engine.crash import crash_point
from gateway.engine.egress import Egress
from gateway.engine.faults import poison, report
from gateway.engine.graph import Graph, Input, Result, rows
from gateway.engine.inbox import Inbox
from gateway.engine.ingress import Arrived
from gateway.engine.journal import persist
from gateway.engine.metrics import NodeStatus
from gateway.engine.packing import merged, pack_flow, positions_of, storable, unpack_box
from gateway.engine.store import Entry, Store
from gateway.engine.tagbook import TagBook
from gateway.engine.wiring import RESUMED
from gateway.engine.workers import WorkerDriver
from gateway.errors import Disconnected, StateError
from gateway.flow.node import Clock

_log = logging.getLogger("genba.flow")
INBOX_ROWS_MAX: Final = 100_000
STEP_ROWS_MAX: Final = 8_192
FAULTS_MAX: Final = 3  # A node that raised this often stays stopped; a person must look.
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
        self.steps = 0
        self.seq = 0
        """Number of the newest journal record."""
        self._done_seq = 0
        """Number of the newest record that the state contains."""
        self._revision = hashlib.blake2b(graph.document.text().encode(), digest_size=8).hexdigest()
        self._store = store
        self._clock = clock
        self._book = book
        self._tag_book = tag_book
        self._fault_count: dict[str, int] = {}
        self._step_lock = asyncio.Lock()
        self._saved: tuple[int, ...] = ()

    # ------------------------------------------------------------------ recovery

    async def recover(self) -> list[str]:
        """Load the newest snapshot and run the journal behind it through the graph.

        Returns: sentences about what could not be taken back.
        """
        if not self.durable:
            return []
        said: list[str] = []
        cursors = await self._store.cursors(self.name, self._revision)
        if (stored := await self._store.snapshot(self.name)) is None:
            for sink, egress in self.egresses.items():
                egress.outbox.restore(0, cursors.get(sink, 0), ())
        else:
            self.seq = self._done_seq = stored[0]
            try:
                said += self._load_snapshot(stored[1], cursors)
            except StateError as error:
                said.append(f"{error} The windows and alarms of {self.name} start fresh.")
                for sink, egress in self.egresses.items():
                    # Which messages these numbers meant is not known: none is passed over.
                    egress.outbox.restore(cursors.get(sink, 0), cursors.get(sink, 0), ())
        return said + await self._replay()

    async def _replay(self) -> list[str]:
        said: list[str] = []
        alarms: list[AlarmEvent] = []
        while records := await self._store.journal(self.name, self.seq):
            for seq, block in records:
                self.seq = self._done_seq = seq
                try:
                    inputs, now = unpack_inputs(block)
                except StateError as error:
                    said.append(f"Journal record {seq} of {self.name} is lost: {error}")
                    for egress in self.egresses.values():
                        egress.outbox.renumber()
                    continue
                alarms += self._hand_on(self.graph.step(inputs, now), replay=True)
            await asyncio.sleep(0)
        if self.seq:
            alarms += await self._resume()
        if alarms:  # Those that were stored before are known.
            await persist(self._store, Entry(self.name, self.seq, self.graph.now, alarms=alarms))
        return said

    async def _resume(self) -> list[AlarmEvent]:
        """Journal that the gateway was away, so that a silence of ours raises no alarm."""
        now = max(self._clock.now(), self.graph.now)
        inputs: list[Input] = [(*RESUMED, (Event(now, "engine/resumed"),))]
        entry = Entry(self.name, self.seq + 1, now, 1, pack_inputs(inputs, now))
        await persist(self._store, entry)
        self.seq = self._done_seq = entry.seq
        # What timers make now is as late as a replay: nothing for a sink that wants it fresh.
        return self._hand_on(self.graph.step(inputs, now), replay=True)

    def _load_snapshot(self, block: bytes, cursors: Mapping[str, int]) -> list[str]:
        states, head = unpack_states(block)
        said = self.graph.restore(states)
        self.graph.now = int(head["now"])
        is_same_flow = head["revision"] == self._revision
        for sink, numbers in head["outbox"].items():
            egress = self.egresses.get(sink)
            if egress is None:
                continue
            offered, delivered, waiting = unpack_box(states, sink, numbers)
            if egress.sink.delivery == "fresh":
                waiting, delivered = (), offered
            elif is_same_flow:
                delivered = max(delivered, cursors.get(sink, 0))
            egress.outbox.restore(offered, delivered, waiting)
        return said

    # ------------------------------------------------------------------ running

    async def run(self) -> None:
        """Serve the inbox until cancelled."""
        while True:
            due = self.graph.wake_at()
            timeout_s = None
            if due is not None:
                wait_s = (due - self._clock.now()) / 1e9
                timeout_s = max(wait_s, NAP_S) if wait_s > 0 else 0.0
            entries = await self.inbox.take(STEP_ROWS_MAX, timeout_s)
            async with self._step_lock:
                await self._serve(entries)
            await asyncio.sleep(0)

    async def _serve(self, entries: Sequence[Arrived]) -> None:
        inputs = merged(entries)
        now = max(self._clock.now(), self.graph.now)
        due = self.graph.wake_at()
        if self.durable and (entries or (due is not None and due <= now)):
            inputs = await self._commit(entries, inputs, now, due)
        for entry in entries:
            if entry.ingress is not None and entry.token is not None:
                crash_point("pre_ack")
                await entry.ingress.acknowledge(entry.token)
        if self.durable and self._done_seq == self.seq:
            return  # Nothing came and no timer is due: the state stays as the journal has it.
        result = self.graph.step(inputs, now)
        self._done_seq = self.seq
        crash_point("mid_step")
        alarms = self._hand_on(result, replay=False)
        if alarms and self.durable:
            await persist(self._store, Entry(self.name, self.seq, now, alarms=alarms))
        for fault in result.faults:
            await self._keep(fault.node, fault.detail, poison(fault, now))

    async def _commit(
        self, entries: Sequence[Arrived], inputs: list[Input], now: int, due: int | None
    ) -> list[Input]:
        """Have the step on the disk, timers too; returns what of the input could be stored."""
        block = None
        if inputs or (due is not None and due <= now):
            inputs, refused = storable(inputs, now)
            for (node, _, message), error in refused:
                text = f"{node} sent what cannot be stored: {error}."
                _log.error("%s", text)
                await self._keep(node, text, repr(message)[:10_000].encode())
                if node in self.statuses:
                    self.statuses[node].counts["faults"] += 1
            block = pack_inputs(inputs, now)
            self.seq += 1
        entry = Entry(
            self.name,
            self.seq,
            now,
            rows=sum(rows(message) for _, _, message in inputs),
            block=block,
            positions=positions_of(entries),
            cursors={sink: egress.delivered for sink, egress in self.egresses.items()},
            revision=self._revision,
            tags=self._tag_book.unsaved(),
        )
        await persist(self._store, entry)
        self._tag_book.saved(entry.tags)
        return inputs

    async def _keep(self, node: str, error: str, data: bytes) -> None:
        """Dead-letter what made a node fail; that is a help, not a promise."""
        try:
            await self._store.dead_letter(self.name, node, self._clock.now(), error, data)
        except Disconnected as trouble:
            _log.error("A dead letter of %s is lost: %s", node, trouble)

    def _hand_on(self, result: Result, *, replay: bool) -> list[AlarmEvent]:
        """Give what a step made to sinks, workers and the alarm book."""
        self.steps += 1
        alarms = [event for _, events in result.alarms for event in events]
        if alarms and not replay:
            self._book.apply(alarms)
        for node, port, message in result.outputs:
            if node in self.egresses:
                self.egresses[node].offer(port, message, replay=replay)
            elif node in self.workers and not replay:
                self.workers[node].offer(port, message)
        for fault in result.faults:
            count = self._fault_count[fault.node] = self._fault_count.get(fault.node, 0) + 1
            if count < FAULTS_MAX:
                self.graph.revive(fault.node)
            report(fault, self.statuses.get(fault.node), stopped=count >= FAULTS_MAX)
        return alarms

    async def drained(self) -> None:
        """Wait until all that arrived was served and every sink has taken its part."""
        while self.inbox.rows or self._step_lock.locked():  # noqa: ASYNC110 - only at the end
            await asyncio.sleep(NAP_S)
        for egress in self.egresses.values():
            await egress.drained()

    def act(self, event: Event) -> int:
        """Hand an operator's action to the nodes it is for; returns how many."""
        alarm = str(event.data.get("alarm", "*"))
        nodes = self.graph.alarm_nodes()
        mine = [n for n in nodes if alarm == "*" or alarm.startswith(f"{self.name}/{n}:")]
        for node in mine:
            self.inbox.put_now(Arrived(node, [("operator", (event,))]), 1)
        return len(mine)

    # ------------------------------------------------------------------ checkpoint

    async def checkpoint(self) -> int:
        """Store the state between two steps. Raises Disconnected when the disk refuses.

        Returns:
            Its size [bytes]; 0 when nothing has changed since the last.
        """
        if not self.durable:
            return 0
        async with self._step_lock:
            mark = (self.steps, *(egress.delivered for egress in self.egresses.values()))
            if mark == self._saved:
                return 0
            seq, states = self._done_seq, self.graph.snapshot()
            boxes = {
                sink: (egress.outbox.offered, egress.outbox.delivered, egress.outbox.waiting())
                for sink, egress in self.egresses.items()
            }
            head = {"now": self.graph.now, "revision": self._revision}
            if tags := self._tag_book.unsaved():
                await self._store.commit(Entry(self.name, seq, self.graph.now, tags=tags))
                self._tag_book.saved(tags)
        size = await self._store.save_snapshot(
            self.name, seq, self._clock.now(), lambda: pack_flow(states, boxes, head)
        )
        self._saved = mark
        return size
