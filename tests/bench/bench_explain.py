"""Explanations: the whole way from an alarm to its text, and what the event loop feels of it.

A gateway with 200 tags at five samples a second and ten minutes of history raises alarms, one
after the other and ten at once. Beside the explainer the loop is watched; the same watch on the
same gateway while nothing is explained is the baseline.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway import Reading
from gateway.data.batch import Batch
from gateway.engine.explain import ExplainOptions
from gateway.engine.history import HistoryLimits
from gateway.engine.runtime import Runtime
from tests.engine.gear import Script, flow, lent, until

TAGS = 200
MINUTES = 10
ALARMS = 20
FLOW = flow(
    "src: {type: script.source}\nhigh: {type: alarm.limit, hi: 75, deadband: 5}", "src -> high"
)


class Watch:
    """How late the loop is, measured every five milliseconds."""

    def __init__(self) -> None:
        self.late: list[float] = []

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            self.late.append(loop.time() - before - 0.005)

    def text(self) -> str:
        late = np.array(self.late) * 1e3
        p50, p99 = np.percentile(late, [50, 99])
        return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {late.max():.1f} ms ({len(late)} looks)"


def samples(runtime: Runtime, start: int, seconds: float, high: set[int]) -> Batch:
    """Five samples a second of every tag; some rise above their limit."""
    rng = np.random.default_rng(start % 1000)
    steps = round(seconds * 5)
    codes = np.array([runtime.tags.code(name(i)) for i in range(TAGS)], np.uint16)
    t = np.repeat(np.arange(steps), TAGS)
    value = 50 + rng.normal(0, 0.3, steps * TAGS)
    lifted = np.isin(np.tile(np.arange(TAGS), steps), list(high))
    value += np.where(lifted, np.minimum(t / 2.0, 40.0), 0.0)
    ts = start + t * 200_000_000
    return Batch(np.tile(codes, steps), ts, value, np.zeros(steps * TAGS, np.uint32))


def name(i: int) -> str:
    return f"plant/press{i // 20}/unit{i % 20}/temperature"


async def main() -> None:
    deadline_s = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with lent(Script()) as script, tempfile.TemporaryDirectory() as folder:
        options = ExplainOptions(deadline_s=deadline_s)
        runtime = Runtime([FLOW], Path(folder), history=HistoryLimits(), explain=options)
        await runtime.start()
        await _fill(runtime, script)
        idle = Watch()
        task = asyncio.ensure_future(idle.run())
        await asyncio.sleep(5)
        task.cancel()
        print(f"  event loop, nothing to explain   {idle.text()}")
        await _singly(runtime, script)
        await _at_once(runtime, script)
        await runtime.stop()


async def _fill(runtime: Runtime, script: Script) -> None:
    now = time.time_ns()
    for back in range(MINUTES * 6, 0, -1):
        await _read(runtime, script, samples(runtime, now - back * 10 * 10**9, 10, set()))


async def _read(runtime: Runtime, script: Script, batch: Batch) -> None:
    token = object()
    await script.readings.put(Reading({"out": batch}, token=token))
    await until(lambda: token in script.acknowledged, 60)


async def _singly(runtime: Runtime, script: Script) -> None:
    explainer: Any = runtime.explainer
    watch = Watch()
    task = asyncio.ensure_future(watch.run())
    whole: list[float] = []
    for number in range(ALARMS):
        before = explainer.counts["explained"]
        began = time.perf_counter()
        # A line of its own each, so that each is an incident.
        await _read(runtime, script, _one(runtime, number % 10 * 20 + number // 10))
        await until(lambda known=before: explainer.counts["explained"] > known, 60)
        await until(lambda: not explainer.waiting and not explainer.desk.waiting, 60)
        await until(lambda: explainer.desk._now is None and not explainer.desk._jobs, 60)
        whole.append(time.perf_counter() - began)
    task.cancel()
    _tell("one alarm", explainer, whole, watch)


def _one(runtime: Runtime, tag: int) -> Batch:
    rows = samples(runtime, time.time_ns() - 60 * 10**9, 60, {tag})
    return rows.where(rows.tag == runtime.tags.code(name(tag)))


async def _at_once(runtime: Runtime, script: Script) -> None:
    explainer: Any = runtime.explainer
    explainer.took.clear()
    watch = Watch()
    task = asyncio.ensure_future(watch.run())
    began = time.perf_counter()
    high = {line * 20 + 19 for line in range(10)}
    rows = samples(runtime, time.time_ns() - 60 * 10**9, 60, high)
    await _read(
        runtime, script, rows.where(np.isin(rows.tag, [runtime.tags.code(name(i)) for i in high]))
    )
    await asyncio.sleep(0.5)
    await until(lambda: not explainer.waiting and not explainer.desk._jobs, 120)
    task.cancel()
    _tell("ten alarms at once", explainer, [time.perf_counter() - began], watch)


def _tell(what: str, explainer: Any, whole: list[float], watch: Watch) -> None:
    took = np.array(explainer.took)
    p50, p95 = np.percentile(took, [50, 95])
    print(f"  {what}: to the template's text p50 {p50:.2f} s, p95 {p95:.2f} s ({len(took)})")
    print(f"  {what}: to the last text       p50 {np.median(whole):.2f} s, max {max(whole):.2f} s")
    print(f"  event loop meanwhile             {watch.text()}")
    print(f"  {explainer.figures()['counts']}")


if __name__ == "__main__":
    asyncio.run(main())
