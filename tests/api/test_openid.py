"""Logins by an OpenID provider that is a process of its own, also by one that lies."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.api.gate import COOKIE
from gateway.engine import store_writer
from gateway.engine.openid import OpenId
from gateway.engine.openid_settings import CALLBACK, OpenIdSettings
from gateway.engine.store_records import audit_rows
from tests.api.provider import CLIENT, SECRET, Provider, provider
from tests.api.test_accounts import GOOD, HOST, House, closed, opened
from tests.engine.gear import Script, lent

pytestmark = pytest.mark.plant
REDIRECT = f"https://{HOST}{CALLBACK}"
BINDING = "__Host-genba-openid"
ANNA = {"sub": "42", "preferred_username": "Eva.Meyer@plant.example", "groups": ["fitters"]}


@pytest.fixture(scope="module")
def company() -> Iterator[Provider]:
    with provider() as found:
        yield found


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A gateway with an administrator of its own."""
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()):
        house = await opened(tmp_path)
        await house.accounts.add("test", "anna", GOOD, "administrator")
        yield house
        await closed(house)


def settings(company: Provider, **more: Any) -> dict[str, Any]:
    return {
        "issuer": company.issuer,
        "client_id": CLIENT,
        "client_secret": "company",
        "redirect": REDIRECT,
        "label": "Company",
        "roles": {"fitters": "operator", "engineers": "engineer", "it": "administrator"},
        "writers": ["setters"],
        **more,
    }


async def joined(house: House, company: Provider, **more: Any) -> httpx.AsyncClient:
    """The gateway asks the company from now on; returns its administrator."""
    company.told(claims=ANNA, wrong="", redirect=REDIRECT, asks=False)
    house.runtime.secrets.put("company", SECRET)
    admin = await house.browser("anna", GOOD)
    answer = await admin.put("/api/openid/settings", json=settings(company, **more))
    assert answer.status_code == 200, answer.text
    return admin


async def sent_away(browser: httpx.AsyncClient, query: str = "") -> str:
    """Begin a login; returns the address that the provider sends the browser back to."""
    answer = await browser.get(f"/api/openid/start{query}")
    assert answer.status_code == 303, answer.text
    async with httpx.AsyncClient(trust_env=False) as there:
        back = await there.get(answer.headers["location"])
    assert back.status_code == 303, back.text
    return str(back.headers["location"])


async def come_back(browser: httpx.AsyncClient, address: str) -> tuple[int, str]:
    """Finish a login; returns the status and where the page goes on to."""
    answer = await browser.get(address)
    found = re.search(r'content="0;url=([^"]*)"', answer.text)
    return answer.status_code, found[1] if found else answer.text


async def log_in(browser: httpx.AsyncClient, query: str = "") -> tuple[int, str]:
    return await come_back(browser, await sent_away(browser, query))


async def why(house: House) -> str:
    """What the audit says of the last login that failed."""
    rows = await audit_rows(house.runtime.store)
    return next(str(r["detail"]["why"]) for r in rows if r["action"] == "login/failed")


async def test_somebody_of_the_company_logs_in(house: House, company: Provider) -> None:
    await joined(house, company)
    async with house.client(address="10.0.0.7") as eva:
        offered = (await eva.get("/api/openid")).json()
        assert offered == {"label": "Company", "start": f"https://{HOST}/api/openid/start"}
        assert await log_in(eva, "?next=/alarms%3Fx=1") == (200, "/alarms?x=1")
        assert BINDING not in eva.cookies
        assert COOKIE in eva.cookies
        me = (await eva.get("/api/me")).json()
    assert (me["actor"], me["role"], me["writer"]) == ("user:eva.meyer", "operator", False)
    assert (me["password"], me["fresh"]) == (False, True)
    asked = company.seen()["asked"][-1]
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["nonce"]) > 30
    assert len(asked["state"]) > 30
    assert (asked["redirect_uri"], asked["response_type"]) == (REDIRECT, "code")
    rows = await audit_rows(house.runtime.store)
    assert [(r["actor"], r["action"]) for r in rows[:2]] == [
        ("user:eva.meyer", "login/done"),
        ("openid", "user/add"),
    ]
    assert rows[0]["detail"] == {"address": "10.0.0.7", "by": "openid"}
    account = house.accounts.get("eva.meyer")
    assert (account.password, account.subject) == ("", f"{company.issuer} 42")


