"""A person's setpoint on real devices: armed, confirmed, on the server, read back, in the audit.

The command `genba setpoint` does it, over the API, as an account with a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.api.local import FILE, write_token
from gateway.api.server import Server
from gateway.engine import setpoint_watch, store_writer
from gateway.engine.backoff import Backoff
from gateway.engine.passwords import Cost
from gateway.engine.runtime import Runtime
from gateway.engine.setpoint import ENDED
from gateway.engine.store_records import audit_check, audit_rows
from gateway.flow.document import Document
from nodes.modbus import _pdu
from tests.api.serving import Terminal
from tests.engine.gear import started, until
from tests.engine.setpoint_gear import ANNA
from tests.nodes.modbus_slaves import device, opened, tcp_server
from tests.nodes.opcua_plc import Plc, free_port, running

pytestmark = pytest.mark.plant
WORDS = "four quiet brown horses"
MODBUS = """\
flow: line
allow_write: true
connections:
  bus: {type: modbus.connection, address: "tcp://127.0.0.1:PORT", timeout_s: 0.3}
nodes:
  read:
    type: modbus.source
    connection: bus
    scan_s: 0.1
    tags: {"oven/setpoint/shown": "holding:1", "oven/door": "coil:3"}
  write:
    type: modbus.sink
    connection: bus
    tags: {"oven/setpoint": "holding:1"}
"""
OPCUA = """\
flow: line
allow_write: true
connections:
  plc: {type: opcua.connection, url: "opc.tcp://127.0.0.1:PORT/plc", keepalive_s: 0.3}
nodes:
  read:
    type: opcua.source
    connection: plc
    tags: {"oven/setpoint/shown": "ns=2;s=SetDouble", "oven/door": "ns=2;s=SetBool"}
  write:
    type: opcua.sink
    connection: plc
    tags: {"oven/setpoint": "ns=2;s=SetDouble"}
"""
GRANT = """\
id: oven
flow: line
node: write
tags: [oven/setpoint]
lo: 0
hi: 250
step_max: 60
max_age_s: 2
input_age_s: 3600
read_back: {oven/setpoint: oven/setpoint/shown}
tolerance: 0.5
interlocks:
  - {when: door == 0, inputs: {door: oven/door}, about: The door is closed}
