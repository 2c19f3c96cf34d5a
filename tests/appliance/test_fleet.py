"""A fleet of booted machines over ssh: provisioned, drifted, updated, lost, restored, taken away.

``make appliance`` runs it where ansible-core is installed: GENBA_ANSIBLE names its folder `bin`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.appliance.authority import make_authority
from tests.appliance.house import Machine, has_what_it_takes, until
from tests.appliance.releases import make_releases

ANSIBLE = os.environ.get("GENBA_ANSIBLE", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.plant,
    pytest.mark.skipif(
        not os.environ.get("GENBA_APPLIANCE"), reason="minutes; `make appliance` runs it"
    ),
    pytest.mark.skipif(bool(has_what_it_takes()), reason=has_what_it_takes()),
    pytest.mark.skipif(not ANSIBLE, reason="GENBA_ANSIBLE does not name where ansible is"),
]
BRIDGE = "brgenba"
NET = "10.97.41"
TIME = "time.plant.example"
FLOW = """flow: line
version: 1
nodes:
  sim: {type: simulate.source, tag: line/press/pressure, every_s: 0.5, low: 1, high: 9}
  high: {type: alarm.limit, hi: 9.5}
wires:
  - sim -> high
"""
HOT = """flow: hot
version: 1
nodes:
  sim: {type: simulate.source, shape: constant, tag: line/oven/temperature, low: 90, high: 91}
  high: {type: alarm.limit, hi: 80}
wires:
  - sim -> high
