"""A gateway for the soak: days of plant time in minutes, with clients, deploys and a bad sink.

Its source gives a second of plant time a reading: 1,000 tags with a row each. Usage:
``soak_run.py FOLDER HOURS``; it prints a JSON line for every few minutes of plant time.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from gateway import Batch, Config, Disconnected, Message, Port, Reading, Sink, Source
from gateway.api.server import Server
from gateway.data.tasks import Tasks
from gateway.engine.runtime import Runtime
from gateway.engine.store import Retention
from gateway.flow import registry
from gateway.flow.document import Document

TAGS = 1000
T0 = 1_800_000_000
FLOW = """
flow: soak
version: 1
nodes:
  plant: {type: soak.source}
  clean: {type: filter.deadband, band: 0.2}
  minute: {type: window.tumbling, size_s: 60}
  stats: {type: feature.statistics}
  odd: {type: detect.sigma}
  high: {type: alarm.limit, hi: 3.9, deadband: 0.2}
  raw: {type: soak.flaky}
  trend: {type: soak.flaky}
wires:
  - plant -> clean -> minute -> stats -> trend
  - plant -> odd
  - plant -> high
  - plant -> raw
"""


class Nothing(Config):
    """Nothing to set."""


class SoakSource(Source[Nothing]):
    """A second of the plant at each reading, as long as the run is."""

    Config = Nothing
    ends_at = 0

    async def connect(self) -> None:
        self._at = int(self.ctx.position or 0)
        self._rng = np.random.default_rng(self._at)
        names = [f"area/line{i // 100}/m{i}" for i in range(TAGS)]
        self._codes = np.array([self.ctx.tags.code(name) for name in names], np.uint16)

    async def read(self) -> Reading:
        if self._at >= SoakSource.ends_at:
            raise EOFError("All was played.")
        self._at += 1
        ts = np.full(TAGS, (T0 + self._at) * 10**9)
        batch = Batch.columns(self._codes, ts, self._rng.standard_normal(TAGS))
        return Reading({"out": batch}, token=self._at, position=self._at)


class SoakFlaky(Sink[Nothing]):
    """Takes everything, but for a while every now and then."""

    Config = Nothing
    inputs = (Port("in", "samples", "Rows."),)
    rows = 0

    async def connect(self) -> None:
        self._left = random.Random(SoakFlaky.rows).randrange(200, 2000)

    async def write(self, message: Message, port: str) -> None:
        self._left -= 1
        if not self._left:
            raise Disconnected("It is away for a moment.")
        SoakFlaky.rows += len(message)


async def clients(url: str) -> None:
    """People who come, look and go."""
    while True:
        for path in ("/api/status", "/api/tags", "/api/alarms", "/metrics", "/"):
            await asyncio.to_thread(_get, url + path)
        await asyncio.sleep(0.3)


def _get(url: str) -> None:
    with urllib.request.urlopen(url, timeout=30) as answer:
        answer.read()


async def engineer(runtime: Runtime) -> None:
    """Somebody who deploys again and again."""
    for number in range(1_000_000):
        await asyncio.sleep(1.0)
        text = FLOW.replace("hi: 3.9", f"hi: {3.9 + 0.1 * (number % 2)}")
        await runtime.deploy(Document.parse(text), "user:soak")
        await runtime.act("ack", {"alarm": "*", "actor": "user:soak"})


def look(runtime: Runtime, folder: Path) -> dict[str, Any]:
    """What must not grow."""
    process = psutil.Process()
    gc.collect()
    runner = runtime.runners["soak"]
    position = int(runner.graph.now and (runtime.live.ts.max() / 1e9 - T0))
    return {
        "hours": position / 3600,
        "rss": process.memory_info().rss,
        "files": process.num_fds(),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "state": sum(f.stat().st_size for f in folder.glob("genba.db*")),
        "steps": runner.steps,
        "revision": runner.revision,
        "unbalanced": sum(b.books.unbalanced(b.rows) for b in runner.outboxes().values()),
    }


async def main(folder: Path, hours: float) -> None:
    SoakSource.ends_at = round(hours * 3600)
    registry.LENT.update({"soak.source": SoakSource, "soak.flaky": SoakFlaky})
    runtime = Runtime([Document.parse(FLOW)], folder, tags_max=8000, checkpoint_s=5.0)
    runtime.store.retention = Retention(bytes_max=50_000_000)
    await runtime.start()
    server = Server(runtime, 0)
    tasks = Tasks("soak")
    tasks.start("api", server.run())
    tasks.start("clients", clients(server.url))
    tasks.start("engineer", engineer(runtime))
    source = next(s for s in runtime.statuses if s.node == "plant")
    step = max(hours / 60, 0.02)
    next_at = step
    while source.state != "stopped":
        await asyncio.sleep(0.05)
        if runtime.live.ts.max() / 1e9 - T0 >= next_at * 3600:
            seen = look(runtime, folder)
            next_at = seen["hours"] + step
            sys.stdout.write(json.dumps(seen) + "\n")
            sys.stdout.flush()
    server.stop()
    await tasks.stop()
    await runtime.stop()


if __name__ == "__main__":
    os.environ.pop("GENBA_CRASH_AT", None)
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
