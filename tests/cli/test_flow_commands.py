"""`genba deploy`, `revisions`, `rollback` and `remove` against a gateway that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.main import main

FLOW = """flow: hall
version: 1
nodes:
  in: {type: test.inject, rows: a 0s 99}
  high: {type: alarm.limit, hi: 75}
  out: {type: file.jsonl_sink, path: out.jsonl}
wires:
  - in -> high
  - high.alarms -> out.alarms
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    flow = tmp_path / "hall.flow.yaml"
    flow.write_text(FLOW, "utf-8")
    words = [sys.executable, "-m", "gateway", "run", str(flow), "--state", str(tmp_path / "state")]
    with subprocess.Popen([*words, "--port", "0"], stderr=subprocess.PIPE, text=True) as gateway:
        assert gateway.stderr is not None
        try:
            line = next(line for line in gateway.stderr if "The API is at" in line)
            monkeypatch.setenv("GENBA_API", line.rpartition(" ")[2].strip())
            yield tmp_path
        finally:
            gateway.terminate()
            gateway.stderr.read()


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(list(words)) == code
    out, error = capsys.readouterr()
    return error if code else out


def test_a_flow_is_edited_compared_rolled_back_and_removed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = folder / "edited.yaml"
    text = FLOW.replace("hi: 75", "hi: 80").replace("out.jsonl", "other.jsonl")
    edited.write_text(text, "utf-8")
    out = said(capsys, "deploy", str(edited), "--note", "higher", "--actor", "user:anna")
    assert "Revision 2 of hall runs." in out
    assert "It took the place of revision 1 by file" in out
    assert "! new outside: out sends to other.jsonl (file.jsonl_sink)" in out
    assert "    hi: 75 -> 80" in out
    assert "high was changed: it keeps what it remembers." in out
    assert "Nothing has changed" in said(capsys, "deploy", str(edited))
    edited.write_text(text.replace("hi: 80", "hi: 81"), "utf-8")
    refused = said(capsys, "deploy", str(edited), "--base", "1", code=1)
    assert "Revision 2 of hall was deployed by user:anna while you edited revision 1" in refused
    edited.write_text(text.replace("hi: 80", "hi: x"), "utf-8")
    assert "hall.flow.yaml:" in said(capsys, "deploy", str(edited), code=1)

    assert "hall (running): revision 2 by user:anna" in said(capsys, "revisions")
    lines = said(capsys, "revisions", "hall").splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "revision 1 by file",
        "revision 2 by user:anna",
    ]
    assert lines[1].endswith(": higher")
    assert "    hi: 75 -> 80" in said(capsys, "revisions", "hall", "2")
    assert "    hi: 80 -> 75" in said(capsys, "revisions", "hall", "2", "1")
    assert "+  high: {type: alarm.limit, hi: 80}" in said(
        capsys, "revisions", "hall", "1", "2", "--text"
    )
    assert "+ node in (test.inject)" in said(capsys, "revisions", "hall", "1")
    assert '"author": "user:anna"' in said(capsys, "revisions", "hall", "--json")

    out = said(capsys, "rollback", "hall")
    assert "Revision 3 of hall runs." in out
    assert "    hi: 80 -> 75" in out
    assert "hall has no revision 9" in said(capsys, "rollback", "hall", "9", code=1)
    assert "hall is removed. `genba rollback hall` runs it" in said(capsys, "remove", "hall")
    assert "There is no flow 'hall'" in said(capsys, "remove", "hall", code=1)
    assert "hall (removed): revision 4" in said(capsys, "revisions")
    assert "Revision 5 of hall runs." in said(capsys, "rollback", "hall")


def test_an_edited_flow_runs_in_the_shadow_of_the_live_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = folder / "edited.yaml"
    edited.write_text(FLOW.replace("hi: 75", "hi: 80"), "utf-8")
    before = (folder / "state" / "out.jsonl").read_text("utf-8")
    out = said(capsys, "shadow", "start", str(edited), "--actor", "user:anna")
    assert "hall has a shadow now. Look at it: genba shadow show hall" in out
    first, alarms, *_ = said(capsys, "shadow", "show", "hall").splitlines()
    assert first.startswith("hall: ")
    assert first.endswith("0 writes muted.")
    assert alarms.startswith("Alarms: ")
    assert json.loads(said(capsys, "shadow", "show", "hall", "--json"))["flow"] == "hall"
    edited.write_text(FLOW.replace("flow: hall", "flow: yard"), "utf-8")
    assert "yard" in said(capsys, "shadow", "start", str(edited), code=1)
    assert said(capsys, "shadow", "stop", "hall").startswith("hall: ")
    assert "No shadow" in said(capsys, "shadow", "show", "hall", code=1)
    assert (folder / "state" / "out.jsonl").read_text("utf-8") == before
