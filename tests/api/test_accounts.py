"""Accounts over HTTP: what answers without a login, what each role may, and whose page asks."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from gateway.api.gate import COOKIE, PLAIN_COOKIE, declared
from gateway.api.server import Server
from gateway.engine import store_writer
from gateway.engine.passwords import Cost
from gateway.engine.roles import ACTIONS, ROLES, permits
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_check, audit_rows
from tests.engine.gear import Script, flow, lent, started

FLOW = flow("src: {type: script.source}\nhigh: {type: alarm.limit, hi: 80}", "src -> high")
GOOD = "four quiet brown horses"
OTHER = "seven loud green boats"
HOST = "127.0.0.1:8780"
WITHOUT_LOGIN = {
    ("GET", "/"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/api/claim"),
    ("GET", "/api/openid"),
    ("GET", "/api/openid/start"),
    ("GET", "/api/openid/callback"),
    ("POST", "/api/claim"),
    ("POST", "/api/login"),
    ("POST", "/hook/none"),
    ("PUT", "/hook/none"),
}
"""By hand: whatever more answers without a login is a mistake, whatever the table says."""

OPEN = ("open", "hook.call")
"""Actions for nobody; at a path below /hook/ the node itself asks who it is."""


class House:
    """A running gateway, and requests to its API as the server hands them over."""

    def __init__(self, runtime: Runtime, server: Server) -> None:
        self.runtime = runtime
        self.server = server
        self.accounts = server.accounts
        self.app: FastAPI = server._server.config.app  # type: ignore[assignment]  # it is ours

    def client(
        self, *, scheme: str = "https", address: str = "127.0.0.1", token: str = ""
    ) -> httpx.AsyncClient:
        """A browser or a script at an address."""
        transport = httpx.ASGITransport(self.app, client=(address, 50_000))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{scheme}://{HOST}"
        return httpx.AsyncClient(transport=transport, base_url=url, headers=headers)

    async def browser(self, name: str, password: str = OTHER, **more: Any) -> httpx.AsyncClient:
        """A browser with a login, whose requests come from our own page."""
        client = self.client(**more)
        client.headers["Origin"] = str(client.base_url).rstrip("/")
        answer = await client.post("/api/login", json={"name": name, "password": password})
        assert answer.status_code == 200, answer.text
        return client

    async def add(self, name: str, role: str, *, is_writer: bool = False) -> None:
        await self.accounts.add("test", name, OTHER, role, is_writer=is_writer)  # type: ignore[arg-type]  # a role

    async def said(self) -> list[tuple[str, str]]:
        rows = await audit_rows(self.runtime.store)
        return [(row["actor"], row["action"]) for row in reversed(rows)]


async def opened(folder: Path, *, always: bool = False, can_restart: bool = False) -> House:
    runtime = await started(FLOW, folder)
    server = Server(runtime, 0, always=always, cost=Cost(16, 8, 1), can_restart=can_restart)
    await server.accounts.ready()
    return House(runtime, server)


async def closed(house: House) -> None:
    house.accounts.close()
    house.server._socket.close()
    await house.runtime.stop()


@pytest.fixture
async def new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A gateway that nobody has claimed."""
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()):
        house = await opened(tmp_path)
        yield house
        await closed(house)


@pytest.fixture
async def house(new: House) -> House:
    """A gateway with an administrator."""
    await new.accounts.add("test", "anna", GOOD, "administrator")
    return new


def methods_of(route: Any) -> set[str]:
    """None for a socket: tests/api/test_live.py opens those."""
    return set(getattr(route, "methods", None) or ())


def routes(house: House) -> list[tuple[str, str, str]]:
    """(method, path with its parameters filled in, action) of every route there is."""
    found = []
    for route, action in declared(house.app):
        path = re.sub(
            r"\{(\w+)(:\w+)?\}", lambda m: "1" if m[1] == "number" else "none", route.path
        )
        methods = sorted(methods_of(route) - {"HEAD"})
        found += [(method, path, action) for method in methods]
    return found


