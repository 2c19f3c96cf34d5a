"""Stalls of the event loop, and how long a sample takes to the disk, at the rated load.

Run it: ``.venv/bin/python -m tests.bench.bench_loop [SECONDS]``. 10,000 tags at 1 Hz come from a
real mosquitto (QoS 1, 100 messages of 100 numbers a second) into a gateway with windows, a
detector, alarms and a history, in a process of its own; a checkpoint is taken every five seconds.
A stall is by how much a sleep of 5 ms was longer; "to the disk" is from reading the socket to
acknowledging. Ratios are to the same gateway with nothing to do, on the same machine, in the
same run. The goals on an idle machine: stalls p99 ≤ 20 ms, max ≤ 100 ms; to the disk p99 ≤ 250 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from gateway.engine.runtime import Runtime
from gateway.flow.document import Document
from gateway.plant.broker import mosquitto
from nodes.mqtt import _session as session

NAP_S = 0.005
CHECKPOINT_S = 5.0
FLOW = """flow: bench
version: 1
durability: {durability}
connections:
  broker: {{type: mqtt.connection, url: "mqtt://127.0.0.1:{port}", client_id: bench,
           session_expiry_s: 1}}
nodes:
  plant: {{type: mqtt.source, connection: broker, topics: ["dev/{{d}}"], tag: "dev/{{d}}",
          payload: json, fields: "*"}}
  ten: {{type: window.tumbling, size_s: 10}}
  stats: {{type: feature.statistics, features: [mean, sd]}}
  sigma: {{type: detect.sigma}}
  high: {{type: alarm.limit, tags: "dev/+/heat", hi: 80}}
  history: {{type: sqlite.sink}}
wires:
  - plant -> ten -> stats -> history
  - plant -> sigma
  - plant -> high
"""


async def subject(port: int, durability: str, seconds: float) -> None:
    """Run the gateway; print what was measured while it ran."""
    to_disk: list[float] = []
    acknowledge = session.Session.acknowledge

    def timed(self: session.Session, parts: Any) -> None:
        acknowledge(self, parts)
        to_disk.extend((time.time_ns() - part.arrival) / 1e6 for part in parts)

    session.Session.acknowledge = timed  # type: ignore[method-assign]  # it only takes the time
    with tempfile.TemporaryDirectory() as folder:
        text = FLOW.format(port=port, durability=durability)
        document = Document.parse(text, "bench.flow.yaml")
        runtime = Runtime([document], Path(folder), tags_max=50_000, checkpoint_s=CHECKPOINT_S)
        await runtime.start()
        read = next(status for status in runtime.statuses if status.node == "plant")
        while read.state not in ("connected", "running"):
            await asyncio.sleep(0.05)
        print("ready", flush=True)
        await asyncio.sleep(3.0)  # The tags are made, the first windows are open.
        to_disk.clear()
        rows, cpu = read.counts["rows_in"], time.process_time()
        stalls = await _stalls(seconds)
        figures = {
            "samples_s": (read.counts["rows_in"] - rows) / seconds,
            "cpu": (time.process_time() - cpu) / seconds,
            "stall": _percentiles(stalls),
            "to_disk": _percentiles(to_disk),
        }
        print(json.dumps(figures), flush=True)
        await runtime.stop()


async def _stalls(seconds: float) -> list[float]:
    """By how much each nap was longer than it should [ms]."""
    found = []
    now = began = time.perf_counter()
    while now - began < seconds:
        await asyncio.sleep(NAP_S)
        before, now = now, time.perf_counter()
        found.append(max(now - before - NAP_S, 0.0) * 1e3)
    return found


def _percentiles(values: list[float]) -> list[float]:
    if not values:
        return [float("nan")] * 4
    return [float(v) for v in np.percentile(values, [50, 99, 99.9, 100])]


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int]:
    """A mosquitto of our own; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    conf = folder / "mosquitto.conf"
    user = "user root\n" if os.geteuid() == 0 else ""
    conf.write_text(f"{user}listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\n")
    process = subprocess.Popen([str(mosquitto()), "-c", str(conf)])
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def measure(folder: Path, port: int, durability: str, rate: float, seconds: float) -> Any:
    """One run; `rate` in messages of 100 samples a second."""
    command = [sys.executable, "-m", "tests.bench.bench_loop", "subject", str(port), durability]
    tested = subprocess.Popen([*command, str(seconds)], stdout=subprocess.PIPE)
    assert tested.stdout is not None
    assert tested.stdout.readline().strip() == b"ready"
    flood = [sys.executable, "-m", "tests.faults.flood", "fields", str(port)]
    sender = subprocess.Popen([*flood, str(folder / "report.json"), "--rate", str(rate)])
    figures = json.loads(tested.stdout.readline())
    sender.terminate()
    sender.wait()
    tested.wait()
    return figures


CASES = [
    # name, durability, messages a second
    ("a sample a second", "journal", 0.01),
    ("10,000 samples/s, journal", "journal", 100.0),
    ("10,000 samples/s, no journal", "memory", 100.0),
    ("50,000 samples/s, journal", "journal", 500.0),
]


def main(seconds: float = 20.0) -> None:
    """Print the table."""
    base = 0.0
    for name, durability, rate in CASES:
        with tempfile.TemporaryDirectory() as folder, broker(Path(folder)) as port:
            found = measure(Path(folder), port, durability, rate, seconds)
        p50, p99, p999, worst = found["stall"]
        base = base or p99
        print(
            f"{name:30} {found['samples_s']:9,.0f} samples/s {found['cpu']:5.0%} of a core",
            f"stall p50 {p50:5.1f} p99 {p99:5.1f} ({p99 / base:4.1f}×)",
            f"p99.9 {p999:5.1f} max {worst:5.1f} ms",
            f"to the disk p50 {found['to_disk'][0]:5.0f} p99 {found['to_disk'][1]:5.0f} ms",
            flush=True,
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["subject", port, durability, seconds]:
            uvloop.run(subject(int(port), durability, float(seconds)))
        case [seconds]:
            main(float(seconds))
        case _:
            main()
