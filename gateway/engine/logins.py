"""Logins: from a password, a cookie, a token or a claim code to who acts.

Every way in is here, so that each has the same limits: back-off by address and by name, the same
words and the same time whether an account exists or not, and a line in the audit.

Source: OWASP ASVS 5.0, 6.3, 7.2 and 7.4; IEC 62443-4-2:2019, CR 1.5, 1.10 and 1.11.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.engine.accounts import Accounts, put
from gateway.engine.claim import Claim
from gateway.engine.principal import NOBODY, Account, Denied, Principal
from gateway.engine.roles import ROLES
from gateway.engine.sessions import Session, hash_of
from gateway.engine.throttle import ACCOUNT_S_MAX, ADDRESS_S_MAX, Throttle, network
from gateway.errors import ConfigError
from gateway.flow.node import Clock

PLACES_MAX: Final = 8
_WRONG: Final = "Name or password is wrong, or the account is disabled."


class Logins:
    """The ways into one gateway.

    Args:
        accounts: Who there is.
        clock: The time.
    """

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self.claim_code = Claim(clock.monotonic)
        self._accounts = accounts
        self._sessions = accounts.sessions
        self._clock = clock
        self._by_address = Throttle(clock.monotonic, ADDRESS_S_MAX)
        self._by_name = Throttle(clock.monotonic, ACCOUNT_S_MAX)

    # ------------------------------------------------------------------ who is it

    async def of_session(self, secret: str, *, is_person: bool = True) -> Principal:
        """Who holds the secret of a session; `NOBODY` when it has ended.

        Args:
            secret: What the browser holds.
            is_person: A person asked, not a page that looks for news by itself.
        """
        key = hash_of(secret)
        session = self._sessions.sessions.get(key)
        account = self._accounts.all.get(session.account) if session is not None else None
        if account is None or account.is_disabled or not self._sessions.live(key, account.role):
            return NOBODY
        assert session is not None
        if is_person:
            await self._accounts.note(self._sessions.used(key))
        return Principal(
            account.actor,
            account.role,
            account.is_writer,
            account.name,
            key,
            is_fresh=self._sessions.is_fresh(session),
        )

    async def of_token(self, secret: str) -> Principal:
        """Who holds an API token; `NOBODY` when it has ended. It may no more than its maker."""
        key = hash_of(secret)
        token = self._sessions.tokens.get(key)
        account = self._accounts.all.get(token.account) if token is not None else None
        if token is None or account is None or account.is_disabled:
            return NOBODY
        if self._clock.now() >= token.expires:
            return NOBODY
        await self._accounts.note(self._sessions.used(key))
        role = min(token.role, account.role, key=ROLES.index)
        return Principal(
            f"token:{account.name}/{token.name}",
            role,
            token.is_writer and account.is_writer,
            account.name,
            scopes=frozenset(token.scopes),
            is_token=True,
        )

    # ------------------------------------------------------------------ coming in

    async def login(
        self, name: str, password: str, address: str, agent: str = ""
    ) -> tuple[str, Session]:
        """Begin a session; returns its secret.

        Raises:
            Denied: Name or password is wrong, or it is too early for a try.
            Disconnected: The disk refused, or too many log in at once.
        """
        name = name.strip().lower()
        stored = await self._proven(name, password, address)
        is_old = self._accounts.hasher.is_old(stored)
        renewed = await self._accounts.hasher.make(password) if is_old else stored
        place = network(address)
        async with self._accounts.changing:
            account = self._still(name, stored)
            secret, session, rows = self._sessions.begin(name, address, agent)
            places = [place, *(p for p in account.places if p != place)][:PLACES_MAX]
            good = replace(account, failures=0, failed=0, places=places, password=renewed)
            detail = {"address": address}
            await self._accounts.write(account.actor, "login/done", detail, [*rows, put(good)])
        return secret, session

    async def confirm(self, who: Principal, password: str, address: str) -> tuple[str, Session]:
        """Give the password again; the session gets a new secret and is fresh.

        Raises:
            Denied: It is wrong, or it is too early for a try.
        """
        stored = await self._proven(who.account, password, address)
        async with self._accounts.changing:
            account = self._still(who.account, stored)
            before = self._sessions.sessions.get(who.session)
            if before is None:
                raise Denied("This session has ended. Log in again.")
            secret, session, rows = self._sessions.begin(
                account.name, address, before.agent, who.session
            )
            detail = {"address": address}
            await self._accounts.write(account.actor, "login/confirmed", detail, rows)
        return secret, session

    def _still(self, name: str, stored: str) -> Account:
        """The account, if it is as it was when its password was looked at."""
        account = self._accounts.all.get(name)
        if account is None or account.password != stored or account.is_disabled:
            raise Denied(_WRONG)
        return account

    async def _proven(self, name: str, password: str, address: str) -> str:
        """The hash that this password fits; the same time and words for a name there is not.

        Raises:
            Denied: It fits none, or it is too early for a try.
        """
        place = network(address)
        account = self._accounts.all.get(name)
        wait = self._by_address.wait_s(place)
        if account is None or place not in account.places:
            # Where they have logged in before, the failures of others do not hold them up.
            wait = max(wait, self._by_name.wait_s(name))
        if wait > 0:
            raise _too_early(wait)
        stored = None
        if account is not None and not account.is_disabled:
            stored = account.password or None  # Whom only a provider proves has none.
        if await self._accounts.hasher.fits(password, stored):
            assert stored is not None
            self._by_address.succeeded(place)
            self._by_name.succeeded(name)
            return stored
        self._by_address.failed(place)
        self._by_name.failed(name)
        async with self._accounts.changing:
            rows, actor = [], "nobody"  # What was typed as a name may be a password.
            if (account := self._accounts.all.get(name)) is not None:
                actor, count = account.actor, account.failures + 1
                rows.append(put(replace(account, failures=count, failed=self._clock.now())))
            await self._accounts.write(actor, "login/failed", {"address": address}, rows)
        raise Denied(_WRONG)

    async def claim(self, code: str, name: str, password: str, address: str) -> Account:
        """Make the first administrator of a gateway that nobody has yet.

        Raises:
            Denied: The code is not the one that was printed, or it has ended.
            ConfigError: There is an administrator, or name or password are not taken.
        """
        place = network(address)
        if (wait := self._by_address.wait_s(place)) > 0:
            raise _too_early(wait)
        if self._accounts.is_claimed:
            raise ConfigError("This gateway has an administrator already.", hint="Log in.")
        if not self.claim_code.fits(code):
            self._by_address.failed(place)
            await self._accounts.write("nobody", "claim/failed", {"address": address})
            raise Denied(
                "This is not the code on the console, or it is older than 30 minutes. "
                "A restart of the gateway prints a new one."
            )
        detail = {"address": address}
        account = await self._accounts.make(
            f"user:{name}", "claim", detail, name, password, "administrator"
        )
        self.claim_code.burn()
        return account


def _too_early(wait: float) -> Denied:
    return Denied(f"Too many failures. Try again in {max(wait, 1.0):.0f} s.", max(wait, 1.0))
