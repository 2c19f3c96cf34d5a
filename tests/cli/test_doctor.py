"""`genba doctor`: what is wrong with a machine and a gateway is found, and said with what to do."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import Reading
from gateway.api import certificate
from gateway.cli import _doctor_gateway, _doctor_machine, settings
from gateway.cli._doctor import Finding, Place
from gateway.cli.doctor import examined
from gateway.cli.settings import read
from gateway.engine import store_writer
from gateway.engine.clock import SystemClock
from tests.api.serving import Terminal, served
from tests.engine.gear import NS, Script, flow, lent, samples, started, until, values

FLOW = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
DAY = 86_400 * NS


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings and no gateway of this machine; nobody answers at port 9."""
    monkeypatch.setattr(settings, "FILE", tmp_path / "absent.toml")
    monkeypatch.setenv("GENBA_API", "http://127.0.0.1:9")
    monkeypatch.setenv("GENBA_PORT", "0")
    monkeypatch.setenv("GENBA_LISTEN", "off")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def place(tmp_path: Path, state: Path) -> Place:
    return Place(read(argparse.Namespace()), state, tmp_path / "root")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()) as script:
        yield script


class At(SystemClock):
    """A machine whose clock shows something else."""

    def __init__(self, now: int) -> None:
        super().__init__()
        self._shows = now

    def now(self) -> int:
        return self._shows


def said(found: Any, level: str) -> str:
    """All sentences of a level, with what is to be done."""
    rows: list[Finding] = [one for one in found if one.level == level]
    assert all(one.todo for one in rows if level != "ok"), rows
    return "\n".join(f"{one.text} {one.todo}" for one in rows)


def test_without_a_gateway_it_says_what_to_do(state: Path) -> None:
    found = examined(argparse.Namespace(api=None, state=state))
    assert said(found, "bad") == ""
    assert "No gateway answers" in said(found, "look")
    assert "Start it: genba run" in said(found, "look")
    assert {"clock", "disk", "files", "serial", "model", "versions"} <= {o.check for o in found}


async def test_of_a_gateway_that_runs(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    state = tmp_path / "run"
    runtime = await started(FLOW, state)
    genba = Terminal(capsys)
    async with served(runtime) as url:
        monkeypatch.setenv("GENBA_API", url)
        await script.readings.put(Reading({"out": samples(runtime, "A 0s 1")}))
        await until(lambda: values(script) == [1.0])
        await runtime.runners["test"].checkpoint()
        page = await genba("doctor", "--state", str(state))
        assert "They balance" in page
        assert "It runs since" in page
        assert "0 bad, " in page.splitlines()[-1]
        found = json.loads(await genba("doctor", "--state", str(state), "--json"))
        assert found["ok"]
        assert any("checkpoint, of " in row["text"] for row in found["findings"])
    await runtime.stop()
    page = await genba("doctor", "--state", str(state))
    assert "They balance" in page  # The state file says so, too.
    (state / "genba.db").write_bytes(b"no database" * 100)
    page = await genba("doctor", "--state", str(state), "--json", code=1)
    assert not json.loads(page)["ok"]


def test_wrong_settings_are_a_finding(tmp_path: Path, state: Path) -> None:
    path = tmp_path / "genba.toml"
    path.write_text("prot = 1\n")
    path.chmod(0o640)
    found = examined(argparse.Namespace(api=None, state=state, config=path))
    assert "There is no setting 'prot'" in said(found, "bad")


def test_the_clock(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_doctor_machine, "clock_status", lambda: 0)
    assert "is synchronised" in said(_doctor_machine.clock(place), "ok")
    monkeypatch.setattr(_doctor_machine, "clock_status", lambda: 0x2041)
    assert "timedatectl set-ntp true" in said(_doctor_machine.clock(place), "look")
    monkeypatch.setattr(_doctor_machine, "clock_status", lambda: None)
    assert "does not say" in said(_doctor_machine.clock(place), "look")
    (place.state / "genba.db").write_bytes(b"")
    place.clock = At(SystemClock().now() - 2 * DAY)
    assert "records reach 1 d 23 h" in said(_doctor_machine.clock(place), "bad") or (
        "records reach 2 d 0 h" in said(_doctor_machine.clock(place), "bad")
    )
    place.clock = At(100 * DAY)
    assert "which cannot be" in said(_doctor_machine.clock(place), "bad")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="adjtimex is Linux's")
