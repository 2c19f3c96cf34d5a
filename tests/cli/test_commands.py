"""The command `genba`: help, exit codes, and no traceback for what a user got wrong."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.main import COMMANDS, main

GOOD = """flow: hall
version: 1
nodes:
  wave: {type: simulate.source, tag: hall/wave, every_s: 0.1}
  log: {type: sqlite.sink, folder: history}
wires:
  - wave -> log
"""


def genba(*words: str, timeout_s: float = 120.0) -> tuple[int, str, str]:
    """Run the command as a user does; returns exit code, output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    path = tmp_path / "hall.flow.yaml"
    path.write_text(GOOD, "utf-8")
    return path


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: genba {command}")
    options = [line for line in text.splitlines() if line.strip().startswith("-")]
    assert options


def test_the_list_of_commands_says_what_each_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for command, about in COMMANDS.items():
        line = next(line for line in text.splitlines() if line.split()[:1] == [command])
        assert about in line


def test_version_and_no_command() -> None:
    code, out, _ = genba("--version")
    assert (code, out.split()[0]) == (0, "genba")
    code, out, _ = genba()
    assert code == 2
    assert "COMMAND" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["run", "--nonsense"], "--nonsense"),
        (["run", "--port", "99999"], "no port"),
        (["run", "--port", "-1"], "no port"),
        (["run", "--port", "http"], "no port"),
        (["run", "--tags-max", "0"], "no number of tags"),
        (["run", "--tags-max", "70000"], "no number of tags"),
        (["demo", "--for", "0"], "no length of time"),
        (["demo", "--for", "nan"], "no length of time"),
        (["demo", "--for", "soon"], "no length of time"),
        (["demo", "--seed", "x"], "--seed"),
        (["plant", "toaster"], "toaster"),
    ],
)
def test_a_wrong_option_ends_with_2_and_says_which(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "/nowhere/a.flow.yaml"], "There is no /nowhere/a.flow.yaml"),
        (["lint", "/nowhere"], "There is no file /nowhere"),
        (["test", "/nowhere"], "There is no file /nowhere"),
        (["docs", "filter.deadbend"], "deadband"),
        (["alarms", "--api", "ftp://x"], "is no address of a gateway"),
        (["alarms", "--api", "http://127.0.0.1:9"], "No gateway answers"),
        (["alarms", "--api", "http://127.0.0.1:9", "ack", "all"], "No gateway answers"),
        (["demo", "--flows", "/nowhere", "--plain", "--port", "0"], "There is no /nowhere"),
    ],
)
def test_what_is_not_there_ends_with_1_and_a_sentence(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("genba: ")
    assert says in error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--set", "broker"], "Write --set NAME=VALUE"),
        (["--set", "=x"], "Write --set NAME=VALUE"),
        (["--state", "/dev/null/state"], "/dev/null/state"),
        (["--port-file", "/nowhere/port"], "/nowhere/port"),
    ],
)
def test_run_says_what_is_wrong_with_its_options(
    flow: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    code, _, error = genba("run", str(flow), "--state", str(tmp_path / "s"), "--port", "0", *words)
    assert code == 1
    assert says in error.splitlines()[-1]


def test_a_port_that_is_taken(flow: Path, tmp_path: Path, taken: int) -> None:
    words = ["run", str(flow), "--state", str(tmp_path / "state"), "--port", str(taken)]
    code, _, error = genba(*words)
    assert code == 1
    assert f"Port {taken} on this machine is taken" in error
    assert "--port" in error


def test_demo_and_plant_into_a_folder_that_cannot_be() -> None:
    for command in ("demo", "plant"):
        code, _, error = genba(command, "--dir", "/dev/null/plant")
        assert code == 1
        assert "/dev/null/plant" in error


BAD = {
    "not UTF-8": (b"\xff\xfe\x00", "Save the file as UTF-8"),
    "a tab": (b"flow: x\n\tversion: 1\n", "bad.flow.yaml:2: "),
    "empty": (b"", "bad.flow.yaml:1: "),
    "a list": (b"- 1\n- 2\n", "bad.flow.yaml:1: "),
    "no such node": (
        b"flow: x\nversion: 1\nnodes:\n  a: {type: filter.deadbend}\nwires: []\n",
        "bad.flow.yaml:4: error: a.type: There is no node 'filter.deadbend'",
    ),
    "an option that is wrong": (
        b"flow: x\nversion: 1\nnodes:\n  a: {type: simulate.source, tag: t, every_s: -1}\n"
        b"wires: []\n",
        "bad.flow.yaml:4: error: a.every_s",
    ),
    "a wire to nowhere": (
        b"flow: x\nversion: 1\nnodes:\n  a: {type: simulate.source, tag: t}\nwires:\n  - a -> b\n",
        "bad.flow.yaml:6: error:",
    ),
    "a variable without a value": (
        b"flow: x\nversion: 1\nnodes:\n  a: {type: simulate.source, tag: '${t}'}\nwires: []\n",
        "The variable 't' has no value",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_flow_ends_with_1_and_names_file_and_line(case: str, tmp_path: Path) -> None:
    text, says = BAD[case]
    path = tmp_path / "bad.flow.yaml"
    path.write_bytes(text)
    code, _, error = genba("run", str(path), "--state", str(tmp_path / "state"), "--port", "0")
    assert code == 1
    assert says in error
    assert "bad.flow.yaml" in error


def test_lint_names_the_same_place(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(flow)]) == 0
    path = flow.with_name("bad.flow.yaml")
    path.write_bytes(BAD["no such node"][0])
    assert main(["lint", str(path)]) == 1
    assert BAD["no such node"][1] in capsys.readouterr().out


def test_the_output_may_end_before_the_reader_does() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m gateway nodes | head -1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout
