"""Visitors who come and go, in the very process of the screens, so that what they leave is seen.

``python -m tests.ui.soak STATE VISITORS SECONDS`` serves the screens of a running gateway and
visits them: page, NiceGUI's socket, live socket, a second, gone without a word. It prints what
there was before and after as one JSON object.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import re
import socket
import sys
import tempfile
from pathlib import Path

os.environ["NICEGUI_STORAGE_PATH"] = tempfile.mkdtemp(prefix="genba-soak-")
for name in [name for name in os.environ if name.startswith("PYTEST_")]:
    del os.environ[name]

import httpx  # noqa: E402
import psutil  # noqa: E402
import uvicorn  # noqa: E402
from nicegui import Client, core  # noqa: E402
from websockets.asyncio.client import connect  # noqa: E402
from websockets.typing import Origin  # noqa: E402

from ui import main  # noqa: E402

FORGOTTEN_S = 4.0
"""How long a page is kept for its browser here; the product keeps it for a minute."""


WAIT_S = 60.0


class Soak:
    """The screens and their visitors.

    Args:
        port: Where they answer.
        pages: Paths to visit.
    """

    def __init__(self, port: int, pages: list[str]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.visits = 0
        self.late = 0
        """Visits that a busy machine let wait too long; they end as those of who gives up."""
        self._pages = pages

    async def visitor(self, number: int, until_s: float) -> None:
        """Come and go until the end."""
        rng = random.Random(number)
        loop = asyncio.get_running_loop()
        limits = httpx.Limits(keepalive_expiry=1.0)  # A browser asks again by itself.
        async with httpx.AsyncClient(
            base_url=self.url, trust_env=False, timeout=WAIT_S, limits=limits
        ) as browser:
            while loop.time() < until_s:
                answer = await browser.get(rng.choice(self._pages), headers={"Accept": "text/html"})
                if answer.status_code == 503:  # The gateway had no time; the page asks again.
                    self.late += 1
                    await asyncio.sleep(2.0)
                    continue
                assert answer.status_code == 200, answer.status_code
                client = re.findall(r"client_id[^0-9a-f]+([0-9a-f-]{36})", answer.text)[0]
                try:
                    await self._look(client, rng)
                except TimeoutError:
                    self.late += 1
                self.visits += 1

    async def _look(self, client: str, rng: random.Random) -> None:
        where = self.url.replace("http", "ws")
        query = f"?EIO=4&transport=websocket&client_id={client}&next_message_id=0"
        query += f"&implicit_handshake=true&tab_id={client}&document_id={client}"
        origin = Origin(self.url)
        path = f"{where}/_nicegui_ws/socket.io/{query}"
        async with (
            connect(path, origin=origin, proxy=None, open_timeout=WAIT_S) as page,
            connect(f"{where}/live", origin=origin, proxy=None, open_timeout=WAIT_S) as live,
        ):
            await page.recv()
            await page.send("40")
            await live.send('{"sub": "a", "alarms": true}')
            await live.recv()
            await asyncio.sleep(rng.uniform(0.0, 1.0))
            if rng.random() < 0.5:  # Half of them vanish as a panel that is switched off does.
                page.transport.abort()
                live.transport.abort()

    @staticmethod
    def counts() -> dict[str, float]:
        """What could be left behind."""
        gc.collect()
        process = psutil.Process()
        return {
            "pages": len(Client.instances),
            "tasks": len(asyncio.all_tasks()),
            "files": process.num_fds(),
            "threads": process.num_threads(),
            "sockets": len(core.sio.eio.sockets),
            "rss_mb": process.memory_info().rss / 1e6,
        }


async def run(state: Path, visitors: int, seconds: float) -> dict[str, object]:
    """Serve, warm up, visit, wait until all are forgotten."""
    main.RECONNECT_S = FORGOTTEN_S  # type: ignore[misc]  # shorter than a person would bear
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        main.application(state, []), log_level="error", ws="websockets-sansio", proxy_headers=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))
    soak = Soak(listening.getsockname()[1], ["/", "/help", "/account"])
    loop = asyncio.get_running_loop()
    while not server.started:
        await asyncio.sleep(0.05)
    await asyncio.gather(*(soak.visitor(i, loop.time() + 3) for i in range(min(visitors, 20))))
    before = await _settled(soak)
    until_s = loop.time() + seconds
    await asyncio.gather(*(soak.visitor(i, until_s) for i in range(visitors)))
    after = await _settled(soak)
    server.should_exit = True
    await serving
    return {"visits": soak.visits, "late": soak.late, "before": before, "after": after}


async def _settled(soak: Soak) -> dict[str, float]:
    """The counts once no page is left, or after a minute."""
    for _ in range(60):
        await asyncio.sleep(1.0)
        if not Client.instances and not core.sio.eio.sockets:
            break
    await asyncio.sleep(1.0)
    return soak.counts()


if __name__ == "__main__":
    found = asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
    sys.stdout.write(json.dumps(found) + "\n")
