"""The engine process as a whole: 10,000 tags at 1 Hz, and the time from start to first sample."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

FLOW = """flow: bench
version: 1
nodes:
  plant: {{type: simulate.source, tag: bench/tag, count: {tags}, every_s: 1, noise: 1}}
  dead: {{type: filter.deadband, band: 0.5}}
  window: {{type: window.tumbling, size_s: 10}}
  level: {{type: feature.statistics, features: [mean, sd]}}
  high: {{type: alarm.limit, hi: 1000000}}
wires:
  - plant -> dead -> window -> level
  - plant -> high
"""


def start(folder: Path, tags: int) -> tuple[subprocess.Popen[bytes], float]:
    """A gateway with `tags` simulated tags at 1 Hz, and the seconds until its first sample."""
    flow = folder / "bench.flow.yaml"
    flow.write_text(FLOW.format(tags=tags))
    port_file = folder / "port"
    began = time.perf_counter()
    command = [sys.executable, "-m", "gateway", "run", str(flow), "--state", str(folder / "state")]
    command += ["--port", "0", "--port-file", str(port_file), "--tags-max", "50000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    first = None
    for line in process.stderr:
        if b"first sample" in line.lower():
            first = time.perf_counter() - began
            break
    assert first is not None, "the gateway ended before its first sample"
    while not port_file.exists():
        time.sleep(0.05)
    return process, first


def rows_in(port: str) -> int:
    """Rows the gateway has taken so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=10) as answer:
        nodes = json.load(answer)["nodes"]
    return sum(node["counts"].get("rows_in", 0) for node in nodes)


def main(tags: int = 10_000, seconds: float = 20.0) -> list[tuple[str, str, str]]:
    """(what, measured, wanted) rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process, first = start(folder, tags)
        try:
            port = (folder / "port").read_text()
            watched = psutil.Process(process.pid)
            time.sleep(12)  # A window has closed by then.
            before, cpu = rows_in(port), watched.cpu_times()
            began = time.perf_counter()
            time.sleep(seconds)
            passed = time.perf_counter() - began
            after, cpu_after = rows_in(port), watched.cpu_times()
            rss = watched.memory_info().rss
        finally:
            process.terminate()
            process.communicate(timeout=30)
    used = (cpu_after.user + cpu_after.system - cpu.user - cpu.system) / passed
    return [
        ("start to first sample", f"{first:.2f} s", "≤ 2 s"),
        (f"{tags} tags at 1 Hz, rows/s", f"{(after - before) / passed:.0f}", f"{tags}"),
        (f"{tags} tags at 1 Hz, CPU of one core", f"{used:.1%}", "≤ 20 %"),
        (f"{tags} tags at 1 Hz, memory", f"{rss / 1e6:.0f} MB", "≤ 300 MB"),
    ]


if __name__ == "__main__":
    for row in main():
        print(*row, sep=" | ")