def body(method: str, path: str) -> Mapping[str, Any]:
    """What a route takes, so that it would do something if it were let."""
    if method == "GET":
        return {}
    if path == "/api/alarms/action":
        return {"json": {"action": "ack", "alarm": "*"}}
    return {"json": {}}


async def test_without_a_login_little_answers(house: House) -> None:
    found = set()
    for address in ("127.0.0.1", "10.0.0.5"):
        async with house.client(address=address) as client:
            for method, path, _ in routes(house):
                answer = await client.request(method, path, **body(method, path))
                if answer.status_code != 401:
                    found.add((method, path))
                else:
                    assert answer.text == "Log in first."
    assert found == WITHOUT_LOGIN
    assert len(routes(house)) > 40


CHANGING = """
POST /api/alarms/action alarm.act
POST /api/alarms/explanation explanation.ask
POST /api/alarms/explanation/feedback explanation.judge
POST /api/claim open
PUT /api/dashboards/{name} dashboard.edit
DELETE /api/dashboards/{name} dashboard.edit
POST /api/pictures dashboard.edit
DELETE /api/pictures/{name} dashboard.edit
POST /api/connections/browse connection.test
POST /api/connections/places connection.test
POST /api/connections/test connection.test
POST /api/connections/{flow}/{name}/trust connection.trust
DELETE /api/drafts/{flow} flow.edit
PUT /api/drafts/{flow} flow.edit
POST /api/expression flow.edit
POST /api/flows/{flow}/convert flow.edit
POST /api/flows/{flow}/lint flow.edit
POST /api/flows/{flow}/plan flow.edit
POST /api/flows/{flow}/replay flow.edit
POST /api/flows/{flow}/subflows flow.edit
POST /api/flows/{flow}/tags flow.edit
POST /api/flows/{flow}/test flow.edit
PUT /api/flows/{flow}/layout flow.edit
DELETE /api/jobs/{id} flow.edit
POST /api/flows/{name}/catch flow.tap
DELETE /api/flows/{name}/catch/{id} flow.tap
POST /api/flows/{name}/deploy flow.edit
POST /api/flows/{name}/inject flow.inject
POST /api/flows/{name}/make_test flow.tap
POST /api/flows/{name}/rollback flow.edit
POST /api/flows/{name}/shadow flow.shadow
POST /api/flows/{name}/trace flow.tap
DELETE /api/flows/{name} flow.edit
DELETE /api/flows/{name}/shadow flow.shadow
PUT /api/grants/{id} grant.edit
DELETE /api/grants/{id} grant.edit
POST /api/letters/{number}/discard letter.settle
POST /api/letters/{number}/replay letter.settle
POST /api/login open
POST /api/logout me.edit
POST /api/me/confirm me.edit
POST /api/me/password me.edit
DELETE /api/me/sessions/{id} me.edit
DELETE /api/sessions/{id} user.edit
PUT /api/openid/settings openid.edit
DELETE /api/openid/settings openid.edit
POST /api/openid/check openid.edit
DELETE /api/audit/archive/{name} audit.take
POST /api/setpoints/arm setpoint.write
POST /api/setpoints/confirm setpoint.write
POST /api/tokens token.edit
DELETE /api/tokens/{id} token.edit
POST /api/users user.edit
PATCH /api/users/{name} user.edit
POST /api/users/{name}/password user.edit
PUT /api/secrets/{name} secret.edit
POST /api/backup backup.make
PUT /api/restore/file backup.restore
DELETE /api/restore/file backup.restore
POST /api/restore/check backup.restore
POST /api/restore/apply backup.restore
PUT /api/update/file update.install
DELETE /api/update/file update.install
POST /api/update/install update.install
POST /api/update/rollback update.install
POST /api/certificate/request certificate.edit
PUT /api/certificate certificate.edit
DELETE /api/secrets/{name} secret.edit
DELETE /api/destinations/{name:path} destination.edit
PUT /api/destinations destination.edit
PUT /api/models model.edit
PUT /api/models/{name} model.edit
DELETE /api/models/{name} model.edit
POST /api/models/try model.try
POST /api/models/forget model.edit
POST /hook/{path:path} hook.call
PUT /hook/{path:path} hook.call
"""


