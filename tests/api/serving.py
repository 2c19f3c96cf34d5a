"""A gateway and its API in this process, and the command `genba` against it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.api.server import Server
from gateway.cli.main import main
from gateway.engine.runtime import Runtime
from tests.engine.gear import until


@asynccontextmanager
async def served(runtime: Runtime) -> AsyncIterator[str]:
    """The address at which a running gateway answers."""
    server = Server(runtime, 0)
    serving = asyncio.ensure_future(server.run())
    await until(lambda: server._server.started)
    try:
        yield server.url
    finally:
        server.stop()
        await serving


class Terminal:
    """Runs the command in a thread, as the gateway answers in this one."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def __call__(self, *words: str, code: int = 0) -> str:
        """What it says: its output, or its error when it fails."""
        self._capsys.readouterr()
        found = await asyncio.to_thread(main, list(words))
        out, error = self._capsys.readouterr()
        assert found == code, out + error
        return error if code and error else out
