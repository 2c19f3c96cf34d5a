"""History under kill -9: what was written is there, no file is damaged, and it goes on."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

from gateway.data.tag import TagTable
from gateway.engine.history_query import rows_between
from gateway.engine.history_recorder import Recorder
from tests.engine.gear import NS, T0
from tests.engine.history_run import TAGS

ROUNDS = 60 if os.environ.get("GENBA_TORTURE") else 6


def lives(folder: Path, first: int, flushes: int) -> int:
    """Run until so many flushes are said, then kill; the last second that was said."""
    command = [sys.executable, "-m", "tests.engine.history_run", str(folder), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = first - 1
        for line in process.stdout:
            last = int(line)
            if last >= first + flushes:
                process.kill()
                break
        rest = process.stdout.read().split()
    return int(rest[-1]) if rest else last


def test_a_history_that_is_killed_loses_nothing_that_was_written(tmp_path: Path) -> None:
    chance = random.Random(4)
    folder = tmp_path / "history"
    first, known = 0, 0
    for _ in range(ROUNDS):
        known = lives(folder, first, chance.randrange(35))
        recorder = Recorder(folder, TagTable())
        recorder.days.cut_all_tails()
        recorder.days.close_all()
        assert not list(folder.glob("*damaged*"))
        for tag in range(TAGS):
            rows = rows_between(recorder, [f"t{tag}"], T0, T0 + (known + 1) * NS)
            assert [r[0] for r in rows] == [T0 + i * NS for i in range(known + 1)]
            assert [r[2] for r in rows] == [float(tag + i) for i in range(known + 1)]
        assert list(recorder._said) == []
        first = known + 1
