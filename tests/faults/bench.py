"""What runs on the disk that fails: a flow, a source that keeps books, and a sink that tells.

The source is a client with a history of its own: reading k is always the same, it is sent again
until it is acknowledged, and every acknowledgement is a mark. Marks go to a file that `iolog`
copies into its log, so that their order among the writes and syncs is exact.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from gateway import (
    Batch,
    Config,
    Context,
    Message,
    Port,
    Reading,
    Sink,
    Source,
    State,
    TagTable,
    Transform,
)
from gateway.engine import runner, spool, store_journal, store_state, store_writer
from gateway.engine.executor import Executor
from gateway.engine.sim_nodes import rows_of
from gateway.engine.store import Entry, Retention, Store
from gateway.flow import registry
from gateway.flow.document import Document

NAME = "torture"
T0 = 1_700_000_000 * 10**9
READING_NS = 10**12
"""Readings are so far apart in time that the time of a row says which reading it is of."""
FLOW = f"""
flow: {NAME}
version: 1
nodes:
  feed: {{type: torture.feed}}
  minute: {{type: window.tumbling, size_s: 1000}}
  stats: {{type: feature.statistics}}
  high: {{type: alarm.limit, hi: 98, on_delay_s: 3}}
  tally: {{type: torture.tally}}
  raw: {{type: torture.take}}
  windows: {{type: torture.take}}
  alarms: {{type: torture.take}}
wires:
  - feed -> raw
  - feed -> minute -> stats -> windows
  - feed -> high
  - feed -> tally
  - high.alarms -> alarms.alarms
