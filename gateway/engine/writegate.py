"""Write gate: the one place through which every write to the world goes, of every protocol.

`Egress` gives each sink its gate, and `WorkerDriver` each worker that can change the plant, so
that a new protocol cannot forget it. Where no grant is for a node, its messages go on as they
are. Where one is, each row that it is for is judged in the moment of its write, and:

* it is written alone, once, and never again: neither after a lost link nor after a restart;
* never when it is older than `max_age_s`, nor does the write go on after that;
* a person's setpoint only with its ticket, which is used up before the write begins.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import numpy as np

from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.engine.context import NodeContext
from gateway.engine.writeledger import Outcome, Target, Ticket, WriteLedger
from gateway.errors import Disconnected, Rejected
from gateway.flow.grant import Grant
from gateway.flow.judging import Verdict
from gateway.flow.node import Message, Sink

_SAID_S: Final = 60.0
"""The same refusal of one tag is said once in so long; all are counted."""


class WriteGate:
    """The gate of one sink, or of one worker that changes the plant.

    Args:
        ledger: What all gates know.
        ctx: The node's context.
        writes: It can change the plant: see `Node.writes`.
        allowed: Its flow says ``allow_write: true``.
        is_fresh: What is refused may become a dead letter, as it is never written again.
    """

    def __init__(
        self,
        ledger: WriteLedger,
        ctx: NodeContext,
        *,
        writes: bool,
        allowed: bool,
        is_fresh: bool = False,
    ) -> None:
        self._ledger = ledger
        self._ctx = ctx
        self._writes = writes
        self._allowed = allowed
        self._is_fresh = is_fresh
        self._said: dict[Target, float] = {}

    def around(self, sink: Sink[Any]) -> Callable[[Message, str], Awaitable[None]]:
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

    async def write(
        self, write: Callable[[Message, str], Awaitable[None]], message: Message, port: str
    ) -> None:
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
        granted = book.of_node(self._ctx.flow, self._ctx.node_id)
        if not granted and not (self._writes and (book.has_tags or book.damaged)):
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
            if why := await self._remembered(grant, target, value, change):
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
            if grant is None:
                why = self._ledger.elsewhere(target) if self._writes else ""
                if why:
                    keep &= message.tag != code
                    reasons.append(self._refuse(target, why))
                continue
            rows = np.flatnonzero(message.tag == code)
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

    # ------------------------------------------------------------------ one row

    async def _one(
        self,
        write: Callable[[Message, str], Awaitable[None]],
        port: str,
        grant: Grant,
        target: Target,
        row: Batch,
    ) -> str:
        """Judge one row and write it; returns why it was not written, or empty."""
        ledger = self._ledger
        value, ts = float(row.value[0]), int(row.ts[0])
        ticket = ledger.redeem(target, ts, value)
        verdict, left_s = Verdict(), 0.0
        for is_second in (False, True):  # It waits for the disk, and the plant does not.
            if is_second and (why := await self._remembered(grant, target, value, verdict.change)):
                _tell(ticket, "refused", why)
                return self._refuse(target, why)
            left_s, why = self._left_s(grant, target, ts, ticket)
            if why:
                _tell(ticket, "expired", why)
                return self._refuse(target, why)
            why = self._may_not(grant, row, ticket)
            verdict = ledger.judge(grant, target, value)
            if why or not verdict.ok:
                why = f"{target[2]} = {value:g} is not written. {why or verdict.refusal()}"
                _tell(ticket, "refused", why)
                return self._refuse(target, why)
        if ticket is not None:
            name = grant.read_back.get(target[2])
            ticket.before, ticket.seen = verdict.current, ledger.look(name) if name else None
        ledger.begin(grant, target, value, ts, verdict.change)
        return await self._hand_over(write, port, target, row, ticket, left_s)

    async def _remembered(self, grant: Grant, target: Target, value: float, change: float) -> str:
        """Have the disk know of the write before it is made; returns why it cannot, or empty."""
        try:
            await self._ledger.remember(grant, target, value, change)
        except Disconnected as error:
            return f"{target[2]} = {value:g} is not written, as it cannot be recorded: {error}"
        return ""

    def _left_s(
        self, grant: Grant, target: Target, ts: int, ticket: Ticket | None
    ) -> tuple[float, str]:
        """How long the write may take, or why it is too late."""
        clock = self._ledger.clock
        if ticket is not None:
            left_s = ticket.until_s - clock.monotonic()
            return left_s, "" if left_s > 0 else "It came too late to be written."
        age_s = (clock.now() - ts) / 1e9
        if self._ledger.is_late(target, ts):
            return 0.0, f"{target[2]}: a newer value was tried, or it is from before the start."
        if not -grant.max_age_s <= age_s < grant.max_age_s:
            return 0.0, f"{target[2]} is {age_s:.1f} s old and is not written."
        return min(grant.max_age_s - age_s, grant.max_age_s), ""

    def _may_not(self, grant: Grant, row: Batch, ticket: Ticket | None) -> str:
        """Why this kind of writer may not use the grant, or empty."""
        book, (flow, node) = self._ledger.book, (self._ctx.flow, self._ctx.node_id)
        if book.of_node(flow, node).get(self._ctx.tags.name(int(row.tag[0]))) is not grant:
            return f"The write grant {grant.id} was changed meanwhile."
        if int(row.quality[0]) >> 30:
            return "Its quality is not Good."
        if ticket is not None:
            if ticket.grant is not grant:
                return f"The write grant {grant.id} was changed meanwhile."
            return "" if grant.by != "flows" else f"The grant {grant.id} is for flows only."
        if grant.by == "people":
            return f"The write grant {grant.id} is for people only."
        return ""

    async def _hand_over(
        self,
        write: Callable[[Message, str], Awaitable[None]],
        port: str,
        target: Target,
        row: Batch,
        ticket: Ticket | None,
        left_s: float,
    ) -> str:
        """The write itself. Nothing waits between the rules and this."""
        before = self._ctx.status.counts["written"]
        limit = asyncio.timeout(left_s)
        try:
            async with limit:
                await write(row, port)
        except Rejected as error:
            _tell(ticket, "failed", str(error))
            return str(error)
        except Disconnected as error:
            text = f"The link broke, so it may or may not be written: {error}"
            _tell(ticket, "unknown", text)
            raise
        except BaseException as error:
            text = "It was cut off, so it may or may not be written; it is not repeated."
            _tell(ticket, "unknown", text)
            if limit.expired() and isinstance(error, TimeoutError):
                return self._refuse(target, f"{target[2]}: {text}")
            raise
        if self._writes and self._ctx.status.counts["written"] == before:
            text = (
                f"The node {self._ctx.node_id} did not write {target[2]}: it is not in its tags, "
                "or was too old for its `max_age_s`."
            )
            _tell(ticket, "failed", text)
            return text
        _tell(ticket, "sent", "")
        return ""

    def _refuse(self, target: Target, why: str) -> str:
        """Count a refusal, and say it unless it was said a moment ago."""
        self._ctx.count("refused_writes")
        if self._is_fresh:  # The dead letter is said.
            return why
        now_s = self._ledger.clock.monotonic()
        if now_s - self._said.get(target, float("-inf")) >= _SAID_S:
            self._said[target] = now_s
            self._ctx.say("warning", why)
        return why


def _tell(ticket: Ticket | None, outcome: Outcome, text: str) -> None:
    if ticket is not None:
        ticket.told(ticket, outcome, text)


__all__ = ["WriteGate"]
