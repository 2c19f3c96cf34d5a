"""A real small disk that fills up: history gives way, and the gateway goes on as before."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway import Batch, Reading
from gateway.engine import history as history_module
from gateway.engine import store_writer
from gateway.engine.history import HistoryLimits
from gateway.engine.store_room import roomy_store
from tests.engine.gear import NS, Script, flow, lent, started, until

FLOW = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
TAGS = 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    place = tmp_path / "state"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("file systems can be mounted by root only, and not in every container")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(path: Path, leave: int) -> None:
    """Take all the room there is, but for some."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(65_536)) == 65_536:
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
        file.truncate(max(file.tell() - leave, 0))


@pytest.mark.slow
async def test_history_gives_way_before_the_journal(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    for name, value in {"FLUSH_S": 0.02, "TIDY_S": 0.05, "CUT_S": 0.2}.items():
        monkeypatch.setattr(history_module, name, value)
    with lent(Script()) as script:
        store = roomy_store(small_disk / "genba.db")
        runtime = await started(FLOW, small_disk, store=store, history=HistoryLimits())
        history, reserve = runtime.history, small_disk / "genba.db.ballast"
        assert history is not None
        codes = np.array([runtime.tags.code(f"t{i}") for i in range(TAGS)], np.uint16)
        chance = np.random.default_rng(1)

        async def read(count: int) -> None:
            for _ in range(count):
                at = runtime.clock.now() - NS * int(chance.integers(0, 3) * 86_400)
                batch = Batch.columns(codes, np.full(TAGS, at), chance.random(TAGS))
                await script.readings.put(Reading({"out": batch}, token=len(script.acknowledged)))
                done = len(script.acknowledged)
                await until(lambda done=done: len(script.acknowledged) > done)

        await read(40)
        await until(lambda: history.rows == 40 * TAGS and len(history.days.listed()) == 3)
        fill(small_disk / "logs", leave=1_000_000)
        await until(lambda: history.days.is_stopped)
        assert len(history.days.listed()) == 1
        assert reserve.exists(), "the journal did not need it"
        await read(20)
        said = [text for _, _, where, text in runtime.lines.kept if where == "history"]
        assert sum("Trends are not recorded" in text for text in said) == 1
        assert not runtime.store.trouble
        (small_disk / "logs").unlink()
        await until(lambda: not history.days.is_stopped)
        before = history.rows
        await read(5)
        await until(lambda: history.rows == before + 5 * TAGS)
        await runtime.stop()
