"""A running gateway and the browser of an engineer who sits at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from gateway.api.server import Server
from gateway.engine.passwords import Cost
from gateway.engine.runtime import Runtime
from gateway.flow.document import Document
from tests.engine.gear import started


class Desk:
    """A running gateway and a browser of an engineer on this machine."""

    def __init__(self, runtime: Runtime, server: Server) -> None:
        self.runtime = runtime
        self.server = server
        app: Any = server._server.config.app
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 50_000))
        self.client = httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8780", timeout=60
        )

    async def post(self, path: str, code: int = 200, /, **body: Any) -> Any:
        answer = await self.client.post(path, json=body)
        assert answer.status_code == code, answer.text
        return answer.json() if code < 300 else answer.text

    async def get(self, path: str, code: int = 200) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == code, answer.text
        return answer.json() if code < 300 else answer.text

    async def put(self, path: str, code: int = 200, /, **body: Any) -> Any:
        answer = await self.client.put(path, json=body)
        assert answer.status_code == code, answer.text
        return answer.json() if code < 300 else answer.text


async def opened(document: Document, folder: Path) -> Desk:
    runtime = await started(document, folder)
    server = Server(runtime, 0, cost=Cost(16, 8, 1))
    await server.accounts.ready()
    return Desk(runtime, server)


async def closed(desk: Desk) -> None:
    await desk.client.aclose()
    await desk.server.jobs.stop()
    desk.server.accounts.close()
    desk.server._socket.close()
    await desk.runtime.stop()
