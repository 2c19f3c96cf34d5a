"""A gateway with its screens in processes of their own, people with accounts, and a browser.

Playwright is used by its async API only: its other one does not go with pytest-asyncio.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    ExitStack,
    asynccontextmanager,
    closing,
    contextmanager,
)
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, BrowserContext, Page

from tests.browser.chrome import launched, watch
from tests.plant.product import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
WAIT_MS = 20_000
PASSWORD = "four quiet brown horses"
PEOPLE = {"anna": "administrator", "eva": "engineer", "oli": "operator", "vic": "viewer"}
"""anna claims the gateway; the others get their accounts from her."""


class House:
    """A gateway that runs, reached as a browser reaches it."""

    def __init__(self, url: str, log: Path, pid: int) -> None:
        self.url = url
        self.pid = pid
        self.log = log
        self._stack = ExitStack()
        self._watcher: httpx.Client | None = None

    def close(self) -> None:
        """Nobody looks any more."""
        self._stack.close()

    def code(self) -> str:
        """The claim code from the log."""
        found = re.findall(r"within 30 minutes: (\S+)", self.log.read_text())
        assert found, self.log.read_text()
        return str(found[-1])

    def client(self) -> httpx.Client:
        """A browser without a window."""
        return httpx.Client(
            base_url=self.url,
            headers={"Origin": self.url},
            timeout=30,
            trust_env=False,
            verify=False,
        )

    @contextmanager
    def logged_in(self, name: str) -> Iterator[httpx.Client]:
        """One with a login."""
        with self.client() as client:
            answer = client.post("/api/login", json={"name": name, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            yield client

    def settle(self) -> None:
        """Everybody has an account from now on, whatever was before."""
        with self.client() as client:
            if not client.get("/api/claim").json()["claimed"]:
                body = {"code": self.code(), "name": "anna", "password": PASSWORD}
                assert client.post("/api/claim", json=body).status_code == 201
        with self.logged_in("anna") as anna:
            known = {row["name"] for row in anna.get("/api/users").json()}
            for name in PEOPLE.keys() - known:
                body = {"name": name, "password": PASSWORD, "role": PEOPLE[name]}
                assert anna.post("/api/users", json=body).status_code == 201

    def alarm(self, end: str) -> dict[str, Any]:
        """The open alarm whose id ends so."""
        if self._watcher is None:
            self._watcher = self._stack.enter_context(self.logged_in("vic"))
        rows = self._watcher.get("/api/alarms").json()
        found = [row for row in rows if row["alarm"].endswith(end)]
        return dict(found[0]) if found else {"state": "none", "rows": rows}


@contextmanager
def house(folder: Path, flow: str, *, scheme: str = "http") -> Iterator[House]:
    """Run a flow with screens until the block ends; with https they ask for a login at once."""
    (folder / "flow.flow.yaml").write_text(flow)
    log, port = folder / "log", free_port()
    words = ["run", str(folder / "flow.flow.yaml"), "--state", str(folder / "state")]
    url = f"{scheme}://127.0.0.1:{port}"
    words += ["--port", "0", "--listen", url, *(["--accounts"] if scheme == "https" else [])]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "GENBA_"))}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", *words], cwd=ROOT, env=env, stdout=file, stderr=file
        )
        try:
            found = House(url, log, process.pid)
            _wait(found, process)
            with closing(found):
                yield found
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


@asynccontextmanager
async def settled(folder: Path, flow: str, *, scheme: str = "http") -> AsyncIterator[House]:
    """The same, with an account for everybody, while this loop plays a machine as well."""
    running = house(folder, flow, scheme=scheme)
    found = await asyncio.to_thread(running.__enter__)
    try:
        await asyncio.to_thread(found.settle)
        yield found
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


def _wait(found: House, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        assert process.poll() is None, found.log.read_text()
        try:
            with found.client() as client:
                if client.get("/api/claim").status_code == 200:
                    return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError(found.log.read_text())


def chromium() -> AbstractAsyncContextManager[Browser]:
    """A browser; its noises are not ours to test."""
    return launched("--mute-audio")


@asynccontextmanager
async def opened(
    browser: Browser,
    found: House,
    name: str = "",
    *,
    theme: str = "dark",
    also: str = "",
    **more: Any,
) -> AsyncIterator[Page]:
    """A page of somebody on a touch panel of 10 inches; a JavaScript error fails the test.

    Args:
        browser: The browser.
        found: The gateway.
        name: Who is logged in; nobody when it is empty.
        theme: dark or light.
        also: An address outside the gateway that may be gone to.
        more: What the browser is besides.
    """
    size = {"width": 1280, "height": 800}
    context: BrowserContext = await browser.new_context(
        **{"viewport": size, "has_touch": True, "ignore_https_errors": True, **more}
    )
    context.set_default_timeout(WAIT_MS)
    await context.add_cookies([{"name": "genba-theme", "value": theme, "url": found.url}])
    wrong: list[str] = []
    try:
        if name:
            answer = await context.request.post(
                f"{found.url}/api/login", data={"name": name, "password": PASSWORD}
            )
            assert answer.ok, await answer.text()
        own = (found.url, also or found.url, "data:", "blob:")
        yield watch(await context.new_page(), wrong, own)
    finally:
        await context.close()
    # A browser says of each answer that is a refusal that it failed to load.
    assert [text for text in wrong if "Failed to load" not in text] == []


async def faults(page: Page, script: str) -> list[str]:
    """What axe finds serious or critical on a page, a line each."""
    await page.evaluate(script)
    found = await page.evaluate(
        "axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', "
        "'wcag21a', 'wcag21aa']})"
    )
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:160]} {node['failureSummary'][:300]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
