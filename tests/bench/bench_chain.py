"""The five-node chain as a flow: deadband -> tumbling -> statistics -> sigma -> limit.

Run it: ``python tests/bench/bench_chain.py``. Best of several parts of one run; windows close
all the time. The baseline is the same work a message at a time with Python objects, in the same
run, because this machine is shared and absolute figures are noise.
"""

from __future__ import annotations

import math
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway.data.batch import Batch
from gateway.data.tag import TagTable
from gateway.engine.graph import Graph
from gateway.flow.document import Document

S = 1_000_000_000
START = 1_000_000_000 * S
BATCH_ROWS = 4096
ROWS_S = 40_960  # A batch every 0.1 s of event time, whatever the number of tags.
FLOW = """flow: bench
version: 1
nodes:
  source: {type: test.inject, rows: "a 0s 1"}
  dead: {type: filter.deadband, band: 0.5}
  window: {type: window.tumbling, size_s: 10}
  level: {type: feature.statistics}
  odd: {type: detect.sigma, min_rows: 5}
  high: {type: alarm.limit, hi: 1000}
wires: [source -> dead -> window -> level -> odd -> high]
"""


def graph(tags: int) -> Graph:
    """The flow, with its tags known."""
    table = TagTable(60_000)
    for number in range(tags):
        table.code(f"tag{number}")
    return Graph(Document.parse(FLOW), table)


def batches(tags: int, rows: int, count: int) -> list[Batch]:
    """ROWS_S rows a second over all tags, in turn; about 70 % of them pass the deadband."""
    random = np.random.default_rng(1)
    made = []
    for number in range(count):
        serial = np.arange(number * rows, (number + 1) * rows)
        ts = START + serial * S // ROWS_S
        made.append(Batch.columns(serial % tags, ts, random.normal(0, 1, rows)).freeze())
    return made


def measure(tags: int, rows: int) -> float:
    """Seconds a row, best of five parts."""
    flow = graph(tags)
    part = 200  # Two windows of 10 s, and what closes with them.
    best = math.inf
    made = batches(tags, rows, 6 * part)
    for number in range(6):
        begin = time.perf_counter()
        for batch in made[number * part : (number + 1) * part]:
            flow.step((("source", "out", batch),), int(batch.ts[-1]))
        if number:
            best = min(best, (time.perf_counter() - begin) / (part * rows))
    return best


def single(every_s: float) -> float:
    """Seconds for one row of one tag, with `every_s` of event time between rows; the median."""
    flow = graph(1)
    took = []
    for number in range(4000):
        ts = np.array([START + round(number * every_s * S)])
        batch = Batch.columns(np.zeros(1, np.uint16), ts, np.array([number % 7.0])).freeze()
        begin = time.perf_counter()
        flow.step((("source", "out", batch),), int(ts[0]))
        took.append(time.perf_counter() - begin)
    return float(np.median(took))


def baseline(tags: int, rows: int) -> float:
    """The deadband and the window's mean and sd a message at a time; seconds a row."""
    last: dict[int, float] = {}
    windows: dict[int, list[float]] = defaultdict(list)
    ends: dict[int, int] = {}
    listed = [row for batch in batches(tags, rows, 60) for row in batch.rows()]
    begin = time.perf_counter()
    for tag, ts, value, _ in listed:
        before = last.get(tag)
        if before is not None and abs(value - before) <= 0.5:
            continue
        last[tag] = value
        end = ends.setdefault(tag, ts - ts % (10 * S) + 10 * S)
        if ts >= end:
            window = windows[tag]
            mean = sum(window) / len(window) if window else math.nan
            math.sqrt(sum((x - mean) ** 2 for x in window) / max(len(window) - 1, 1))
            windows[tag] = []
            ends[tag] = ts - ts % (10 * S) + 10 * S
        windows[tag].append(value)
    return (time.perf_counter() - begin) / len(listed)


def main() -> None:
    """Print the table."""
    print("tags       rows/s    ns a row    a message at a time (two of the five nodes), ns a row")
    for tags in (10, 100, 1_000, 10_000):
        ours, theirs = measure(tags, BATCH_ROWS), baseline(tags, BATCH_ROWS)
        print(f"{tags:>6,} {1 / ours:>12,.0f} {ours * 1e9:>10.0f} {theirs * 1e9:>10.0f}")
    print(f"a batch of one that closes no window: {single(0.01) * 1e6:.0f} µs")
    print(f"a batch of one that closes a window, through all five nodes: {single(10) * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
