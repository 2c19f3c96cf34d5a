"""Accounts on a real state file: coming in, failing, ending, and what nobody may do."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.engine.accounts import Accounts
from gateway.engine.clock import SystemClock
from gateway.engine.logins import Logins
from gateway.engine.passwords import WAITING_MAX, Cost, Hasher
from gateway.engine.passwords_easy import judge
from gateway.engine.principal import NOBODY, Denied, Principal
from gateway.engine.roles import ACTIONS, ROLES, Role, permits
from gateway.engine.sessions import ABSOLUTE_S, FRESH_S, IDLE_S, SESSIONS_MAX, ApiToken
from gateway.engine.store import Store
from gateway.engine.store_records import audit_check, audit_rows
from gateway.errors import ConfigError, Disconnected, LimitError

S = 10**9
CHEAP = Cost(16, 8, 1)
"""The real cost is seen once, in `test_the_cost_of_a_hash`."""
GOOD = "four quiet brown horses"
OTHER = "seven loud green boats"
HOME = "10.0.0.5"
AWAY = "10.0.0.66"


class Hand(SystemClock):
    """A machine whose clock is moved by hand."""

    def __init__(self) -> None:
        self.at = 1_800_000_000 * S
        super().__init__()

    def _wall(self) -> int:
        return self.at

    def _steady(self) -> int:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += int(seconds * S)


class House:
    """Accounts over a store, and a second opening of the same file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Hand()

    async def open(self) -> None:
        self.store = Store(self.folder / "genba.db")
        await self.store.open()
        self.accounts = Accounts(self.store, self.clock, CHEAP)
        self.logins = Logins(self.accounts, self.clock)
        await self.accounts.ready()

    async def close(self) -> None:
        self.accounts.close()
        await self.store.close()

    async def restart(self) -> None:
        await self.close()
        await self.open()

    async def who(self, secret: str) -> Principal:
        return await self.logins.of_session(secret)

    async def fail(self, times: int, name: str = "anna", address: str = AWAY) -> None:
        for _ in range(times):
            with pytest.raises(Denied, match="wrong"):
                await self.logins.login(name, "not the password at all", address)

    async def said(self) -> list[tuple[str, str]]:
        rows = await audit_rows(self.store)
        return [(row["actor"], row["action"]) for row in reversed(rows)]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.open()
    await house.accounts.add("local", "anna", GOOD, "administrator")
    yield house
    await house.close()


async def test_a_session_survives_a_restart_and_only_its_hash_is_stored(house: House) -> None:
    secret, _ = await house.logins.login(" Anna ", GOOD, HOME, "Firefox")
    who = await house.who(secret)
    assert (who.actor, who.role, who.is_writer) == ("user:anna", "administrator", False)
    assert (who.is_fresh, who.is_named) == (True, False)
    await house.restart()
    assert (await house.who(secret)).actor == "user:anna"
    assert await house.who(secret + "x") == NOBODY
    await house.close()
    for path in house.folder.iterdir():
        data = path.read_bytes()
        assert secret.encode() not in data
        assert GOOD.encode() not in data
    await house.open()


async def test_a_wrong_password_and_an_unknown_name_get_the_same_words(house: House) -> None:
    for name in ("anna", "nobody-here", "", "🦊", "a" * 10_000):
        with pytest.raises(Denied) as denied:
            await house.logins.login(name, OTHER, f"10.0.1.{len(name) % 200}")
        assert str(denied.value) == "Name or password is wrong, or the account is disabled."
    assert house.accounts.get("anna").failures == 1
    assert ("nobody", "login/failed") in await house.said()
    assert all("fox" not in str(row) for row in await audit_rows(house.store))


async def test_an_unknown_name_costs_a_hash_as_well(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Cost] = []
    derive = house.accounts.hasher._derive

    async def counted(password: str, salt: bytes, cost: Cost) -> bytes:
        made.append(cost)
        return await derive(password, salt, cost)

    monkeypatch.setattr(house.accounts.hasher, "_derive", counted)
    await house.accounts.add("local", "bob", OTHER, "viewer")
    await house.accounts.change("local", "bob", is_disabled=True)
    for name in ("anna", "no-one", "bob"):
        made.clear()
        with pytest.raises(Denied, match="wrong"):
            await house.logins.login(name, "quite another thing", HOME)
        assert made == [CHEAP], name


