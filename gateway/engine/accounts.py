"""Accounts: who may log in, and what becomes of them.

Everything is in memory and in the state file; a change is written with its line in the audit
first and holds from then on. A disk that refuses refuses the change.

Source: OWASP ASVS 5.0, chapters 6 and 7; IEC 62443-4-2:2019, CR 1.1 to 1.11 and 2.5 to 2.7.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Final

from gateway.engine.passwords import Cost, Hasher
from gateway.engine.passwords_easy import judge
from gateway.engine.principal import Account
from gateway.engine.roles import ROLES, Role
from gateway.engine.sessions import ApiToken, Sessions, hash_of
from gateway.engine.store import Store
from gateway.engine.store_accounts import Put, Said, load_accounts, write_accounts
from gateway.errors import ConfigError, Disconnected, LimitError
from gateway.flow.node import Clock

ACCOUNTS_MAX: Final = 200
NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,31}")


class Accounts:
    """Accounts, sessions and tokens of one gateway.

    Args:
        store: The state file.
        clock: The time.
        cost: Of a password's hash.
    """

    def __init__(self, store: Store, clock: Clock, cost: Cost | None = None) -> None:
        self.all: dict[str, Account] = {}
        """By name."""
        self.sessions = Sessions(clock.now)
        self.hasher = Hasher(cost)
        self.changing = asyncio.Lock()
        """Held from reading an account until what follows from it is written."""
        self._store = store
        self._clock = clock
        self._is_loaded = False
        self._damaged: set[str] = set()

    async def ready(self) -> None:
        """Read what is stored, once.

        Raises:
            Disconnected: The disk is away.
        """
        async with self.changing:
            if self._is_loaded:
                return
            found = await load_accounts(self._store)
            whole = {
                table: {key: fact for key, fact in rows.items() if fact is not None}
                for table, rows in found.items()
            }
            self.all = {name: Account(**fact) for name, fact in whole["account"].items()}
            self._damaged = {name for name, fact in found["account"].items() if fact is None}
            self.sessions.load(whole["session"], whole["api_token"])
            self._is_loaded = True

    def close(self) -> None:
        """No more will be asked."""
        self.hasher.close()

    @property
    def is_claimed(self) -> bool:
        """True once there is an account, also one that is damaged: it must not open the door."""
        return bool(self.all or self._damaged)

    def is_taken(self, name: str) -> bool:
        """True where an account has this name, also one that is damaged."""
        return name in self.all or name in self._damaged

    def has_own_administrator(self, besides: str = "") -> bool:
        """Whether an administrator gets in by a password, whatever provider is away."""
        return any(
            one.role == "administrator" and one.password and not one.is_disabled
            for one in self.all.values()
            if one.name != besides
        )

    # ------------------------------------------------------------------ changes

    async def add(
        self, actor: str, name: str, password: str, role: Role, *, is_writer: bool = False
    ) -> Account:
        """Make an account.

        Raises:
            ConfigError: Name or password are not taken; the first must be an administrator.
            LimitError: There are too many.
        """
        if not self.is_claimed and role != "administrator":
            raise ConfigError("The first account must be an administrator's.")
        detail = {"account": name}
        return await self.make(actor, "user/add", detail, name, password, role, is_writer)

    async def make(
        self,
        actor: str,
        action: str,
        detail: Mapping[str, Any],
        name: str,
        password: str,
        role: Role,
        is_writer: bool = False,
    ) -> Account:
        """Make an account, with a word of its own in the audit; raises as `add` does."""
        was_claimed = self.is_claimed
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} is no name of an account.",
                hint="It begins with a letter: lower case, digits, dots and dashes, 32 at most.",
            )
        judge(password, name)
        hashed = await self.hasher.make(password)
        async with self.changing:
            if self.is_taken(name):
                raise ConfigError(f"There is an account {name!r} already.")
            if len(self.all) >= ACCOUNTS_MAX:
                raise LimitError("accounts_max", ACCOUNTS_MAX, "Remove accounts nobody uses.")
            if self.is_claimed != was_claimed:
                raise ConfigError("Somebody else made the first account just now.")
            account = Account(name, role, hashed, self._clock.now(), is_writer)
            detail = {**detail, "before": None, "after": account.shown()}
            await self.write(actor, action, detail, [put(account)])
        return account

    async def change(
        self,
        actor: str,
        name: str,
        *,
        role: Role | None = None,
        is_writer: bool | None = None,
        is_disabled: bool | None = None,
    ) -> Account:
        """Change what an account may; its sessions end, so that it holds at once.

        Raises:
            ConfigError: There is none, or it is the only administrator.
        """
        async with self.changing:
            before = self.get(name)
            after = replace(before)
            after.role = role or before.role
            after.is_writer = before.is_writer if is_writer is None else is_writer
            after.is_disabled = before.is_disabled if is_disabled is None else is_disabled
            if after.role != "administrator" or after.is_disabled:
                self._keep_one_besides(name)
            detail = {"account": name, "before": before.shown(), "after": after.shown()}
            rows = [put(after), *self.sessions.ending(name)]
            await self.write(actor, "user/change", detail, rows)
        return after

    async def set_password(self, actor: str, name: str, password: str, keep: str = "") -> None:
        """Give an account a new password; its sessions end but `keep`.

        Raises:
            ConfigError: There is no such account, or the password is not taken.
        """
        self.get(name)
        judge(password, name)
        hashed = await self.hasher.make(password)
        async with self.changing:
            after = replace(self.get(name), password=hashed, failures=0, failed=0)
            rows = [put(after), *self.sessions.ending(name, keep)]
            await self.write(actor, "user/password", {"account": name}, rows)

    def get(self, name: str) -> Account:
        """The account of this name.

        Raises:
            ConfigError: There is none.
        """
        if name not in self.all:
            raise ConfigError(f"There is no account {name!r}.", hint="`genba users` lists them.")
        return self.all[name]

    def _keep_one_besides(self, name: str) -> None:
        one = self.all[name]
        is_one = one.role == "administrator" and not one.is_disabled and bool(one.password)
        if is_one and not self.has_own_administrator(besides=name):
            raise ConfigError(
                f"{name} is the only administrator.", hint="Make another administrator first."
            )

    # ------------------------------------------------------------------ sessions and tokens

    async def end(self, actor: str, keys: Sequence[str]) -> int:
        """End sessions by their hashes; returns how many there were."""
        rows = [Put("session", key) for key in keys if key in self.sessions.sessions]
        if rows:
            names = sorted({self.sessions.sessions[row.key].account for row in rows})
            detail = {"accounts": names, "sessions": [row.key[:12] for row in rows]}
            await self.write(actor, "session/end", detail, rows)
        return len(rows)

    async def make_token(self, actor: str, token: ApiToken) -> str:
        """A new API token; returns its secret, which is told once.

        Raises:
            ConfigError: Its account is not there or may less, or it has no name.
            LimitError: There are too many.
        """
        owner = self.get(token.account)
        if ROLES.index(token.role) > ROLES.index(owner.role):
            raise ConfigError(f"{owner.name} is {owner.role}: a token of theirs may no more.")
        if token.is_writer and not owner.is_writer:
            raise ConfigError(f"{owner.name} may not write setpoints, so a token may not either.")
        secret, rows = self.sessions.token(token)
        detail = {"before": None, "after": {**asdict(token), "id": hash_of(secret)[:12]}}
        await self.write(actor, "token/make", detail, rows)
        return secret

    async def revoke(self, actor: str, number: str) -> None:
        """End an API token by the beginning of its hash.

        Raises:
            ConfigError: There is none.
        """
        found = [key for key in self.sessions.tokens if key.startswith(number)]
        if len(found) != 1 or len(number) < 8:
            raise ConfigError(f"There is no API token {number!r}.")
        rows = [Put("api_token", found[0])]
        detail = {"before": {"id": number, "name": self.sessions.tokens[found[0]].name}}
        await self.write(actor, "token/revoke", {**detail, "after": None}, rows)

    async def note(self, rows: Sequence[Put]) -> None:
        """Store that something is in use, if the disk will; it is known in memory."""
        if rows:
            with suppress(Disconnected):
                await write_accounts(self._store, rows)

    async def denied(self, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        """Note that somebody tried what they may not."""
        with suppress(Disconnected):  # It is refused all the same.
            await self.write(actor, "denied", {"action": action, **detail})

    async def write(
        self, actor: str, action: str, detail: Mapping[str, Any], rows: Sequence[Put] = ()
    ) -> None:
        """Write rows and a line of the audit, then let them hold.

        What ends, ends in memory first: neither a full disk nor a request that comes meanwhile
        keeps it alive.

        Raises:
            Disconnected: The disk refused.
        """
        self.sessions.apply([row for row in rows if row.fact is None])
        said = Said(self._clock.now(), actor, action, detail)
        await write_accounts(self._store, rows, (said,))
        for row in rows:
            if row.table == "account" and row.fact is not None:
                self.all[row.key] = Account(**row.fact)
        self.sessions.apply(rows)


def put(account: Account) -> Put:
    """The row of an account."""
    fact = asdict(account)
    if not account.subject:
        del fact["subject"]  # So that an older program reads what it could have written.
    return Put("account", account.name, fact)
