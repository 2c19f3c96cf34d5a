"""The program dies at every point of a deploy: it comes back with the old revision or the new one.

The flow is the one of `test_crash_process`; the edit changes its source, which hands over, and
adds a sink. Whatever the point, rows, windows and alarms are those of an undisturbed run.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.test_crash_process import FLOW, compare, finish, lines, prepare, raw, whole

__all__ = ["whole"]

EDITED = FLOW.replace("batch_rows_max: 50", "batch_rows_max: 40").replace(
    "wires:",
    "  extra: {type: file.jsonl_sink, path: extra.jsonl, sync: false}\nwires:\n  - file -> extra",
)
POINTS = ["pre_commit:1", "pre_commit:2", "post_commit:2", "post_deploy:1", "mid_step:2"]
LATER = ["mid_snapshot:1", "pre_snapshot:1", "post_snapshot:1", "post_commit:3", "mid_step:3"]
if os.environ.get("GENBA_TORTURE") == "1":
    LATER += [f"{p}:{n}" for p in ("pre_commit", "post_commit", "mid_step") for n in range(4, 12)]


def killed(folder: Path, point: str) -> None:
    """A run that edits its flow and dies on the way."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GENBA_")}
    words = [str(folder), "slow", "deploy", point]
    process = subprocess.run(
        [sys.executable, "-m", "tests.engine.crash_run", *words],
        env=environment,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()


KNOWN = "SELECT number FROM revision WHERE flow <> 'gateway' ORDER BY number"


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS + LATER)
def test_killed_while_it_turns_to_another_revision(tmp_path: Path, whole: Path, point: str) -> None:
    prepare(tmp_path)
    (tmp_path / "edited.yaml").write_text(EDITED)
    killed(tmp_path, point)
    with sqlite3.connect(tmp_path / "genba.db") as db:
        known = [n for (n,) in db.execute(KNOWN)]
    db.close()
    assert known in ([1], [1, 2])
    finish(tmp_path)
    compare(tmp_path, whole)
    extra = [(row["tag"], row["ts"]) for row in lines(tmp_path / "extra.jsonl")]
    if known == [1]:
        assert not extra, "the edit did not happen"
        return
    assert extra
    rows = list(dict.fromkeys(raw(tmp_path)))
    assert list(dict.fromkeys(extra)) == rows[-len(set(extra)) :], "all since the edit, in order"