async def test_failures_make_wait_and_never_longer_than_a_minute(house: House) -> None:
    await house.fail(5)
    waits = []
    for _ in range(12):
        with pytest.raises(Denied, match="Try again in") as denied:
            await house.logins.login("anna", GOOD, AWAY)
        waits.append(denied.value.retry_s)
        house.clock.pass_s(denied.value.retry_s + 0.01)
        await house.fail(1)
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(1.0)
    assert waits[-1] == pytest.approx(60.0)
    house.clock.pass_s(60.1)
    await house.logins.login("anna", GOOD, AWAY)
    assert house.accounts.get("anna").failures == 0


async def test_a_guesser_elsewhere_does_not_hold_up_where_she_logs_in(house: House) -> None:
    await house.logins.login("anna", GOOD, HOME)
    await house.restart()
    for i in range(40):
        with pytest.raises(Denied):
            await house.logins.login("anna", OTHER, f"10.0.7.{i}")
    with pytest.raises(Denied, match="Try again in") as denied:
        await house.logins.login("anna", GOOD, "10.0.8.1")
    assert denied.value.retry_s <= 30.0, "a new place waits for the guesser, but not for long"
    await house.logins.login("anna", GOOD, HOME)


async def test_a_try_that_comes_too_early_changes_nothing(house: House) -> None:
    await house.fail(5)
    before = house.accounts.get("anna").failures, len(await house.said())
    for _ in range(50):
        with pytest.raises(Denied, match="Try again in 1 s"):
            await house.logins.login("anna", OTHER, AWAY)
    assert (house.accounts.get("anna").failures, len(await house.said())) == before


