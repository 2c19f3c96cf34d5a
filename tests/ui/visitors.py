"""Visitors of the screens: a page, NiceGUI's socket, the live socket, a moment, and gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Origin

PAGES = (
    *("/", "/alarms", "/flows", "/flows/beat", "/dashboards", "/trends", "/connections"),
    *("/system", "/console", "/account", "/help", "/help/start"),
)
ENDS = ("closed", "vanished", "before hello", "came back", "no socket", "no page")
WAIT_S = 60.0


class Screens:
    """The screens in their process; see `tests.ui.soak`.

    Args:
        process: It.
        port: Where they answer.
    """

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{port}"

    async def ask(self) -> dict[str, Any]:
        """What they hold.

        A request goes before, because what an idle connection to the gateway is kept for is the
        next request, and that request ends those that have been idle for too long.
        """
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=WAIT_S) as client:
            await client.get(f"{self.url}/healthz")
        await asyncio.sleep(0.1)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        return dict(json.loads(await self._process.stdout.readline()))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Nothing of them runs meanwhile, as on a machine that has no time."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def screens(state: Path, *, soon: bool) -> AsyncIterator[Screens]:
    """Serve the screens of a gateway that runs."""
    pipe = asyncio.subprocess.PIPE
    words = ["-m", "tests.ui.soak", str(state), *(["soon"] if soon else [])]
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Screens(process, int(await process.stdout.readline()))
        process.stdin.close()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Visitors:
    """Those who come and go.

    Args:
        url: Of the screens.
        stay_s: How long they stay at most [s].
    """

    def __init__(self, url: str, stay_s: float = 1.0) -> None:
        self.url = url
        self.stay_s = stay_s
        self.ends: Counter[str] = Counter()
        """Visits by how they ended."""
        self._where = url.replace("http", "ws")
        self._origin = Origin(url)

    async def come(self, at_once: int, seconds: float) -> None:
        """Come and go for a while."""
        end = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(self._visitor(number, end) for number in range(at_once)))

    async def _visitor(self, number: int, end: float) -> None:
        rng = random.Random(number)
        limits = httpx.Limits(keepalive_expiry=1.0)  # A browser asks again by itself.
        async with httpx.AsyncClient(
            base_url=self.url, trust_env=False, verify=False, timeout=WAIT_S, limits=limits
        ) as browser:
            while asyncio.get_running_loop().time() < end:
                try:
                    self.ends[await self.visit(browser, rng)] += 1
                except (TimeoutError, httpx.HTTPError, WebSocketException, OSError) as error:
                    # A busy machine let it wait, or the gateway had no time: a browser asks again.
                    self.ends[f"late: {type(error).__name__}"] += 1
                    await asyncio.sleep(2.0)

    async def visit(self, browser: httpx.AsyncClient, rng: random.Random) -> str:
        """One visit; says how it ended."""
        how = rng.choices(ENDS, (8, 8, 2, 2, 1, 1))[0]
        if how == "no page":
            answer = await browser.get("/slow", headers={"Accept": "text/html"})
            assert answer.status_code in (500, 503), answer.status_code
            return how
        client = await self.page(browser, rng.choice(PAGES))
        if how == "no socket":
            return how
        async with self.socket(client) as page, self._live() as live:
            await page.send("40")
            if how == "before hello":
                page.transport.abort()
                return how
            await hello(page)
            await live.send('{"sub": "a", "alarms": true}')
            await live.recv()
            await stay(page, rng.uniform(0.0, self.stay_s))
            if how == "vanished":  # As a panel that is switched off does.
                page.transport.abort()
                live.transport.abort()
            elif how == "came back":  # Before it was noticed that the first socket was dead.
                async with self.socket(client) as again:
                    await again.send("40")
                    await hello(again)
                    page.transport.abort()
                    await stay(again, rng.uniform(0.0, self.stay_s))
        return how

    async def page(self, browser: httpx.AsyncClient, path: str) -> str:
        """Open a page; returns its id."""
        answer = await browser.get(path, headers={"Accept": "text/html"})
        answer.raise_for_status()
        return str(re.findall(r"client_id[^0-9a-f]+([0-9a-f-]{36})", answer.text)[0])

    def socket(self, client: str) -> Any:
        """NiceGUI's socket of a page."""
        query = {"EIO": 4, "transport": "websocket", "client_id": client, "next_message_id": 0}
        query |= {"implicit_handshake": "true", "tab_id": client, "document_id": client}
        path = f"{self._where}/_nicegui_ws/socket.io/?{urlencode(query)}"
        return connect(path, origin=self._origin, proxy=None, open_timeout=WAIT_S)

    def _live(self) -> Any:
        path = f"{self._where}/live"
        return connect(path, origin=self._origin, proxy=None, open_timeout=WAIT_S)


async def hello(page: ClientConnection) -> None:
    """Wait until NiceGUI knows whose socket it is."""
    async with asyncio.timeout(WAIT_S):
        while not (said := str(await page.recv())).startswith("40"):
            if said.startswith("44"):
                raise ConnectionRefusedError(said)
            if said == "2":  # Engine.IO: are you there?
                await page.send("3")


async def stay(page: ClientConnection, seconds: float) -> None:
    """Look at a page for a while."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                if await page.recv() == "2":
                    await page.send("3")