"""
TAGS = ("press/oil", "press/ram")
TAGS_MAX = 100
TALLY_BINS = 5_000


@cache
def document(revision: int = 1) -> Document:
    """The flow; every second revision has other windows."""
    return Document.parse(FLOW if revision % 2 else FLOW.replace("size_s: 1000", "size_s: 1500"))


def batch(number: int, tags: TagTable) -> Batch:
    """Reading `number`: a few rows, now and then several hundred."""
    chance = random.Random(number)
    codes = [tags.code(name) for name in TAGS]
    count = 400 if number % 17 == 0 else chance.randint(1, 20)
    start = T0 + number * READING_NS
    return Batch.of(
        (chance.choice(codes), start + i * 10**9, round(chance.uniform(0, 100), 3), 0)
        for i in range(count)
    )


def reading_of(ts: int) -> int:
    """Which reading a row is of."""
    return (ts - T0) // READING_NS


@dataclass
class Bench:
    """One life of the source and the sinks.

    Args:
        readings: How many the source has; it waits for ever after them.
        mark: Told of what happens, a line each.
        in_flight: How many readings may be unacknowledged.
        is_early: The mutant: acknowledge before anything is stored.
        pause_s: Between two readings.
        take_s: How long a sink needs for a write, so that something waits.
        holds: A sink that takes nothing, so that much waits.
    """

    readings: int
    mark: Callable[[str], None]
    in_flight: int = 4
    is_early: bool = False
    pause_s: float = 0.0
    take_s: float = 0.0
    holds: str = ""
    read: int = 0
    acknowledged: int = 0
    delivered: list[tuple[str, list[Any]]] = field(default_factory=list)
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def lend(self) -> None:
        """Make the nodes of this life known to flows."""
        registry.LENT["torture.feed"] = _feed(self)
        registry.LENT["torture.take"] = _take(self)
        registry.LENT["torture.tally"] = Tally

    def acknowledge(self, number: int) -> None:
        """The client is told that a reading is safe."""
        self.acknowledged = number
        self.mark(f"a {number}")
        self.moved.set()

    async def finished(self, readings: int | None = None) -> None:
        """Wait until so many readings were acknowledged, or all."""
        while self.acknowledged < (self.readings if readings is None else readings):
            self.moved.clear()
            await self.moved.wait()


class Empty(Config):
    """Nothing to set."""


def _feed(bench: Bench) -> type[Source[Any]]:
    class Feed(Source[Empty]):
        """Reads the history.

        Delivery: every reading once; its number is stored with it.
        Back pressure: some readings may be unacknowledged.
        """

        Config = Empty

        def __init__(self, config: Empty, ctx: Context) -> None:
            super().__init__(config, ctx)
            bench.read = bench.acknowledged = int((ctx.position or {}).get("n", 0))

        async def connect(self) -> None:
            for name in TAGS:
                self.ctx.tags.code(name)

        async def read(self) -> Reading:
            while bench.read >= min(bench.readings, bench.acknowledged + bench.in_flight):
                bench.moved.clear()
                await bench.moved.wait()
            if bench.pause_s:
                await asyncio.sleep(bench.pause_s)
            bench.read += 1
            number = bench.read
            if bench.is_early:
                bench.acknowledge(number)
            outputs: dict[str, Message] = {"out": batch(number, self.ctx.tags)}
            return Reading(outputs, token=number, position={"n": number})

        async def acknowledge(self, token: Any) -> None:
            if not bench.is_early:
                bench.acknowledge(token)

    return Feed


def _take(bench: Bench) -> type[Sink[Any]]:
    class Take(Sink[Empty]):
        """Tells what it was given.

        Delivery: at least once.
        Back pressure: none.
        """

        Config = Empty
        inputs = (Port("in", "samples", "Rows."), Port("alarms", "alarms", "Alarms."))

        async def write(self, message: Message, port: str) -> None:
            while self.ctx.node_id == bench.holds:
                await asyncio.sleep(3600)
            if bench.take_s:
                await asyncio.sleep(bench.take_s)
            rows = [list(row) for row in rows_of(message, self.ctx.tags)]
            bench.delivered.append((self.ctx.node_id, rows))
            bench.mark(f"w {self.ctx.node_id} {json.dumps(rows)}")

    return Take


class Tally(Transform[Empty, Batch]):
    """Counts values in a histogram that is larger than a chunk of a checkpoint.

    State: the counts.
    Cost: a bincount a batch.
    """

    Config = Empty

    def __init__(self, config: Empty, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._counts = np.zeros(TALLY_BINS, np.int64)

    def process(self, message: Batch, port: str) -> dict[str, Message]:
        places = (message.value * (TALLY_BINS / 101)).astype(np.int64)
        self._counts += np.bincount(places, minlength=TALLY_BINS)
        return {}

    def snapshot(self) -> State:
        return {"counts": self._counts.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._counts = state["counts"].copy()


class NotingStore(Store):
    """The real store, which notes every record it is asked to commit.

    Args:
        note: Told the number and the block of each record before it is committed.
        synchronous: The mutant: what to set instead of FULL.
    """

    def __init__(
        self,
        path: Path,
        note: Callable[[int, bytes], None],
        *,
        executor: Executor | None = None,
        retention: Retention | None = None,
        synchronous: str = "",
    ) -> None:
        super().__init__(path, executor, retention)
        self._note = note
        self._synchronous = synchronous

    async def open(self) -> str:
        told = await super().open()
        if self._synchronous:
            assert self._db is not None
            self._db.execute(f"PRAGMA synchronous={self._synchronous}")
        return told

    async def commit(self, entry: Entry) -> None:
        for part in entry.parts():
            if part.pack is not None:  # Packed here already, so that it is known beforehand.
                part.block, part.pack = part.pack(), None
            if part.block is not None and part.flow == NAME:
                self._note(part.seq, part.block)
        await super().commit(entry)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, for looking at the file."""
        assert self._db is not None
        return self._db


HURRIED: Final = {
    (runner, "STEP_ROWS_MAX"): 20,  # So that a commit has several records.
    (store_writer, "COMMIT_INTERVAL_S"): 0.0,
    (store_writer, "FOLD_BYTES"): store_writer.FOLD_BYTES,
    (store_state, "CHUNK_BYTES"): 8192,
    (store_state, "SLICE_BYTES"): 20_000,
    (spool, "SPILL_ROWS"): 300,  # So that some wait on the disk.
    (spool, "BLOCK_ROWS"): 100,
    (store_journal, "SEGMENT_BYTES"): 4_000,
    (store_journal, "DELETE_BYTES"): 1_500,
}


def hurry(**other: float) -> None:
    """Commit as often as there is something, fold a small log, and cut states and outboxes small.

    Everything that is written in several pieces, or only when there is much of it, is so here
    in a life of a second.

    Args:
        other: Other values by the names in `HURRIED`.
    """
    for (module, name), value in HURRIED.items():
        setattr(module, name, other.get(name, value))


def note_line(seq: int, block: bytes) -> str:
    """A record as a mark."""
    return f"j {seq} {base64.b64encode(block).decode()}"


def lines_of(marks: Sequence[bytes]) -> list[list[str]]:
    """Marks as words: what happened, and what of."""
    return [mark.decode().rstrip("\n").split(" ", 2) for mark in marks]
