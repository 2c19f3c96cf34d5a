"""The front door: who passes, what is refused, and that the screens are no part of an alarm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from gateway.api import certificate
from tests.plant.product import Product, until

pytestmark = pytest.mark.plant
PASSWORD = "correct horse battery"
FLOW = """\
flow: beat
version: 1
nodes:
  wave: {type: simulate.source, tag: line/press/oil, every_s: 0.1}
  high: {type: alarm.limit, hi: -10}
wires:
  - wave -> high
"""


class Site:
    """A gateway with its screens.

    Args:
        product: The gateway as a process.
        url: Where its screens are.
    """

    def __init__(self, product: Product, url: str) -> None:
        self.product = product
        self.url = url

    def browser(self, **more: Any) -> httpx.AsyncClient:
        """A browser that keeps cookies and does not follow."""
        headers = {"Origin": self.url, "Accept": "text/html", **more.pop("headers", {})}
        return httpx.AsyncClient(
            base_url=self.url, verify=False, headers=headers, timeout=30, trust_env=False, **more
        )

    async def claim(self, browser: httpx.AsyncClient, name: str = "anna") -> None:
        """Make the first administrator with the code from the log, and log in."""
        code = re.findall(r"30 minutes: ([A-Z0-9-]+)", self.product.said())[-1]
        body = {"code": code, "name": name, "password": PASSWORD}
        assert (await browser.post("/api/claim", json=body)).status_code == 201
        await self.login(browser, name)

    async def login(self, browser: httpx.AsyncClient, name: str) -> None:
        answer = await browser.post("/api/login", json={"name": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text

    def screens(self) -> list[psutil.Process]:
        """The processes that serve the pages."""
        children = psutil.Process(self.product.pid).children()
        return [one for one in children if "ui" in one.cmdline()]


@contextlib.asynccontextmanager
async def site(folder: Path, listen: str, *options: str) -> AsyncIterator[Site]:
    flow = folder / "beat.flow.yaml"
    flow.write_text(FLOW)
    words = ["--listen", listen, *options]
    async with Product(folder, [flow], options=words) as product:
        url = await until(lambda: re.findall(r"screens are at (\S+)", product.said()), "screens")
        found = Site(product, url[-1])
        async with found.browser() as browser:

            async def answers() -> bool:
                with contextlib.suppress(httpx.HTTPError):
                    return (await browser.get("/healthz")).status_code == 200
                return False

            await until(answers, "the screens")
        yield found
        with contextlib.suppress(ProcessLookupError):  # A test may have killed it.
            await product.terminate()


@pytest.fixture
async def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """Screens that speak TLS and ask for a login."""
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(tmp_path / "state" / "api.token"))
    async with site(tmp_path, "https://127.0.0.1:0", "--accounts") as found:
        yield found


async def test_first_boot_to_the_first_page(secure: Site) -> None:
    """TLS with the key of this device, the claim, a login, and a page; without, none of it."""
    state = secure.product.state
    shown = re.findall(r"SHA-256 fingerprint (\S+)", secure.product.said())
    assert shown == [certificate.fingerprint(state / "tls" / "gateway.pem")]
    assert (state / "tls" / "gateway.key").stat().st_mode & 0o077 == 0
    port = int(secure.url.rpartition(":")[2])
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    assert pem == (state / "tls" / "gateway.pem").read_text()
    async with secure.browser() as browser:
        answer = await browser.get("/?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2F%3Fx%3D1")
        assert (await browser.get("/login")).status_code == 200
        assert (await browser.get("/api/claim")).json() == {"claimed": False}
        await secure.claim(browser)
        cookie = next(iter(browser.cookies.jar))
        assert (cookie.name, cookie.secure, cookie.path) == ("__Host-genba", True, "/")
        assert cookie.has_nonstandard_attr("HttpOnly")
        page = await browser.get("/")
        assert page.status_code == 200
        assert "Overview" in page.text
        for name in ("content-security-policy", "strict-transport-security", "x-frame-options"):
            assert name in page.headers
        assert (await browser.get("/api/me")).json()["actor"] == "user:anna"
        assert (await browser.post("/api/logout", json={})).status_code == 200
    async with secure.browser() as other:
        assert (await other.get("/")).status_code == 303


@pytest.mark.parametrize("address", ["http://127.0.0.1:0", "https://127.0.0.1:0"])
async def test_a_login_is_nobody_elses(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The door asks the API for all over one client, which must keep nobody's cookie."""
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(tmp_path / "state" / "api.token"))
    async with (
        site(tmp_path, address, "--accounts") as found,
        found.browser() as admin,
        found.browser() as nobody,
    ):
        await found.claim(admin)
        assert (await admin.get("/api/me")).json()["actor"] == "user:anna"
        for _ in range(3):
            assert (await nobody.get("/api/me")).status_code == 401
            assert (await nobody.get("/")).status_code == 303
        assert (await nobody.post("/api/logout", json={})).status_code in (401, 403)
        assert (await admin.get("/api/me")).status_code == 200


