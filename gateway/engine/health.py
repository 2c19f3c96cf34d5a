"""Health: the gateway watches itself, and raises alarms as it does for machines.

Its alarms are made by an ordinary node in an ordinary flow, `gateway`, so that they are
journalled, acknowledged and shelved as all others are. One thing is special: while the disk
refuses, that flow must wait as all others do, so the alarm is shown from here until it can be
written down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from gateway.data.alarm import AlarmEvent, AlarmState, Priority
from gateway.data.event import Event
from gateway.engine.alarmbook import AlarmBook
from gateway.engine.clock import BACK_MAX_NS, SystemClock
from gateway.engine.failed import given_up
from gateway.engine.runner import FlowRunner
from gateway.engine.store import Store
from gateway.engine.store_archive import FOLDER, near_full
from gateway.engine.store_records import letters_waiting
from gateway.errors import Disconnected
from gateway.flow.document import Document
from gateway.flow.node import Clock

_log = logging.getLogger("genba.health")
OWN: Final = "gateway"
"""The flow of the gateway's own alarms; no other may have this name."""
LOOK_S: Final = 1.0
STEP_NS: Final = 1_000_000_000
"""A wall clock that moved by more than this against the steady one has been set."""
OVERLOAD_S: Final = 3.0
"""A flow whose inbox is full for this long cannot keep up."""
FULL, EMPTY = 0.9, 0.5
"""Shares of its room at which an inbox counts as full, and as full no longer."""
AUDIT_S: Final = 60.0
UNITS_S: Final = 10.0
_NODE: Final = "health"
SAFE: Final = (
    "Safe mode: no flow of the last run is started, so nothing is read and nothing is alarmed. "
    "Mend or remove the flow that kept the gateway from running, then start it without --safe."
)


