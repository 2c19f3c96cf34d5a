"""How long a replay of a day takes: 1,000 tags at 1 Hz, ten records a second of 100 rows each.

Run it: ``python tests/bench/bench_replay.py [minutes]``. It records some minutes, replays them from
the file, and scales to 24 h. The baseline, in the same run, is what cannot be saved: the steps of
the flow alone, on input that is unpacked already.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway.data.batch import Batch
from gateway.data.tag import TagTable
from gateway.engine.codec import pack_inputs, unpack_inputs
from gateway.engine.graph import Graph
from gateway.engine.replay import Steps
from gateway.engine.replay_beside import Beside, Recorded
from gateway.engine.replay_run import check_edit, check_live
from gateway.engine.shadow import Shadow
from gateway.engine.store import Entry, Store
from gateway.engine.store_read import StateReader
from gateway.flow.document import Document

S = 1_000_000_000
T0 = 1_700_000_000 * S
TAGS, RECORDS_S, DAY_S = 1_000, 10, 86_400
ROWS = TAGS // RECORDS_S
FLOW = """flow: bench
version: 1
nodes:
  source: {type: test.inject, rows: "a 0s 1"}
  dead: {type: filter.deadband, band: 0.5}
  window: {type: window.tumbling, size_s: 10}
  level: {type: feature.statistics}
  odd: {type: detect.sigma, min_rows: 5}
  high: {type: alarm.limit, hi: 54}
  store: {type: sqlite.sink, folder: history}
wires:
  - source -> dead -> window -> level -> odd
  - level -> high
  - level -> store
"""
EDITED = FLOW.replace("band: 0.5", "band: 0.6")


def blocks(seconds: int) -> Iterator[tuple[int, bytes]]:
    """(time, block) of every record; values of which two thirds pass the deadband."""
    random = np.random.default_rng(1)
    for number in range(seconds * RECORDS_S):
        now = T0 + number * S // RECORDS_S
        tag = np.arange(ROWS) + number % RECORDS_S * ROWS
        ts = now - 20_000_000 + np.arange(ROWS) * 1_000
        batch = Batch.columns(tag, ts, 50 + random.normal(0, 1, ROWS))
        yield now, pack_inputs([("source", "out", batch)], now)


def table(limit: int) -> TagTable:
    """The tags of the plant."""
    tags = TagTable(limit)
    for number in range(TAGS):
        tags.code(f"hall/line{number // 100}/unit{number % 100}/temperature")
    return tags


async def record(path: Path, seconds: int) -> int:
    """Write the journal as the gateway does; returns its bytes."""
    store = Store(path)
    await store.open()
    tags = dict(enumerate(table(20_000)))
    await store.commit(Entry("bench", 0, T0, tags=tags))
    entries = [Entry("bench", n + 1, ts, ROWS, b) for n, (ts, b) in enumerate(blocks(seconds))]
    await asyncio.gather(*(store.commit(entry) for entry in entries))
    await store.close()
    return sum(len(entry.block or b"") for entry in entries)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds a piece of work takes, and seconds of this process's own work in it.

    On a machine that others use as well the second is the true one.
    """
    begin = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


def steps_alone(reader: StateReader) -> tuple[float, float]:
    """Seconds for the steps of the flow, and for nothing else."""
    flow = Graph(Document.parse(FLOW), reader.tags(20_000))
    inputs = [unpack_inputs(block) for _, block in reader.records("bench", 1)]
    return timed(lambda: [flow.step(some, now) for some, now in inputs])


def main() -> None:
    """Print the table."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    seconds = round(minutes * 60)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "genba.db"
        size = asyncio.run(record(path, seconds))
        recorded = Recorded(
            state=str(path),
            flow="bench",
            text=Document.parse(FLOW).text(),
            first=1,
            start=T0,
            end=T0 + seconds * S,
            follows=False,
            watch=(),
            tags_max=20_000,
            from_checkpoint=False,
            is_fresh=False,
        )
        with StateReader(path) as reader:
            run(reader, recorded, seconds, size)


def run(reader: StateReader, recorded: Recorded, seconds: int, size: int) -> None:
    """Measure every way to replay."""
    rows = seconds * TAGS
    print(f"{rows:,} rows in {seconds * RECORDS_S:,} records, {size / rows:.1f} bytes a row")
    alone = steps_alone(reader)
    digests = []

    def live() -> None:
        steps = Steps(reader.records("bench", 1))
        digests.append(check_live(steps, recorded.player(reader), [], recorded.span).ledger.digest)

    def against(flow: str, *, beside: bool) -> None:
        player = recorded.player(reader)
        shadow = Shadow(Document.parse(flow), player.tags, settle_ns=None, newest=False)
        steps = Steps(reader.records("bench", 1))
        if beside:
            with Beside(recorded, shadow.compared.ids, steps) as other:
                check_edit(steps, other.step, shadow, recorded.span)
                other.verify()
        else:
            check_edit(steps, player.step, shadow, recorded.span)
        assert not shadow.disabled, shadow.disabled
        digests.append(shadow.compared.ledgers[0].digest)

    print(f"{'':42}{'times the':>12}{'a day, s':>11}{'a day, s of':>13}")
    print(f"{'':42}{'steps alone':>12}{'':11}{'own CPU':>13}")
    for name, (spent, worked) in (
        ("the steps of the flow alone", alone),
        ("replay", timed(live)),
        ("replay, once more", timed(live)),
        ("against an edited flow, two processes", timed(lambda: against(EDITED, beside=True))),
        ("against an edited flow, one process", timed(lambda: against(EDITED, beside=False))),
        ("against itself, two processes", timed(lambda: against(FLOW, beside=True))),
    ):
        a_day = DAY_S / seconds
        ratio = worked / alone[1]
        print(f"{name:42}{ratio:>12.2f}{spent * a_day:>11.0f}{worked * a_day:>13.0f}")
    assert len(set(digests)) == 1, "every replay of the recorded flow gives the same"
    print(f"All gave the same hash, {digests[0]}.")


if __name__ == "__main__":
    main()