async def test_what_changes_something_is_declared_as_what_it_is(house: House) -> None:
    """By hand, since the other tests take a route's own word for what it is."""
    found = [
        f"{method} {route.path} {action}"
        for route, action in declared(house.app)
        for method in methods_of(route)
        if method not in ("GET", "HEAD")
    ]
    assert sorted(found) == sorted(CHANGING.split("\n")[1:-1])
    reading = {
        action
        for route, action in declared(house.app)
        if "GET" in methods_of(route) and not action.endswith((".read", ".list"))
    }
    assert reading == {"open"}


async def test_a_bad_cookie_or_token_is_like_none(house: House) -> None:
    for headers in (
        {"Cookie": f"{COOKIE}=abc"},
        {"Authorization": "Bearer genba_abc"},
        {"Authorization": f"Bearer {house.server.access.local_token}x"},
        {"Authorization": "Basic YW5uYTphbm5h"},
        {"Cookie": f"{COOKIE}=" + "a" * 5000},
    ):
        async with house.client() as client:
            for method, path, action in routes(house):
                answer = await client.request(method, path, headers=headers, **body(method, path))
                assert (answer.status_code == 401) == (action not in OPEN) or (
                    path == "/api/login"
                ), (path, headers)


@pytest.mark.parametrize("is_writer", [False, True])
@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_what_the_table_says(house: House, role: str, is_writer: bool) -> None:
    """Every route of the table, once: refused with 403 exactly where the role may not."""
    await house.add("bob", role, is_writer=is_writer)
    asked = set()
    for method, path, action in routes(house):
        if path in ("/api/login", "/api/claim"):
            continue
        client = await house.browser("bob")
        answer = await client.request(method, path, **body(method, path))
        await client.aclose()
        is_allowed = permits(action, role, is_writer=is_writer)  # type: ignore[arg-type]  # a role
        assert (answer.status_code != 403) == is_allowed, (method, path, answer.text)
        assert answer.status_code != 401 or path in ("/api/me/confirm", "/api/me/password")
        assert answer.status_code < 500, (method, path, answer.text)
        asked.add(action)
    assert asked == ACTIONS.keys() - {"alarm.suppress"}, "no action is untested"


async def test_what_only_the_body_shows_is_asked_as_well(house: House) -> None:
    await house.add("oli", "operator")
    await house.add("eva", "engineer")
    for action in ("suppress", "unsuppress", "remove_from_service", "return_to_service"):
        what = {"action": action, "alarm": "*"}
        answers = [
            await (await house.browser(name)).post("/api/alarms/action", json=what)
            for name in ("oli", "eva")
        ]
        assert [a.status_code for a in answers] == [403, 200]
    assert answers[0].text == "user:oli may not suppress alarms or take them out of service."
    assert ("user:oli", "denied") in await house.said()


async def test_the_actor_is_who_logged_in_whatever_the_body_says(house: House) -> None:
    await house.add("oli", "operator")
    client = await house.browser("oli")
    what = {"action": "ack", "alarm": "*", "actor": "user:anna"}
    assert (await client.post("/api/alarms/action", json=what)).status_code == 200
    (row, *_) = await audit_rows(house.runtime.store)
    assert (row["actor"], row["action"]) == ("user:oli", "alarm/ack")
    assert row["detail"]["actor"] == "user:oli"
    async with house.client(token=house.server.access.local_token) as client:
        assert (await client.post("/api/alarms/action", json=what)).status_code == 200
    (row, *_) = await audit_rows(house.runtime.store)
    assert row["actor"] == "local:anna", "a command is believed, and is not taken for an account"


