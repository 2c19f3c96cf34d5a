"""Explanations: the whole way from an alarm to its text, and what the event loop feels of it.

A gateway with 200 tags at five samples a second and ten minutes of history raises alarms, one
after the other and ten at once. Who writes is said by a rule of the gateway's own list of models,
so each figure says whose it is: ``template`` (no rule, which is what a gateway begins with) or
``own`` (a rule that names our own model). Answers that were kept are dropped before each alarm,
and the ten lines measure ten quantities, so that no text comes from the store of answers.

    python tests/bench/bench_explain.py [--writer template|own] [--deadline SECONDS]
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gateway import Reading
from gateway.data.batch import Batch
from gateway.engine.explain import ExplainOptions
from gateway.engine.history import HistoryLimits
from gateway.engine.runtime import Runtime
from gateway.flow.models import OWN, USUAL, ModelList
from tests.engine.gear import Script, flow, lent, until

TAGS = 200
MINUTES = 10
ALARMS = 20
LATE_MS = 20.0
GAP_S = 11.0
"""So long after the last alarm of a line one more is an incident of its own."""
QUANTITIES = (
    *("temperature", "pressure", "vibration", "flow", "level"),
    *("current", "torque", "weight", "humidity", "speed"),
)
FLOW = flow(
    "src: {type: script.source}\nhigh: {type: alarm.limit, hi: 75, deadband: 5}", "src -> high"
)


class Watch:
    """How late the loop is, measured every five milliseconds."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._task = asyncio.ensure_future(self._run())
        self._cpu_s = time.process_time()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            self.late.append(loop.time() - before - 0.005)

    def end(self) -> str:
        """Stop it; what it has seen."""
        self._task.cancel()
        late = np.array(self.late) * 1e3
        p50, p99 = np.percentile(late, [50, 99])
        return (
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {late.max():.1f} ms, "
            f"{np.count_nonzero(late > LATE_MS)} of {len(late)} over {LATE_MS:.0f} ms; "
            f"{time.process_time() - self._cpu_s:.2f} s of CPU"
        )


@dataclass
class Seen:
    """When each alarm was raised, had its template text, its first token and its last text [s]."""

    raised: dict[Any, float] = field(default_factory=dict)
    told: dict[Any, float] = field(default_factory=dict)
    first: dict[Any, float] = field(default_factory=dict)
    done: dict[Any, float] = field(default_factory=dict)
    asked: list[Any] = field(default_factory=list)
    rss: int = 0

    def watch(self, runtime: Runtime) -> None:
        """Note what the explainer shows from now on."""
        explainer: Any = runtime.explainer
        shown, drafted = explainer.board.set, explainer.board.draft
        generate = runtime.models.generate

        def set_(key: Any, state: str, note: str = "", explained: Any = None) -> Any:
            now = time.perf_counter()
            if state == "waiting":
                self.raised.setdefault(key, now)
            if explained is not None:
                self.told.setdefault(key, now)
            if state == "done":
                self.done[key] = now
            return shown(key, state, note, explained)

        def draft(key: Any, text: Any) -> None:
            self.first.setdefault(key, time.perf_counter())
            drafted(key, text)

        async def generate_(ask: Any, on_chunk: Any = None) -> Any:
            answer = await generate(ask, on_chunk)
            self.asked.append(answer)
            self.rss = max(self.rss, rss_of(runtime))
            return answer

        explainer.board.set, explainer.board.draft = set_, draft
        runtime.models.generate = generate_  # type: ignore[method-assign]  # it is looked at here

    def clear(self) -> None:
        """Before another measurement."""
        for kept in (self.raised, self.told, self.first, self.done, self.asked):
            kept.clear()

    def table(self, what: str) -> None:
        """Print it."""
        for name, found in (("template's text", self.told), ("last text", self.done)):
            print(f"  {what}: to the {name:<16} {percentiles(found, self.raised)}")
        fresh = [one for one in self.asked if not one.is_cached]
        if not fresh:
            return
        print(f"  {what}: to the first token      {percentiles(self.first, self.raised)}")
        first, took = ([getattr(one, name) for one in fresh] for name in ("first_s", "took_s"))
        print(f"  {what}: asked to first token     {spread(first)}")
        print(f"  {what}: asked to the whole       {spread(took)}")
        tokens = np.median([one.tokens_out for one in fresh])
        kept = len(self.asked) - len(fresh)
        print(f"  {what}: {len(fresh)} answers of {tokens:.0f} tokens, {kept} from the store")


