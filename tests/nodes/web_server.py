"""A web server that does as a test says, and hears what it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext

from aiohttp import web


@dataclass
class Heard:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Site:
    """What is heard, and what is answered: the next of `answers`, then 200."""

    heard: list[Heard] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)
    act: Callable[[web.Request, bytes], Awaitable[web.StreamResponse | None]] | None = None
    port: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {key.lower(): value for key, value in request.headers.items()}
        self.heard.append(Heard(request.method, request.path_qs, headers, body))
        if self.act is not None and (found := await self.act(request, body)) is not None:
            return found
        return self.answers.pop(0) if self.answers else web.Response(text="ok")


@asynccontextmanager
async def serving(site: Site, port: int = 0, tls: SSLContext | None = None) -> AsyncIterator[str]:
    """The site at an address of this machine."""
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    place = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
    await place.start()
    site.port = runner.addresses[0][1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{site.port}"
    finally:
        await runner.cleanup()
