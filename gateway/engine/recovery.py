"""Recovery: the newest checkpoint, and the journal behind it run through the same step again.

A replay of the journal makes the same messages with the same numbers; those that a sink has
taken, or that are on the disk already, are passed over. The revision of the flow that ran then
runs again, record by record, so that an edit between two starts changes nothing of the past.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from gateway.data.alarm import AlarmEvent
from gateway.data.event import Event
from gateway.engine.codec import unpack_inputs
from gateway.engine.graph import Graph, Input, Result
from gateway.engine.lane import Block, Waiting
from gateway.engine.outbox import Outbox, node_of_box
from gateway.engine.packing import unpack_messages
from gateway.engine.store import Store
from gateway.engine.store_state import Loaded
from gateway.engine.taken import Taken
from gateway.engine.wiring import DEPLOYED
from gateway.errors import GatewayError, StateError

_log = logging.getLogger("genba.recovery")
GraphOf = Callable[[int], Graph]
"""The executable form of a revision of the flow, by its number."""
HandOn = Callable[[Result, Graph], list[AlarmEvent]]
Marks = Mapping[str, tuple[int, dict[str, Any]]]


class Recovery:
    """Brings one flow back to where the journal says it was.

    Args:
        flow: The flow's name.
        store: Where it was kept.
        graph: The flow as it was first known; the revision of the checkpoint takes its place.
        graph_of: Makes the graph of an older revision.
        outboxes: What waits for sinks and workers, by node id.
        stale: Sinks whose messages are of no use once they are old.
        hand_on: Gives what a step of a graph made to the sinks; returns its alarms.
    """

    def __init__(
        self,
        flow: str,
        store: Store,
        graph: Graph,
        graph_of: GraphOf,
        outboxes: Mapping[str, Outbox],
        stale: frozenset[str],
        hand_on: HandOn,
    ) -> None:
        self.graph = graph
        self.seq = 0
        self.revision = 0
        """The revision that ran when the newest record was written; 0 when none was stored."""
        self.said: list[str] = []
        self.alarms: list[AlarmEvent] = []
        self._flow = flow
        self._store = store
        self._graph_of = graph_of
        self._outboxes = outboxes
        self._stale = stale
        self._hand_on = hand_on
        self._muted_to = 0
        """Records up to this number only bring the state back: what they made has gone out."""
        self._is_exact = True
        text = graph.document.text().encode()
        self._text = hashlib.blake2b(text, digest_size=8).hexdigest()
        self._unsettled: dict[str, str] = {}
        """Outboxes whose books do not balance by themselves, and what to call the difference."""

    async def run(self) -> None:
        """Load the checkpoint and run the journal behind it."""
        marks = await self._store.outlets(self._flow)
        try:
            loaded = await self._store.snapshot(self._flow)
        except StateError as error:
            self.said.append(
                f"{error} The state of {self._flow} is made again from the journal that is kept."
            )
            loaded, self._is_exact = None, False
        first = await self._first_record()
        if loaded is not None:
            self._take_states(loaded)
        elif first > 1:
            self._is_exact = False
        if loaded is None and not self._is_exact:
            self.seq = max(first - 1, 0)
            self._muted_to = max((seq for seq, _ in marks.values()), default=0)
        await self._restore_outboxes(marks, loaded.head if loaded is not None else {})
        await self._replay()
        for node, outbox in self._outboxes.items():
            if node in self._stale:
                outbox.pass_over()
            if node in self._unsettled or not self._is_exact:
                outbox.settle(self._unsettled.get(node, "state_damaged"))
            else:
                outbox.books.recount(outbox.rows, is_stale=node in self._stale)

    async def _first_record(self) -> int:
        records = await self._store.journal(self._flow, 0, 1)
        return records[0][0] if records else 0

    def _take_states(self, loaded: Loaded) -> None:
        self.seq = loaded.seq
        self._use(int(loaded.head.get("revision", 0)), keep=False)
        self.said += loaded.damaged.values()
        self.said += self.graph.restore(
            loaded.states,
            versions=loaded.head.get("versions"),
            faults=loaded.head.get("faults"),
        )
        self._is_exact = not loaded.damaged
        self.graph.now = int(loaded.head["now"])

    def _use(self, revision: int, *, keep: bool) -> None:
        """Run the flow as it was then; one that cannot be built any more is run as it is now."""
        if revision == self.revision or revision == 0:
            return
        self.revision = revision
        try:
            graph = self._graph_of(revision)
        except GatewayError as error:
            self.said.append(
                f"Revision {revision} of {self._flow} cannot run any more ({error}): its records "
                "are run through the flow as it is now."
            )
            self._inexact()
            return
        if keep:
            graph.adopt(self.graph)
        self.graph = graph

    async def _restore_outboxes(self, marks: Marks, head: Mapping[str, Any]) -> None:
        numbers: Mapping[str, list[int]] = head.get("offered", {})
        for node, outbox in self._outboxes.items():
            mark = marks.get(node, (0, {}))[1]
            offered = numbers.get(node, [0, 0])
            blocks = await self._blocks(node, outbox, Taken(mark))
            if node in self._stale:
                outbox.freed += [block.first for block in blocks]
                blocks = []
            text = mark.get("text", self._text)  # From version 1, whose numbers no revision had.
            is_exact = self._is_exact and text == self._text
            exact = (int(offered[0]), int(offered[1])) if is_exact else None
            if "text" in mark:
                self._unsettled[node] = ""
            if not outbox.restore(mark, exact, blocks):
                self._unsettled.setdefault(node, "state_damaged")

    async def _blocks(self, node: str, outbox: Outbox, taken: Taken) -> list[Block]:
        """What waits on the disk, the oldest with its contents.

        Blocks that were taken in part are read too, so that the books know what is left.
        """
        found = []
        total = 0
        for first, last, rows, size in await self._store.blocks(self._flow, node):
            block = Block(first, last, rows, size)
            found.append(block)
            if taken.has_all(first, last):
                continue
            total += rows
            is_cut = taken.has_some(first, last)
            if is_cut or total <= outbox.memory_rows_max:
                block.items = await self.items(node, first)
        if (self._flow, node) in self._store.lost_blocks:
            self._unsettled[node] = "damaged"
        return found

    async def items(self, node: str, first: int) -> deque[Waiting]:
        """The messages of a block; one that is damaged is empty, and said."""
        data = await self._store.block(self._flow, node, first)
        try:
            return deque(unpack_messages(data, first)) if data else deque()
        except StateError as error:
            self.said.append(f"Rows that waited for {node} are lost: {error}")
            self._unsettled[node] = "damaged"
            return deque()

    async def _replay(self) -> None:
        while records := await self._store.journal(self._flow, self.seq):
            for seq, block in records:
                self.seq = seq
                try:
                    inputs, now = unpack_inputs(block)
                except StateError as error:
                    self._lost(f"Journal record {seq} of {self._flow} is lost: {error}")
                    continue
                self._step(inputs, now)
            await asyncio.sleep(0)

    def _lost(self, text: str) -> None:
        self.said.append(text)
        self._inexact()

    def _inexact(self) -> None:
        """Numbers are not what they were: nothing that comes is passed over."""
        self._is_exact = False
        for outbox in self._outboxes.values():
            outbox.renumber()

    def _step(self, inputs: list[Input], now: int) -> None:
        if inputs and inputs[0][:2] == DEPLOYED:
            self._deployed(inputs[0])
        result = self.graph.step(inputs, now)
        if self.seq <= self._muted_to:
            result.outputs.clear()
            result.alarms.clear()
        self.alarms += self._hand_on(result, self.graph)

    def _deployed(self, marker: Input) -> None:
        assert isinstance(marker[2], tuple)
        event = marker[2][0]
        assert isinstance(event, Event)
        known = self.graph.classes.keys() - set(event.data.get("closed", ()))
        self._use(int(event.data["revision"]), keep=True)
        for node, outbox in self._outboxes.items():
            if node_of_box(node) not in known:  # Its numbers began with this revision.
                outbox.begin()


__all__ = ["GraphOf", "Recovery"]
