"""Setpoints: how a person writes a value to a machine. Arm, look, confirm; once or not at all.

Arming shows what would be written and every rule with its verdict. Confirming asks the rules
again, records who did it in the audit, then hands the value in as journalled input of the sink,
with a ticket for one write. What became of it is found out, recorded and shown.

What is armed or on its way is only in memory: a restart forgets it, so that it is never late.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from gateway.engine.principal import Principal
from gateway.engine.roles import ROLES
from gateway.engine.setpoint import Setpoint
from gateway.engine.setpoint_watch import Note, SetpointWatch
from gateway.engine.writeledger import WriteLedger
from gateway.errors import ConfigError, LimitError, Rejected
from gateway.flow.grant import Grant
from gateway.flow.judging import Check

ARMED_MAX: Final = 100


class Sinks(Protocol):
    """What the desk needs of the flows that run."""

    def problem(self, flow: str, node: str, tag: str) -> str:
        """Why a sink cannot write a tag now, or empty."""
        ...

    def hand_in(self, flow: str, node: str, tag: str, value: float, ts: int) -> None:
        """Give a sink one sample as journalled input."""
        ...


class SetpointDesk(SetpointWatch):
    """Arms and confirms setpoints, and follows each to its end.

    Args:
        ledger: What was written lately; its grants decide.
        sinks: The flows that run.
        note: The audit.
        say: Tells people: (level, where, text).
    """

    def __init__(
        self,
        ledger: WriteLedger,
        sinks: Sinks,
        note: Note,
        say: Callable[[str, str, str], None],
    ) -> None:
        super().__init__(ledger, note, say)
        self._sinks = sinks
        self._armed: dict[str, Setpoint] = {}
        self.may_still: Callable[[str], bool] = lambda account: True
        """Whether an account may write setpoints now; the API knows."""

    # ------------------------------------------------------------------ arm

    async def arm(
        self, who: Principal, tag: str, value: float, flow: str = "", node: str = "", why: str = ""
    ) -> dict[str, Any]:
        """Look what a write would do. Nothing is written.

        Returns:
            The setpoint with its checks, and a ``token`` when all hold.

        Raises:
            ConfigError: No grant is for the tag, or several are.
            LimitError: Too many are armed.
            Disconnected: It cannot be recorded.
        """
        self._forget()
        grant = self._grant(tag, flow, node)
        if max(len(self._armed), len(self._unsaid)) >= ARMED_MAX:
            raise LimitError("armed_max", ARMED_MAX, "Wait until some have expired.")
        one = Setpoint(
            secrets.token_hex(6), (grant.flow, grant.node, tag), value, grant, self._clock.now(),
            who.actor, who.account, why,
        )  # fmt: skip
        self._judge(one, who)
        if any(not check.ok for check in one.checks):
            self._keep(one)
            self._end(one, "refused", " ".join(c.text for c in one.checks if not c.ok))
            await self._say_results()
            return {**one.as_dict(), "token": ""}
        await self._note(self._clock.now(), who.actor, "setpoint/arm", one.detail())
        self._keep(one)
        one.until_s = self._clock.monotonic() + grant.confirm_s
        token = secrets.token_urlsafe(24)
        self._armed[_hash(token)] = one
        self._begin(one)
        rules = {"confirm_s": grant.confirm_s, "two_person": grant.two_person}
        return {**one.as_dict(), **rules, "token": token}

    def _grant(self, tag: str, flow: str, node: str) -> Grant:
        found = [
            grant
            for grant in self.book.of_tag(tag)
            if grant.by != "flows" and flow in ("", grant.flow) and node in ("", grant.node)
        ]
        if not found:
            raise ConfigError(
                f"No write grant lets people write {tag}.",
                hint="An administrator makes one: genba grants set",
            )
        if len(found) > 1:
            ways = ", ".join(f"{grant.flow}/{grant.node}" for grant in found)
            raise ConfigError(f"{tag} can be written by {ways}.", hint="Say which: flow and node.")
        return found[0]

    def _judge(self, one: Setpoint, who: Principal) -> None:
        """Ask everything that must hold, for one person and now."""
        grant = one.grant
        verdict = self._ledger.judge(grant, one.target, one.value)
        has_role = who.role is not None and ROLES.index(who.role) >= ROLES.index(grant.role)
        name = who.role or "nobody"
        text = f"{who.actor} is {name}; the grant asks for {grant.role}."
        checks = [Check("role", has_role and who.is_writer, text)]
        if not who.is_writer:
            checks[0] = Check("role", False, f"{who.actor} has not the grant writer.")
        if grant.two_person and not who.account:
            checks.append(Check("two_person", False, "Two people must each have an account."))
        problem = self._sinks.problem(*one.target)
        text = problem or f"{grant.flow}/{grant.node} can write."
        checks.append(Check("device", not problem, text))
        one.checks = [*checks, *verdict.checks]
        one.before = verdict.current

    # ------------------------------------------------------------------ confirm

    async def confirm(self, who: Principal, token: str) -> dict[str, Any]:
        """Have an armed setpoint written, once. The token is used up, whatever comes of it.

        Raises:
            Rejected: There is nothing armed by that token, or this one may not confirm it.
            Disconnected: It cannot be recorded, so it is not written.
        """
        self._forget()
        key = _hash(token)
        one = self._armed.get(key)
        if one is None:
            raise Rejected("Nothing is armed by that token: it was used or has expired. Arm again.")
        if why := self._may_not_confirm(one, who):
            detail = {"setpoint": one.id, "reason": why}
            await self._note(self._clock.now(), who.actor, "setpoint/denied", detail)
            raise Rejected(why)
        del self._armed[key]
        self._open.pop(one.id, None)
        until_s = self._clock.monotonic() + one.grant.max_age_s
        one.confirmed_by = who.actor
        if self.book.grants.get(one.grant.id) is not one.grant:
            self._end(one, "refused", f"The write grant {one.grant.id} was changed. Arm again.")
        else:
            self._judge(one, who)
            if why := " ".join(check.text for check in one.checks if not check.ok):
                self._end(one, "refused", why)
        if one.state != "armed":
            await self._say_results()
            return one.as_dict()
        one.state = "confirming"
        try:
            await self._note(self._clock.now(), who.actor, "setpoint/confirm", one.detail())
        except BaseException:
            self._end(one, "refused", "It could not be recorded, so it was not written.")
            raise
        self._send(one, until_s)
        return one.as_dict()

    def _may_not_confirm(self, one: Setpoint, who: Principal) -> str:
        if not one.grant.two_person:
            is_same = who.actor == one.by and who.account == one.account
            return "" if is_same else f"Only {one.by}, who armed it, can confirm it."
        if not who.account or who.account == one.account:
            return "Somebody else must confirm it than who armed it."
        if not self.may_still(one.account):
            return f"{one.by}, who armed it, may not write setpoints any more."
        return ""

    def _send(self, one: Setpoint, until_s: float) -> None:
        """Issue the ticket and hand the value in. From here on it is written or expires."""
        if self._clock.monotonic() >= until_s:
            self._end(one, "expired", "Recording it took too long, so it was not written.")
            return
        one.state, one.until_s = "confirmed", until_s
        told = partial(self._told, one)
        ticket = self._ledger.issue(one.target, one.grant, one.value, until_s, told)
        one.ts = ticket.ts
        self._begin(one)
        self._sinks.hand_in(*one.target, one.value, ticket.ts)

    def _forget(self) -> None:
        """Let go of what was armed and not confirmed in time."""
        now_s = self._clock.monotonic()
        for key, one in [item for item in self._armed.items() if now_s > item[1].until_s]:
            del self._armed[key]
            self._end(one, "expired", "It was not confirmed in time. Nothing was written.")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


__all__ = ["SetpointDesk", "Sinks"]
