"""Write ledger: what was written to machines lately, and which setpoints of people are under way.

It is the memory of `writegate`: rates, steps, and that nothing is written twice or late. Each
write is on the disk before it is made, so that a restart forgets none; as the clock may be set
while the gateway is off, those of the last minute count as if they were made at the start. What
is not known refuses. Tickets are only in memory, and a sample from before the start is never
written.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from gateway.engine.grantbook import GrantBook
from gateway.engine.store import Store
from gateway.engine.store_grants import keep_mark
from gateway.flow.grant import Grant
from gateway.flow.judging import MINUTE_S, Facts, Seen, Verdict, judge
from gateway.flow.node import Clock

Target: TypeAlias = tuple[str, str, str]
"""(flow, sink, tag)"""
Look: TypeAlias = Callable[[str], Seen | None]
Keep: TypeAlias = Callable[[Target, Mapping[str, Any]], Awaitable[None]]
"""Has the disk know of the last writes of a target. Raises Disconnected."""
Outcome: TypeAlias = Literal["sent", "refused", "failed", "unknown", "expired"]
"""sent: the sink took it. refused: a rule did not hold. failed: the sink or the device refused.
unknown: it was cut off, so it may have been written. expired: it was not begun in time."""
_AHEAD_NS: Final = 60 * 10**9
"""A sample may be ahead of our clock, by `max_age_s` at most; what is more, a wrong clock made."""
_WRITES_KEPT: Final = 6_000
_UNLIMITED_KEPT: Final = 20
"""On the disk, of a target of which neither rate nor step is asked."""


@dataclass(slots=True, eq=False)
class Ticket:
    """One confirmed setpoint on its way: it is good for one write, until a moment.

    Args:
        target: Where to.
        grant: By which grant.
        value: What is written.
        ts: The time of its sample, by which the gate knows it again [ns].
        until_s: After that it is not begun any more, by the monotonic clock [s].
        told: Called once with what came of it.
    """

    target: Target
    grant: Grant
    value: float
    ts: int
    until_s: float
    told: Callable[[Ticket, Outcome, str], None]
    before: Seen | None = None
    """What the device held right before the write."""
    seen: Seen | None = None
    """The newest read-back sample at that moment, believed or not."""


class _Write(NamedTuple):
    """One write: when by the monotonic clock [s], what, and most by which it changed the value."""

    at_s: float
    value: float
    change: float


@dataclass(slots=True)
class _Past:
    """What is remembered of one target."""

    floor: int
    """Only samples after this time are written: each once, none from before the start [ns]."""
    writes: deque[_Write] = field(default_factory=lambda: deque(maxlen=_WRITES_KEPT))
    """Those of the last minute, and those that the read-back tag may not show yet."""
    known_from_s: float = -math.inf
    """What was written before is not known, by the monotonic clock [s]."""


class WriteLedger:
    """What is known of all targets.

    Args:
        book: The grants.
        clock: The time.
        look: The newest sample of a tag since the start.
        keep: Where the last writes are kept.
    """

    def __init__(self, book: GrantBook, clock: Clock, look: Look, keep: Keep) -> None:
        self.book = book
        self.clock = clock
        self.look = look
        self._keep = keep
        self._began_s = clock.monotonic()
        self._began = clock.now()
        self._past: dict[Target, _Past] = {}
        self._nodes: set[tuple[str, str]] = set()
        self._tickets: dict[tuple[Target, int], Ticket] = {}

    @classmethod
    def stored(cls, store: Store, clock: Clock, look: Look) -> WriteLedger:
        """A ledger whose grants and last writes are in the state file."""
        return cls(GrantBook(store, clock), clock, look, partial(keep_mark, store))

    # ------------------------------------------------------------------ rules

    def judge(self, grant: Grant, target: Target, value: float) -> Verdict:
        """Ask every rule of a grant about a write that would be made now."""
        past, now_s = self._of(target), self.clock.monotonic()
        name = grant.read_back.get(target[2])
        settled_s = self._settled_s(grant, name)
        writes = past.writes
        while writes and now_s - writes[0].at_s >= max(MINUTE_S, settled_s):
            writes.popleft()
        unsettled = [w.value for w in writes if name and now_s - w.at_s < settled_s]
        facts = Facts(
            look=self.look,
            writes=[(now_s - write.at_s, write.change) for write in writes],
            known_s=now_s - past.known_from_s,
            unsettled=(min(unsettled), max(unsettled)) if unsettled else (),
        )
        return judge(grant, target[2], value, facts)

    def _settled_s(self, grant: Grant, name: str | None) -> float:
        """A write that is so long ago is shown by the read-back tag, if it was made [s]."""
        if name is None:
            return 0.0
        seen = self.look(name)
        return math.inf if seen is None else max(seen.age_s, 0.0) + grant.read_back_s

    def knows(self, flow: str, node: str) -> bool:
        """Whether a grant was ever for a target of a sink, also if none is now."""
        return (flow, node) in self._nodes

    def learn(self, target: Target) -> None:
        """A setpoint was once confirmed for it."""
        self._of(target)

    def floor(self, target: Target) -> int:
        """A sample of this time or before was tried, or is from before the start [ns].

        It is 0 for a target that no grant was ever for.
        """
        if target in self._past or target[2] in self.book.of_node(*target[:2]):
            return self._of(target).floor
        return 0

    def begin(self, grant: Grant, target: Target, value: float, ts: int, change: float) -> None:
        """A write is made from here on: it counts whatever becomes of it."""
        past = self._of(target)
        past.floor = max(past.floor, ts)
        past.writes.append(_Write(self.clock.monotonic(), value, change))

    async def remember(
        self, grant: Grant, target: Target, value: float, ts: int, change: float
    ) -> None:
        """Have the disk know that a write is about to be made.

        Raises:
            Disconnected: It cannot be recorded, so it must not be made.
        """
        made = [*self._of(target).writes, _Write(0.0, value, change)]
        if grant.writes_per_min is None and not grant.needs_current():
            made = made[-_UNLIMITED_KEPT:]
        writes = [[write.value, write.change] for write in made]
        await self._keep(target, {"ts": ts, "writes": writes})

    def restore(self, kept: Mapping[Target, Mapping[str, Any] | None]) -> None:
        """Take up what was kept; where that is damaged, nothing is known of the time before."""
        for target, fact in kept.items():
            past = self._of(target)
            if fact is None:
                past.known_from_s = self._began_s
                continue
            past.writes.extend(_Write(self._began_s, *write) for write in fact["writes"])
            if fact["ts"] <= past.floor + _AHEAD_NS:
                past.floor = max(past.floor, fact["ts"])

    def _of(self, target: Target) -> _Past:
        past = self._past.get(target)
        if past is None:
            past = self._past[target] = _Past(self._began)
            self._nodes.add(target[:2])
        return past

    # ------------------------------------------------------------------ setpoints of people

    def issue(
        self,
        target: Target,
        grant: Grant,
        value: float,
        until_s: float,
        told: Callable[[Ticket, Outcome, str], None],
    ) -> Ticket:
        """Let one confirmed setpoint through, once; older samples of its target are late now."""
        past = self._of(target)
        ts = max(self.clock.now(), past.floor + 1)
        past.floor = ts
        ticket = Ticket(target, grant, value, ts, until_s, told)
        self._tickets[target, ts] = ticket
        return ticket

    def has_ticket(self, target: Target, ts: int) -> bool:
        """Whether a sample of that time is a confirmed setpoint that was not tried."""
        return (target, ts) in self._tickets

    def redeem(self, target: Target, ts: int, value: float) -> Ticket | None:
        """The ticket of a sample, which is used up with that."""
        ticket = self._tickets.get((target, ts))
        if ticket is None or ticket.value != value:
            return None
        return self._tickets.pop((target, ts))

    def expire(self) -> None:
        """Take back the tickets whose time is over."""
        now_s = self.clock.monotonic()
        for key, ticket in [item for item in self._tickets.items() if now_s > item[1].until_s]:
            del self._tickets[key]
            ticket.told(ticket, "expired", "It could not be written in time, so it was dropped.")

    # ------------------------------------------------------------------ what has no grant

    def elsewhere(self, target: Target) -> str:
        """Why a device may not be written where no grant is for the target, or empty."""
        if self.book.damaged:
            return (
                f"The write grant {self.book.damaged[0]!r} is damaged: nothing is written that no "
                "whole grant is for. Set it anew, or remove it."
            )
        others = self.book.of_tag(target[2])
        if not others:
            return ""
        ways = ", ".join(sorted({f"{grant.flow}/{grant.node}" for grant in others}))
        return f"{target[2]} is written by its write grant only, which is for {ways}."


__all__ = ["Look", "Outcome", "Target", "Ticket", "WriteLedger"]
