"""The whole program, killed for real: at named crash points and at random, then started again.

A flow reads a CSV file, cuts windows and writes JSON lines. Whatever happens, no row of the
file is lost, windows are those of an uninterrupted run, and a line stands twice only when it
was written after the cursor that was stored last.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.crash import POINTS

ROWS = 6_000
FLOW = """
flow: crash
version: 1
nodes:
  file: {type: file.csv_source, path: rows.csv, batch_rows_max: 50}
  minute: {type: window.tumbling, size_s: 60}
  stats: {type: feature.statistics}
  high: {type: alarm.limit, hi: 95, on_delay_s: 3}
  raw: {type: file.jsonl_sink, path: raw.jsonl, sync: false}
  windows: {type: file.jsonl_sink, path: windows.jsonl, sync: false}
  alarms: {type: file.jsonl_sink, path: alarms.jsonl, sync: false}
wires:
  - file -> raw
  - file -> minute -> stats -> windows
  - file -> high
  - high.alarms -> alarms.alarms
"""


UNREACHED = ("pre_ack", "post_ack", "post_spill")
"""A file needs no acknowledgement, and these sinks keep up; tests/faults comes by there."""


def prepare(folder: Path) -> None:
    """The flow and its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "crash.flow.yaml").write_text(FLOW)
    chance = random.Random(5)
    lines = ["ts,press/oil,press/ram"]
    lines += [f"{1_700_000_000 + i},{chance.uniform(0, 100):.4f},{i}" for i in range(ROWS // 2)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")


def start(folder: Path, crash_at: str = "", *, slow: bool = True) -> subprocess.Popen[bytes]:
    """`gateway run` on the flow."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GENBA_")}
    if crash_at:
        environment["GENBA_CRASH_AT"] = crash_at
    command = [sys.executable, "-m", "tests.engine.crash_run", str(folder), *["slow"] * slow]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines; a kill may leave half a line, on which the next run goes on."""
    found = []
    if path.exists():
        for line in path.read_bytes().split(b"\n"):
            try:
                found.append(json.loads(line))
            except ValueError:
                assert line == b"" or b"{" in line
    return found


def raw(folder: Path) -> list[tuple[str, int]]:
    return [(row["tag"], row["ts"]) for row in lines(folder / "raw.jsonl")]


def finish(folder: Path) -> None:
    """Run until all is read and written, then stop in order."""
    (folder / "ready").unlink(missing_ok=True)
    process = start(folder, slow=False)
    deadline = time.monotonic() + 60
    try:
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
            if (folder / "ready").exists() and len(set(raw(folder))) == ROWS:
                break
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0, told.decode()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    prepare(folder)
    finish(folder)
    assert raw(folder) == sorted(raw(folder), key=lambda row: row[1])
    assert len(raw(folder)) == ROWS
    return folder


def compare(folder: Path, whole: Path) -> None:
    """What was killed has what was not, and little of it twice."""
    counted = Counter(raw(folder))
    assert counted.keys() == Counter(raw(whole)).keys()
    first: list[tuple[str, int]] = list(dict.fromkeys(raw(folder)))
    assert [row for row in first if row[0] == "press/oil"] == [
        row for row in raw(whole) if row[0] == "press/oil"
    ]
    for name in ("windows.jsonl", "alarms.jsonl"):
        wanted = [json.dumps(row) for row in lines(whole / name)]
        found = [json.dumps(row) for row in lines(folder / name)]
        assert wanted
        assert list(dict.fromkeys(found)) == list(dict.fromkeys(wanted)), name


@pytest.mark.parametrize("point", [p for p in POINTS if p not in UNREACHED])
@pytest.mark.parametrize("nth", [1, 3])
def test_killed_at_a_crash_point(tmp_path: Path, whole: Path, point: str, nth: int) -> None:
    if point == "post_deploy":
        nth = 1  # A flow is deployed once, at its first start.
    prepare(tmp_path)
    process = start(tmp_path, f"{point}:{nth}")
    try:
        process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL, "the crash point was never reached"
    finish(tmp_path)
    compare(tmp_path, whole)


def test_killed_at_random(tmp_path: Path, whole: Path) -> None:
    prepare(tmp_path)
    chance = random.Random(11)
    for _ in range(4):
        process = start(tmp_path)
        time.sleep(0.5 + chance.random())
        process.kill()
        process.communicate(timeout=20)
    finish(tmp_path)
    compare(tmp_path, whole)
