"""An outage: bytes on the disk a sample, memory, and how fast what waited goes out again.

Run it: ``python tests/bench/bench_outbox.py [hours]``. 1,000 tags at 1 Hz, a message each 100 ms,
through the real outbox into the real store; then a gateway is started on it whose sink takes
everything. One hour by default, scaled to 72.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway import Batch, Config, Message, Reading, Sink, Source
from gateway.cli.run import run_loop
from gateway.engine.journal import write_with_outboxes
from gateway.engine.outbox import Outbox
from gateway.engine.runtime import Runtime
from gateway.engine.store import Entry, Store
from gateway.engine.store_state import Checkpoint
from gateway.flow import registry
from gateway.flow.document import Document

NS = 10**9
RATE = 1_000
TAGS = 1_000
T0 = 1_800_000_000 * NS
FLOW = """flow: bench
version: 1
nodes:
  src: {type: bench.silent}
  out: {type: bench.sink}
wires: [src -> out]
"""


class Empty(Config):
    """Nothing to set."""


class Silent(Source[Empty]):
    """Brings nothing."""

    Config = Empty

    async def read(self) -> Reading:
        await asyncio.Event().wait()
        raise AssertionError("it waits for ever")


class Taker(Sink[Empty]):
    """Takes everything, and looks whether each tag comes in order."""

    Config = Empty
    taken = 0
    last = np.zeros(TAGS, np.int64)
    is_in_order = True

    async def write(self, message: Message, port: str) -> None:
        assert isinstance(message, Batch)
        order = np.argsort(message.tag, kind="stable")
        tag, ts = message.tag[order], message.ts[order]
        first = np.flatnonzero(np.r_[True, tag[1:] != tag[:-1]])
        rises = (ts[1:] > ts[:-1]) | (tag[1:] != tag[:-1])
        Taker.is_in_order &= bool((ts[first] > Taker.last[tag[first]]).all() and rises.all())
        Taker.last[message.tag] = message.ts
        Taker.taken += len(message)


registry.LENT |= {"bench.silent": Silent, "bench.sink": Taker}


def batch(number: int, rng: np.random.Generator, level: np.ndarray[Any, Any]) -> Batch:
    """A hundred rows: a tenth of the tags, each near where it was, with two decimals."""
    tags = np.arange(100) + number % 10 * 100
    level[tags] += rng.normal(0, 0.05, 100)
    ts = T0 + number * NS // 10 + rng.integers(0, 10**6, 100) // 1000 * 1000
    return Batch.columns(tags, ts, np.round(level[tags], 2))


async def fill(folder: Path, hours: float) -> tuple[int, float, float]:
    """What waits after an outage: rows, seconds it took, and how much memory it took [MB]."""
    store, box = Store(folder / "genba.db"), Outbox()
    await store.open()
    rng, level = np.random.default_rng(7), np.full(TAGS, 20.0)
    process = psutil.Process()
    before, began = process.memory_info().rss, time.perf_counter()
    number = 0
    for number in range(round(hours * 3600 * 10)):
        box.add("in", batch(number, rng, level), 0.0)
        if number % 200 == 199:  # As often as blocks are due; commits between add nothing here.
            entry = Entry("bench", 0, T0)
            await write_with_outboxes(store, entry, {"out": box}, (), everything=False)
    await write_with_outboxes(store, Entry("bench", 0, T0), {"out": box}, (), everything=True)
    offered = {"out": [box.offered, box.books.offered]}
    head = {"now": T0, "revision": 0, "offered": offered}
    await store.save_snapshot(Checkpoint("bench", 0, T0, {}, head))
    took, grown = time.perf_counter() - began, process.memory_info().rss - before
    await store.close()
    return box.rows, took, grown / 1e6


async def drain(folder: Path) -> tuple[float, float]:
    """Seconds until a fresh gateway has sent all, and the bytes the file has then."""
    runtime = Runtime([Document.parse(FLOW)], folder)
    began = time.perf_counter()
    await runtime.start()
    for number in range(TAGS):
        runtime.tags.code(f"bench/tag{number}")
    egress = runtime.runners["bench"].egresses["out"]
    while egress.queued_rows:
        await asyncio.sleep(0.05)
    took = time.perf_counter() - began
    books = egress.outbox.books
    assert books.unbalanced(0) == 0, books
    await runtime.stop()
    return took, (folder / "genba.db").stat().st_size


def main(hours: float = 1.0) -> list[tuple[str, str, str]]:
    """(what, measured, wanted) rows."""
    found: list[tuple[str, str, str]] = []

    async def measured() -> int:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            rows, took, grown = await fill(folder, hours)
            size = (folder / "genba.db").stat().st_size
            each = size / rows
            drained_s, after = await drain(folder)
        assert Taker.taken == rows, f"{rows - Taker.taken} rows were lost"
        speed = rows / drained_s / RATE
        found.extend(
            [
                (f"{hours:g} h at {RATE:,}/s: rows that wait", f"{rows:,}", ""),
                ("bytes on the disk a sample", f"{each:.1f}", ""),
                ("72 h, scaled", f"{each * 72 * 3600 * RATE / 1e6:,.0f} MB", "≤ 4,000 MB"),
                ("memory it took", f"{grown:.0f} MB", "bounded"),
                ("stored as fast as", f"{rows / took / RATE:.0f} × real time", ""),
                ("sent as fast as", f"{speed:.0f} × real time", "≥ 10 ×"),
                ("each tag in order", "yes" if Taker.is_in_order else "NO", "yes"),
                ("the file when all was sent", f"{after / 1e6:.0f} MB", "its pages are used again"),
            ]
        )
        return 0

    run_loop(measured())
    return found


if __name__ == "__main__":
    for row in main(*map(float, sys.argv[1:2])):
        print(*row, sep=" | ")
