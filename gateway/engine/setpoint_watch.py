"""Setpoint watch: follows every setpoint to its end, and keeps the last ones to be shown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from gateway.engine.grantbook import GrantBook
from gateway.engine.setpoint import Setpoint, State, restored
from gateway.engine.store import Store
from gateway.engine.store_grants import load_marks, setpoint_records
from gateway.engine.writeledger import Outcome, Ticket, WriteLedger
from gateway.errors import ConfigError, Disconnected

KEPT: Final = 200
LOOK_S: Final = 0.1
Note = Callable[[int, str, str, Mapping[str, Any]], Awaitable[None]]
"""Records who did what: (ts, actor, action, detail). Raises Disconnected."""


class SetpointWatch:
    """The setpoints that are under way and the last that were.

    Args:
        ledger: What was written lately.
        note: The audit.
        say: Tells people: (level, where, text).
    """

    def __init__(
        self, ledger: WriteLedger, note: Note, say: Callable[[str, str, str], None]
    ) -> None:
        self._ledger = ledger
        self._note = note
        self._say = say
        self._clock = ledger.clock
        self._open: dict[str, Setpoint] = {}
        self._unsaid: list[Setpoint] = []
        self._kept: dict[str, Setpoint] = {}
        self._wake = asyncio.Event()

    @property
    def book(self) -> GrantBook:
        """The write grants."""
        return self._ledger.book

    # ------------------------------------------------------------------ look

    def rows(self) -> list[dict[str, Any]]:
        """The last setpoints as JSON values, newest first; no token is among them."""
        return [one.as_dict() for one in reversed(self._kept.values())]

    def knows(self, id: str) -> bool:
        """Whether it is among the last ones."""
        return id in self._kept

    def row(self, id: str) -> dict[str, Any]:
        """One setpoint.

        Raises:
            ConfigError: It is not among the last ones.
        """
        if id not in self._kept:
            raise ConfigError(f"There is no setpoint {id!r} among the last {KEPT}.")
        return self._kept[id].as_dict()

    async def load(self, store: Store) -> None:
        """Read grants, the last writes and setpoints: what was under way in that life is over.

        Raises:
            Disconnected: The disk is away.
        """
        await self.book.load()
        self._ledger.restore(await load_marks(store))
        records = await setpoint_records(store, 3 * KEPT)
        for one in restored(records):
            self._keep(one)
            self._ledger.learn(one.target)
            if one.state == "confirmed":
                one.state = "unknown"
                one.text = (
                    "The gateway ended before it knew what became of it. It may or may not have "
                    "been written; it is not written any more."
                )
                self._unsaid.append(one)

    # ------------------------------------------------------------------ follow

    def _forget(self) -> None:
        """Let go of what was armed and not confirmed in time."""

    def _begin(self, one: Setpoint) -> None:
        """Follow it from here on."""
        self._open[one.id] = one
        self._wake.set()

    async def run(self) -> None:
        """Follow what is under way until cancelled."""
        while True:
            if not self._open and not self._unsaid:
                self._wake.clear()
                await self._wake.wait()
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Disconnected as error:
                self._say("error", "setpoints", f"A result is not yet in the audit: {error}")
                await asyncio.sleep(1.0)

    async def look(self) -> None:
        """See what has expired and what was read back; record results.

        Raises:
            Disconnected: A result cannot be recorded yet; it is kept for the next time.
        """
        self._forget()
        self._ledger.expire()
        for one in [s for s in self._open.values() if s.state == "reading back"]:
            self._read_back(one)
        await self._say_results()

    def _told(self, one: Setpoint, ticket: Ticket, outcome: Outcome, text: str) -> None:
        """What the gate says of the write."""
        one.before = ticket.before or one.before
        if outcome in ("refused", "expired"):
            self._end(one, outcome, text)
            return
        one.outcome, one.text = outcome, text
        name = one.grant.read_back.get(one.target[2])
        if name is None:
            is_sent = outcome == "sent"
            text = "It was written; no read-back tag shows whether the device holds it."
            self._end(one, "written" if is_sent else outcome, text if is_sent else one.text)
            return
        one.seen = ticket.seen
        one.state = "reading back"
        one.until_s = self._clock.monotonic() + one.grant.read_back_s

    def _read_back(self, one: Setpoint) -> None:
        """Compare what the device shows with what was written."""
        name = one.grant.read_back[one.target[2]]
        seen = self._ledger.look(name)
        is_over = self._clock.monotonic() > one.until_s
        problem = f"{name} has no value." if seen is None else seen.problem(one.grant.input_age_s)
        if seen is None or problem:
            if is_over:
                why = f"It cannot be read back: {problem}"
                self._end(one, "unknown", f"{one.text} {why}".strip())
            return
        is_new = one.seen is None or seen.mark != one.seen.mark
        is_equal = abs(seen.value - one.value) <= one.grant.tolerance
        if not is_over and not (is_new and is_equal):
            return
        one.after = seen
        shown = f"{name} shows {seen.value:g}."
        if is_equal and not is_new:
            shown = f"{name} shows {seen.value:g} as before; no newer value came."
        if is_equal:
            state: State = "written" if one.outcome == "sent" else one.outcome
            self._end(one, state, f"{one.text} {shown}".strip())
        elif one.outcome == "sent":
            text = f"It was written, but {name} shows {seen.value:g} and not {one.value:g}."
            self._end(one, "differs", text)
        else:
            self._end(one, one.outcome, f"{one.text} {shown}".strip())

    def _end(self, one: Setpoint, state: State, text: str) -> None:
        one.state, one.text = state, text
        one.ended = self._clock.now()
        self._open.pop(one.id, None)
        self._unsaid.append(one)
        self._wake.set()
        if state != "written":
            flow, node, tag = one.target
            self._say("warning", f"{flow}/{node}", f"Setpoint {tag} = {one.value:g}: {text}")

    async def _say_results(self) -> None:
        while self._unsaid:
            one = self._unsaid.pop(0)
            actor = one.confirmed_by or one.by
            try:
                await self._note(self._clock.now(), actor, "setpoint/result", one.detail())
            except BaseException:
                self._unsaid.insert(0, one)
                raise

    def _keep(self, one: Setpoint) -> None:
        self._kept[one.id] = one
        for key in list(self._kept)[: max(len(self._kept) - KEPT, 0)]:
            if key not in self._open:
                del self._kept[key]


__all__ = ["KEPT", "Note", "SetpointWatch"]
