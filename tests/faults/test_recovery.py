"""How long a start takes after a kill: 10,000 tags with full rings, and a minute of journal.

The time is a figure, not a condition: this machine may be busy. That what was recovered is right is
a condition.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from gateway import Batch, Tag
from gateway.engine.codec import pack_inputs
from gateway.engine.fold import fold, stored
from gateway.engine.store import Entry, Store
from gateway.flow.document import Document
from tests.faults.figures import record
from tests.faults.session import environment, keep_journal, wait_for
from tests.faults.verdict import lines

pytestmark = [pytest.mark.plant, pytest.mark.slow]

TAGS: Final = 10_000
RING: Final = 100
MINUTE: Final = 60
BASE_NS: Final = 1_700_000_000 * 10**9
FLOW: Final = """
flow: kills
version: 1
nodes:
  numbers: {type: simulate.source, tag: hall/clock, every_s: 0.01}
  ring: {type: window.count, size: 100, rows_max: 1100000}
  high: {type: alarm.limit, hi: 150}
  late: {type: file.jsonl_sink, path: late.jsonl}
wires:
  - numbers -> ring
  - numbers -> high
  - ring.late -> late
"""


async def _journal(path: Path, after: int, seconds: int) -> None:
    """Write journal records behind one, as a gateway leaves them that is killed: all tags a second.

    With the first of all come the tags.
    """
    store = Store(path)
    await store.open()
    tags = [Tag(f"hall/{k:05}") for k in range(TAGS)]
    codes = np.arange(TAGS, dtype=np.uint16)
    chance = np.random.default_rng(5 + after)
    for seq in range(after + 1, after + 1 + seconds):
        ts = BASE_NS + seq * 10**9
        value, good = chance.uniform(0, 100, TAGS), np.zeros(TAGS, np.uint32)
        batch = Batch.columns(codes, np.full(TAGS, ts, np.int64), value, good)
        block = pack_inputs([("numbers", "out", batch)], ts)
        known = dict(enumerate(tags)) if seq == 1 else {}
        await store.commit(Entry("kills", seq, ts, TAGS, block, tags=known))
    await store.close()


async def _life(folder: Path) -> dict[str, float]:
    """Start the gateway, stop it after its first sample; returns how long the start took."""
    (folder / "recoveries.jsonl").unlink(missing_ok=True)
    life = {"LIFE_SPAWNED": repr(time.monotonic()), "LIFE_KIND": "cold"}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.life", str(folder), "mqtt://nowhere", "--cold"],
            env=environment() | life,
            stderr=log,
        )
    try:
        await asyncio.to_thread(
            wait_for, lambda: lines(folder / "recoveries.jsonl"), "a first sample", 120
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    return lines(folder / "recoveries.jsonl")[0]


async def _checkpoint(folder: Path) -> tuple[int, str]:
    store = Store(folder / "state" / "genba.db")
    await store.open()
    try:
        return await stored(store, "kills")
    finally:
        await store.close()


async def test_ten_thousand_tags_are_back(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "kills.flow.yaml").write_text(FLOW)
    path = tmp_path / "state" / "genba.db"
    await keep_journal(path)
    await _journal(path, 0, RING - 1)
    await _life(tmp_path)  # It ends with a checkpoint of rings that lack one sample.
    await _journal(path, (await _checkpoint(tmp_path))[0], MINUTE)
    journal_bytes = path.stat().st_size
    took = await _life(tmp_path)
    said = (tmp_path / "log").read_text()
    assert "start fresh" not in said and "ERROR" not in said, said[-2000:]
    print(took)
    record(
        "recovery",
        tags=TAGS,
        ring=RING,
        journal_rows=TAGS * MINUTE,
        state_file_bytes=journal_bytes,
        started_s=round(took["started_s"], 3),
        first_sample_s=round(took["first_s"], 3),
    )
    store = Store(path)
    await store.open()
    try:
        folded = await fold(store, Document.load(tmp_path / "kills.flow.yaml"))
    finally:
        await store.close()
    assert folded.rows > TAGS * (RING - 1 + MINUTE)
    assert await _checkpoint(tmp_path) == (folded.seq, folded.digest)
