"""What Ansible is given: the inventory of a table, the example of three lines, certificates."""

from __future__ import annotations

import configparser
import json
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from gateway.api import certificate
from gateway.cli._wanted import Drift, Wanted, machine_drift
from gateway.cli.main import main
from gateway.engine.clock import SystemClock
from tests.appliance.authority import make_authority

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "ansible/inventory/from_csv.py"
SIGN = ROOT / "ansible/roles/genba/files/sign.py"


def read(data: bytes, path: Path) -> subprocess.CompletedProcess[str]:
    """What the inventory of a table is, or what is wrong with the table."""
    path.write_bytes(data)
    environment = {**os.environ, "GENBA_GATEWAYS": str(path)}
    words = [sys.executable, str(TABLE), "--list"]
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)


def test_the_table_that_ships() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "GENBA_GATEWAYS"}
    words = [sys.executable, str(TABLE)]
    done = subprocess.run(words, capture_output=True, check=True, env=environment)
    found = json.loads(done.stdout)
    assert found["canary"] == {"hosts": ["gw01.plant.example"]}
    assert found["_meta"]["hostvars"]["gw01.plant.example"]["ansible_host"] == "10.0.1.11"
    assert found["cleanroom"] == {"hosts": ["gw35.plant.example"]}
    assert os.access(TABLE, os.X_OK), "Ansible runs what can be executed"


@pytest.mark.parametrize(
    "data",
    [
        b"host,ring,groups,ansible_host\ngw1,canary,press hall2,10.0.0.1\ngw2,ring1,,\n",
        b"\xef\xbb\xbfhost,ring,groups,ansible_host\r\ngw1,canary,press hall2,10.0.0.1\r\n"
        b'"gw2","ring1","",""\r\n',
        b" host ; ring ; groups ; ansible_host\n gw1 ;canary ; press  hall2 press; 10.0.0.1 \n"
        b";;;\n\ngw2;ring1\n",
        b'host\tring\tgroups\tansible_host\n"gw1"\tcanary\t"press\nhall2"\t10.0.0.1\ngw2\tring1\n',
    ],
    ids=["plain", "bom-quotes-crlf", "semicolons-spaces-blank-lines", "tabs-line-in-a-cell"],
)
def test_tables_as_spreadsheets_write_them(tmp_path: Path, data: bytes) -> None:
    found = json.loads(read(data, tmp_path / "t.csv").stdout)
    assert found == {
        "_meta": {"hostvars": {"gw1": {"ansible_host": "10.0.0.1"}, "gw2": {}}},
        "canary": {"hosts": ["gw1"]},
        "ring1": {"hosts": ["gw2"]},
        "press": {"hosts": ["gw1"]},
        "hall2": {"hosts": ["gw1"]},
    }


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"", "there is no gateway in it"),
        (b"host,ring\n", "there is no gateway in it"),
        (b"name,ring\ngw1,canary\n", "line 1: there is no column host"),
        (b"host,ring,ring\ngw1,canary,ring1\n", "line 1: the column 'ring' is there twice"),
        (b"host,ring,serial no\ngw1,canary,7\n", "line 1: the column 'serial no'"),
        (b"host,ring\ngw1,canary\nGW1,ring1\n", "line 3: gw1 is there twice, first in line 2"),
        (
            b"host,ring,ansible_host\na,canary,10.0.0.1\nb,ring1,10.0.0.1\n",
            "line 3: 10.0.0.1 is there twice, first in line 2",
        ),
        (b"host,ring\ngw1,rnig1\n", "line 2: ring is 'rnig1'; it must be one of canary, ring1"),
        (b"host,ring\n,canary\n", "line 2: host is empty"),
        (b"host,ring\ngw[01:10],canary\n", "line 2: 'gw[01:10]' is no name of one host"),
        (b"host,ring\ngw1,canary,what\n", "line 2: 3 cells, and there are 2 columns"),
        (b'host,ring\n"gw1,canary\n', "Is a quotation mark left open?"),
        (b"host,ring,groups\ngw1,canary,all\n", "line 2: 'all' cannot be a further group"),
        (b"host,ring,groups\ngw1,canary,gw1\n", "'gw1' is the name of a host and of a group"),
        ("host,ring,about\ngw1,canary,Öl\n".encode("latin-1"), "is not UTF-8"),
    ],
)
def test_what_is_wrong_in_a_table_is_said(tmp_path: Path, data: bytes, wrong: str) -> None:
    done = read(data, tmp_path / "t.csv")
    assert (done.returncode, done.stdout) == (1, "")
    assert wrong in done.stderr
    assert "Traceback" not in done.stderr


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    said = read(b"host,ring\n,canary\ngw1,ring9\n", tmp_path / "t.csv").stderr.splitlines()
    assert [re.findall(r"line \d", line) for line in said] == [["line 2"], ["line 3"]]
    (tmp_path / "t.csv").unlink()
    words = [sys.executable, str(TABLE)]
    environment = {**os.environ, "GENBA_GATEWAYS": str(tmp_path / "none.csv")}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert "none.csv cannot be read" in done.stderr