"""


def _sh(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)
    _sh("ip", "link", "add", BRIDGE, "type", "bridge")
    _sh("ip", "addr", "add", f"{NET}.1/24", "dev", BRIDGE)
    _sh("ip", "link", "set", BRIDGE, "up")
    yield
    subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    make_releases(folder)
    _sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "ssh"))
    _sh(sys.executable, "-m", "gateway", "playbooks", str(folder / "ansible"))
    (folder / "flows").mkdir()
    (folder / "flows/line.flow.yaml").write_text(FLOW)
    (folder / "flows/hot.flow.yaml").write_text(HOT)
    make_authority(folder / "ca.pem", folder / "ca.key", "a sealed key 1")
    values = {
        "genba_release_file": str(folder / "a"),
        "genba_trusted_keys": [str(folder / "maker.pub")],
        "genba_flow_folders": [str(folder / "flows")],
        "genba_admin": "anna",
        "genba_admin_password": "a long enough password 1",
        "genba_users": [{"name": "olaf", "role": "operator", "password": "a long enough one 2"}],
        "genba_secrets": {"mail": "canary-7f3a"},
        "genba_ca_certificate": str(folder / "ca.pem"),
        "genba_ca_key": str(folder / "ca.key"),
        "genba_ca_passphrase": "a sealed key 1",
        "genba_time_servers": [TIME],
        "genba_backup_folder": str(folder / "backups"),
        "genba_backup_passphrase": "a long enough phrase 3",
        "genba_audit_folder": str(folder / "audit"),
        "genba_ring_soak_s": 2,
    }
    (folder / "ansible/inventory/group_vars").mkdir()
    (folder / "ansible/inventory/group_vars/all.json").write_text(json.dumps(values))
    hosts = [
        f"gw{number} ansible_host={NET}.{10 + number} ansible_user=root "
        f"ansible_ssh_private_key_file={folder / 'ssh'} "
        "ansible_ssh_common_args='-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'"
        for number in (1, 2, 3)
    ]
    text = f"[canary]\n{hosts[0]}\n[ring1]\n{hosts[1]}\n{hosts[2]}\n"
    (folder / "ansible/inventory/plant.ini").write_text(text)
    return folder


@pytest.fixture(scope="module")
def fleet(network: None, folder: Path) -> Iterator[list[Machine]]:
    machines = [Machine(folder / "machines", f"gw{number}", BRIDGE) for number in (1, 2, 3)]
    (folder / "machines").mkdir()
    try:
        for number, machine in enumerate(machines, 1):
            _first_boot(machine, folder, number)
        yield machines
    finally:
        for machine in machines:
            machine.power_off()


def _first_boot(machine: Machine, folder: Path, number: int) -> None:
    machine.make()
    _reachable(machine, f"{NET}.{10 + number}", folder / "ssh.pub")
    machine.boot()


def _reachable(machine: Machine, address: str, key: Path) -> None:
    root = machine.root
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(key, root / "root/.ssh/authorized_keys")
    _sh("ssh-keygen", "-A", "-f", str(root))
    network = f"[Match]\nName=host0\n[Network]\nAddress={address}/24\n"
    (root / "etc/systemd/network/10-host0.network").write_text(network)
    for unit in ("systemd-networkd.service", "ssh.service"):
        _sh("systemctl", "--root", str(root), "enable", unit)


def play(folder: Path, *words: str, rc: int = 0) -> str:
    """What a playbook says."""
    environment = {**os.environ, "PATH": f"{ANSIBLE}:{os.environ['PATH']}", "NO_COLOR": "1"}
    done = subprocess.run(
        ["ansible-playbook", *words],
        cwd=folder / "ansible",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == rc, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def changed(said: str) -> dict[str, int]:
    """How much was changed, by host."""
    recap = said.partition("PLAY RECAP")[2]
    rows = [line.split() for line in recap.splitlines() if " changed=" in line]
    return {row[0]: int(next(w for w in row if w.startswith("changed="))[8:]) for row in rows}


def test_from_nothing_and_the_second_run_changes_nothing(
    fleet: list[Machine], folder: Path
) -> None:
    said = play(folder, "site.yml")
    assert all(changed(said).values())
    assert "canary-7f3a" not in said
    assert "long enough" not in said
    assert "a sealed key" not in said
    for machine in fleet:
        assert "they balance" in machine.must("genba", "status")
        assert "anna" in machine.must("genba", "users", "list")
    assert changed(play(folder, "site.yml")) == {"gw1": 0, "gw2": 0, "gw3": 0}


def test_accounts_and_roles_are_those_of_the_inventory(fleet: list[Machine], folder: Path) -> None:
    assert _users(fleet[0]) == {"anna": "administrator", "olaf": "operator"}
    fleet[0].must("genba", "users", "role", "olaf", "administrator")
    assert changed(play(folder, "site.yml", "--limit", "gw1")) == {"gw1": 1}
    assert _users(fleet[0])["olaf"] == "operator"


def _users(machine: Machine) -> dict[str, str]:
    lines = machine.must("genba", "users", "list", "--json").splitlines()
    return {row["name"]: row["role"] for row in map(json.loads, lines)}


def test_browsers_trust_what_the_authority_signed(fleet: list[Machine], folder: Path) -> None:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    for number, machine in enumerate(fleet, 1):
        address = f"{NET}.{10 + number}"
        until(lambda a=address: _is_open(a, 8443), "the screens answer")
        for name in (address, machine.name):
            with socket.create_connection((address, 8443), 20) as raw:
                context.wrap_socket(raw, server_hostname=name).close()


def _is_open(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 2).close()
    except OSError:
        return False
    return True


def test_only_the_ports_that_are_named_are_open(fleet: list[Machine], folder: Path) -> None:
    machine, address = fleet[0], f"{NET}.11"
    machine.must("systemd-run", "--unit=other", "python3", "-m", "http.server", "9999")
    until(lambda: ":9999" in machine.call("ss", "-ltn"), "another service")
    assert [port for port in (22, 8443, 8780, 9999) if _is_open(address, port)] == [22, 8443]
    machine.must("nft", "flush", "ruleset")
    assert _is_open(address, 9999), "it was the firewall that held it back"
    assert changed(play(folder, "site.yml", "--limit", "gw1")) == {"gw1": 1}
    assert not _is_open(address, 9999)
    machine.must("systemctl", "stop", "other")
    assert machine.must("systemctl", "is-enabled", "nftables").strip() == "enabled"


def test_time_is_asked_of_the_servers_that_are_named(fleet: list[Machine]) -> None:
    for machine in fleet:
        assert f"NTP={TIME}" in machine.must(
            "systemd-analyze", "cat-config", "systemd/timesyncd.conf"
        )
        said = machine.must("systemctl", "is-enabled", "systemd-timesyncd").strip()
        assert said == "enabled"  # In a container it may not set the clock, so it does not run.


def test_drift_is_found(fleet: list[Machine], folder: Path) -> None:
    play(folder, "drift.yml")
    found = json.loads((folder / "ansible/drift.json").read_text())
    assert found == {"gw1": [], "gw2": [], "gw3": []}
    settings = fleet[1].root / "etc/genba/genba.toml"
    settings.write_text(settings.read_text() + "tags_max = 999\n")
    rules = fleet[1].root / "etc/nftables.conf"
    rules.write_text(rules.read_text().replace("policy drop", "policy accept"))
    (fleet[1].root / "etc/systemd/timesyncd.conf.d/genba.conf").unlink()
    fleet[2].must("genba", "remove", "line")
    fleet[2].run("genba", "users", "add", "eve", "--role", "viewer", stdin="a long enough one 5\n")
    fleet[2].must("genba", "users", "role", "olaf", "administrator")
    said = play(folder, "drift.yml")
    assert "flow line" in said
    found = json.loads((folder / "ansible/drift.json").read_text())
    whats = {host: [row["what"] for row in rows] for host, rows in found.items()}
    files = ["file /etc/nftables.conf", "file /etc/systemd/timesyncd.conf.d/genba.conf"]
    assert whats == {
        "gw1": [],
        "gw2": ["settings", *files],
        "gw3": ["flow line", "user eve", "user olaf"],
    }
    play(folder, "site.yml")
    play(folder, "drift.yml")
    found = json.loads((folder / "ansible/drift.json").read_text())
    left = [{"what": "user eve", "wanted": "none", "found": "viewer"}]
    assert found == {"gw1": [], "gw2": [], "gw3": left}, "an account is for people to end"


def test_a_bad_release_stops_at_the_canary(fleet: list[Machine], folder: Path) -> None:
    before = [(m.root / "opt/genba/current").readlink() for m in fleet]
    said = play(folder, "update.yml", "-e", f"genba_release_file={folder / 'bad'}", rc=2)
    assert "no further ring was touched" in said
    assert [(m.root / "opt/genba/current").readlink() for m in fleet] == before
    assert not list((fleet[1].root / "opt/genba/releases").glob("9.9.9-*"))
    until(lambda: fleet[0].run("genba", "status").returncode == 0, "the canary is back")


def test_a_good_release_goes_through_all_rings(fleet: list[Machine], folder: Path) -> None:
    play(folder, "update.yml", "-e", f"genba_release_file={folder / 'b'}")
    for machine in fleet:
        assert "0.1.1-" in str((machine.root / "opt/genba/current").readlink())
        assert "they balance" in machine.must("genba", "status")


def _what_it_knows(machine: Machine) -> dict[str, Any]:
    """What must be the same on a new host: accounts, flows, alarms, certificate, secrets."""
    alarms = [json.loads(x) for x in machine.must("genba", "alarms", "list", "--json").splitlines()]
    certificate = json.loads(machine.must("genba", "tls", "show", "--json"))
    # Their times are of this machine: what it restores is sealed anew, with a key of its own.
    secrets = [line.split()[0] for line in machine.must("genba", "secrets", "list").splitlines()]
    return {
        "users": _users(machine),
        "flows": {name: machine.must("genba", "revisions", name) for name in ("line", "hot")},
        "alarms": [(row["alarm"], row["state"], row["occurrence"]) for row in alarms],
        "certificate": certificate["sha256"],
        "secrets": secrets,
    }


def test_a_lost_disk_comes_back_from_a_backup(fleet: list[Machine], folder: Path) -> None:
    machine = fleet[2]
    machine.run("genba", "users", "add", "ben", "--role", "viewer", stdin="a long enough one 4\n")
    until(lambda: machine.must("genba", "alarms", "list", "--json"), "the oven is too hot")
    known = _what_it_knows(machine)
    assert known["users"]["ben"] == "viewer"
    assert len(known["alarms"]) == 1, machine.call("journalctl", "-u", "genba-ui", "-n", "60")
    play(folder, "backup.yml", "--limit", "gw3", "-e", "genba_backup_keep=1")
    said = play(folder, "backup.yml", "--limit", "gw3", "-e", "genba_backup_keep=1")
    assert "long enough phrase" not in said
    assert len(list((folder / "backups").glob("gw3-*Z.backup"))) == 1
    assert not (machine.root / "var/lib/genba/.pulled.backup").exists()
    machine.power_off()
    shutil.rmtree(machine.root)
    _first_boot(machine, folder, 3)
    play(folder, "site.yml", "--limit", "gw3", "-e", f"genba_release_file={folder / 'b'}")
    assert "ben" not in _users(machine)
    assert "Nothing was done" in play(folder, "restore.yml", "--limit", "gw3", rc=2)
    really = ["--limit", "gw3", "-e", "genba_really=gw3"]
    wrong = ["-e", "genba_backup_passphrase=another-long-one"]
    said = play(folder, "restore.yml", *really, *wrong, rc=2)
    assert "runs with what it had" in said
    assert "ben" not in _users(machine)
    play(folder, "restore.yml", *really)
    assert _what_it_knows(machine) == known
    assert "they balance" in machine.must("genba", "status")
    newer = ["-e", f"genba_release_file={folder / 'b'}"]
    assert changed(play(folder, "site.yml", "--limit", "gw3", *newer)) == {"gw3": 0}


def test_nothing_is_left_of_one_that_is_taken_away(fleet: list[Machine], folder: Path) -> None:
    machine = fleet[2]
    assert "Nothing was done" in play(folder, "decommission.yml", "--limit", "gw3", rc=2)
    assert (machine.root / "var/lib/genba/genba.db").exists()
    really = ["--limit", "gw3", "-e", "genba_really=gw3"]
    play(folder, "decommission.yml", *really)
    records = (folder / "audit/gw3/newest.jsonl").read_text().splitlines()
    assert any("ben" in json.dumps(json.loads(line)) for line in records)
    assert "none altered" in (folder / "audit/gw3/verified.txt").read_text()
    assert machine.call("find", "/", "-xdev", "-iname", "*genba*") == ""
    assert machine.run("id", "genba").returncode == 1
    units = machine.call("systemctl", "list-units", "--all", "--plain").splitlines()
    # A name that systemd still remembers, without a file, is no unit.
    assert not [line for line in units if "genba" in line and " not-found " not in line]
    assert "genba" not in machine.must("nft", "list", "ruleset")
    assert machine.must("systemctl", "is-system-running").strip() == "running"
    assert changed(play(folder, "decommission.yml", *really)) == {"gw3": 0}