LIES = {
    "aud": "somebody else (aud)",
    "azp": "somebody else (azp)",
    "iss": "another issuer",
    "nonce": "(nonce)",
    "expired": "has expired",
    "future": "from the future",
    "nbf": "does not count yet",
    "sub": "whose it is",
    "text_time": "no number (exp)",
    "none": "signed with 'none'",
    "hs256": "signed with 'HS256'",
    "client_secret_hs256": "signed with 'HS256'",
    "foreign_key": "cannot be believed",
    "unknown_key": "not the provider's",
    "changed": "cannot be believed",
    "no_token": "cannot be believed",
    "mixed_up": "(iss)",
    "no_iss": "(iss)",
    "denied": "access_denied",
    "moved": "refuses the code: 307",
    "endless": "more than",
}


@pytest.mark.parametrize("lie", LIES)
async def test_who_lies_does_not_come_in(house: House, company: Provider, lie: str) -> None:
    await joined(house, company)
    company.told(wrong=lie)
    async with house.client() as eva:
        status, there = await log_in(eva)
        word = {"denied": "refused", "endless": "away"}.get(lie, "wrong")
        assert (status, there) == (400, f"/login?why={word}")
        assert COOKIE not in eva.cookies
        assert (await eva.get("/api/me")).status_code == 401
    assert LIES[lie] in await why(house)
    assert set(house.accounts.all) == {"anna"}


async def test_clocks_may_differ_a_little(house: House, company: Provider) -> None:
    await joined(house, company)
    company.told(wrong="skewed")
    assert await log_in(house.client()) == (200, "/")
    await joined(house, company, skew_s=0)
    company.told(wrong="skewed")
    assert await log_in(house.client()) == (400, "/login?why=wrong")


