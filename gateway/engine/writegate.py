"""Write gate: the one place through which every write to the world goes, of every protocol.

`Egress` gives each sink its gate, and `WorkerDriver` each worker that can change the plant, so
that a new protocol cannot forget it. Where no grant is for a node, its messages go on as they
are. Where one is, each row that it is for is judged in the moment of its write, and:

* it is written alone, once, and never again: neither after a lost link nor after a restart;
* never when it is older than `max_age_s`, nor does the write go on after that;
* a person's setpoint only with its ticket, which is used up before the write begins.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.engine.rowgate import LATE, RowGate, Write
from gateway.engine.writeledger import Target
from gateway.errors import Rejected
from gateway.flow.grant import Grant
from gateway.flow.node import Message, Sink


class WriteGate(RowGate):
    """The gate of one sink, or of one worker that changes the plant; see `RowGate`."""

    def around(self, sink: Sink[Any]) -> Write:
        """The sink's `write`, with this in front."""

        async def write(message: Message, port: str) -> None:
            await self.write(sink.write, message, port)

        return write

    def must_be_allowed(self) -> None:
        """Raises Rejected where the flow may not change the plant at all."""
        if self._writes and not self._allowed:
            raise Rejected(
                f"The flow {self._ctx.flow} may not change the plant: nothing is written. "
                "Write `allow_write: true` at its top if that is meant."
            )
        if self._writes and self._ledger.book.damaged:
            raise Rejected(self._ledger.elsewhere((self._ctx.flow, self._ctx.node_id, "")))

    async def write(self, write: Write, message: Message, port: str) -> None:
        """Write what may be written of a message.

        Raises:
            Rejected: Something of it may not, or the sink refuses it.
            Disconnected: The sink's; rows that a grant is for are not written again.
        """
        book = self._ledger.book
        if self._writes and not self._allowed:
            self.must_be_allowed()
        if not isinstance(message, Batch):
            await write(message, port)
            return
        flow, node = self._ctx.flow, self._ctx.node_id
        granted = book.of_node(flow, node)
        is_free = not self._writes or not (book.has_tags or book.damaged)
        if not granted and is_free and not self._ledger.knows(flow, node):
            await write(message, port)
            return
        rest, judged, reasons = self._sorted(message, granted)
        trouble: Rejected | None = None
        if len(rest):
            try:
                await write(rest, port)
            except Rejected as error:
                trouble = error
                reasons.append(str(error))
        for grant, target, row in judged:
            if why := await self._one(write, port, grant, target, row):
                reasons.append(why)
        if reasons and self._is_fresh:
            raise Rejected(" ".join(reasons))
        if trouble is not None:  # Its rows are looked for one by one; ours are tried already.
            raise trouble

    async def command(self, message: Message) -> None:
        """Judge events that a worker acts on: numbers in them by the grant of their name.

        Raises:
            Rejected: One of them may not be acted on, so none of the message is.
        """
        self.must_be_allowed()
        granted = self._ledger.book.of_node(self._ctx.flow, self._ctx.node_id)
        if not self._writes or not granted or not isinstance(message, tuple):
            return
        found: list[tuple[Grant, Target, float, int, float]] = []
        for event in (item for item in message if isinstance(item, Event)):
            for name, grant in granted.items():
                target = (self._ctx.flow, self._ctx.node_id, name)
                number = event.data.get(name)
                value = float(number) if isinstance(number, int | float) else math.nan
                _, why = self._left_s(grant, target, event.ts, None)
                verdict = self._ledger.judge(grant, target, value)
                if grant.by == "people":
                    why = f"The write grant {grant.id} is for people only."
                if why or not verdict.ok or any(target == one[1] for one in found):
                    why = why or verdict.refusal() or "It is there twice in one message."
                    raise Rejected(self._refuse(target, f"{name} = {value:g}: {why}"))
                found.append((grant, target, value, event.ts, verdict.change))
        for grant, target, value, ts, change in found:
            if why := await self._remembered(grant, target, value, ts, change):
                raise Rejected(self._refuse(target, why))
            self._ledger.begin(grant, target, value, ts, change)

    def _sorted(
        self, message: Batch, granted: Any
    ) -> tuple[Batch, list[tuple[Grant, Target, Batch]], list[str]]:
        """Rows that no grant is for, rows that one is for, and why others may not be written."""
        flow, node, tags = self._ctx.flow, self._ctx.node_id, self._ctx.tags
        keep = np.ones(len(message), np.bool_)
        judged: list[tuple[Grant, Target, Batch]] = []
        reasons: list[str] = []
        for code in np.unique(message.tag).tolist():
            target = (flow, node, tags.name(code))
            grant = granted.get(target[2])
            rows = np.flatnonzero(message.tag == code)
            if grant is None:
                why = self._ledger.elsewhere(target) if self._writes else ""
                floor = self._ledger.floor(target)
                if why or message.ts[rows].min() <= floor:
                    keep[rows] = (message.ts[rows] > floor) & (not why)
                    reasons.append(self._refuse(target, why or f"{target[2]} {LATE}"))
                continue
            keep[rows] = False
            chosen = self._chosen(target, message, rows.tolist())
            judged += [(grant, target, message.where(slice(r, r + 1))) for r in chosen]
        return message.where(keep), judged, reasons

    def _chosen(self, target: Target, message: Batch, rows: list[int]) -> list[int]:
        """Of a flow's rows of one tag only the newest; of people's each."""
        people = [row for row in rows if self._ledger.has_ticket(target, int(message.ts[row]))]
        flows = [row for row in rows if row not in people]
        if len(flows) > 1:
            self._ctx.count("superseded", len(flows) - 1)
        newest = max(flows, key=lambda row: (int(message.ts[row]), row), default=None)
        return people if newest is None else sorted([*people, newest])


__all__ = ["WriteGate"]