async def test_before_there_are_accounts_this_machine_is_an_engineer(new: House) -> None:
    async with new.client(scheme="http") as here, new.client(address="10.0.0.5") as there:
        assert (await here.get("/api/status")).status_code == 200
        assert (await here.get("/api/me")).json()["role"] == "engineer"
        assert (await here.get("/api/users")).status_code == 403
        assert (await there.get("/api/status")).status_code == 401
        await new.accounts.add("test", "anna", GOOD, "administrator")
        assert (await here.get("/api/status")).status_code == 401


async def test_a_gateway_that_always_asks(tmp_path: Path) -> None:
    with lent(Script()):
        house = await opened(tmp_path, always=True)
        async with house.client() as client:
            for method, path, action in routes(house):
                answer = await client.request(method, path, **body(method, path))
                assert (answer.status_code == 401) == (action not in OPEN), path
        await closed(house)


async def test_claim_then_login(new: House) -> None:
    code = new.server.access.logins.claim_code.renew()
    async with new.client(address="10.0.0.5") as client:
        client.headers["Origin"] = f"https://{HOST}"
        assert (await client.get("/api/claim")).json() == {"claimed": False}
        wrong = {"code": "AAAA", "name": "anna", "password": GOOD}
        assert (await client.post("/api/claim", json=wrong)).status_code == 401
        claim = {"code": code, "name": "anna", "password": GOOD}
        answer = await client.post("/api/claim", json=claim)
        assert (answer.status_code, answer.json()["role"]) == (201, "administrator")
        assert (await client.post("/api/claim", json=claim)).status_code == 409
        answer = await client.post("/api/login", json={"name": "anna", "password": GOOD})
        assert answer.status_code == 200
        assert (await client.get("/api/me")).json()["actor"] == "user:anna"
    said = await new.said()
    assert said == [("nobody", "claim/failed"), ("user:anna", "claim"), ("user:anna", "login/done")]


async def test_the_cookie(house: House) -> None:
    async with house.client() as client:
        answer = await client.post("/api/login", json={"name": "anna", "password": GOOD})
    cookie = answer.headers["set-cookie"]
    secret = re.fullmatch(r"__Host-genba=([\w-]{43}); (.*)", cookie)
    assert secret is not None
    assert set(secret[2].split("; ")) == {"HttpOnly", "Path=/", "SameSite=strict", "Secure"}
    assert secret[1] not in answer.text
    async with house.client(scheme="http") as client:
        answer = await client.post("/api/login", json={"name": "anna", "password": GOOD})
    assert answer.headers["set-cookie"].startswith(f"{PLAIN_COOKIE}=")
    async with house.client(scheme="http", address="10.0.0.5") as client:
        answer = await client.post("/api/login", json={"name": "anna", "password": GOOD})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert "https" in answer.text


async def test_the_audit_is_searched(house: House) -> None:
    await house.add("bob", "viewer")
    client = await house.browser("anna", GOOD)
    rows = (await client.get("/api/audit", params={"text": "USER/ADD"})).json()
    assert {row["action"] for row in rows} == {"user/add"}
    rows = (await client.get("/api/audit", params={"text": "bob", "limit": 1})).json()
    assert len(rows) == 1
    before = {"text": "100%_nothing", "before": rows[0]["id"]}
    assert (await client.get("/api/audit", params=before)).json() == []


async def test_what_the_gateway_is_made_of(house: House) -> None:
    client = await house.browser("anna", GOOD)
    about = (await client.get("/api/about")).json()
    packages = {row["name"]: row for row in about["packages"]}
    assert packages["numpy"]["version"]
    assert "BSD" in packages["numpy"]["licence"]


