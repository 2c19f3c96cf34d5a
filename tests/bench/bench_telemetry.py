"""What tracing costs a step of the five-node chain: off, and with 1 % and all batches drawn.

Run it: ``python tests/bench/bench_telemetry.py``. The three are measured in turn, part by part, in
one run, by the processor's time, in an order that changes; told is the median of the ratios to
the part that was off beside it, as the machine is shared.
One row a batch is the dearest case, as every step is then short.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway.data.batch import Batch
from gateway.engine.arrived import Arrived
from gateway.engine.clock import SystemClock
from gateway.engine.runtime import Runtime
from gateway.engine.spans import Spans
from gateway.flow.document import Document
from tests.bench.bench_chain import FLOW, START, S

PARTS = 160
STEPS = 400
TEXT = FLOW.replace("version: 1\n", "version: 1\ndurability: memory\n")
"""Nothing is journalled: a disk would hide what is measured."""


async def part(runtime: Runtime, rows: int, first: int) -> float:
    """Seconds from a batch in the inbox to the end of its step, of one part."""
    runner = runtime.runners["bench"]
    steps = max(STEPS // rows, 20)
    made = []
    for number in range(first, first + steps):
        ts = np.full(rows, START + number * S // 100)
        tag = (np.arange(rows) % 10).astype(np.uint16)
        batch = Batch.columns(tag, ts, np.full(rows, number % 7.0)).freeze()
        made.append([Arrived("source", [("out", batch)])])
    begin = time.thread_time()
    for entries in made:
        await runner._serve(entries, ahead=False)
    return (time.thread_time() - begin) / steps


async def measure(rows: int) -> dict[str, float]:
    """Seconds a step off, then ratios to it: 1 %, all, and off once more, which tells the noise."""
    ways = {"off": None, "0.01": 0.01, "1": 1.0, "again": None}
    took: dict[str, list[float]] = {name: [] for name in ways}
    running: dict[str, Runtime] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, ratio in ways.items():
            clock = SystemClock()
            spans = None if ratio is None else Spans(ratio, clock)
            runtime = Runtime([Document.parse(TEXT)], Path(folder) / name, clock=clock, spans=spans)
            await runtime.start()
            for number in range(10):
                runtime.tags.code(f"tag{number}")
            running[name] = runtime
        for number in range(PARTS):
            order = list(running)
            for name in order[number % 4 :] + order[: number % 4]:
                took[name].append(await part(running[name], rows, 1_000_000 + number * STEPS))
        for runtime in running.values():
            await runtime.stop()
    off = took["off"][1:]  # The first part warms up.
    ratios = {
        name: median(one / other for one, other in zip(times[1:], off, strict=True))
        for name, times in took.items()
    }
    return {**ratios, "off": min(off)}


def main() -> None:
    """Print the table."""
    print("rows a batch   off, µs a step    off again    1 % drawn    all drawn")
    for rows in (1, 512):
        found = asyncio.run(measure(rows))
        told = "".join(f"{found[way]:>12.3f}x" for way in ("again", "0.01", "1"))
        print(f"{rows:>12,} {found['off'] * 1e6:>16.1f}{told}", flush=True)


if __name__ == "__main__":
    main()
