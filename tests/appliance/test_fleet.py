"""A fleet of booted machines over ssh: provisioned, changed, drifted, updated in rings.

``make appliance`` runs it where ansible-core is installed: GENBA_ANSIBLE names its folder `bin`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.house import ROOT, Machine, has_what_it_takes, until
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
FLOW = """flow: line
version: 1
nodes:
  sim: {type: simulate.source, tag: line/press/pressure, every_s: 0.5, low: 1, high: 9}
  high: {type: alarm.limit, hi: 9.5}
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
    shutil.copytree(ROOT / "ansible", folder / "ansible")
    (folder / "flows").mkdir()
    (folder / "flows/line.flow.yaml").write_text(FLOW)
    values = {
        "genba_release_file": str(folder / "a"),
        "genba_trusted_keys": [str(folder / "maker.pub")],
        "genba_flow_folders": [str(folder / "flows")],
        "genba_admin": "anna",
        "genba_admin_password": "a long enough password 1",
        "genba_secrets": {"mail": "canary-7f3a"},
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
            machine.make()
            _reachable(machine, f"{NET}.{10 + number}", folder / "ssh.pub")
            machine.boot()
        yield machines
    finally:
        for machine in machines:
            machine.power_off()


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
    assert "long enough password" not in said
    for machine in fleet:
        assert "they balance" in machine.must("genba", "status")
        assert "anna" in machine.must("genba", "users", "list")
    assert changed(play(folder, "site.yml")) == {"gw1": 0, "gw2": 0, "gw3": 0}


def test_drift_is_found(fleet: list[Machine], folder: Path) -> None:
    play(folder, "drift.yml")
    found = json.loads((folder / "ansible/drift.json").read_text())
    assert found == {"gw1": [], "gw2": [], "gw3": []}
    settings = fleet[1].root / "etc/genba/genba.toml"
    settings.write_text(settings.read_text() + "tags_max = 999\n")
    fleet[2].must("genba", "remove", "line")
    said = play(folder, "drift.yml")
    assert "flow line" in said
    found = json.loads((folder / "ansible/drift.json").read_text())
    whats = {host: [row["what"] for row in rows] for host, rows in found.items()}
    assert whats == {"gw1": [], "gw2": ["settings"], "gw3": ["flow line"]}
    play(folder, "site.yml")
    play(folder, "drift.yml")
    assert not any(json.loads((folder / "ansible/drift.json").read_text()).values())


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


def test_the_inventory_of_a_table() -> None:
    words = [sys.executable, str(ROOT / "ansible/inventory/from_csv.py")]
    done = subprocess.run(words, capture_output=True, check=True)
    found = json.loads(done.stdout)
    assert found["canary"] == {"hosts": ["gw01.plant.example"]}
    assert found["_meta"]["hostvars"]["gw01.plant.example"]["ansible_host"] == "10.0.1.11"
