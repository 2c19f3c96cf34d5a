"""What the stateful chain costs: ns a row in batches, µs for a batch of one.

Run it: ``python tests/bench/bench_engine.py``. Each figure is the best of several parts of one
run, so that a busy neighbour does not count; state is warm, windows close all the time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway import Batch, Message, TagTable
from gateway.flow.harness import BenchContext, make
from nodes.filter.deadband import Deadband
from nodes.window.count import Count
from nodes.window.hopping import Hopping
from nodes.window.session import Session
from nodes.window.sliding import Sliding
from nodes.window.state import State
from nodes.window.tumbling import Tumbling

S = 1_000_000_000
START = 1_000_000_000 * S
BATCH_ROWS = 4096
TAGS = (10, 100, 1000, 10_000)
WINDOW_S = 30
CHAIN: tuple[tuple[Any, Mapping[str, Any]], ...] = (
    (Deadband, {"band": 0.001}),
    (Tumbling, {"size_s": WINDOW_S}),
)
WINDOWS: tuple[tuple[Any, Mapping[str, Any]], ...] = (
    (Tumbling, {"size_s": WINDOW_S}),
    (Hopping, {"size_s": WINDOW_S, "hop_s": 10}),
    (Sliding, {"size_s": WINDOW_S, "every_s": 10}),
    (Session, {"gap_s": 5, "max_s": WINDOW_S}),
    (Count, {"size": 100}),
    (State, {"when": "above", "value": 0}),
)


def batches(tags: int, rows: int, count: int) -> Iterator[Batch]:
    """Every tag once a second, in turn; values that always move."""
    for number in range(count):
        serial = np.arange(number * rows, (number + 1) * rows)
        ts = START + serial * S // tags
        yield Batch.columns(serial % tags, ts, np.sin(serial * 0.7)).freeze()


def chain(parts: tuple[tuple[Any, Mapping[str, Any]], ...], tags: int) -> list[Any]:
    """The nodes, on one context whose table knows the tags."""
    ctx = BenchContext(tags=TagTable(20_000))
    for number in range(tags):
        ctx.tags.code(f"tag{number}")
    return [make(cls, config, ctx) for cls, config in parts]


def measure(parts: tuple[tuple[Any, Mapping[str, Any]], ...], tags: int, rows: int) -> list[float]:
    """Seconds a row of each node, best of five parts, after two windows of warming up."""
    nodes = chain(parts, tags)
    warm = max(20, 2 * WINDOW_S * tags // rows + 1) if rows > 1 else 2000
    part = max(40, (WINDOW_S + 5) * tags // rows + 1) if rows > 1 else 2000
    spent = np.zeros((5, len(nodes)))
    for number, batch in enumerate(batches(tags, rows, warm + 5 * part)):
        now = int(batch.ts[-1])
        message: Message | None = batch
        for index, node in enumerate(nodes):
            node.ctx.now = now
            begin = time.perf_counter()
            out = node.process(message, "in")
            node.wake_at()
            took = time.perf_counter() - begin
            if number >= warm:
                spent[(number - warm) // part, index] += took
            message = out.get("out")
            if message is None:
                break
    best: list[float] = (spent.min(axis=0) / (part * rows)).tolist()
    return best


def main() -> None:
    """Print the table."""
    names = [cls.__name__.lower() for cls, _ in CHAIN]
    print(f"{'chain, ns a row in batches of 4,096':44}" + "".join(f"{name:>12}" for name in names))
    for tags in TAGS:
        cost = measure(CHAIN, tags, BATCH_ROWS)
        print(f"{tags:>12,} tags{'':27}" + "".join(f"{x * 1e9:12.0f}" for x in cost))
    cost = measure(CHAIN, 100, 1)
    print(f"{'batch of one, µs':44}" + "".join(f"{x * 1e6:12.1f}" for x in cost))
    print()
    heads = "".join(f"{tags:>9,}" for tags in TAGS)
    print(f"{'windows, ns a row (tags →)':30}{heads}{'one, µs':>12}")
    for part in WINDOWS:
        rows = "".join(f"{measure((part,), tags, BATCH_ROWS)[0] * 1e9:9.0f}" for tags in TAGS)
        one = measure((part,), 100, 1)[0] * 1e6
        print(f"{part[0].__name__.lower():30}{rows}{one:12.1f}")


if __name__ == "__main__":
    main()
