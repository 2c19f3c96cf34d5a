"""Makes genba.db.gz beside this file: a state file of version 1, written by the code of that time.

Run it: ``python tests/engine/version_1/make.py``. It checks out the commit before version 2 into
a folder of its own, runs a gateway from there, and kills it while one receiver is away, with a
checkpoint and some seconds of journal behind it. The test of the migration starts from that.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OLD = "62c8d57"
"""The last commit whose state file was of version 1."""
ROWS = 1_200
FLOW = """
flow: old
version: 1
nodes:
  file: {type: file.csv_source, path: rows.csv, batch_rows_max: 50}
  minute: {type: window.tumbling, size_s: 60}
  stats: {type: feature.statistics, features: [mean, sd]}
  high: {type: alarm.limit, hi: 95, on_delay_s: 3}
  raw: {type: file.jsonl_sink, path: raw.jsonl, sync: false}
  late: {type: file.jsonl_sink, path: away/late.jsonl, sync: false}
  windows: {type: file.jsonl_sink, path: away/windows.jsonl, sync: false}
  alarms: {type: file.jsonl_sink, path: alarms.jsonl, sync: false}
wires:
  - file -> raw
  - file -> late
  - file -> minute -> stats -> windows
  - file -> high
  - high.alarms -> alarms.alarms
"""


def write_inputs(folder: Path, rows: int = ROWS) -> None:
    """The flow and its rows: a saw tooth that raises an alarm now and then."""
    (folder / "old.flow.yaml").write_text(FLOW)
    lines = ["ts,press/oil,press/ram"]
    lines += [f"{1_700_000_000 + i},{i % 110}.5,{i}" for i in range(rows // 2)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")


async def _run_old(folder: Path) -> None:
    """In a process with the old code: read, store a checkpoint half way, then die."""
    from gateway.engine import runner
    from gateway.engine.runtime import Runtime
    from gateway.flow.document import Document

    runner.STEP_ROWS_MAX = 50  # type: ignore[misc]  # many small records
    document = Document.load(folder / "old.flow.yaml")
    runtime = Runtime([document], folder, checkpoint_s=3600.0)
    await runtime.start()
    flow = runtime.runners["old"]
    while flow.seq < 8:
        await asyncio.sleep(0.01)
    await flow.checkpoint()
    while flow.seq < 20:
        await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Write genba.db.gz and written.json."""
    root = HERE.parents[2]
    with tempfile.TemporaryDirectory() as name:
        tree, folder = Path(name) / "tree", Path(name) / "state"
        folder.mkdir()
        write_inputs(folder)
        (folder / "away").write_text("A file where a folder should be: two receivers are away.")
        subprocess.run(
            ["git", "worktree", "add", "-f", "--detach", tree, OLD], cwd=root, check=True
        )
        try:
            environment = {**os.environ, "PYTHONPATH": str(tree)}
            command = [sys.executable, str(HERE / "make.py"), str(folder)]
            subprocess.run(command, cwd=tree, env=environment, check=False, timeout=60)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=root, check=True)
        db = sqlite3.connect(folder / "genba.db")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("PRAGMA journal_mode=DELETE")
        db.execute("VACUUM")
        db.close()
        packed = gzip.compress((folder / "genba.db").read_bytes(), mtime=0)
        (HERE / "genba.db.gz").write_bytes(packed)
        counts = {p.name: p.read_text().count("\n") for p in sorted(folder.glob("*.jsonl"))}
        (HERE / "written.json").write_text(json.dumps(counts) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(_run_old(Path(sys.argv[1])))
    else:
        main()
