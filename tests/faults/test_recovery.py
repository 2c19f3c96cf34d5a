"""How long a start takes after a kill: 10,000 tags with full rings, and a minute of journal.

The time is a figure, not a condition: this machine may be busy. That what was recovered is right is
a condition.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from gateway import Batch, Tag, TagTable
from gateway.engine.codec import pack_inputs
from gateway.engine.fold import fold, stored
from gateway.engine.graph import Graph
from gateway.engine.packing import pack_flow
from gateway.engine.store import Entry, Store
from gateway.flow.document import Document
from tests.faults.figures import record
from tests.faults.session import environment, keep_journal, wait_for
from tests.faults.verdict import lines

pytestmark = [pytest.mark.plant, pytest.mark.slow]

TAGS: Final = 10_000
RING: Final = 100
MINUTE: Final = 60
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


async def _prepare(folder: Path) -> None:
    """A state file as a gateway leaves it that was killed a minute after its checkpoint."""
    (folder / "state").mkdir()
    (folder / "kills.flow.yaml").write_text(FLOW)
    path = folder / "state" / "genba.db"
    await keep_journal(path)
    document = Document.load(folder / "kills.flow.yaml")
    store = Store(path)
    await store.open()
    tags = TagTable(2 * TAGS + 10)
    for k in range(TAGS):
        tags.add(Tag(f"hall/{k:05}"))
    graph = Graph(document, tags)
    codes = np.arange(TAGS, dtype=np.uint16)
    chance = np.random.default_rng(5)
    now = 1_700_000_000 * 10**9
    for seq in range(1, RING - 1 + MINUTE + 1):
        ts = np.full(TAGS, now + seq * 10**9, np.int64)
        batch = Batch.columns(codes, ts, chance.uniform(0, 100, TAGS), np.zeros(TAGS, np.uint32))
        inputs = [("numbers", "out", batch)]
        block = pack_inputs(inputs, int(ts[0]))
        known = {code: tag for code, tag in enumerate(tags)} if seq == 1 else {}
        await store.commit(Entry("kills", seq, int(ts[0]), TAGS, block, tags=known))
        if seq < RING:
            graph.step(inputs, int(ts[0]))
        if seq == RING - 1:
            states, head = graph.snapshot(), {"now": int(ts[0]), "revision": "", "outbox": {}}
            await store.save_snapshot("kills", seq, 0, lambda: pack_flow(states, {}, head))
    await store.close()


async def test_ten_thousand_tags_are_back(tmp_path: Path) -> None:
    await _prepare(tmp_path)
    journal_bytes = (tmp_path / "state" / "genba.db").stat().st_size
    life = {"LIFE_SPAWNED": repr(time.monotonic()), "LIFE_KIND": "cold"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.life", str(tmp_path), "mqtt://nowhere", "--cold"],
        env=environment() | life,
        stderr=(log := os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)),
    )
    os.close(log)
    try:
        await asyncio.to_thread(
            wait_for, lambda: lines(tmp_path / "recoveries.jsonl"), "a first sample", 120
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    said = (tmp_path / "log").read_text()
    assert "start fresh" not in said and "ERROR" not in said, said[-2000:]
    (took,) = lines(tmp_path / "recoveries.jsonl")
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
    store = Store(tmp_path / "state" / "genba.db")
    await store.open()
    try:
        document = Document.load(tmp_path / "kills.flow.yaml")
        folded = await fold(store, document)
        assert folded.rows > TAGS * (RING - 1 + MINUTE)
        assert await stored(store, "kills") == (folded.seq, folded.digest)
    finally:
        await store.close()
