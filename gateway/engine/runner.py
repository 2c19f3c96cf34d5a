"""Runner: one flow as it runs. Take, commit, acknowledge, step, hand on.

The order is the promise: input is on the disk before its source is told so, and what a step gave
can be computed again from the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.data.event import Event
from gateway.engine.arrived import Arrived
from gateway.engine.bookkeeping import base_of
from gateway.engine.codec import pack_inputs
from gateway.engine.crash import crash_point
from gateway.engine.graph import Input, rows
from gateway.engine.journal import settled, stored
from gateway.engine.keeper import Keeper
from gateway.engine.packing import gaps_of, in_steps, merged, positions_of, storable
from gateway.engine.place import of_batch
from gateway.engine.store import Entry
from gateway.engine.turn import Turn
from gateway.flow.node import Message

STEP_ROWS_MAX: Final = 8_192
STEPS_A_COMMIT: Final = 4
"""So many full steps' input may be stored together when more comes in than the disk takes one by
one: a commit waits for the disk, however little is in it."""
MARK_S: Final = 1.0  # What sinks took is noted so soon, though nothing comes in.
NAP_S: Final = 0.005  # Shortest wait for a timer: while the clock is slowed, time hardly moves.


@dataclass(frozen=True, slots=True)
class Ready:
    """One record of the journal that is to be stepped."""

    inputs: list[Input]
    now: int
    seq: int


class FlowRunner(Keeper):
    """One flow as it runs; see `Keeper` for its arguments."""

    # ------------------------------------------------------------------ running

    async def run(self) -> None:
        """Serve the inbox until cancelled."""
        while True:
            with self.time.standing():
                while full := [e for e in self.egresses.values() if e.holds_up]:
                    await full[0].wait_for_room()
                    await self._note_taken()
            self._taken = await self.inbox.take(self._take_max(), self._patience_s())
            async with self.lock:
                entries, self._taken = self._taken, []
                await self._serve(entries)
            if not entries:
                await self._note_taken()
            await asyncio.sleep(0)

    def _take_max(self) -> int:
        """How many rows to take: few where a sink has no room for what they become."""
        is_tight = any(egress.is_tight for egress in self.egresses.values())
        return STEP_ROWS_MAX if is_tight or not self.durable else STEP_ROWS_MAX * STEPS_A_COMMIT

    def _patience_s(self) -> float | None:
        """How long to wait for input: until a timer is due, or a sink has taken something."""
        boxes = self.outboxes()
        is_busy = settled(boxes) != self._settled or any(map(len, boxes.values()))
        patience_s = MARK_S if self.durable and is_busy else None
        if (due := self.graph.wake_at()) is not None:
            wait_s = (due - self._clock.now()) / 1e9
            wait_s = max(wait_s, NAP_S) if wait_s > 0 else 0.0
            patience_s = wait_s if patience_s is None else min(wait_s, patience_s)
        return patience_s

    async def _serve(self, entries: Sequence[Arrived], *, ahead: bool = True) -> None:
        """Commit, acknowledge and step; while a step runs, the next commit is on its way.

        What is committed ahead is stepped before the lock is let go, and nothing is committed
        ahead while somebody waits for the lock: who has it sees the flow between two steps, with
        no record that was not stepped.

        Args:
            entries: What came in.
            ahead: False to serve these and no more.
        """
        ready = await self._commit(entries)
        while ready:
            coming = await self._begin_next(ready[-1].now) if ahead else None
            try:
                await self._step_all(ready)
            except asyncio.CancelledError:
                if coming is not None:
                    coming.cancel()
                raise
            except Exception:
                if coming is not None:
                    await self._step_all(await coming)  # They are in the journal.
                raise
            ready = await coming if coming is not None else []

    async def _step_all(self, ready: Sequence[Ready]) -> None:
        """Step all records of one commit; an error of ours in one keeps none of the others."""
        for index, one in enumerate(ready):
            if index:
                await asyncio.sleep(0)  # The event loop is for others too.
            try:
                await self._step(one)
            except Exception:
                await self._step_all(ready[index + 1 :])  # They are in the journal.
                raise

    async def _begin_next(self, after: int) -> asyncio.Task[list[Ready]] | None:
        """Have what waits in the inbox committed meanwhile, if anything does."""
        is_free = self.durable and not self.lock.is_wanted
        if not is_free or not len(self.inbox) or any(e.holds_up for e in self.egresses.values()):
            return None
        entries = await self.inbox.take(self._take_max(), 0.0)
        coming = self._ahead.start("commit", self._commit(entries, after))
        for _ in range(3):  # So that it is with the writer's thread before the step begins.
            await asyncio.sleep(0)
        return coming

    async def _commit(self, entries: Sequence[Arrived], after: int = 0) -> list[Ready]:
        """Have some steps on the disk, timers too, then tell the sources.

        Args:
            entries: What came in.
            after: The time of the step before [ns].

        Returns:
            What to step, in order; empty where nothing came and no timer is due.
        """
        entries = self.inbox.admitted(entries, self.graph.classes)
        for entry in entries:  # Their questions are settled in the transaction that has them.
            worker = self.workers.get(entry.node) if entry.answers else None
            if worker is not None and worker.outbox is entry.outbox:
                worker.journalled(entry.answers)
                self.inbox.look_again()  # There may be room for more questions.
        ready: list[Ready] = []
        records: list[Entry] = []
        for part in in_steps(entries, STEP_ROWS_MAX):
            now, inputs = self.time.next(max(self.graph.now, after))
            inputs += merged(part)
            due = self.graph.wake_at()
            is_due = due is not None and due <= now
            before, after = self.seq, now
            if self.durable and (inputs or part or is_due):
                record, inputs = await self._record(part, inputs, now, is_due=is_due)
                records.append(record)
            if not self.durable or self.seq > before:  # Else the state stays as the journal has it.
                ready.append(Ready(inputs, now, self.seq))
        if records:
            records[-1].before = records[:-1]
            with self.time.standing():
                await self._write(records[-1])
        self.inbox.journalled([item for one in ready for item in one.inputs], entries)
        await self._acknowledge(entries)
        return ready

    async def _record(
        self, entries: Sequence[Arrived], inputs: list[Input], now: int, *, is_due: bool
    ) -> tuple[Entry, list[Input]]:
        """One record to be committed, and what of the input could be stored."""
        pack = None
        if inputs or is_due:
            self.seq += 1
            inputs, refused = storable(inputs, now)
            for item, error in refused:
                self.inbox.refused(item)
                status = self.statuses.get(item[0])
                await self._faults.refuse(item, error, status, self.seq, now, self.revision)
            pack = partial(pack_inputs, inputs, now)
        size = sum(rows(message) for _, _, message in inputs)
        entry = Entry(self.name, self.seq, now, size, None, positions_of(entries))
        entry.gaps, entry.pack = gaps_of(inputs), pack
        again = [e.again.decision for e in entries if e.again is not None]
        entry.decisions = [decision for decision in again if decision is not None]
        return entry, inputs

    async def _acknowledge(self, entries: Sequence[Arrived]) -> None:
        """Tell the sources that what they brought is safe."""
        for entry in entries:
            if entry.ingress is not None and entry.token is not None:
                crash_point("pre_ack")
                await entry.ingress.acknowledge(entry.token)
                crash_point("post_ack")

    async def _step(self, ready: Ready) -> None:
        with of_batch(self.name, ready.seq):
            result = self.graph.step(ready.inputs, ready.now)
            self._done_seq = ready.seq
            crash_point("mid_step")
            await self._store_alarms(self._hand_on(result, self.graph, replay=False))
            await self._faults.keep(result.faults, ready.seq, ready.now, self.revision)
        self.after_step(ready.inputs, ready.now, result)

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
        await self._serve(waiting, ahead=False)

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
        self.taps.follow()
        install()
        self.inbox.look_again()
        self.base = base_of(self.graph, self.outboxes())
        result = self.graph.step(turn.inputs, turn.now)
        self._done_seq = seq
        await self._store_alarms(self._hand_on(result, self.graph, replay=False))
