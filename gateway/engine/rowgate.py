"""Row gate: judges one row for a device in the moment of its write, and writes it at most once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from gateway.data.batch import Batch
from gateway.engine.context import NodeContext
from gateway.engine.writeledger import Outcome, Target, Ticket, WriteLedger
from gateway.errors import Disconnected, Rejected
from gateway.flow.grant import Grant
from gateway.flow.judging import Verdict
from gateway.flow.node import Message

Write: TypeAlias = Callable[[Message, str], Awaitable[None]]
LATE: Final = "is not written: a newer value was tried, or it is from before the start."
_SAID_S: Final = 60.0
"""The same refusal of one tag is said once in so long; all are counted."""


class RowGate:
    """What one gate knows, and how it treats a row that a grant is for.

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

    async def _one(
        self,
        write: Write,
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
            if is_second and (
                why := await self._remembered(grant, target, value, ts, verdict.change)
            ):
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

    async def _remembered(
        self, grant: Grant, target: Target, value: float, ts: int, change: float
    ) -> str:
        """Have the disk know of the write before it is made; returns why it cannot, or empty."""
        try:
            await self._ledger.remember(grant, target, value, ts, change)
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
        if ts <= self._ledger.floor(target):
            return 0.0, f"{target[2]} {LATE}"
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
        write: Write,
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


__all__ = ["LATE", "RowGate", "Write"]