async def test_an_answer_counts_once_and_in_its_own_browser(
    house: House, company: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await joined(house, company)
    eva, other = house.client(), house.client()
    back = await sent_away(eva)
    kept = eva.cookies[BINDING]
    assert await come_back(other, back) == (400, "/login?why=again")
    forged = back.replace("state=", "state=x")
    other.cookies.set(BINDING, kept)
    assert await come_back(other, forged) == (400, "/login?why=again")
    assert await come_back(eva, back) == (200, "/")
    replayed = house.client()
    replayed.cookies.set(BINDING, kept)
    assert await come_back(replayed, back) == (400, "/login?why=again")
    assert "finished before" in await why(house)
    twice = await sent_away(other)
    assert await come_back(other, f"{twice}&code=other") == (400, "/login?why=again")
    for cookie in ("", "AAAA", "!", kept[:-8] + "AAAAAAA="):
        stranger = house.client(address=f"10.1.0.{len(cookie)}")
        stranger.cookies.set(BINDING, cookie)
        assert await come_back(stranger, await sent_away(house.client())) == (
            400,
            "/login?why=again",
        )
    monkeypatch.setattr("gateway.engine.openid.LOGIN_S", -1.0)
    late = house.client(address="10.2.0.1")
    assert await log_in(late) == (400, "/login?why=again")
    assert "10 minutes" in await why(house)


@pytest.mark.parametrize(
    "there",
    ["//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "", "/" + "a" * 999],
)
async def test_only_pages_of_ours_are_gone_to(house: House, company: Provider, there: str) -> None:
    await joined(house, company)
    browser = house.client()
    answer = await browser.get("/api/openid/start", params={"next": there})
    async with httpx.AsyncClient(trust_env=False) as provider:
        back = (await provider.get(answer.headers["location"])).headers["location"]
    assert await come_back(browser, back) == (200, "/")


async def test_failures_slow_an_address_down(house: House, company: Provider) -> None:
    await joined(house, company)
    guesser = house.client(address="10.0.0.66")
    for _ in range(5):
        assert await come_back(guesser, f"{CALLBACK}?state=x&code=y") == (400, "/login?why=again")
    assert await come_back(guesser, f"{CALLBACK}?state=x&code=y") == (400, "/login?why=early")
    assert await log_in(house.client(address="10.0.0.67")) == (200, "/")


async def test_groups_say_what_somebody_may(house: House, company: Provider) -> None:
    await joined(house, company)
    company.told(claims={**ANNA, "groups": ["fitters", "it", "setters"]})
    eva = house.client()
    assert await log_in(eva) == (200, "/")
    me = (await eva.get("/api/me")).json()
    assert (me["role"], me["writer"]) == ("administrator", True)
    company.told(claims={**ANNA, "groups": ["fitters"]})
    later = house.client()
    assert await log_in(later) == (200, "/")
    assert (await later.get("/api/me")).json()["role"] == "operator"
    assert (await eva.get("/api/me")).status_code == 401, "what somebody may no more, ends at once"
    company.told(claims={**ANNA, "groups": ["cooks"]})
    assert await log_in(house.client()) == (400, "/login?why=role")
    assert (await later.get("/api/me")).status_code == 401
    company.told(claims={**ANNA, "groups": [], "realm": {"roles": "fitters"}})
    await joined(house, company, default_role="viewer")
    company.told(claims={**ANNA, "groups": []})
    guest = house.client()
    assert await log_in(guest) == (200, "/")
    assert (await guest.get("/api/me")).json()["role"] == "viewer"
    await joined(house, company, role_claim="realm.roles")
    company.told(claims={**ANNA, "groups": [], "realm": {"roles": "fitters"}})
    assert await log_in(guest) == (200, "/")
    assert (await guest.get("/api/me")).json()["role"] == "operator"


async def test_groups_may_stand_in_the_user_information(house: House, company: Provider) -> None:
    await joined(house, company)
    company.told(claims={"sub": "42", "preferred_username": "eva"})
    assert await log_in(house.client()) == (200, "/")
    assert house.accounts.get("eva").role == "operator"
    company.told(wrong="userinfo")
    assert await log_in(house.client()) == (400, "/login?why=wrong")
    assert "another person" in await why(house)


async def test_a_name_leads_into_no_account_of_another(house: House, company: Provider) -> None:
    admin = await joined(house, company)
    company.told(claims={**ANNA, "preferred_username": "anna", "groups": ["it"]})
    assert await log_in(house.client()) == (400, "/login?why=taken")
    company.told(claims=ANNA)
    assert await log_in(house.client()) == (200, "/")
    company.told(claims={**ANNA, "sub": "43", "groups": ["it"]})
    assert await log_in(house.client()) == (400, "/login?why=taken")
    company.told(claims={**ANNA, "preferred_username": "new name"})
    eva = house.client()
    assert await log_in(eva) == (200, "/")
    assert (await eva.get("/api/me")).json()["actor"] == "user:eva.meyer", "theirs for good"
    assert (await admin.patch("/api/users/eva.meyer", json={"disabled": True})).is_success
    assert await log_in(house.client()) == (400, "/login?why=disabled")
    company.told(claims={**ANNA, "sub": "44", "preferred_username": "4711"})
    assert await log_in(house.client()) == (400, "/login?why=wrong")
    login = {"name": "eva.meyer", "password": ""}
    assert (await house.client().post("/api/login", json=login)).status_code == 401


async def test_what_matters_is_proven_again_at_the_provider(
    house: House, company: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await joined(house, company)
    admin = {**ANNA, "groups": ["it"]}
    company.told(claims=admin, wrong="no_proof")
    eva = house.client()
    eva.headers["Origin"] = f"https://{HOST}"
    assert await log_in(eva) == (200, "/")
    body = {"name": "bob", "password": GOOD + "!"}
    refused = await eva.post("/api/users", json=body)
    assert (refused.status_code, "again" in refused.text) == (403, True), "nothing says when"
    before = eva.cookies[COOKIE]
    assert await log_in(eva, "?again=true&next=/users") == (400, "/login?why=wrong")
    company.told(wrong="old_proof")
    assert await log_in(eva, "?again=true") == (400, "/login?why=wrong")
    assert "did not ask" in await why(house)
    company.told(wrong="", claims={**admin, "sub": "9", "preferred_username": "bo"})
    assert await log_in(eva, "?again=true") == (400, "/login?why=again")
    company.told(claims=admin)
    assert await log_in(eva, "?again=true&next=/users") == (200, "/users")
    asked = company.seen()["asked"][-1]
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    assert eva.cookies[COOKIE] != before
    old = house.client()
    old.cookies.set(COOKIE, before)
    assert (await old.get("/api/me")).status_code == 401, "the secret of the session is a new one"
    assert (await eva.post("/api/users", json=body)).status_code == 201


async def test_accounts_of_our_own_get_in_while_the_provider_is_away(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider() as company:
        admin = await joined(house, company)
        eva = house.client()
        back = await sent_away(eva)
        assert (await admin.post("/api/openid/check", json={})).json()["keys"] == 1
        company.stop()
        assert await come_back(eva, back) == (400, "/login?why=away")
        await house.server.openid.change("test", OpenIdSettings(**settings(company)))
        answer = await house.client().get("/api/openid/start")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?why=away")
        checked = await admin.post("/api/openid/check", json={})
        assert (checked.status_code, "No answer from the OpenID provider" in checked.text) == (
            503,
            True,
        )
        assert (await (await house.browser("anna", GOOD)).get("/api/me")).status_code == 200


async def test_keys_may_change(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.engine.openid_provider.KEYS_AGAIN_S", 0.0)
    with provider() as company:
        await joined(house, company)
        assert await log_in(house.client()) == (200, "/")
        company.told(wrong="rotated")
        assert await log_in(house.client()) == (200, "/")
        assert company.seen()["discovered"] == 1, "what it says of itself is kept for an hour"


async def test_another_issuer_is_not_asked(house: House, company: Provider) -> None:
    admin = await joined(house, company)
    company.told(wrong="discovery")
    await house.server.openid.change("test", OpenIdSettings(**settings(company)))
    answer = await house.client().get("/api/openid/start")
    assert answer.headers["location"] == "/login?why=away"
    checked = await admin.post("/api/openid/check", json={})
    assert checked.status_code == 503, "it is not asked again just now"
    assert "calls itself 'https://evil.example'" in checked.text


async def test_settings_are_the_administrators(house: House, company: Provider) -> None:
    admin = await joined(house, company)
    eva = house.client()
    assert await log_in(eva) == (200, "/")
    assert (await eva.get("/api/openid/settings")).status_code == 403
    found = (await admin.get("/api/openid/settings")).json()["settings"]
    assert (found["issuer"], found["client_secret"]) == (company.issuer, "company")
    assert SECRET not in (await admin.get("/api/audit")).text
    for wrong in (
        {"issuer": "http://login.example"},
        {"issuer": "https://a:b@login.example"},
        {"redirect": "https://gateway.example/elsewhere"},
        {"redirect": "http://gateway.example" + CALLBACK},
        {"scopes": "profile"},
        {"roles": {"it": "boss"}},
        {"skew_s": 900},
    ):
        answer = await admin.put("/api/openid/settings", json=settings(company, **wrong))
        assert answer.status_code == 422, wrong
    assert (await admin.delete("/api/openid/settings")).status_code == 200
    assert (await eva.get("/api/me")).status_code == 401, "who came by the provider is out"
    assert (await eva.get("/api/openid")).json() == {"label": "", "start": ""}
    assert (await eva.get("/api/openid/start")).status_code == 404
    rows = await audit_rows(house.runtime.store)
    changes = [r["detail"]["after"] for r in rows if r["action"] == "openid/change"]
    assert [bool(change) for change in changes] == [False, True]


async def test_somebody_must_get_in_without_the_provider(house: House, company: Provider) -> None:
    await joined(house, company)
    company.told(claims={**ANNA, "groups": ["it"]})
    eva = house.client()
    eva.headers["Origin"] = f"https://{HOST}"
    assert await log_in(eva) == (200, "/")
    only = await eva.patch("/api/users/anna", json={"disabled": True})
    assert (only.status_code, "only administrator" in only.text) == (409, True)


async def test_settings_outlast_a_restart_and_damage_lets_nobody_in(
    house: House, company: Provider
) -> None:
    await joined(house, company)
    file = house.runtime.state_dir / "openid" / "settings.json"

    def made() -> OpenId:
        return OpenId(
            house.runtime.state_dir, house.runtime.secrets, house.accounts, house.runtime.clock
        )

    assert made().settings == OpenIdSettings(**settings(company))
    file.write_text("{}")
    damaged = made()
    assert damaged.settings is None
    assert "cannot be read" in damaged.fault