"""
Held = Callable[[], Awaitable[float]]
Switch = Callable[[], Awaitable[None]]


class Plant:
    """A gateway with its API before one real server that can be unplugged."""

    def __init__(self, runtime: Runtime, genba: Terminal, held: Held) -> None:
        self.runtime = runtime
        self.genba = genba
        self.held = held

    @property
    def sink(self) -> Any:
        return self.runtime.runners["line"].egresses["write"]

    async def ready(self) -> None:
        look = self.runtime.setpoints._ledger.look
        await until(lambda: self.sink.is_up and look("oven/setpoint/shown") and look("oven/door"))

    async def audit(self) -> list[tuple[str, str, Any]]:
        rows = await audit_rows(self.runtime.store)
        return [(row["actor"], row["action"], row["detail"]) for row in reversed(rows)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(Backoff, "next_s", lambda self, at_least_s=0.0: 0.1)
    monkeypatch.setattr(setpoint_watch, "LOOK_S", 0.02)
    pipe = type("Pipe", (io.StringIO,), {"readline": lambda self: WORDS})()
    monkeypatch.setattr(sys, "stdin", pipe)


@contextlib.asynccontextmanager
async def plant(
    text: str, port: int, folder: Path, genba: Terminal, monkeypatch: pytest.MonkeyPatch, held: Held
) -> AsyncIterator[Plant]:
    runtime = await started(Document.parse(text.replace("PORT", str(port))), folder)
    server = Server(runtime, 0, cost=Cost(16, 8, 1))
    serving = asyncio.ensure_future(server.run())
    await until(lambda: server._server.started)
    write_token(folder, server.port, server.access.local_token)
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(folder / FILE))
    monkeypatch.setenv("GENBA_API", server.url)
    await server.accounts.add("test", "carl", WORDS, "administrator")
    await server.accounts.add("test", "anna", WORDS, "operator", is_writer=True)
    try:
        made = Plant(runtime, genba, held)
        await made.ready()
        yield made
    finally:
        server.stop()
        await serving
        await runtime.stop()


@pytest.fixture
def genba(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capsys)


async def the_whole_way(plant: Plant, tmp_path: Path, open_door: Switch) -> None:
    """What holds for every protocol."""
    genba = plant.genba
    (tmp_path / "oven.yaml").write_text(GRANT, "utf-8")
    assert "No write grant" in await genba("grants")
    assert "oven is set (revision 1)" in await genba("grants", "set", str(tmp_path / "oven.yaml"))
    assert "oven/setpoint by line/write, 0 to 250, steps to 60, 1 interlock" in await genba(
        "grants"
    )
    anna = ("--user", "anna", "--yes")
    assert "may not write setpoints" in await genba("setpoint", "oven/setpoint", "50", code=1)
    refused = await genba("setpoint", "oven/setpoint", "300", *anna, code=1)
    assert "NO  range      300 is outside 0 to 250." in refused
    said = await genba("setpoint", "oven/setpoint", "42", *anna, "--cause", "recipe 7")
    assert "oven/setpoint = 42 by line/write (now 0)" in said
    assert "The door is closed: holds (door 0)." in said
    assert "written: oven/setpoint/shown shows 42." in said
    assert await plant.held() == 42
    refused = await genba("setpoint", "oven/setpoint", "150", *anna, code=1)
    assert "NO  step       The step of 108 is more than 60." in refused
    await open_door()
    await until(lambda: plant.runtime.setpoints._ledger.look("oven/door").value == 1)  # type: ignore[union-attr]  # it was there before
    refused = await genba("setpoint", "oven/setpoint", "60", *anna, code=1)
    assert "The door is closed: does not hold (door 1)." in refused
    assert await plant.held() == 42
    listed = await genba("setpoint", "--json")
    states = [json.loads(line)["state"] for line in listed.splitlines()]
    assert states == ["refused", "refused", "written", "refused"]
    audit = await plant.audit()
    (end,) = [d for who, what, d in audit if what == "setpoint/result" and d["state"] == "written"]
    assert (end["before"], end["after"], end["cause"]) == (0.0, 42.0, "recipe 7")
    assert ("user:anna", "setpoint/confirm") in [(who, what) for who, what, _ in audit]
    assert ("local:local", "grant/set") in [(who, what) for who, what, _ in audit]
    assert not (await audit_check(plant.runtime.store)).broken


async def what_is_unplugged(plant: Plant, unplug: Switch, plug: Switch) -> None:
    """A setpoint that cannot be written at once is dropped, and is not written later."""
    await plant.runtime.setpoints.book.put("x", _grant())
    desk = plant.runtime.setpoints
    before = await plant.held()
    armed = await desk.arm(ANNA, "oven/setpoint", before + 5)
    assert armed["token"], armed
    async with plant.runtime.runners["line"].lock:  # It is on its way when the line goes.
        found = await desk.confirm(ANNA, armed["token"])
        assert found["state"] == "confirmed"
        await unplug()
        await until(lambda: not plant.sink.is_up)
    await until(lambda: desk.row(found["setpoint"])["state"] in ENDED)
    row = desk.row(found["setpoint"])
    assert (row["state"], row["text"]) == (
        "expired", "It could not be written in time, so it was dropped.",
    )  # fmt: skip
    refused = await desk.arm(ANNA, "oven/setpoint", before + 6)
    assert "line/write cannot write now" in refused["text"]
    await plug()
    await until(lambda: plant.sink.is_up)
    await asyncio.sleep(0.5)
    assert await plant.held() in (before, 0.0)  # A server that starts anew begins with 0.


def _grant() -> Any:
    from gateway.flow.grant import Grant
    from gateway.flow.yaml_read import read

    given = {**read(GRANT, "grant").value, "interlocks": [], "max_age_s": 1}
    return Grant.model_validate(given)


async def test_modbus(tmp_path: Path, genba: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = contextlib.AsyncExitStack()
    port = await stack.enter_async_context(tcp_server(device(1, {"holding": [0] * 8})))

    async def ask(request: Any) -> bytes:
        async with opened(f"tcp://127.0.0.1:{port}") as other, other.bus.turn() as ask:
            return bytes(await ask(1, request))

    async def held() -> float:
        return int.from_bytes(await ask(_pdu.read("holding", 1, 1)), "big")

    async def open_door() -> None:
        await ask(_pdu.write_coil(3, True))

    async def plug() -> None:
        await stack.enter_async_context(tcp_server(device(1, {"holding": [0] * 8}), port=port))

    async with plant(MODBUS, port, tmp_path, genba, monkeypatch, held) as made:
        await the_whole_way(made, tmp_path, open_door)
        await what_is_unplugged(made, stack.aclose, plug)
    await stack.aclose()


@pytest.mark.slow
async def test_opcua(tmp_path: Path, genba: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = contextlib.AsyncExitStack()
    port = free_port()
    plc: list[Plc] = [await stack.enter_async_context(running(port))]

    async def held() -> float:
        return float(await plc[0].nodes["SetDouble"].read_value())

    async def open_door() -> None:
        await plc[0].nodes["SetBool"].write_value(True)

    async def plug() -> None:
        plc[0] = await stack.enter_async_context(running(port))

    async with plant(OPCUA, port, tmp_path, genba, monkeypatch, held) as made:
        await the_whole_way(made, tmp_path, open_door)
        await what_is_unplugged(made, stack.aclose, plug)
    await stack.aclose()