def test_the_kernel_tells_how_good_its_clock_is() -> None:
    status = _doctor_machine.clock_status()
    assert status is None or 0 <= status < 1 << 16


def test_the_disk(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "A write is safe after" in said(_doctor_machine.disk(place), "ok")
    assert list(place.state.iterdir()) == []
    usage = shutil.disk_usage(place.state)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000_000))
    assert "10.0 MB of" in said(_doctor_machine.disk(place), "bad")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=900_000_000))
    assert "Make room" in said(_doctor_machine.disk(place), "look")
    monkeypatch.undo()

    def refuse(*_: Any) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    assert "Read-only file system" in said(_doctor_machine.disk(place), "bad")
    monkeypatch.undo()
    place.state = place.state / "absent"
    assert "There is no state" in said(_doctor_machine.disk(place), "look")


def test_a_slow_disk_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    shown = iter(range(100))
    monkeypatch.setattr(clock, "monotonic", lambda: float(next(shown)) * 0.5)
    place.clock = clock
    assert "iotop" in said(_doctor_machine.disk(place), "look")


def test_secrets_that_others_may_read(place: Place) -> None:
    assert "belong to the gateway" in said(_doctor_machine.permissions(place), "ok")
    token = place.state / "api.token"
    token.write_text("x")
    token.chmod(0o644)
    assert f"chmod 0600 {token}" in said(_doctor_machine.permissions(place), "bad")
    token.chmod(0o600)
    place.state.chmod(0o755)
    assert "chmod 0700" in said(_doctor_machine.permissions(place), "look")
    keys = place.root / "etc/genba/keys"
    keys.mkdir(parents=True)
    keys.chmod(0o777)
    assert "whose releases are trusted" in said(_doctor_machine.permissions(place), "bad")


def test_a_port_that_another_program_holds(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("GENBA_PORT", str(port))
        place = Place(read(argparse.Namespace()), state)
        assert f"127.0.0.1:{port} (API)" in said(_doctor_machine.ports(place), "bad")
        place.is_refused = True  # It is ours.
        assert "held by the gateway" in said(_doctor_machine.ports(place), "ok")
    monkeypatch.setenv("GENBA_LISTEN", "192.0.2.7:8443")
    place = Place(read(argparse.Namespace()), state)
    assert "has no address 192.0.2.7" in said(_doctor_machine.ports(place), "bad")


def test_serial_ports(place: Place) -> None:
    assert "No serial adapter" in said(_doctor_machine.serial(place), "ok")
    (place.root / "dev").mkdir(parents=True)
    (place.root / "dev/ttyUSB0").touch()
    assert "ttyUSB0 can be opened" in said(_doctor_machine.serial(place), "ok")
    unit = place.root / "etc/systemd/system/genba-engine.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\n")
    assert "not in dialout" in said(_doctor_machine.serial(place), "bad")
    unit.write_text("[Service]\nSupplementaryGroups=dialout\n")
    assert "in the group dialout" in said(_doctor_machine.serial(place), "ok")


@pytest.mark.parametrize(
    ("unit", "level", "says"),
    [
        ({"ActiveState": "active"}, "ok", "runs"),
        ({"ActiveState": "failed", "Result": "exit-code"}, "bad", "failed (exit-code)"),
        ({"ActiveState": "active", "NRestarts": "9"}, "look", "9 times"),
        ({"ActiveState": "active", "UnitFileState": "disabled"}, "look", "systemctl enable"),
        ({"ActiveState": "active", "NeedDaemonReload": "yes"}, "look", "daemon-reload"),
        ({"Id": "genba-safe.service", "ActiveState": "active"}, "bad", "safe mode"),
    ],
)
def test_services(
    place: Place, monkeypatch: pytest.MonkeyPatch, unit: dict[str, str], level: str, says: str
) -> None:
    path = place.root / "etc/systemd/system/genba-engine.service"
    path.parent.mkdir(parents=True)
    path.touch()
    row = {"Id": "genba-engine.service", "UnitFileState": "enabled", **unit}
    monkeypatch.setattr(_doctor_gateway, "_units", lambda: [row])
    assert says in said(_doctor_gateway.services(place), level)
    assert "/var/log/journal" in said(_doctor_gateway.services(place), "look")
    assert "No gateway" in said(_doctor_gateway.connections(place), "bad")


