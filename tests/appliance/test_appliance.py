"""The appliance on a booted Debian without Python: installed, killed, updated, gone back.

``make appliance`` builds the binary and runs this; it takes minutes, so `make test` leaves it out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.house import Machine, has_what_it_takes, until
from tests.appliance.releases import make_releases

pytestmark = [
    pytest.mark.slow,
    pytest.mark.plant,
    pytest.mark.skipif(
        not os.environ.get("GENBA_APPLIANCE"), reason="minutes; `make appliance` runs it"
    ),
    pytest.mark.skipif(bool(has_what_it_takes()), reason=has_what_it_takes()),
]

FLOW = """flow: line
version: 1
nodes:
  sim: {type: simulate.source, tag: line/press/pressure, every_s: 0.05, low: 1, high: 9}
  high: {type: alarm.limit, hi: 8.5}
  file: {type: file.jsonl_sink, path: pressures.jsonl}
wires:
  - sim -> high
  - sim -> file
"""
ENGINE = "genba-engine.service"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("releases")
    make_releases(folder)
    return folder


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, files: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("machines"), "gw1")
    try:
        machine.boot()
        shutil.rmtree(machine.root / "usr/lib/python3.11", ignore_errors=True)
        for path in (machine.root / "usr/bin").glob("python3*"):
            path.unlink()
        machine.put(files / "a", "/root/genba")
        machine.put(files / "maker.pub", "/etc/genba/keys/maker.pub")
        said = machine.must("/root/genba", "install")
        assert "It runs" in said
        (machine.root / "root/line.flow.yaml").write_text(FLOW)
        until(lambda: machine.run("genba", "status").returncode == 0, "the gateway answers")
        machine.must("genba", "deploy", "/root/line.flow.yaml")
        yield machine
    finally:
        machine.power_off()


def _rows(machine: Machine) -> list[str]:
    """The lines that were written, in order."""
    path = machine.root / "var/lib/genba/pressures.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if line.endswith("}")]


def _current(machine: Machine) -> str:
    return str((machine.root / "opt/genba/current").readlink())


def test_it_runs_hardened_and_shows_a_login(machine: Machine) -> None:
    assert 'Status: "Runs' in machine.call("systemctl", "status", "--no-pager", ENGINE)
    until(lambda: machine.call("systemctl", "is-active", "genba-ui.service") == "active\n", "ui")
    for unit in (ENGINE, "genba-ui.service"):
        said = machine.call("systemd-analyze", "security", "--no-pager", unit)
        found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
        assert found is not None
        assert float(found[1]) <= 1.6
    assert "claim" in machine.log(ENGINE)
    assert _user_of(machine) == "genba"


def _pid_of(machine: Machine) -> str:
    return machine.call("systemctl", "show", "-P", "MainPID", ENGINE).strip()


def _user_of(machine: Machine) -> str:
    return machine.call("stat", "-c", "%U", f"/proc/{_pid_of(machine)}").strip()


def test_the_explainer_is_a_unit_of_its_own(machine: Machine) -> None:
    said = machine.must("genba", "models", "try", "hello", "--model", "own", "--task", "explain")
    assert "tokens" in said
    how = re.findall(r"locked away by (.*)\.", machine.log(ENGINE))[-1]
    assert "seccomp" in how, how
    listed = machine.call("systemctl", "list-units", "--plain", "--no-legend", "genba-explainer@*")
    unit = listed.split()[0]
    said = machine.call("systemd-analyze", "security", "--no-pager", unit)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert found is not None
    assert float(found[1]) <= 1.6
    pid = machine.call("systemctl", "show", "-P", "MainPID", unit).strip()
    assert machine.call("cat", f"/proc/{pid}/oom_score_adj").strip() == "1000"
    assert "genba-explainer.slice" in machine.call("cat", f"/proc/{pid}/cgroup")
    engine = _pid_of(machine)
    machine.must("kill", "-KILL", pid)
    assert machine.call("systemctl", "is-active", ENGINE) == "active\n"
    assert _pid_of(machine) == engine, "it goes alone"


def test_the_key_of_the_secrets_is_lent(machine: Machine) -> None:
    key = machine.root / "etc/credstore/genba-secrets-key"
    assert len(key.read_bytes()) == 32
    assert key.stat().st_mode & 0o077 == 0
    machine.must("genba", "secrets", "set", "broker", stdin="hush\n")
    folder = machine.root / "var/lib/genba/secrets"
    assert sorted(path.name for path in folder.iterdir()) == ["broker.sealed"]


def test_a_unit_that_is_given_up_is_an_alarm(machine: Machine) -> None:
    wanted = machine.call("systemctl", "show", "-P", "OnFailure", "genba-ui.service")
    assert wanted.strip() == "genba-failed@genba-ui.service.service"
    machine.must("systemctl", "start", wanted.strip())
    until(lambda: "genba-ui.service ended too often" in machine.log(ENGINE), "it is told")
    assert not list((machine.root / "var/lib/genba/failed").iterdir())


def test_a_killed_engine_comes_back(machine: Machine) -> None:
    pid = _pid_of(machine)
    machine.must("kill", "-KILL", pid)
    until(lambda: _pid_of(machine) not in (pid, "0"), "another process")
    until(lambda: machine.run("genba", "status").returncode == 0, "the gateway answers")


def test_a_hung_engine_is_found_by_the_watchdog(machine: Machine) -> None:
    pid = _pid_of(machine)
    machine.must("kill", "-STOP", pid)
    until(lambda: _pid_of(machine) not in (pid, "0"), "the watchdog", 150)
    assert "Watchdog timeout" in machine.log(ENGINE)
    until(lambda: machine.run("genba", "status").returncode == 0, "the gateway answers")


def test_a_power_cut_loses_nothing_that_was_written(machine: Machine) -> None:
    until(lambda: len(_rows(machine)) > 20, "rows")
    machine.power_off()
    before = _rows(machine)
    machine.boot()
    until(lambda: len(_rows(machine)) > len(before), "more rows")
    assert _rows(machine)[: len(before) - 1] == before[:-1]
    assert "they balance" in machine.must("genba", "status")


def test_an_update_a_bad_one_and_the_way_back(machine: Machine, files: Path) -> None:
    first, before = _current(machine), len(_rows(machine))
    for name in ("b", "bad"):
        machine.put(files / name, f"/root/{name}")
    said = machine.must("genba", "update", "install", "/root/b")
    assert "0.1.1" in said
    second = _current(machine)
    assert second != first
    done = machine.run("genba", "update", "install", "/root/bad")
    assert done.returncode == 1, done.stdout
    assert "runs again" in done.stderr
    assert _current(machine) == second
    assert "they balance" in machine.must("genba", "status")
    machine.must("genba", "update", "rollback")
    assert _current(machine) == first
    until(lambda: machine.run("genba", "status").returncode == 0, "the gateway answers")
    rows = _rows(machine)[before:]
    assert len(rows) == len(set(rows)), "nothing is written twice"
    assert "none" in re.search(r"Dead letters\s+(\S+)", machine.must("genba", "status"))[1]


def test_an_altered_or_foreign_release_is_not_run(machine: Machine, files: Path) -> None:
    before = _current(machine)
    data = bytearray((files / "b").read_bytes())
    data[len(data) // 2] ^= 1
    (machine.root / "root/altered").write_bytes(data)
    done = machine.run("genba", "update", "install", "/root/altered")
    assert "altered" in done.stderr
    (machine.root / "etc/genba/keys/maker.pub").unlink()
    done = machine.run("genba", "update", "install", "/root/b")
    assert "does not trust" in done.stderr
    machine.put(files / "maker.pub", "/etc/genba/keys/maker.pub")
    assert _current(machine) == before


def test_a_release_that_nobody_confirms_goes_back_by_itself(machine: Machine) -> None:
    before = _current(machine)
    bad = next(path.name for path in (machine.root / "opt/genba/releases").glob("9.9.9-*"))
    base = machine.root / "opt/genba"
    for link, target in (("previous", before), ("current", f"releases/{bad}")):
        (base / ".new").symlink_to(target)
        (base / ".new").replace(base / link)
    (base / "pending").write_text("0\n")
    machine.call("systemctl", "restart", "--no-block", "genba.target", ENGINE)
    until(lambda: _current(machine) == before, "the guard", 120)
    machine.call("systemctl", "reset-failed", ENGINE)
    machine.call("systemctl", "start", "genba.target")
    until(lambda: machine.run("genba", "status").returncode == 0, "the gateway answers")


def test_drift_is_found_and_mended(machine: Machine) -> None:
    wanted = machine.root / "etc/genba/wanted"
    (wanted / "flows").mkdir(parents=True, exist_ok=True)
    (wanted / "flows/line.flow.yaml").write_text(FLOW)
    shutil.copy2(machine.root / "etc/genba/genba.toml", wanted / "genba.toml")
    (wanted / "release").write_text(_current(machine).partition("/")[2] + "\n")
    assert machine.run("genba", "drift").returncode == 0, machine.call("genba", "drift")
    other = FLOW.replace("8.5", "8.6")
    (machine.root / "root/other.flow.yaml").write_text(other)
    machine.must("genba", "deploy", "/root/other.flow.yaml")
    unit = machine.root / "etc/systemd/system/genba-ui.service"
    unit.write_text(unit.read_text() + "# mine\n")
    machine.must("systemctl", "disable", "genba-ui.service")
    done = machine.run("genba", "drift", "--json")
    assert done.returncode == 3
    found = {row["what"] for row in json.loads(done.stdout)["drift"]}
    assert found == {"flow line", "unit genba-ui.service", "service genba-ui.service"}
    assert "Deployed the flow line" in machine.must("genba", "apply", "--prune")
    machine.must("genba", "install")
    assert machine.run("genba", "drift").returncode == 0, machine.call("genba", "drift")
    assert "Nothing to change" in machine.must("genba", "apply", "--prune")


def _codes(machine: Machine) -> list[str]:
    """The claim codes that were told, the newest last."""
    return re.findall(r"within 30 minutes: (\S+)", machine.log(ENGINE))


def test_a_reset_leaves_nothing_but_the_settings(machine: Machine) -> None:
    before = len(_codes(machine))
    prints = _fingerprints(machine)
    refused = machine.run("genba", "reset", "--name", "another")
    assert refused.returncode == 1
    assert "nothing was done" in refused.stderr
    machine.must("genba", "reset", "--name", "gw1", "--certificates", "--archive", "/root/kept")
    until(lambda: machine.run("genba", "status").returncode == 0, "the gateway answers")
    until(lambda: len(_codes(machine)) > before, "a code")
    assert len(set(_codes(machine))) == len(_codes(machine)), "each code is new"
    until(lambda: _fingerprints(machine)[-1:] != prints[-1:], "another certificate")
    assert "line/sim" not in machine.must("genba", "status")
    assert not (machine.root / "var/lib/genba/pressures.jsonl").exists()
    assert "no record altered" in machine.must(
        "genba", "audit", "verify", "--archive", "/root/kept"
    )
    assert (machine.root / "etc/genba/genba.toml").exists()


def _fingerprints(machine: Machine) -> list[str]:
    return re.findall(r"SHA-256 fingerprint (\S+)", machine.log("genba-ui.service"))


def test_it_goes_without_a_trace(machine: Machine) -> None:
    name = machine.call("hostname").strip()
    assert machine.run("genba", "uninstall", "--purge", "somebody").returncode == 1
    machine.must("genba", "uninstall")
    assert (machine.root / "var/lib/genba/genba.db").exists()
    machine.must("/root/genba", "install")
    machine.must("genba", "uninstall", "--purge", name)
    assert not (machine.root / "var/lib/genba").exists()
    assert not list((machine.root / "etc/systemd/system").glob("genba*"))
