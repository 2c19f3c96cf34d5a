"""What the tests of replays share: a flow that lived, and the state file it left."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.engine.codec import pack_inputs
from gateway.engine.graph import Graph
from gateway.engine.store import Entry, Store
from gateway.engine.store_entry import Revision, sealed_text
from gateway.engine.wiring import RESUMED, Input, rows
from gateway.flow.document import Document

S = 1_000_000_000
T0 = 1_700_000_000 * S
FLOW = """flow: hall
version: 1
nodes:
  source: {type: test.inject, rows: "A 0s 1"}
  clean: {type: filter.deadband, band: 0.2}
  window: {type: window.tumbling, size_s: 10}
  level: {type: feature.statistics}
  high: {type: alarm.limit, hi: 60, deadband: 1, on_delay_s: 2}
  silent: {type: alarm.stale, after_s: 30}
  log: {type: sqlite.sink, folder: history}
  book: {type: file.jsonl_sink, path: book.jsonl}
wires:
  - source -> clean -> window -> level -> log
  - source -> high
  - source -> silent
  - high.alarms -> book.alarms
"""
TAGS = ("hall/a", "hall/b", "hall/c")


@dataclass
class Lived:
    """What a flow left behind.

    Args:
        document: The flow.
        tags: The gateway's table.
        records: (number, block).
        stamps: (time, rows) of each record.
        alarms: All alarm events, in order.
    """

    document: Document
    tags: TagTable
    records: list[tuple[int, bytes]] = field(default_factory=list)
    stamps: list[tuple[int, int]] = field(default_factory=list)
    alarms: list[AlarmEvent] = field(default_factory=list)


def table(names: Iterable[str] = TAGS, limit: int = 64) -> TagTable:
    """A table that knows these tags."""
    tags = TagTable(limit)
    for name in names:
        tags.code(name)
    return tags


def day(
    seconds: int, seed: int = 1, tags: int = len(TAGS), late_ns: int = 300_000_000
) -> list[tuple[list[Input], int]]:
    """Steps with samples of all tags about once a second: waves with noise, and some silence."""
    random = np.random.default_rng(seed)
    steps: list[tuple[list[Input], int]] = []
    for second in range(seconds):
        if 300 <= second % 600 < 340:
            continue  # Long enough for the alarm that waits for silence.
        now = T0 + second * S + int(random.integers(0, 400_000_000))
        ts = now - random.integers(0, late_ns, tags)
        wave = 50 + 14 * np.sin((second + np.arange(tags) * 20) / 25)
        batch = Batch.columns(np.arange(tags), ts, wave + random.normal(0, 1, tags))
        steps.append(([("source", "out", batch)], now))
    return steps


def live(
    document: Document, steps: Iterable[tuple[Sequence[Input], int]], tags: TagTable | None = None
) -> Lived:
    """Run a flow as the runner does: a record for every input, and one for every timer."""
    lived = Lived(document, tags or table())
    graph = Graph(document, lived.tags)

    def step(inputs: Sequence[Input], now: int) -> None:
        lived.records.append((len(lived.records) + 1, pack_inputs(inputs, now)))
        lived.stamps.append((now, sum(rows(message) for _, _, message in inputs)))
        result = graph.step(inputs, now)
        lived.alarms += [event for _, events in result.alarms for event in events]

    for inputs, now in steps:
        is_back = bool(inputs) and inputs[0][:2] == RESUMED  # Till then nobody was there.
        while not is_back and lived.records and (due := graph.wake_at()) is not None and due < now:
            step([], due)
        step(inputs, now)
    return lived


def operator(node: str, action: str, now: int, **data: object) -> Input:
    """What an operator did, as it is journalled."""
    return (node, "operator", (Event(now, f"alarm/{action}", data),))


def store(lived: Lived, folder: Path, *, first: int = 1) -> Path:
    """The state file; without the records before `first`, which were dropped."""

    async def work() -> None:
        file = Store(folder / "genba.db")
        await file.open()
        name = lived.document.name
        tags = dict(enumerate(lived.tags))
        now = lived.stamps[-1][0]
        entries = [Entry(name, 0, now, alarms=lived.alarms, tags=tags)]
        for (seq, block), (ts, n) in zip(lived.records, lived.stamps, strict=True):
            if seq >= first:
                entries.append(Entry(name, seq, ts, n, block))
        await asyncio.gather(*(file.commit(entry) for entry in entries))
        await file.close()

    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(work())
    return folder


def add_revision(folder: Path, number: int, ts: int, text: str, flow: str = "hall") -> None:
    """Add a revision of a flow to a state file."""
    revision = Revision(number, ts, "user:test", "", text)
    db = sqlite3.connect(folder / "genba.db")
    db.execute(
        "INSERT INTO revision VALUES (?,?,?,?,?,?,?)",
        (flow, number, ts, revision.author, "", sealed_text(flow, revision), revision.variables),
    )
    db.commit()
    db.close()