def test_certificates(place: Place) -> None:
    now = SystemClock().now()
    certificate.ensure(place.state, now)
    assert "holds to" in said(_doctor_gateway.certificates(place), "ok")
    row = certificate.shown(place.state / "tls/gateway.pem", now)
    place.clock = At(int(str(row["to"])) - 10 * DAY)
    assert "ends on" in said(_doctor_gateway.certificates(place), "look")
    place.clock = At(int(str(row["to"])) + DAY)
    assert "genba tls request" in said(_doctor_gateway.certificates(place), "bad")
    (place.state / "tls/gateway.pem").write_text("none")
    assert "cannot be used" in said(_doctor_gateway.certificates(place), "bad")


def test_a_certificate_for_another_host(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate.ensure(place.state, SystemClock().now())
    monkeypatch.setattr(socket, "gethostname", lambda: "press-7")
    assert "not for press-7" in said(_doctor_gateway.certificates(place), "look")


def link(**more: Any) -> dict[str, Any]:
    return {
        "flow": "hall", "name": "plc", "address": "10.0.0.5:502", "type": "modbus.connection",
        "state": "connected", "text": "", "error": "", "since": 0, "next_try": None,
        "certificates": [], **more,
    }  # fmt: skip


def test_connections_with_their_last_error(place: Place) -> None:
    place.report = {"running": True, "since": 0}
    place.connections = [
        link(),
        link(name="away", state="disconnected", error="No route to host.", next_try=DAY),
    ]
    found = list(_doctor_gateway.connections(place))
    assert "hall/plc at 10.0.0.5:502 is connected" in said(found, "ok")
    assert "No route to host." in said(found, "look")
    assert "It is tried again at 1970" in said(found, "look")
    one = {"subject": "CN=plc", "state": "rejected", "ends": 0, "whose": "server"}
    place.connections = [link(certificates=[one])]
    assert "is not trusted" in said(_doctor_gateway.certificates(place), "look")


def test_a_model_whose_file_is_not_whole(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "own: Genba explainer is whole" in said(_doctor_gateway.model(place), "ok")
    (place.state / "models").mkdir()
    (place.state / "models/big.gguf").write_bytes(b"GGUF" + b"\0" * 40)
    (place.state / "models.yaml").write_text(
        f"models:\n  big: {{kind: gguf, file: big.gguf, size: 44, sha256: {'a' * 64}}}\n"
    )
    assert "Copy big.gguf there once more" in said(_doctor_gateway.model(place), "bad")
    (place.state / "models.yaml").write_text("models: 7\n")
    assert "cannot be used" in said(_doctor_gateway.model(place), "bad")
    monkeypatch.setattr(_doctor_gateway.binding, "installed", lambda: "")
    assert "genba models install" in said(_doctor_gateway.model(place), "look")


def test_books_that_do_not_balance(place: Place) -> None:
    place.report = {
        "running": True, "now": DAY, "unbalanced": 3, "trouble": "The disk is full.",
        "flows": [{"flow": "hall", "stopped": {"n": "ValueError"}}],
        "checkpoints": {"hall": 0}, "letters": {"waiting": 2}, "gaps": [{"count": 4}],
    }  # fmt: skip
    bad = said(_doctor_gateway.books(place), "bad")
    for words in ("The disk is full", "3 rows", "genba support-bundle", "hall/n stands still"):
        assert words in bad
    look = said(_doctor_gateway.books(place), "look")
    for words in ("is 1 d 0 h old", "2 dead letters", "4 gaps"):
        assert words in look


def test_versions_that_differ(place: Place) -> None:
    place.about = {"version": "0.0.1"}
    assert "that runs is 0.0.1" in said(_doctor_gateway.versions(place), "look")


def test_a_gateway_that_tells_nothing(place: Place) -> None:
    place.trouble, place.is_refused = "Log in.", True
    assert "give a token" in said(_doctor_gateway.connections(place), "look")