async def test_without_a_login_only_the_login_answers(secure: Site) -> None:
    """Every route of the API and every page, asked by nobody."""
    async with secure.browser() as admin:
        await secure.claim(admin)
        routes = (await admin.get("/openapi.json")).json()["paths"]
        page = (await admin.get("/")).text
    static = set(re.findall(r'"(/_nicegui/[^"\s]+)"', page))
    assert len(static) > 5
    answered = set()
    async with secure.browser() as nobody:
        for path, methods in routes.items():
            asked = re.sub(r"\{[^}]+\}", "1", path)
            for method in methods:
                answer = await nobody.request(method, asked)
                if answer.status_code != 401:
                    answered.add(f"{method.upper()} {path}")
        for path in ("/", "/help", "/account", "/flows", "/alarms", *static):
            assert (await nobody.get(path)).status_code in (303, 401), path
        for path in ("/docs", "/redoc", "/_nicegui_ws/socket.io/?EIO=4&transport=polling"):
            assert (await nobody.get(path)).status_code in (303, 404), path
    assert answered == {
        "GET /",
        "GET /healthz",
        "GET /api/claim",
        "POST /api/claim",
        "POST /api/login",
        # The login at a provider: its name or none, and the way there and back.
        "GET /api/openid",
        "GET /api/openid/start",
        "GET /api/openid/callback",
        *({"GET /readyz"} & answered),
    }


async def test_an_authority_signs_the_key_of_this_gateway(secure: Site) -> None:
    """A request goes out, a certificate comes in, and the screens speak with it."""
    from tests.ui.authority import Authority

    authority = Authority()
    async with secure.browser() as admin:
        await secure.claim(admin)
        asked = await admin.post("/api/certificate/request", json={"names": ["127.0.0.1"]})
        assert asked.text.startswith("-----BEGIN CERTIFICATE REQUEST")
        before = (await admin.get("/api/certificate")).json()
        assert before["own"]
        assert before["days_left"] > 3000
        wrong = await admin.put("/api/certificate", json={"chain": authority.other()})
        assert "another key" in wrong.text
        late = authority.signed(asked.text, days=-1)
        assert "is not now" in (await admin.put("/api/certificate", json={"chain": late})).text
        done = await admin.put("/api/certificate", json={"chain": authority.signed(asked.text)})
        assert done.status_code == 200, done.text
        after = (await admin.get("/api/certificate")).json()
        assert not after["own"]
    trust = ssl.create_default_context(cadata=authority.pem)

    async def trusted() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            async with httpx.AsyncClient(verify=trust, trust_env=False) as browser:
                return (await browser.get(f"{secure.url}/healthz")).status_code == 200
        return False

    await until(trusted, "the screens speak with the signed certificate")


async def test_what_a_stranger_sends_is_refused(secure: Site) -> None:
    async with secure.browser() as admin:
        await secure.claim(admin)
        cookie = "; ".join(f"{one.name}={one.value}" for one in admin.cookies.jar)
        page = (await admin.get("/")).text
        foreign = {"Origin": "https://evil.example"}
        answer = await admin.post("/api/logout", json={}, headers=foreign)
        assert answer.status_code == 403
        assert (await admin.get("/", headers={"Host": "evil.example"})).status_code == 421
        posing = {"X-Forwarded-For": "127.0.0.1", "Genba-Front": "x", "X-Forwarded-Proto": "http"}
        async with secure.browser(headers=posing) as poser:
            assert (await poser.get("/api/me")).status_code == 401
        large = await admin.post("/api/login", content=b"x" * 6_000_000)
        assert large.status_code == 413
        assert (await admin.get("/api/me")).status_code == 200
    client = re.findall(r"client_id[^0-9a-f]+([0-9a-f-]{36})", page)[0]
    where = secure.url.replace("https", "wss") + "/_nicegui_ws/socket.io/"
    where += f"?EIO=4&transport=websocket&client_id={client}&next_message_id=0"
    where += "&implicit_handshake=true&tab_id=t&document_id=d"
    trust = ssl._create_unverified_context()
    for origin, shown in (
        ("https://evil.example", cookie),  # The hole of NiceGUI: the id of a page was enough.
        ("https://evil.example", ""),
        (secure.url, ""),
        (secure.url, "__Host-genba=wrong"),
        (None, cookie),
    ):
        headers = {"Cookie": shown} if shown else {}
        with pytest.raises(InvalidStatus) as refused:
            await connect(
                where, additional_headers=headers, origin=shown_as(origin), ssl=trust, proxy=None
            )
        assert refused.value.response.status_code == 403, (origin, shown)


