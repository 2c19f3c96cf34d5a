"""genba alarms against a gateway that runs: over HTTP, through the journal, into the nodes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.api.client import Client
from gateway.api.server import Server
from gateway.cli.main import main
from gateway.engine.runtime import Runtime
from gateway.errors import ConfigError, Disconnected, Rejected
from gateway.flow.document import Document

FLOW = """\
flow: press
version: 1
nodes:
  oil:
    type: simulate.source
    tag: oil/temperature
    shape: constant
    every_s: 0.05
    low: 80
    high: 90
    unit: Cel
  high:
    type: alarm.limit
    hi: 75
wires:
  - oil -> high
"""
ALARM = "press/high:oil/temperature:HI"


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    runtime = Runtime([Document.parse(FLOW)], tmp_path)
    await runtime.start()
    server = Server(runtime, 0)
    serving = asyncio.gather(server.run())
    try:
        while not runtime.book.open():
            await asyncio.sleep(0.01)
        yield server.url
    finally:
        server.stop()
        await serving
        await runtime.stop()


async def genba(url: str, *words: str) -> int:
    return await asyncio.to_thread(main, ["alarms", "--api", url, *words])


async def state_of(url: str, wanted: str, *, history: bool = True) -> dict[str, object]:
    """The alarm's newest event once its state and overlay are these."""
    while True:
        rows = await asyncio.to_thread(Client(url).alarms, history=history)
        if f"{rows[-1]['state']}/{rows[-1]['overlay']}" == wanted:
            return rows[-1]
        await asyncio.sleep(0.01)


async def test_list_acknowledge_shelve_and_unshelve(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await genba(url, "list", "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["alarm"], row["state"], row["unit"]) == (ALARM, "UNACK", "Cel")
    assert await genba(url, "ack", "temperature:HI", "--actor", "user:anna") == 0
    assert (await state_of(url, "ACKED/NONE"))["actor"] == "user:anna"
    assert await genba(url, "shelve", ALARM, "--for", "30min", "--reason", "in repair") == 0
    shelved = await state_of(url, "ACKED/SHLVD")
    assert str(shelved["text"]).endswith("for 1800 s: in repair")
    capsys.readouterr()
    assert await genba(url) == 0
    assert capsys.readouterr().out.strip() == "No alarm."
    assert await genba(url, "list", "--hidden") == 0
    assert "SHLVD" in capsys.readouterr().out
    assert await genba(url, "unshelve", ALARM) == 0
    assert (await state_of(url, "UNACK/NONE"))["occurrence"] == 2
    assert await genba(url, "ack", "all") == 0
    await state_of(url, "ACKED/NONE")


async def test_what_is_wrong_is_said(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words, why in (
        (("ack", "nobody"), "There is no alarm 'nobody'. `genba alarms` lists them."),
        (("shelve", ALARM), "Shelving needs a reason."),
        (("shelve", ALARM, "--for", "soon", "--reason", "x"), "'soon' is no time."),
    ):
        assert await genba(url, *words) == 1
        assert why in capsys.readouterr().err
    with pytest.raises(Rejected, match="action"):
        await asyncio.to_thread(Client(url).act, "explode", ALARM, "user:anna")


async def test_no_gateway_and_no_address(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="no address"):
        Client("file:///etc/passwd")
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(Disconnected, match="No gateway answers"):
            await asyncio.to_thread(Client(f"http://127.0.0.1:{port}").alarms)
    assert await genba(f"http://127.0.0.1:{port}") == 1
    assert "Is `genba run` running?" in capsys.readouterr().err
