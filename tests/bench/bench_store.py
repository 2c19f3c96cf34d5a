"""What durability costs: commits beside checkpoints, stalls of the loop, recovery, throughput.

Run it: ``python tests/bench/bench_store.py``, or with the names of some parts; see ``--help``.
Ratios are of one run; times depend on the disk.
The state is that of 10,000 tags with rings of 100 samples: 8 MB, of which every chunk changes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway import Batch, Config, Context, Outputs, Reading, Source, Transform
from gateway.cli.run import run_loop
from gateway.engine.arrived import Arrived
from gateway.engine.codec import pack_inputs
from gateway.engine.runtime import Runtime
from gateway.engine.store import Entry, Store, ThreadExecutor
from gateway.engine.store_state import Checkpoint
from gateway.flow import registry
from gateway.flow.document import Document

NS = 10**9
TAGS, RING = 10_000, 100
T0 = 1_800_000_000 * NS
Row = tuple[str, str, str]
T = TypeVar("T")
LEVELS = np.round(
    20 + np.sin(np.arange(1_000_000) * 6e-5) + np.random.default_rng(7).normal(0, 0.1, 1_000_000), 2
)
"""What 10,000 thermometers say in turn, 100 times: noise of 0.1 in steps of 0.01. Made beforehand,
since a device computes elsewhere."""


class Empty(Config):
    """Nothing to set."""


class RingState:
    """The newest hundred samples of every tag."""

    def __init__(self, tags: int) -> None:
        self.value = np.zeros((tags, RING))
        self.at = np.zeros(tags, np.int64)

    def save(self) -> Mapping[str, NDArray[Any]]:
        return {"value": self.value.copy(), "at": self.at.copy()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.value[:], self.at[:] = state["value"], state["at"]


class Rings(Transform[Empty, Batch]):
    """Keeps the newest hundred samples of every tag, and sends nothing."""

    Config = Empty

    def __init__(self, config: Empty, ctx: Context) -> None:
        super().__init__(config, ctx)
        self.rings = self.keep("rings", RingState(TAGS))
        self.rows = 0
        self.marks: list[tuple[int, float]] = []
        """How many rows had come, and when [s], after each batch."""

    def process(self, message: Batch, port: str) -> Outputs:
        self.rows += len(message)
        ring = self.rings
        ring.value[message.tag, ring.at[message.tag]] = message.value
        ring.at[message.tag] = (ring.at[message.tag] + 1) % RING
        self.marks.append((self.rows, time.perf_counter()))
        return {}


class Feed:
    """What the source of a run brings: batches at a pace, and how long each took to be safe."""

    def __init__(self, rows_per_s: float, batch_rows: int, rows_max: int) -> None:
        self.every_s = batch_rows / rows_per_s
        self.batch_rows, self.rows_max = batch_rows, rows_max
        self.sent = 0
        self.latency_s: list[float] = []

    def batch(self) -> Batch:
        serial = np.arange(self.sent, self.sent + self.batch_rows)
        self.sent += self.batch_rows
        ts = T0 + serial * NS // TAGS
        return Batch.columns(serial % TAGS, ts, LEVELS[serial % len(LEVELS)])


feed = Feed(1e9, 1000, 0)


class FeedSource(Source[Empty]):
    """Reads the feed of this run."""

    Config = Empty

    async def connect(self) -> None:
        self._next_s = time.perf_counter()

    async def read(self) -> Reading:
        if feed.sent >= feed.rows_max:
            await asyncio.Event().wait()
        self._next_s = max(self._next_s + feed.every_s, time.perf_counter() - 1.0)
        wait_s = self._next_s - time.perf_counter()
        await asyncio.sleep(max(wait_s, 0.0))
        return Reading({"out": feed.batch()}, token=time.perf_counter())

    async def acknowledge(self, token: float) -> None:
        feed.latency_s.append(time.perf_counter() - token)


registry.LENT |= {"bench.source": FeedSource, "bench.rings": Rings}


FLOW = """flow: bench
version: 1
nodes:
  src: {type: bench.source}
  rings: {type: bench.rings}
wires: [src -> rings]
"""
CHAIN = """flow: bench
version: 1
durability: DURABILITY
nodes:
  src: {type: bench.source}
  rings: {type: bench.rings}
  dead: {type: filter.deadband, band: 0.05}
  window: {type: window.tumbling, size_s: 10}
  level: {type: feature.statistics, features: [mean, sd]}
  high: {type: alarm.limit, hi: 1000000}
wires:
  - src -> dead -> window -> level
  - src -> high
  - src -> rings
"""
"""What a line of a plant is asked: a dead band, windows with mean and deviation, a limit."""


def spread(values: list[float]) -> str:
    """p50, p99 and the largest, in ms."""
    if not values:
        return "none"
    p50, p99 = np.percentile(values, [50, 99]) * 1e3
    return f"{p50:.1f} / {p99:.1f} / {max(values) * 1e3:.1f} ms"


# ---------------------------------------------------------------- commits beside checkpoints


class Watched(ThreadExecutor):
    """Notes how long each piece of work had the writer's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.held_s: list[float] = []

    async def run(self, work: Callable[[], T]) -> T:
        def timed() -> T:
            began = time.perf_counter()
            try:
                return work()
            finally:
                self.held_s.append(time.perf_counter() - began)

        return await super().run(timed)


