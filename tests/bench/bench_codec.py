"""What a step costs in the journal: bytes and time a sample, against the form of before.

Run it: ``python tests/bench/bench_codec.py``. Both forms are timed in turn in one run, in CPU
time, best of several parts, because this machine is shared: read the ratios. The form of before
is written here as it was, since the product can only read it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway.data.batch import Batch
from gateway.engine import codec

S = 1_000_000_000
NOW = 1_764_132_069_999_999_999
ROWS = (1, 10, 100, 2_000, 10_000)
PARTS = 5
PART_S = 0.05


def scan(values: Any, late_ns: Any) -> Batch:
    """Every tag once, in turn."""
    n = len(values)
    return Batch.columns(np.arange(n) % 10_000, NOW - late_ns, values).freeze()


def plants(n: int) -> dict[str, Batch]:
    """What kinds of plants send: the same number of rows, of values of different origin."""
    random = np.random.default_rng(n)
    level = random.normal(20, 1, n)
    late = np.full(n, 3_456_789)
    origin = np.arange(n) % 3
    single = level.astype(np.float32)
    mixed = np.where(origin == 0, np.round(level, 2), np.where(origin == 1, single, level))
    return {
        "doubles of full noise": scan(level, late),
        "doubles, each with its own time": scan(level, random.integers(0, S, n)),
        "floats of 32 bits": scan(single, late),
        "integers times 0.01": scan(np.rint(level * 100) * 0.01, late),
        "a third of each": scan(mixed, late),
    }


def pack_before(batch: Batch) -> bytes:
    """The form of before: a JSON header, the columns as they are, zlib 1."""
    columns = {"tag": batch.tag, "ts": batch.ts, "value": batch.value, "quality": batch.quality}
    item = {"node": "source", "port": "out", "kind": "samples"}
    arrays = {f"0.{name}": column for name, column in columns.items()}
    return codec.pack({"now": NOW, "items": [item]}, arrays)


def pack_now(batch: Batch) -> bytes:
    """The form of today."""
    return codec.pack_inputs([("source", "out", batch)], NOW)


def best(first: Callable[[], Any], second: Callable[[], Any]) -> tuple[float, float]:
    """CPU seconds of one call of each, timed in turn; the best of all parts."""
    found = [float("inf"), float("inf")]
    for _ in range(PARTS):
        for index, call in enumerate((first, second)):
            calls, begin = 0, time.process_time()
            while (spent := time.process_time() - begin) < PART_S:
                call()
                calls += 1
            found[index] = min(found[index], spent / calls)
    return found[0], found[1]


def main() -> None:
    """Print the table."""
    head = f"{'bytes':>8}{'before':>8}{'pack, ns':>11}{'ratio':>7}{'unpack, ns':>12}{'ratio':>7}"
    print(f"{'a sample, in blocks of one batch':34}{'rows':>7}{head}")
    for n in ROWS:
        for name, batch in plants(n).items():
            old, new = pack_before(batch), pack_now(batch)
            assert codec.unpack_inputs(new)[0][0][2].value.tobytes() == batch.value.tobytes()
            before, today = best(lambda b=batch: pack_before(b), lambda b=batch: pack_now(b))
            read_before, read = best(
                lambda b=old: codec.unpack_inputs(b), lambda b=new: codec.unpack_inputs(b)
            )
            print(
                f"{name:34}{n:7,}{len(new) / n:8.2f}{len(old) / n:8.2f}"
                f"{today / n * 1e9:11,.0f}{today / before:7.2f}"
                f"{read / n * 1e9:12,.0f}{read / read_before:7.2f}"
            )
    second(10_000)


def second(tags: int) -> None:
    """One second of a plant, in steps of the size that the runner takes at most."""
    random = np.random.default_rng(9)
    values = {"doubles of full noise": random.normal(20, 1, tags)}
    values["floats of 32 bits"] = values["doubles of full noise"].astype(np.float32)
    print(f"\n{tags:,} tags at 1 Hz, CPU of one core and bytes a sample")
    for name, column in values.items():
        batch = scan(column, np.full(tags, 3_456_789))
        steps = [batch.where(slice(at, at + 8_192)) for at in range(0, tags, 8_192)]
        before, today = best(
            lambda s=steps: [pack_before(step) for step in s],
            lambda s=steps: [pack_now(step) for step in s],
        )
        size = sum(len(pack_now(step)) for step in steps) / tags
        print(f"{name:34}{today:8.2%} (before {before:.2%}) {size:6.2f} bytes")


if __name__ == "__main__":
    main()
