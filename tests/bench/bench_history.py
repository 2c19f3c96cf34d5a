"""What history costs, and how fast trends are read from it.

Run it: ``python tests/bench/bench_history.py``. CPU time is that of the thread at work; how late
an event loop in the same process is called while tags are cut says what others notice.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway.data.batch import Batch
from gateway.data.downsample import DAY_NS
from gateway.data.tag import TagTable
from gateway.engine.executor import ThreadExecutor
from gateway.engine.history_query import trends
from gateway.engine.history_recorder import Recorder
from gateway.engine.store_history import DayFile

NS = 10**9
T0 = 1_764_000_000 * NS // DAY_NS * DAY_NS
TAGS = 1_000
SECONDS = 1_800
MONTH_TAGS = 5


def plants(n: int) -> dict[str, Any]:
    """How values are made from a level, by the kind of plant."""
    kind = np.arange(n) % 3
    return {
        "decimals, one time a scan": lambda v: np.round(v, 2),
        "a third decimals, floats, doubles": lambda v: np.where(
            kind == 0, np.round(v, 2), np.where(kind == 1, v.astype(np.float32), v)
        ),
    }


def scans(tags: TagTable, shape: Any, seconds: int, late: bool) -> list[Batch]:
    """Samples of all tags once a second; `late` gives each a time of its own."""
    random = np.random.default_rng(1)
    codes = np.array([tags.code(f"plant/line/{i}/level") for i in range(TAGS)], np.uint16)
    level = 20 + random.normal(0, 1, TAGS)
    found = []
    for second in range(seconds):
        level += random.normal(0, 0.05, TAGS)
        ts = np.full(TAGS, T0 + second * NS)
        if late:
            ts += random.integers(0, 50_000, TAGS) * 1_000
        found.append(Batch.columns(codes, ts, shape(level)))
    return found


def record(folder: Path, name: str, shape: Any, late: bool) -> None:
    """Half an hour of a plant, as fast as it goes."""
    tags = TagTable()
    batches = scans(tags, shape, SECONDS, late)
    recorder = Recorder(folder, tags)
    began = time.process_time()
    for second, batch in enumerate(batches):
        recorder.take(batch)
        if second % 3 == 2:
            recorder.flush(T0 + second * NS)
        if second % 600 == 599:
            recorder.begin_cut()
            while recorder.cut_some():
                pass
    share = (time.process_time() - began) / SECONDS
    recorder.days.close_all()
    size = recorder.days.bytes() / SECONDS * 86_400 / 1e6
    print(f"{name:36} {share:6.2%} of a core  {size:6.0f} MB a day")


def taken() -> None:
    """What the event loop pays."""
    tags = TagTable()
    recorder = Recorder(Path("unused"), tags)
    for rows in (1, 1_000):
        batch = Batch.columns(np.zeros(rows, np.uint16), np.zeros(rows, np.int64), np.ones(rows))
        began = time.process_time()
        for _ in range(100_000 // rows):
            recorder.take(batch)
        cost = (time.process_time() - began) / (100_000 // rows) * 1e9
        print(f"taking a message of {rows:5,} rows          {cost:6.0f} ns on the event loop")


async def tick(late: list[float], ended: asyncio.Event) -> None:
    """Note how much later than asked the event loop comes back [s]."""
    while not ended.is_set():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append(time.perf_counter() - began - 0.001)


async def lag(folder: Path) -> None:
    """How late the event loop is while 600,000 rows are cut on the other thread."""
    tags = TagTable()
    recorder = Recorder(folder, tags)
    for batch in scans(tags, lambda v: v, 600, late=True):
        recorder.take(batch)
        if recorder.waiting_rows > 100_000:
            recorder.flush(T0)
    recorder.flush(T0)
    pool = ThreadExecutor("bench")
    for is_busy in (False, True):
        late: list[float] = []
        ended = asyncio.Event()
        ticking = asyncio.ensure_future(tick(late, ended))
        if is_busy:
            await pool.run(recorder.begin_cut)
            while await pool.run(recorder.cut_some):
                await asyncio.sleep(0.005)
        else:
            await asyncio.sleep(0.5)
        ended.set()
        await ticking
        p99 = np.percentile(late, 99) * 1e3
        what = "while 1,000 tags are cut" if is_busy else "at rest"
        print(f"event loop late {what:26} p99 {p99:5.1f} ms, most {max(late) * 1e3:5.1f} ms")
    recorder.days.close_all()
    pool.close()


def month(folder: Path) -> None:
    """Thirty days of a few tags once a second, and trends over them."""
    random = np.random.default_rng(2)
    recorder = Recorder(folder, TagTable())
    folder.mkdir(parents=True)
    names = [f"t{i}" for i in range(MONTH_TAGS)]
    for day in range(30):
        file = DayFile(recorder.days.path(T0 // DAY_NS + day))
        for block in range(144):
            ts = T0 + day * DAY_NS + (block * 600 + np.arange(600)) * NS
            value = np.round(20 + np.cumsum(random.normal(0, 0.05, 600)), 2)
            rows = Batch.columns(np.zeros(600, np.uint16), ts, value)
            file.add_blocks([(name, rows) for name in names])
        file.close()
    for what, wanted, span_s, points in (
        ("30 days of a tag, 800 points", names[:1], 30 * 86_400, 800),
        (f"30 days of {MONTH_TAGS} tags, 800 points", names, 30 * 86_400, 800),
        ("100,000 samples of a tag, 2,000 points", names[:1], 100_000, 2_000),
        ("an hour of a tag, 800 points", names[:1], 3_600, 800),
    ):
        best = 1e9
        for _ in range(3):
            began = time.perf_counter()
            found, _, _ = trends(recorder, wanted, T0, T0 + span_s * NS, points)
            best = min(best, time.perf_counter() - began)
        print(f"{what:40} {best * 1e3:6.1f} ms, {len(found['t0'].spans)} points")


def main() -> None:
    """All of it."""
    folder = Path(tempfile.mkdtemp(prefix="genba-bench-"))
    try:
        for i, (name, shape) in enumerate(plants(TAGS).items()):
            record(folder / str(i), name, shape, late=i > 0)
        taken()
        asyncio.run(lag(folder / "lag"))
        month(folder / "month")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
