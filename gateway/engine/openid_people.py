"""People that a provider proves: from claims to an account of this gateway and its session.

Source: OpenID Connect Core 1.0, 5.7 (only issuer and subject together are a person for good).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from gateway.engine.accounts import ACCOUNTS_MAX, NAME, Accounts, put
from gateway.engine.openid_settings import OpenIdSettings
from gateway.engine.principal import Account
from gateway.engine.roles import ROLES, Role
from gateway.engine.sessions import Session
from gateway.flow.node import Clock

GROUPS_MAX: Final = 1_000
_NAME_CHARS: Final = 32


class Refuse(Protocol):
    """Makes the error of a login that came to nothing."""

    def __call__(self, why: Any, text: str, /) -> Exception: ...


@dataclass(frozen=True, slots=True)
class Person:
    """Who somebody is and what they may, as the provider says.

    Args:
        subject: Issuer and subject: theirs for good.
        name: As an account is called; empty when the provider gives no usable one.
        role: None for one who may nothing here.
        is_writer: They may write setpoints.
        proven: When they proved themselves [ns]; 0 when the provider does not say.
    """

    subject: str
    name: str
    role: Role | None
    is_writer: bool
    proven: int

    @classmethod
    def of(cls, claims: Mapping[str, Any], settings: OpenIdSettings) -> Person:
        """From claims that have been checked."""
        groups = _groups(_inside(claims, settings.role_claim))
        roles = [settings.roles[group] for group in groups if group in settings.roles]
        role = max(roles, key=ROLES.index) if roles else (settings.default_role or None)
        return cls(
            f"{settings.issuer} {claims['sub']}",
            account_name(_inside(claims, settings.name_claim)),
            role,
            role is not None and not groups.isdisjoint(settings.writers),
            int(float(claims.get("auth_time", 0)) * 1e9),
        )


class People:
    """Accounts of those whom a provider proves.

    Args:
        accounts: Who there is.
        clock: The time.
    """

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock

    async def let_in(
        self, person: Person, address: str, agent: str, again: str, refuse: Refuse
    ) -> tuple[str, Session]:
        """Begin a session of a person, with an account that is as the provider says.

        Args:
            person: Who.
            address: Where they are.
            agent: What their browser says it is.
            again: Hash of their session, when they prove themselves once more.
            refuse: Makes the error.

        Raises:
            Exception: What `refuse` makes: they are not let in.
            Disconnected: The disk refused.
        """
        accounts = self._accounts
        async with accounts.changing:
            account = self._of(person.subject)
            before = accounts.sessions.sessions.get(again)
            if again and (before is None or account is None or before.account != account.name):
                raise refuse("again", "Another person than the one who is logged in.")
            if person.role is None:
                if account is not None:
                    keys = [row.key for row in accounts.sessions.ending(account.name)]
                    await accounts.end("openid", keys)
                raise refuse("role", f"{person.name or 'This person'} is in no group of ours.")
            if account is None:
                account = await self._new(person, person.role, refuse)
            elif account.is_disabled:
                raise refuse("disabled", f"{account.name} is disabled here.")
            elif (account.role, account.is_writer) != (person.role, person.is_writer):
                account, again = await self._changed(account, person, person.role), ""
            now = self._clock.now()
            secret, session, rows = accounts.sessions.begin(
                account.name, address, agent, again, raised=min(person.proven, now)
            )
            detail = {"address": address, "by": "openid"}
            word = "login/confirmed" if again else "login/done"
            await accounts.write(account.actor, word, detail, rows)
        return secret, session

    def _of(self, subject: str) -> Account | None:
        found = (one for one in self._accounts.all.values() if one.subject == subject)
        return next(found, None)

    async def _new(self, person: Person, role: Role, refuse: Refuse) -> Account:
        accounts = self._accounts
        if not accounts.is_claimed:
            raise refuse("wrong", "This gateway has no administrator yet.")
        if not person.name:
            raise refuse("wrong", "The provider gives no name that an account could have.")
        if accounts.is_taken(person.name):
            raise refuse("taken", f"There is another account {person.name!r} here.")
        if len(accounts.all) >= ACCOUNTS_MAX:
            raise refuse("full", f"There are {ACCOUNTS_MAX} accounts (accounts_max).")
        account = Account(
            person.name, role, "", self._clock.now(), person.is_writer, subject=person.subject
        )
        detail = {"account": person.name, "before": None, "after": account.shown()}
        await accounts.write("openid", "user/add", detail, [put(account)])
        return account

    async def _changed(self, account: Account, person: Person, role: Role) -> Account:
        """The account as the provider says it is by now; its sessions end."""
        after = replace(account, role=role, is_writer=person.is_writer)
        detail = {"account": account.name, "before": account.shown(), "after": after.shown()}
        rows = [put(after), *self._accounts.sessions.ending(account.name)]
        await self._accounts.write("openid", "user/change", detail, rows)
        return after

    async def end_others(self, actor: str, issuer: str) -> None:
        """End the sessions of people whom another provider proved."""
        names = {
            one.name
            for one in self._accounts.all.values()
            if one.subject and one.subject.partition(" ")[0] != issuer
        }
        found = self._accounts.sessions.sessions.items()
        await self._accounts.end(actor, [key for key, one in found if one.account in names])


def account_name(claimed: Any) -> str:
    """What an account of this name would be called; empty when there is no such.

    >>> account_name("Anna.Meyer@plant.example"), account_name("Søren K"), account_name("4711")
    ('anna.meyer', 's-ren-k', '')
    """
    if not isinstance(claimed, str):
        return ""
    name = re.sub(r"[^a-z0-9._-]", "-", claimed.partition("@")[0].strip().lower())
    return name[:_NAME_CHARS] if NAME.fullmatch(name[:_NAME_CHARS]) else ""


def _inside(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a path of names with dots (as Keycloak's are)."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _groups(claimed: Any) -> set[str]:
    if isinstance(claimed, str):
        return {claimed}
    rows = claimed[:GROUPS_MAX] if isinstance(claimed, list) else []
    return {row for row in rows if isinstance(row, str)}


__all__ = ["People", "Person", "account_name"]