@pytest.mark.parametrize("role", ROLES)
async def test_a_session_ends_when_idle_and_at_the_latest_after_a_shift(
    house: House, role: Role
) -> None:
    await house.accounts.add("local", "bob", OTHER, role)
    secret, _ = await house.logins.login("bob", OTHER, HOME)
    house.clock.pass_s(IDLE_S[role] - 1)
    assert await house.logins.of_session(secret, is_person=False) != NOBODY
    assert await house.who(secret) != NOBODY
    house.clock.pass_s(IDLE_S[role] - 1)
    is_over = 2 * IDLE_S[role] - 2 >= ABSOLUTE_S
    assert (await house.who(secret) == NOBODY) == is_over
    house.clock.pass_s(2)
    if not is_over:
        house.clock.pass_s(IDLE_S[role])
    assert await house.who(secret) == NOBODY
    secret, _ = await house.logins.login("bob", OTHER, HOME)
    for _ in range(int(ABSOLUTE_S // 600) - 1):
        house.clock.pass_s(600)
        assert await house.who(secret) != NOBODY
    house.clock.pass_s(601)
    assert await house.who(secret) == NOBODY


async def test_a_page_that_asks_by_itself_keeps_no_session_alive(house: House) -> None:
    secret, _ = await house.logins.login("anna", GOOD, HOME)
    for _ in range(15):
        house.clock.pass_s(59)
        assert await house.logins.of_session(secret, is_person=False) != NOBODY
    house.clock.pass_s(16)
    assert await house.logins.of_session(secret, is_person=False) == NOBODY


async def test_the_password_again_gives_a_new_secret_and_ends_the_old(house: House) -> None:
    secret, _ = await house.logins.login("anna", GOOD, HOME, "Firefox")
    house.clock.pass_s(FRESH_S + 1)
    who = await house.who(secret)
    assert who.must_confirm("user.edit")
    assert not who.must_confirm("flow.edit")
    with pytest.raises(Denied, match="wrong"):
        await house.logins.confirm(who, OTHER, HOME)
    new, session = await house.logins.confirm(who, GOOD, HOME)
    assert (session.agent, len(house.accounts.sessions.sessions)) == ("Firefox", 1)
    assert await house.who(secret) == NOBODY
    assert not (await house.who(new)).must_confirm("user.edit")
    await house.accounts.end("user:anna", [who.session, (await house.who(new)).session])
    assert await house.who(new) == NOBODY


async def test_sessions_of_an_account_are_few(house: House) -> None:
    secrets = []
    for _ in range(SESSIONS_MAX + 2):
        house.clock.pass_s(1)
        secrets.append((await house.logins.login("anna", GOOD, HOME))[0])
    alive = [await house.who(secret) != NOBODY for secret in secrets]
    assert alive == [False, False] + [True] * SESSIONS_MAX


async def test_a_change_of_role_holds_at_once_and_after_a_restart(house: House) -> None:
    await house.accounts.add("local", "bob", OTHER, "engineer", is_writer=True)
    secret, _ = await house.logins.login("bob", OTHER, HOME)
    assert (await house.who(secret)).may("setpoint.write")
    await house.accounts.change("user:anna", "bob", role="viewer", is_writer=False)
    assert await house.who(secret) == NOBODY
    await house.restart()
    assert await house.who(secret) == NOBODY
    bob = house.accounts.get("bob")
    assert (bob.role, bob.is_writer) == ("viewer", False)
    (row, *_) = await audit_rows(house.store)
    assert (row["actor"], row["action"]) == ("user:anna", "user/change")
    assert (row["detail"]["before"]["role"], row["detail"]["after"]["role"]) == (
        "engineer",
        "viewer",
    )
    assert "scrypt" not in str(await audit_rows(house.store))


async def test_a_new_password_ends_all_sessions_but_the_own(house: House) -> None:
    mine, _ = await house.logins.login("anna", GOOD, HOME)
    other, _ = await house.logins.login("anna", GOOD, AWAY)
    keep = (await house.who(mine)).session
    await house.accounts.set_password("user:anna", "anna", OTHER, keep)
    assert (await house.who(mine) != NOBODY, await house.who(other)) == (True, NOBODY)
    with pytest.raises(Denied):
        await house.logins.login("anna", GOOD, HOME)
    await house.logins.login("anna", OTHER, HOME)


async def test_the_only_administrator_stays(house: House) -> None:
    await house.accounts.add("local", "bob", OTHER, "engineer")
    for change in ({"role": "engineer"}, {"is_disabled": True}):
        with pytest.raises(ConfigError, match="only administrator"):
            await house.accounts.change("local", "anna", **change)  # type: ignore[arg-type]  # two
    await house.accounts.change("local", "bob", role="administrator")
    await house.accounts.change("local", "anna", role="viewer")
    with pytest.raises(ConfigError, match="only administrator"):
        await house.accounts.change("local", "bob", is_disabled=True)


async def test_two_changes_at_once_lose_none(house: House) -> None:
    await house.accounts.add("local", "bob", OTHER, "administrator")
    done = await asyncio.gather(
        house.accounts.change("x", "anna", is_disabled=True),
        house.accounts.change("x", "bob", is_disabled=True),
        house.logins.login("bob", "not the password at all", HOME),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in done) == ["Account", "ConfigError", "Denied"]
    await house.restart()
    assert [a.is_disabled for a in house.accounts.all.values()].count(False) == 1


async def test_a_token_may_no_more_than_its_maker_may_now(house: House) -> None:
    await house.accounts.add("local", "bob", OTHER, "engineer")
    now = house.clock.now()
    script = ApiToken("deploy", "bob", "engineer", False, (), now, 0, now + 3600 * S)
    secret = await house.accounts.make_token("user:bob", script)
    who = await house.logins.of_token(secret)
    assert (who.actor, who.role, who.is_token) == ("token:bob/deploy", "engineer", True)
    assert who.may("flow.edit")
    assert not who.may("me.edit")
    await house.accounts.change("local", "bob", role="operator")
    assert (await house.logins.of_token(secret)).role == "operator"
    await house.accounts.change("local", "bob", is_disabled=True)
    assert await house.logins.of_token(secret) == NOBODY
    await house.accounts.change("local", "bob", is_disabled=False)
    house.clock.pass_s(3600)
    assert await house.logins.of_token(secret) == NOBODY
    for role, is_writer in (("administrator", False), ("operator", True)):
        more = ApiToken("x", "bob", role, is_writer, (), now, 0, now + S)  # type: ignore[arg-type]  # a role
        with pytest.raises(ConfigError):
            await house.accounts.make_token("user:bob", more)


async def test_a_token_of_an_administrator_makes_no_accounts(house: House) -> None:
    now = house.clock.now()
    for scopes in ((), ("user.edit", "tag.read")):
        script = ApiToken("t", "anna", "administrator", False, scopes, now, 0, now + 3600 * S)
        who = await house.logins.of_token(await house.accounts.make_token("user:anna", script))
        assert not who.may("user.edit")
        assert not who.may("token.edit")
        assert who.may("tag.read")
        assert who.may("alarm.act") == (not scopes)
    (first, second) = house.accounts.sessions.tokens
    await house.accounts.revoke("user:anna", first[:12])
    assert list(house.accounts.sessions.tokens) == [second]
    with pytest.raises(ConfigError, match="no API token"):
        await house.accounts.revoke("user:anna", "")


async def test_a_gateway_is_claimed_once(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.open()
    code = house.logins.claim_code.renew()
    assert not house.accounts.is_claimed
    with pytest.raises(Denied, match="not the code"):
        await house.logins.claim("AAAA-BBBB-CCCC-DDDD", "anna", GOOD, HOME)
    with pytest.raises(Denied, match="not the code"):
        await house.logins.claim("", "anna", GOOD, HOME)
    with pytest.raises(ConfigError, match="12 to 128"):
        await house.logins.claim(code, "anna", "short", HOME)
    claims = [house.logins.claim(code.lower().replace("-", " "), n, GOOD, HOME) for n in "abc"]
    done = await asyncio.gather(*claims, return_exceptions=True)
    assert sum(not isinstance(one, Exception) for one in done) == 1
    assert len(house.accounts.all) == 1
    assert next(iter(house.accounts.all.values())).role == "administrator"
    with pytest.raises(ConfigError, match="has an administrator already"):
        await house.logins.claim(code, "eve", GOOD, HOME)
    await house.close()


@pytest.mark.parametrize("why", ["time", "renewed", "restart"])
async def test_a_claim_code_ends(tmp_path: Path, why: str) -> None:
    house = House(tmp_path)
    await house.open()
    code = house.logins.claim_code.renew()
    match why:
        case "time":
            house.clock.pass_s(1801)
        case "renewed":
            house.logins.claim_code.renew()
        case _:
            await house.restart()
    with pytest.raises(Denied, match="not the code"):
        await house.logins.claim(code, "anna", GOOD, HOME)
    await house.close()


async def test_a_damaged_account_opens_no_door(house: House) -> None:
    await house.close()
    with closing(sqlite3.connect(house.store.path)) as db, db:
        db.execute("UPDATE account SET fact = replace(fact, 'administrator', 'administratos')")
    await house.open()
    assert (house.accounts.all, house.accounts.is_claimed) == ({}, True)
    assert "'anna' is damaged" in house.store.damage[0]
    code = house.logins.claim_code.renew()
    with pytest.raises(ConfigError, match="has an administrator already"):
        await house.logins.claim(code, "eve", GOOD, HOME)


async def test_a_full_disk_ends_a_session_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, _ = await house.logins.login("anna", GOOD, HOME)
    who = await house.who(secret)

    async def refuse(*args: object) -> None:
        raise Disconnected("The disk is full.")

    monkeypatch.setattr(house.store, "run", refuse)
    with pytest.raises(Disconnected):
        await house.accounts.end("user:anna", [who.session])
    assert await house.who(secret) == NOBODY
    with pytest.raises(Disconnected):
        await house.logins.login("anna", GOOD, HOME)
    with pytest.raises(Disconnected):
        await house.accounts.change("local", "anna", is_writer=True)
    assert not house.accounts.get("anna").is_writer


async def test_all_of_it_is_in_a_whole_audit(house: House) -> None:
    await house.fail(1)
    secret, _ = await house.logins.login("anna", GOOD, HOME)
    await house.accounts.denied("user:anna", "setpoint.write", {"path": "/x"})
    await house.accounts.end("user:anna", [(await house.who(secret)).session])
    assert await house.said() == [
        ("local", "user/add"),
        ("user:anna", "login/failed"),
        ("user:anna", "login/done"),
        ("user:anna", "denied"),
        ("user:anna", "session/end"),
    ]
    assert (await audit_check(house.store)).broken == []


@pytest.mark.parametrize("name", ["", "Anna", "a b", "../x", "anna\n", "1a", "a" * 33, "é"])
async def test_names_that_are_none(house: House, name: str) -> None:
    with pytest.raises(ConfigError, match="no name"):
        await house.accounts.add("local", name, OTHER, "viewer")


EASY = (
    "short",
    "a" * 129,
    "aaaaaaaaaaaaa",
    "password1234",
    "Passwort!2026",
    "admin-admin-admin",
    "genba-gateway1",
    "abcdefghijklm",
    "123456789012",
    "annaannaanna1",
    "Welcome2Genba!",
    "QWERTZ123456!",
)


@pytest.mark.parametrize("password", EASY)
def test_easy_passwords(password: str) -> None:
    with pytest.raises(ConfigError):
        judge(password, "anna")


@pytest.mark.parametrize(
    "password", [GOOD, "x7!Kq9-vB2#m", "漢字でも長いなら良いです", "7" + "0123456789" * 2]
)
def test_good_passwords(password: str) -> None:
    judge(password, "anna")


async def test_the_cost_of_a_hash() -> None:
    hasher = Hasher()
    stored = await hasher.make(GOOD)
    assert stored.startswith("scrypt$32768$8$3$")
    assert await hasher.fits(GOOD, stored)
    assert stored != await hasher.make(GOOD), "each has its own salt"
    assert Hasher(CHEAP).is_old(stored)
    hasher.close()


async def test_a_hash_of_another_cost_is_renewed_at_login(house: House) -> None:
    old = house.accounts.get("anna").password
    house.accounts.hasher._cost = Cost(32, 8, 1)
    await house.logins.login("anna", GOOD, HOME)
    new = house.accounts.get("anna").password
    assert (old.split("$")[1], new.split("$")[1]) == ("16", "32")
    await house.logins.login("anna", GOOD, HOME)
    assert house.accounts.get("anna").password == new


async def test_a_flood_of_logins_is_refused(house: House) -> None:
    tries = [house.logins.login(f"n{i}", GOOD, f"10.1.0.{i}") for i in range(WAITING_MAX + 5)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, Disconnected) for one in done) == 5


async def test_limits_have_names(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.engine.accounts.ACCOUNTS_MAX", 1)
    with pytest.raises(LimitError, match="accounts_max"):
        await house.accounts.add("local", "bob", OTHER, "viewer")


@pytest.mark.parametrize("action", ACTIONS)
def test_the_table_is_a_staircase(action: str) -> None:
    """A higher role may all that a lower one may; only the grant lets write setpoints."""
    plain = [permits(action, role) for role in ROLES]
    assert plain == sorted(plain)
    rule = ACTIONS[action]
    granted = [permits(action, role, is_writer=True) for role in ROLES]
    assert granted == ([True] * 4 if rule.need == "writer" else plain)
    assert permits(action, None) == (rule.need == "nobody")


def test_what_each_role_may_in_words() -> None:
    """The same again by hand, so that a slip in the table is seen."""
    first: dict[str, set[str]] = {role: set() for role in ("nobody", *ROLES)}
    for action in ACTIONS:
        who = [None, *ROLES]
        least = next((r for r in who if permits(action, r)), "no role")
        first.setdefault(least or "nobody", set()).add(action)
    assert first["nobody"] == {"hook.call", "open"}
    assert first["operator"] == {"alarm.act", "explanation.ask", "explanation.judge"}
    assert first["engineer"] == {
        "alarm.suppress",
        "catch.read",
        "connection.test",
        "connection.trust",
        "dashboard.edit",
        "destination.read",
        "explanation.read",
        "flow.edit",
        "flow.inject",
        "flow.shadow",
        "flow.tap",
        "fleet.push",
        "letter.read",
        "letter.settle",
        "model.read",
        "model.try",
        "peer.take",
        "secret.list",
    }
    assert first["administrator"] == {
        "audit.read",
        "audit.take",
        "backup.make",
        "backup.restore",
        "certificate.edit",
        "destination.edit",
        "fleet.edit",
        "grant.edit",
        "model.edit",
        "openid.edit",
        "openid.read",
        "secret.edit",
        "token.edit",
        "update.install",
        "update.read",
        "user.edit",
        "user.read",
    }
    assert first["no role"] == {"setpoint.write"}