async def test_what_an_alarms_designer_says(house: House) -> None:
    client = await house.browser("anna", GOOD)

    async def about(alarm: str) -> httpx.Response:
        return await client.get("/api/alarms/about", params={"alarm": alarm})

    row = (await about("test/high:a/b:c:HI")).json()
    assert row == {"flow": "test", "node": "high", "type": "alarm.limit", "about": ""}
    assert (await about("test/communication:src:COMM")).json()["type"] == "alarm.communication"
    assert (await about("gateway/health:x:HEALTH")).json()["type"] == "alarm.health"
    for nothing in ("test/none:a:HI", "none/high:a:HI", "", "x"):
        assert (await about(nothing)).status_code == 404


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"http://{HOST}", None])
async def test_with_a_cookie_only_our_own_page_acts(house: House, origin: str | None) -> None:
    client = await house.browser("anna", GOOD)
    del client.headers["Origin"]
    headers = {"Origin": origin} if origin else {}
    for method, path, action in routes(house):
        if method != "GET" and action not in OPEN:
            answer = await client.request(method, path, headers=headers, **body(method, path))
            assert answer.text == "A page from elsewhere may not act here.", path
    assert (await client.get("/api/me", headers=headers)).status_code == 200


async def test_a_token_needs_no_origin_and_is_shown_once(house: House) -> None:
    client = await house.browser("anna", GOOD)
    made = await client.post(
        "/api/tokens", json={"name": "scraper", "scopes": ["status.read"], "days": 1}
    )
    secret = made.json()["token"]
    (row,) = (await client.get("/api/tokens")).json()
    assert (row["name"], row["account"], row["used"]) == ("scraper", "anna", 0)
    assert secret not in json.dumps(row)
    async with house.client(address="10.0.0.9", token=secret) as script:
        assert (await script.get("/metrics")).status_code == 200
        assert (await script.get("/api/tags")).status_code == 403
        assert (await script.post("/api/flows/test/rollback", json={})).status_code == 403
        assert (await client.delete(f"/api/tokens/{row['id']}")).status_code == 200
        assert (await script.get("/metrics")).status_code == 401
    unknown = await client.post("/api/tokens", json={"name": "x", "scopes": ["all"]})
    assert (unknown.status_code, unknown.text) == (422, "There is no action 'all'.")


async def test_the_local_token_is_for_this_machine_only(house: House) -> None:
    token = house.server.access.local_token
    for address, status in (("127.0.0.1", 200), ("::1", 200), ("10.0.0.5", 401)):
        async with house.client(address=address, token=token) as client:
            assert (await client.get("/api/users")).status_code == status, address


async def test_users_are_changed_and_it_holds_at_once(house: House) -> None:
    anna = await house.browser("anna", GOOD)
    new_one = {"name": "bob", "password": OTHER, "role": "engineer"}
    assert (await anna.post("/api/users", json=new_one)).status_code == 201
    assert (await anna.post("/api/users", json=new_one)).status_code == 409
    bob = await house.browser("bob")
    assert (await bob.get("/api/flows")).status_code == 200
    answer = await anna.patch("/api/users/bob", json={"role": "viewer", "writer": True})
    assert (answer.json()["role"], answer.json()["writer"]) == ("viewer", True)
    assert (await bob.get("/api/flows")).status_code == 401
    bob = await house.browser("bob")
    assert (await anna.patch("/api/users/bob", json={"disabled": True})).status_code == 200
    assert (await bob.get("/api/flows")).status_code == 401
    login = {"name": "bob", "password": OTHER}
    assert (await house.client().post("/api/login", json=login)).status_code == 401
    only = await anna.patch("/api/users/anna", json={"disabled": True})
    assert (only.status_code, "only administrator" in only.text) == (409, True)
    assert [row["name"] for row in (await anna.get("/api/users")).json()] == ["anna", "bob"]
    assert "scrypt" not in (await anna.get("/api/users")).text
    assert "scrypt" not in (await anna.get("/api/audit")).text