def percentiles(end: dict[Any, float], begin: dict[Any, float]) -> str:
    return spread([end[key] - begin[key] for key in begin if key in end])


def spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    p50, p95 = np.percentile(seconds, [50, 95])
    return f"p50 {p50:.3f} s, p95 {p95:.3f} s, max {max(seconds):.3f} s ({len(seconds)})"


def rss_of(runtime: Runtime) -> int:
    """Most memory that the process of our own model has had [bytes]; 0 without one."""
    entry = runtime.models._runners.get(OWN)
    pid = getattr(entry[1], "pid", 0) if entry else 0
    if not pid:
        return 0
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


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
    return f"plant/press{i // 20}/unit{i % 20}/{QUANTITIES[i // 20]}"


async def measure(writer: str, deadline_s: float) -> None:
    """Print the figures of one writer."""
    print(f"  writer: {writer}; load of the machine {os.getloadavg()[0]:.1f}")
    rules = [{"task": "explain", "models": [OWN]}] if writer == OWN else []
    with lent(Script()) as script, tempfile.TemporaryDirectory() as folder:
        options = ExplainOptions(deadline_s=deadline_s)
        runtime = Runtime([FLOW], Path(folder), history=HistoryLimits(), explain=options)
        await runtime.start()
        models = ModelList.of({"models": USUAL.model_dump()["models"], "rules": rules})
        await runtime.models.book.put(models, None, "user:bench", "models/set")
        await _fill(runtime, script)
        idle = Watch()
        await asyncio.sleep(5)
        print(f"  event loop, nothing to explain          {idle.end()}")
        seen = Seen()
        seen.watch(runtime)
        await _singly(runtime, script, seen)
        await _at_once(runtime, script, seen)
        if seen.rss:
            print(f"  the model's process: {seen.rss / 1e6:.0f} MB at most")
        explainer: Any = runtime.explainer
        print(f"  {explainer.figures()['counts']}")
        await runtime.stop()


async def _fill(runtime: Runtime, script: Script) -> None:
    now = time.time_ns()
    for back in range(MINUTES * 6, 0, -1):
        await _read(runtime, script, samples(runtime, now - back * 10 * 10**9, 10, set()))


async def _read(runtime: Runtime, script: Script, batch: Batch) -> None:
    token = object()
    await script.readings.put(Reading({"out": batch}, token=token))
    await until(lambda: token in script.acknowledged, 60)


async def _singly(runtime: Runtime, script: Script, seen: Seen) -> None:
    watch = Watch()
    for number in range(ALARMS):
        await runtime.models.answers.forget()
        # A line of its own each, so that each is an incident.
        await _read(runtime, script, _rise(runtime, {number % 10 * 20 + number // 10}))
        await until(lambda count=number + 1: len(seen.done) >= count, 60)
    late = watch.end()
    seen.table("one alarm")
    print(f"  event loop meanwhile                    {late}")


def _rise(runtime: Runtime, tags: set[int]) -> Batch:
    rows = samples(runtime, time.time_ns() - 60 * 10**9, 60, tags)
    return rows.where(np.isin(rows.tag, [runtime.tags.code(name(i)) for i in tags]))


async def _at_once(runtime: Runtime, script: Script, seen: Seen) -> None:
    await runtime.models.answers.forget()
    await asyncio.sleep(GAP_S)
    seen.clear()
    watch = Watch()
    await _read(runtime, script, _rise(runtime, {line * 20 + 19 for line in range(10)}))
    await until(lambda: len(seen.done) >= 10, 120)
    late = watch.end()
    seen.table("ten at once")
    print(f"  event loop meanwhile                    {late}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--writer", choices=["template", OWN], help="only this one")
    parser.add_argument("--deadline", type=float, default=2.0, help="of a model [s]")
    said = parser.parse_args()
    for writer in [said.writer] if said.writer else ["template", OWN]:
        if writer == OWN and importlib.util.find_spec("llama_cpp") is None:
            print("  our own model is not measured: make llm")
            continue
        await measure(writer, said.deadline)


if __name__ == "__main__":
    asyncio.run(main())
