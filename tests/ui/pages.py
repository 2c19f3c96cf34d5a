"""A browser on the screens of a real gateway, and a machine on Modbus that can be switched off."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.plant.product import Product, until


class Machine(asyncio.Protocol):
    """A Modbus TCP slave whose registers all hold how often it was asked."""

    asked = 0
    lines: set[asyncio.BaseTransport] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out = transport
        self.lines.add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.lines.discard(self._out)

    def data_received(self, data: bytes) -> None:
        tid, _, _, unit, code, _, count = struct.unpack(">HHHBBHH", data[:12])
        Machine.asked += 1
        body = bytes((unit, code, 2 * count)) + struct.pack(">H", Machine.asked % 500) * count
        self._out.write(struct.pack(">HHH", tid, 0, len(body)) + body)  # type: ignore[attr-defined]  # a transport


class Switch:
    """Turns the machine on and off; it keeps its port."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Switch:
        await self.on()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.off()

    async def on(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(Machine, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def off(self) -> None:
        assert self._server is not None
        self._server.close()
        for line in list(Machine.lines):
            line.close()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def screens(folder: Path, flow: str) -> AsyncIterator[str]:
    """The address of the screens of a gateway that runs a flow."""
    path = folder / "test.flow.yaml"
    path.write_text(flow)
    async with Product(folder, [path], options=["--listen", "127.0.0.1:0"]) as product:
        urls = await until(lambda: re.findall(r"screens are at (\S+)", product.said()), "screens")
        yield urls[0]


async def opened(one: Browser, wrong: list[str], *, width: int = 1440, height: int = 900) -> Page:
    """A page that notes every error and every request that leaves this machine."""
    page = await one.new_page(viewport={"width": width, "height": height})
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on(
        "request",
        lambda asked: (
            None
            if asked.url.startswith(("http://127.0.0.1:", "data:", "blob:"))
            else wrong.append(asked.url)
        ),
    )
    return page


__all__ = ["Machine", "Switch", "opened", "screens"]
