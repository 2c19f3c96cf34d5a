"""genba setpoint, typed by people; tests/nodes/test_guarded_writes.py has it on real devices."""

from __future__ import annotations

import asyncio
import builtins
import io
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.api.local import FILE, write_token
from gateway.api.server import Server
from gateway.engine import setpoint_watch, store_writer
from gateway.engine.passwords import Cost
from gateway.engine.runtime import Runtime
from tests.api.serving import Terminal
from tests.engine.gear import started, until
from tests.engine.setpoint_gear import TAG, Device, device, grant, press

WORDS = "four quiet brown horses"


@pytest.fixture
def valve() -> Iterator[Device]:
    with device() as made:
        yield made


@pytest.fixture
async def runtime(
    valve: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Runtime]:
    """A gateway with two writers, which the commands find."""
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(setpoint_watch, "LOOK_S", 0.01)
    runtime = await started(press(), tmp_path)
    server = Server(runtime, 0, cost=Cost(16, 8, 1))
    serving = asyncio.ensure_future(server.run())
    await until(lambda: server._server.started)
    write_token(tmp_path, server.port, server.access.local_token)
    monkeypatch.setenv("GENBA_TOKEN_FILE", str(tmp_path / FILE))
    monkeypatch.setenv("GENBA_API", server.url)
    await server.accounts.add("test", "carl", WORDS, "administrator")
    for name in ("anna", "bob"):
        await server.accounts.add("test", name, WORDS, "operator", is_writer=True)
    await until(lambda: runtime.runners["press"].egresses["valve"].is_up)
    yield runtime
    server.stop()
    await serving
    await runtime.stop()


def typed(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Somebody sits there, who types a password and this answer."""
    pipe = type("Person", (io.StringIO,), {"isatty": lambda self: True})()
    monkeypatch.setattr(sys, "stdin", pipe)
    monkeypatch.setattr("getpass.getpass", lambda prompt: WORDS)
    monkeypatch.setattr(builtins, "input", lambda prompt: answer)


async def test_a_person_types_the_value_again(
    runtime: Runtime,
    valve: Device,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    genba = Terminal(capsys)
    await runtime.setpoints.book.put("x", grant())
    typed(monkeypatch, "43")
    said = await genba("setpoint", TAG, "42", "--user", "anna", code=1)
    assert valve.given == []
    typed(monkeypatch, "42")
    said = await genba("setpoint", TAG, "42", "--user", "anna")
    assert f"{TAG} = 42 by press/valve (now not known)" in said
    assert "ok  range      42 is within 0 to 100." in said
    assert "written: It was written; no read-back tag shows" in said
    assert valve.given == [(TAG, 42.0)]
    assert "is no number" in await genba("setpoint", TAG, "nan", code=1)
    assert "Say which value" in await genba("setpoint", TAG, code=1)
    listed = await genba("setpoint")
    assert re.search(r"= 42.0 written: .* user:anna$", listed, re.MULTILINE)


async def test_a_second_person_confirms(
    runtime: Runtime,
    valve: Device,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    genba = Terminal(capsys)
    await runtime.setpoints.book.put("x", grant(two_person=True))
    typed(monkeypatch, "")
    said = await genba("setpoint", TAG, "-0", "--user", "anna")
    token = said.split()[-1]
    refused = await genba("setpoint", "--confirm", token, "--user", "anna", code=1)
    assert "Somebody else must confirm it" in refused
    said = await genba("setpoint", "--confirm", token, "--user", "bob")
    assert "user:anna, confirmed by user:bob" in said
    assert valve.given == [(TAG, 0.0)]


async def test_a_file_that_is_no_grant(
    runtime: Runtime, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genba = Terminal(capsys)
    file = tmp_path / "g.yaml"
    for text, says in (
        ("", "holds no write grant"),
        ("id: a\nflow: f\nnode: n\ntags: [t]\nlo: 5\nhi: 4\n", "a.lo: `lo` is above `hi`."),
        ("id: a\nflow: f\nnode: n\ntags: [t]\nlo: 5\n", "hi"),
        ("- {id: a, flow: f, node: n, tags: [t], lo: 0, hi: 1, step: 2}\n", "step"),
    ):
        file.write_text(text, "utf-8")
        assert says in await genba("grants", "set", str(file), code=1)
    assert runtime.setpoints.book.rows() == []
    file.write_text("- {id: a, flow: f, node: n, tags: [t], lo: 0, hi: 1}\n", "utf-8")
    assert "a is set (revision 1): t by f/n, 0 to 1." in await genba("grants", "set", str(file))
    assert '"id": "a"' in await genba("grants", "list", "--json")
    assert "a was removed (revision 2)." in await genba("grants", "remove", "a")
