"""`genba alarms` against a gateway that runs: what it says is what happened."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.api.local import FILE
from gateway.cli.main import main

FLOW = """flow: hall
version: 1
nodes:
  in: {type: test.inject, rows: a 0s 99}
  high: {type: alarm.limit, hi: 75}
wires:
  - in -> high
"""


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    flow = tmp_path / "hall.flow.yaml"
    flow.write_text(FLOW, "utf-8")
    words = [sys.executable, "-m", "gateway", "run", str(flow), "--state", str(tmp_path / "state")]
    with subprocess.Popen(
        [*words, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    ) as gateway:
        assert gateway.stderr is not None
        try:
            line = next(line for line in gateway.stderr if "The API is at" in line)
            monkeypatch.setenv("GENBA_API", line.rpartition(" ")[2].strip())
            monkeypatch.setenv("GENBA_TOKEN_FILE", str(tmp_path / "state" / FILE))
            yield
        finally:
            gateway.terminate()
            gateway.stderr.read()


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["alarms", *words]) == code
    out, error = capsys.readouterr()
    return error if code else out


@pytest.mark.usefixtures("running")
def test_every_action_says_what_became_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert "hall/high:a:HI" in said(capsys)
    assert "is not latched" in said(capsys, "reset", "a:HI", code=1)
    assert "is not shelved" in said(capsys, "unshelve", "HI", code=1)
    assert "needs a reason" in said(capsys, "shelve", "HI", code=1)
    refused = said(capsys, "shelve", "HI", "--for", "9h", "--reason", "pump", code=1)
    assert "has not changed. The gateway's log says why" in refused, "at most eight hours"
    assert "acknowledged occurrence 1" in said(capsys, "ack", "HI")
    assert "shelved the HI alarm of a for 3600 s: pump" in said(
        capsys, "shelve", "HI", "--reason", "pump"
    )
    assert said(capsys) == "No alarm.\n"
    assert "ACKED/SHLVD" in said(capsys, "list", "--hidden")
    assert "unshelved" in said(capsys, "unshelve", "HI")
    assert "took out of service" in said(capsys, "remove-from-service", "HI", "--reason", "x")
    assert "returned to service" in said(capsys, "return-to-service", "HI")
    assert "There is no alarm 'nope'" in said(capsys, "ack", "nope", code=1)
    rows = [json.loads(line) for line in said(capsys, "list", "--history", "--json").splitlines()]
    changes = [row["change"] for row in rows]
    assert changes[:3] == ["raised", "acked", "shelved"]
    assert changes[-1] == "returned_to_service"


@pytest.mark.usefixtures("running")
def test_where_there_are_accounts_it_is_known_who_was_at_the_machine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a long enough password\n"))
    assert main(["users", "add", "anna", "--role", "administrator"]) == 0
    capsys.readouterr()
    assert "acknowledged occurrence 1" in said(capsys, "ack", "HI", "--actor", "user:ken")
    row = [json.loads(line) for line in said(capsys, "list", "--history", "--json").splitlines()]
    assert row[-1]["actor"] == "local:ken"