async def test_the_password_is_asked_again_for_what_matters(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = await house.browser("anna", GOOD)
    before = dict(anna.cookies)
    monkeypatch.setattr("gateway.engine.sessions.FRESH_S", -1.0)
    answer = await anna.post("/api/users", json={"name": "bob", "password": OTHER})
    assert (answer.status_code, "password again" in answer.text) == (403, True)
    monkeypatch.undo()
    assert (await anna.post("/api/me/confirm", json={"password": OTHER})).status_code == 401
    assert (await anna.post("/api/me/confirm", json={"password": GOOD})).status_code == 200
    assert dict(anna.cookies) != before
    old = house.client()
    old.cookies.update(before)
    assert (await old.get("/api/me")).status_code == 401
    assert (await anna.post("/api/users", json={"name": "bob", "password": OTHER})).is_success


async def test_own_password_sessions_and_logout(house: House) -> None:
    here, there = await house.browser("anna", GOOD), await house.browser("anna", GOOD)
    rows = (await here.get("/api/me/sessions")).json()
    assert sorted(row["own"] for row in rows) == [False, True]
    other = next(row["id"] for row in rows if not row["own"])
    assert (await here.delete(f"/api/me/sessions/{other}")).json() == {"ended": 1}
    assert (await there.get("/api/me")).status_code == 401
    easy = await here.post("/api/me/password", json={"old": GOOD, "password": "password1234"})
    assert (easy.status_code, "guessed first" in easy.text) == (409, True)
    done = await here.post("/api/me/password", json={"old": GOOD, "password": OTHER})
    assert done.status_code == 200
    assert (await here.get("/api/me")).status_code == 200
    assert (await here.post("/api/logout", json={})).status_code == 200
    assert (await here.get("/api/me")).status_code == 401
    login = {"name": "anna", "password": GOOD}
    assert (await house.client().post("/api/login", json=login)).status_code == 401


async def test_too_many_failures_say_when_to_try_again(house: House) -> None:
    login = {"name": "anna", "password": OTHER}
    async with house.client(address="10.0.0.66") as client:
        for _ in range(5):
            assert (await client.post("/api/login", json=login)).status_code == 401
        answer = await client.post("/api/login", json=login)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


async def test_a_scan_is_a_line_and_not_a_flood(house: House) -> None:
    async with house.client(address="10.0.0.66") as client:
        for _ in range(100):
            await client.get("/api/flows")
    assert (await house.said()).count(("nobody", "denied")) == 1
    anna = await house.browser("anna", GOOD)
    assert (await anna.get("/api/audit/check")).json()["broken"] == []
    assert (await audit_check(house.runtime.store)).broken == []
    page = (await anna.get("/api/audit?limit=2")).json()
    assert len((await anna.get(f"/api/audit?limit=2&before={page[-1]['id']}")).json()) == 1


async def test_what_is_ready_is_told_without_names(house: House) -> None:
    async with house.client() as client:
        await house.runtime.remove("test", "user:anna")
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not ready\n")


def test_a_route_without_a_declaration_does_not_start() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/open")
    async def forgotten() -> str:
        return "open"

    with pytest.raises(AssertionError, match="/open declares no action"):
        declared(app)
    app = FastAPI()
    with pytest.raises(AssertionError, match=r"openapi\.json declares no action"):
        declared(app)


async def test_what_no_declared_route_answers_is_not_passed_on(house: House) -> None:
    @house.app.get("/api/late")
    async def late() -> str:
        return "open"

    async with house.client() as client:
        assert (await client.get("/api/late")).status_code == 404
        assert (await client.put("/api/status")).status_code == 405
        for path in ("/api//status", "/api/status/", "/API/status", "/api/status%2f", "/%2e/x"):
            assert (await client.get(path)).status_code in (401, 404), path