def test_the_example_has_fifty_gateways_each_in_one_ring_and_one_line() -> None:
    text = (ROOT / "ansible/inventory/plant.ini").read_text()
    found: dict[str, list[str]] = {}
    group = ""
    for line in text.splitlines():
        if line.startswith("["):
            group = line.strip("[]")
        elif line and not line.startswith("#"):
            span = re.search(r"\[(\d+):(\d+)\]", line)
            first, last = (int(span[1]), int(span[2])) if span else (0, 0)
            names = (
                [line.replace(span[0], f"{n:02}") for n in range(first, last + 1)]
                if span
                else [line]
            )
            found.setdefault(group, []).extend(names)
    fifty = sorted(f"gw{number:02}.plant.example" for number in range(1, 51))
    rings, lines = ("canary", "ring1", "ring2", "ring3"), ("press", "paint", "assembly")
    assert sorted(found) == sorted((*rings, *lines))
    for groups in (rings, lines):
        assert sorted(host for group in groups for host in found[group]) == fifty
    assert all(set(found["canary"]) & set(found[line]) for line in lines)


def test_a_list_that_cannot_be_read_ends_the_run() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "ansible/ansible.cfg")
    assert config["inventory"]["any_unparsed_is_failed"] == "true"


def test_the_authority_signs_the_names_it_is_told_and_no_others(tmp_path: Path) -> None:
    make_authority(tmp_path / "ca.pem", tmp_path / "ca.key", "sealed 1")
    certificate.ensure(tmp_path / "state", SystemClock().now(), ["bank.example"])
    request = certificate.request(tmp_path / "state")
    assert x509.load_pem_x509_csr(request.encode()).is_signature_valid
    words = [sys.executable, str(SIGN), str(tmp_path / "ca.pem"), str(tmp_path / "ca.key")]

    def sign(passphrase: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*words, "365", "gw1", "10.0.0.1"],
            input=request,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "GENBA_CA_PASSPHRASE": passphrase},
        )

    assert "Nothing was signed" in sign("another").stderr
    done = sign("sealed 1")
    assert done.returncode == 0, done.stderr
    certificate.install(tmp_path / "state", done.stdout, SystemClock().now())
    shown = certificate.shown(tmp_path / "state/tls/gateway.pem", SystemClock().now())
    assert shown["names"] == ["gw1", "10.0.0.1", "localhost", "127.0.0.1", "::1"]
    assert shown["own"] is False
    days = shown["days_left"]
    assert isinstance(days, int)
    assert days < 300, "no longer than the authority itself"
    ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))


def test_files_of_the_machine_are_compared(tmp_path: Path) -> None:
    there = tmp_path / "etc/nftables.conf"
    wanted = tmp_path / "wanted/files" / there.relative_to("/")
    for path in (there, wanted):
        path.parent.mkdir(parents=True)
        path.write_text("policy drop\n")
    found = Wanted(tmp_path / "wanted")
    assert list(machine_drift(found)) == []
    there.write_text("policy accept\n")
    assert list(machine_drift(found)) == [Drift(f"file {there}", "as wanted", "another text")]
    there.unlink()
    assert list(machine_drift(found)) == [Drift(f"file {there}", "as wanted", "none")]


def test_playbooks_are_written_out_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["playbooks", str(tmp_path / "fleet")]) == 0
    assert (tmp_path / "fleet/roles/genba/tasks/main.yml").is_file()
    assert os.access(tmp_path / "fleet/inventory/from_csv.py", os.X_OK)
    assert main(["playbooks", str(tmp_path / "fleet")]) == 1
    assert "is there already" in capsys.readouterr().err