async def test_a_page_is_its_sessions_only(secure: Site) -> None:
    """Another account that has learnt the id of a page cannot open its socket."""
    async with secure.browser() as admin, secure.browser() as other:
        await secure.claim(admin)
        body = {"name": "ben", "password": PASSWORD, "role": "viewer"}
        assert (await admin.post("/api/users", json=body)).status_code == 201
        await secure.login(other, "ben")
        page = (await admin.get("/")).text
        client = re.findall(r"client_id[^0-9a-f]+([0-9a-f-]{36})", page)[0]
        assert [await opened(secure, one, client) for one in (other, admin)] == [False, True]


def shown_as(origin: str | None) -> Origin | None:
    """An origin as the library types it."""
    return Origin(origin) if origin else None


async def opened(found: Site, browser: httpx.AsyncClient, client: str) -> bool:
    """Whether NiceGUI lets this browser have the page of that id."""
    cookie = "; ".join(f"{one.name}={one.value}" for one in browser.cookies.jar)
    where = found.url.replace("https", "wss") + "/_nicegui_ws/socket.io/"
    where += f"?EIO=4&transport=websocket&client_id={client}&next_message_id=0"
    where += "&implicit_handshake=true&tab_id=t&document_id=d"
    async with connect(
        where,
        origin=shown_as(found.url),
        additional_headers={"Cookie": cookie},
        ssl=ssl._create_unverified_context(),
        proxy=None,
    ) as socket:
        assert str(await socket.recv()).startswith("0")  # Engine.IO: open
        await socket.send("40")  # Socket.IO: connect
        async with asyncio.timeout(20):
            while True:
                said = str(await socket.recv())
                if said.startswith("44"):
                    return False
                if said.startswith("40"):
                    return True


@pytest.mark.slow
async def test_screens_that_are_killed_delay_nothing(tmp_path: Path) -> None:
    """They come back by themselves on the same port, and the gateway does not notice."""
    async with site(tmp_path, "127.0.0.1:0") as found:
        async with found.browser() as browser:
            assert (await browser.get("/")).status_code == 200
            (process,) = found.screens()
            os.kill(process.pid, signal.SIGKILL)
            before = (await found.product.rows())["line/press/oil"]

            async def goes_on() -> bool:
                return (await found.product.rows())["line/press/oil"] > before + 5

            await until(goes_on, "rows while there are no screens")

            async def back() -> bool:
                with contextlib.suppress(httpx.HTTPError):
                    return (await browser.get("/")).status_code == 200
                return False

            await until(back, "the screens again")
            (again,) = found.screens()
            assert again.pid != process.pid
        await found.product.kill()
        await asyncio.to_thread(again.wait, 20)  # It does not outlive a gateway that was killed.


async def test_a_port_that_is_taken_keeps_no_gateway_from_running(tmp_path: Path) -> None:
    """As after a kill, when the old screens have it for a moment: it is tried again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flow = tmp_path / "beat.flow.yaml"
        flow.write_text(FLOW)
        async with Product(tmp_path, [flow], options=["--listen", f"127.0.0.1:{port}"]) as product:
            await until(lambda: "is taken by another program" in product.said(), "that it is said")
            await until(product.open_alarms, "an alarm all the same")
            taken.close()
            found = Site(product, f"http://127.0.0.1:{port}")
            async with found.browser() as browser:

                async def answers() -> bool:
                    with contextlib.suppress(httpx.HTTPError):
                        return (await browser.get("/healthz")).status_code == 200
                    return False

                await until(answers, "the screens")