async def commits(folder: Path, seconds: float) -> list[Row]:
    """Ten commits a second of 1,000 samples, alone and beside checkpoints one after another."""
    executor = Watched()
    store = Store(folder / "commits.db", executor)
    await store.open()
    source = Feed(1e9, 1000, 0)
    numbers = itertools.count(1)
    taken: dict[bool, list[float]] = {True: [], False: []}
    checkpoints: list[float] = []
    is_beside = False
    rng = np.random.default_rng(1)

    async def commit_for(until_s: float) -> None:
        while time.perf_counter() < until_s:
            number = next(numbers)
            block = pack_inputs([("src", "out", source.batch())], T0)
            entry = Entry("bench", number, T0 + number * NS // 10, 1000, block)
            began = time.perf_counter()
            await store.commit(entry)
            taken[is_beside].append(time.perf_counter() - began)
            await asyncio.sleep(0.1)

    async def checkpoint_for(until_s: float) -> None:
        while time.perf_counter() < until_s:
            states = {"rings": {"value": rng.random((TAGS, RING))}}
            began = time.perf_counter()
            await store.save_snapshot(Checkpoint("bench", 0, T0, states, {"now": T0}))
            checkpoints.append(time.perf_counter() - began)
            await asyncio.sleep(0.05)

    await commit_for(time.perf_counter() + seconds)
    is_beside = True
    held = len(executor.held_s)
    end_s = time.perf_counter() + seconds
    await asyncio.gather(commit_for(end_s), checkpoint_for(end_s))
    held_s = executor.held_s[held:]
    await store.close()
    alone, beside = spread(taken[False]), spread(taken[True])
    more = np.percentile(taken[True], 99) - np.percentile(taken[False], 99)
    return [
        ("commit of 1,000 samples, p50 / p99 / max", alone, ""),
        ("the same beside checkpoints of 8 MB", beside, f"p99 + {more * 1e3:.1f} ms (≤ 20)"),
        ("one piece of work of the writer: slice, fold, commit", spread(held_s), "≤ 20 ms"),
        ("a checkpoint of 8 MB, all chunks changed", spread(checkpoints), ""),
    ]


# ---------------------------------------------------------------- a flow at the rated load


async def _stalls(gaps: list[float]) -> None:
    """How late a sleep of 5 ms ends."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.005)
        gaps.append(max(time.perf_counter() - before - 0.005, 0.0))


async def rated(folder: Path, seconds: float) -> list[Row]:
    """10,000 samples/s into rings, with a checkpoint every 2 s."""
    global feed
    feed = Feed(10_000, 500, int(10_000 * seconds))
    runtime = Runtime([Document.parse(FLOW)], folder, tags_max=2 * TAGS, checkpoint_s=2.0)
    await runtime.start()
    name_tags(runtime)
    await asyncio.sleep(2.0)
    feed.latency_s.clear()
    gaps: list[float] = []
    watch = asyncio.ensure_future(_stalls(gaps))
    while feed.sent < feed.rows_max:
        await asyncio.sleep(0.1)
    watch.cancel()
    done = rings_of(runtime).rows
    await runtime.stop()
    return [
        ("10,000 samples/s with checkpoints: source → durable", spread(feed.latency_s), "≤ 250 ms"),
        ("loop stall", spread(gaps), "p99 ≤ 20 ms"),
        ("rows through the flow", f"{done:,} of {feed.sent:,}", ""),
    ]


def rings_of(runtime: Runtime) -> Rings:
    node = runtime.runners["bench"].graph.transforms()["rings"]
    assert isinstance(node, Rings)
    return node


def name_tags(runtime: Runtime) -> None:
    for number in range(TAGS):
        runtime.tags.code(f"bench/tag{number}")


# ---------------------------------------------------------------- recovery


async def recovery(folder: Path) -> list[Row]:
    """A checkpoint of full rings, a minute of journal behind it, then the gateway is gone."""
    global feed
    feed = Feed(1e9, 1000, TAGS * RING)
    runtime = Runtime([Document.parse(FLOW)], folder, tags_max=2 * TAGS, checkpoint_s=3600.0)
    await runtime.start()
    name_tags(runtime)
    rings = rings_of(runtime)
    while rings.rows < feed.rows_max:
        await asyncio.sleep(0.01)
    await runtime.runners["bench"].checkpoint()
    feed.rows_max += 600_000
    for host in runtime.hosts.values():  # The source has ended its waiting for ever.
        await host.stop_reading(0.0)
    runner = runtime.runners["bench"]
    while feed.sent < feed.rows_max:
        await runner.inbox.put(Arrived("src", [("out", feed.batch())]), feed.batch_rows)
    while rings.rows < feed.rows_max:
        await asyncio.sleep(0.01)
    records = len(await runtime.store.journal("bench", 0, 10**6))
    for host in runtime.hosts.values():
        await host.stop()
    await runtime._tasks.stop()
    await runtime.store.close()  # Without a checkpoint: as after a kill.
    feed = Feed(1e9, 1000, 1000)
    began = time.perf_counter()
    runtime = Runtime([Document.parse(FLOW)], folder, tags_max=2 * TAGS, checkpoint_s=3600.0)
    await runtime.start()
    restored = time.perf_counter() - began
    rings = rings_of(runtime)
    before = rings.rows
    while rings.rows == before:
        await asyncio.sleep(0.001)
    first = time.perf_counter() - began
    await runtime.stop()
    return [
        ("recovery, 600,000 samples to replay", f"{restored:.2f} s", f"{records} records kept"),
        ("recovery to the first processed sample", f"{first:.2f} s", "≤ 3 s"),
    ]


# ---------------------------------------------------------------- throughput

WARM_ROWS = 304_000
"""Rows before the clock starts: to store 10,000 names is a cost, but not of a sample."""
READINGS = {1_000: 9, 8_000: 5, 100: 3}
"""Rows of a reading, and how many pairs. Without a journal each reading is a step of its own, with
one those that wait are one step: so what the journal costs depends on what a step costs, and
readings of one size would tell half of it. The goal is that of the first."""
CALM_S = 0.3  # Between two turns, so that neither pays for what the other left to the disk.


async def _throughput(folder: Path, durability: str, reading: int, rows: int) -> float:
    """Samples per second that come out of the flow once it is warm; safe before, if journalled."""
    global feed
    folder.mkdir()
    feed = Feed(1e9, reading, WARM_ROWS + rows)
    document = Document.parse(CHAIN.replace("DURABILITY", durability))
    runtime = Runtime([document], folder, tags_max=2 * TAGS, checkpoint_s=3600.0)
    await runtime.start()
    name_tags(runtime)
    rings = rings_of(runtime)
    while rings.rows < feed.rows_max:
        await asyncio.sleep(0.005)
    await runtime.stop()
    (first, began_s), (last, ended_s) = (
        next(mark for mark in rings.marks if mark[0] >= wanted)
        for wanted in (WARM_ROWS, feed.rows_max)
    )
    return (last - first) / (ended_s - began_s)


async def throughput(folder: Path, rows: int) -> list[Row]:
    """As fast as it goes, with the journal and without.

    Both in turn and each first as often as the other: what the machine does beside falls on
    both. The cost is the median of the pairs, since the best of each may be of different times.
    """
    found: list[Row] = []
    for reading, turns in READINGS.items():
        memory, journal, costs = await _pairs(folder / str(reading), reading, rows, turns)
        low, cost, high = np.percentile(costs, [25, 50, 75])
        goal = "" if found else " (≤ 25 %)"
        told = f"cost {cost:.0%}{goal}, half of the pairs {low:.0%} to {high:.0%}"
        found += [
            (f"samples/s in readings of {reading:,}, durability: memory", f"{memory:,.0f}", ""),
            ("the same, durability: journal", f"{journal:,.0f}", told),
        ]
    return found


async def _pairs(
    folder: Path, reading: int, rows: int, turns: int
) -> tuple[float, float, list[float]]:
    """Medians of samples/s without and with the journal, and the cost in each pair of runs."""
    folder.mkdir()
    rows = min(rows, 2_000 * reading)
    names = ("memory", "journal")
    speeds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(turns):
        for durability in names if turn % 2 else reversed(names):
            gc.collect()
            speed = await _throughput(folder / f"{durability}{turn}", durability, reading, rows)
            speeds[durability].append(speed)
            await asyncio.sleep(CALM_S)
    costs = [1 - journal / memory for memory, journal in zip(*speeds.values(), strict=True)]
    memory, journal = (float(np.median(speeds[name])) for name in names)
    return memory, journal, costs


def main(parts: Sequence[str] = (), seconds: float = 8.0, rows: int = 1_000_000) -> list[Row]:
    """(what, measured, wanted) rows of some parts, or of all."""
    found: list[Row] = []
    known: dict[str, Callable[[Path], Coroutine[Any, Any, list[Row]]]] = {
        "commits": lambda folder: commits(folder, seconds),
        "rated": lambda folder: rated(folder, 2.5 * seconds),
        "recovery": recovery,
        "throughput": lambda folder: throughput(folder, rows),
    }
    for part in parts or known:
        with tempfile.TemporaryDirectory() as name:

            async def measured(part: str = part, name: str = name) -> int:
                found.extend(await known[part](Path(name)))
                return 0

            run_loop(measured())
        gc.collect()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*found, ("memory at most", f"{peak:.0f} MB", "")]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What durability costs.")
    parser.add_argument("parts", nargs="*", help="commits, rated, recovery, throughput; or all")
    for row in main(parser.parse_args().parts):
        print(*row, sep=" | ")
