"""The front door of this gateway is believed; whoever else shows its headers is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.api.front import Front
from gateway.api.gate import COOKIE
from gateway.engine import store_writer
from tests.api.test_live import GOOD, House, opened


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """A gateway that nobody has claimed."""
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    async with opened(tmp_path) as house:
        yield house


def passed_on(house: House, **what: str) -> dict[str, str]:
    """The headers with which the front door passes a request on."""
    shown = {"Genba-Front": house.server.access.local_token, "X-Forwarded-For": "127.0.0.1"}
    return {**shown, "X-Forwarded-Proto": "https", "Host": "gateway.plant:8443", **what}


async def ask(house: House, headers: dict[str, str], path: str = "/api/me") -> httpx.Response:
    async with httpx.AsyncClient(base_url=house.server.url) as client:
        return await client.get(path, headers=headers)


async def test_open_is_only_this_machine_under_its_own_name(house: House) -> None:
    here = passed_on(house, Host="127.0.0.1:8443")
    assert (await ask(house, here)).json()["role"] == "engineer"
    for name, what in {
        "from elsewhere": {"X-Forwarded-For": "192.168.1.9"},
        "under a rebound name": {"Host": "evil.example"},
        "from nobody knows where": {"X-Forwarded-For": "unknown"},
        "from a list whose last is elsewhere": {"X-Forwarded-For": "127.0.0.1, 192.168.1.9"},
        "from nowhere": {"X-Forwarded-For": ""},
    }.items():
        answer = await ask(house, {**here, **what})
        assert (answer.status_code, answer.text) == (401, "Log in first."), name
    answer = await ask(house, {k: v for k, v in here.items() if k != "X-Forwarded-For"})
    assert answer.status_code == 401, "who is not named is nobody's neighbour"


async def test_without_the_token_the_headers_count_for_nothing(house: House) -> None:
    for token in ("", "x", house.server.access.local_token + "x"):
        foreign = passed_on(house, **{"Genba-Front": token})
        assert (await ask(house, foreign)).status_code == 421, "its name is not ours"
        here = {**foreign, "Host": "127.0.0.1", "X-Forwarded-For": "192.168.1.9"}
        assert (await ask(house, here)).json()["role"] == "engineer", "it does come from here"
    del foreign["Genba-Front"]
    assert (await ask(house, foreign)).status_code == 421


async def test_two_tokens_are_none(house: House) -> None:
    token = house.server.access.local_token
    headers = [("Genba-Front", token), ("Genba-Front", token), ("Host", "gateway.plant")]
    async with httpx.AsyncClient(base_url=house.server.url) as client:
        assert (await client.get("/api/me", headers=headers)).status_code == 421


async def test_a_browser_on_the_plant_network_logs_in(house: House) -> None:
    await house.server.accounts.add("test", "anna", GOOD, "administrator")
    there = passed_on(house, **{"X-Forwarded-For": "192.168.1.9"})
    async with httpx.AsyncClient(base_url=house.server.url, headers=there) as client:
        body = {"name": "anna", "password": GOOD}
        answer = await client.post("/api/login", json=body)
        assert answer.status_code == 200, answer.text
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        assert "Secure" in cookie
        (session,) = house.server.accounts.sessions.sessions.values()
        assert session.address == "192.168.1.9"
        plain = {"X-Forwarded-Proto": "http"}
        refused = await client.post("/api/login", json=body, headers=plain)
        assert (refused.status_code, "https only" in refused.text) == (403, True)
    secret = cookie.partition("=")[2].partition(";")[0]
    headers = {**there, "Cookie": f"{COOKIE}={secret}", "Origin": "https://gateway.plant:8443"}
    del headers["Host"]
    async with connect(additional_headers=headers, **at("gateway.plant:8443", house)):
        pass
    for origin in ("http://gateway.plant:8443", "https://gateway.plant", "https://evil.example"):
        headers["Origin"] = origin
        with pytest.raises(InvalidStatus) as found:
            async with connect(additional_headers=headers, **at("gateway.plant:8443", house)):
                pass
        assert found.value.response.status_code == 403, origin


def at(host: str, house: House) -> dict[str, Any]:
    """Connect to the gateway while asking for another host."""
    return {"uri": f"ws://{host}/live", "host": "127.0.0.1", "port": house.server.port}


async def test_what_the_next_one_sees(house: House) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    front = Front(app, house.server.access)
    token = house.server.access.local_token.encode()
    before = [(b"host", b"a"), (b"X-Forwarded-For", b"10.0.0.5"), (b"genba-front", token)]
    scope = {"type": "websocket", "scheme": "ws", "client": ("127.0.0.1", 1), "headers": before}
    await front(scope, None, None)  # type: ignore[arg-type]  # nothing is sent
    assert seen[0]["headers"] == [(b"host", b"a")]
    assert (seen[0]["client"], seen[0]["scheme"]) == (("10.0.0.5", 0), "ws")
    forged = {**scope, "headers": before[:2], "genba.front": True}
    await front(forged, None, None)  # type: ignore[arg-type]  # nothing is sent
    assert seen[1]["headers"] == [(b"host", b"a")]
    assert (seen[1]["client"], "genba.front" in seen[1]) == (("127.0.0.1", 1), False)