def own_flow() -> Document:
    """The flow of the gateway's own alarms."""
    return Document.parse(f"flow: {OWN}\nversion: 1\nnodes:\n  {_NODE}: {{type: alarm.health}}\n")


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong now.

    Args:
        text: What happened and what to do.
        priority: How urgent it is.
    """

    text: str
    priority: Priority = "medium"


class Health:
    """Looks after the gateway once a second.

    Args:
        runner: The flow of its own alarms.
        runners: All other flows, by name, as they are now.
        store: The state file.
        book: The current alarms.
        clock: The time.
    """

    def __init__(
        self,
        runner: FlowRunner,
        runners: Callable[[], Mapping[str, FlowRunner]],
        store: Store,
        book: AlarmBook,
        clock: Clock,
    ) -> None:
        self._runner = runner
        self._runners = runners
        self._store = store
        self._book = book
        self._clock = clock
        self._full_since: dict[str, float] = {}
        self._letters = 0
        self._audit = ""
        self._audit_at = float("-inf")
        self._units_at = float("-inf")
        self._damage_told = 0
        self.is_safe = False
        prefix = f"{OWN}/{_NODE}:"
        self._raised = {e.tag for e in book.current() if e.alarm.startswith(prefix) and e.is_open}
        """What may be open from before; it is cleared when it is no longer so."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Compare what is wrong now with what is raised."""
        self._look_at_clock()
        for text in self._store.damage[self._damage_told :]:
            self._damage_told += 1
            self.once("gateway/state", Condition(text, "high"))
        found = await self._wrong()
        for what, condition in found.items():
            if what not in self._raised:
                self.raised(what, condition)
        for what in [what for what in self._raised if what not in found]:
            self.cleared(what)

    async def _wrong(self) -> dict[str, Condition]:
        found: dict[str, Condition] = {}
        if self._store.trouble:
            found["gateway/disk"] = Condition(
                f"{self._store.trouble} Nothing is acknowledged and no flow goes on until it can "
                "be stored.",
                "urgent",
            )
        else:
            try:
                self._letters = await letters_waiting(self._store)
            except Disconnected as error:
                found["gateway/disk"] = Condition(str(error), "urgent")
        if self.is_safe:
            found["gateway/safe_mode"] = Condition(SAFE, "high")
        if self._store.is_short():
            found["gateway/room"] = Condition(
                "The disk is full. A reserve was given up, so that nothing stops yet. Free some "
                "space: look at what else lies on it.",
                "urgent",
            )
        if self._letters:
            found["gateway/dead_letters"] = Condition(
                f"{self._letters} messages were refused for good. Look at them: genba dlq list"
            )
        found |= await self._about_audit()
        await self._about_units()
        found |= self._busy()
        tags = self._runner.graph.tags
        if tags.is_full:
            found["gateway/tags"] = Condition(
                f"The table of tags is full ({tags.limit:,}, of which {tags.measured_max:,} may be "
                "tags of sources): samples of further tags are passed over and counted "
                "(without_tag, tags_full). Narrow the topics of the sources, or start with a "
                "greater --tags-max.",
                "high",
            )
        return found

    def _busy(self) -> dict[str, Condition]:
        """Flows that cannot keep up, and sinks that take nothing."""
        found: dict[str, Condition] = {}
        now_s = self._clock.monotonic()
        for name, runner in self._runners().items():
            for node, egress in runner.egresses.items():
                if egress.is_full:
                    found[f"gateway/outbox/{name}/{node}"] = Condition(
                        f"The outbox of {name}/{node} is full ({egress.queued_rows:,} rows). "
                        "Look at why the receiver takes none.",
                        "high",
                    )
            inbox = runner.inbox
            if inbox.rows >= inbox.rows_max * FULL:
                self._full_since.setdefault(name, now_s)
            elif inbox.rows < inbox.rows_max * EMPTY:
                self._full_since.pop(name, None)
            if now_s - self._full_since.get(name, now_s) > OVERLOAD_S:
                found[f"gateway/overload/{name}"] = Condition(
                    f"{name} cannot keep up: {inbox.rows:,} rows wait. Its sources are "
                    "held back. Read less often, or take work out of the flow.",
                    "high",
                )
        return found

    async def _about_audit(self) -> dict[str, Condition]:
        """What to do about the archive of the audit, which is looked at once a minute."""
        now_s = self._clock.monotonic()
        if now_s - self._audit_at >= AUDIT_S:
            self._audit_at = now_s
            folder = self._store.path.parent / FOLDER
            with suppress(OSError):
                self._audit = await asyncio.to_thread(near_full, folder)
        return {"gateway/audit": Condition(self._audit)} if self._audit else {}

    async def _about_units(self) -> None:
        """Units that systemd has given up, since or before our start; looked at every 10 s."""
        now_s = self._clock.monotonic()
        if now_s - self._units_at >= UNITS_S:
            self._units_at = now_s
            for name, text in await asyncio.to_thread(given_up, self._store.path.parent):
                self.raised(f"gateway/unit/{name}", Condition(text, "high"))
                self.cleared(f"gateway/unit/{name}", text)  # What to do stays to be read.

    def _look_at_clock(self) -> None:
        if not isinstance(self._clock, SystemClock):
            return
        before = self._clock.now()
        jump = self._clock.jumped()
        if abs(jump) < STEP_NS:
            return
        self.clock_was_set(jump, before)

    def clock_was_set(self, by: int, before: int) -> None:
        """The machine's clock was set: a note, and a record of the hole.

        Args:
            by: By how much [ns]; negative is back.
            before: The time before [ns].
        """
        way = "forward" if by > 0 else "back"
        text = f"The clock of this machine was set {way} by {_span(by)}."
        ahead = self._clock.ahead() if isinstance(self._clock, SystemClock) else 0
        if ahead > STEP_NS:
            text += (
                f" The gateway's time is {_span(ahead)} ahead of it and goes on, a "
                "tenth slower, until the clock has caught up. Look at who sets the clock (NTP)."
            )
        if ahead > BACK_MAX_NS:
            text += " If the clock is right now, start the gateway anew: then it is followed."
        self.once("gateway/clock", Condition(text, "low"))
        data = {"source": OWN, "cause": "clock_step", "from": min(before, before + by)}
        data["to"] = max(before, before + by)
        self._runner.put("clock", "status", (Event(self._clock.now(), "source/gap", data),))

    # ------------------------------------------------------------------ what is told

    def raised(self, what: str, condition: Condition) -> None:
        """Something is wrong from now on."""
        self._raised.add(what)
        _log.warning("%s: %s", what, condition.text)
        data = {"what": what, "text": condition.text, "priority": condition.priority}
        now = self._tell("health/raised", data)
        if self._store.trouble and self._book.get(f"{OWN}/{_NODE}:{what}:HEALTH") is None:
            self._book.apply([_provisional(what, condition, now)])

    def cleared(self, what: str, text: str = "It is over.") -> None:
        """It is over."""
        self._raised.discard(what)
        self._tell("health/cleared", {"what": what, "text": text})

    def once(self, what: str, condition: Condition) -> None:
        """Something happened that a person must know of, and is over already."""
        self.raised(what, condition)
        self.cleared(what)

    def _tell(self, topic: str, data: Mapping[str, Any]) -> int:
        now = self._clock.now()
        self._runner.put(_NODE, "in", (Event(now, topic, data),))
        return now


def _span(ns: int) -> str:
    """A time in the unit that people would take for it.

    >>> _span(3_600_000_000_000), _span(-86_400_500_000_000), _span(1_500_000_000)
    ('60.0 min', '24.0 h', '1.5 s')
    """
    seconds = abs(ns) / 1e9
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds > 1.5 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _provisional(what: str, condition: Condition, now: int) -> AlarmEvent:
    """What the node will say once it may."""
    return AlarmEvent(
        alarm=f"{OWN}/{_NODE}:{what}:HEALTH",
        tag=what,
        ts=now,
        change="raised",
        state=AlarmState.UNACK,
        occurrence=1,
        priority=condition.priority,
        condition="HEALTH",
        text=condition.text,
        actor=f"node:{_NODE}",
    )
