"""Serial: lines of a scale over a pty at the rate of 115,200 Bd, and as fast as they go.

Run it: ``.venv/bin/python -m tests.bench.bench_serial``. A pty has no speed of its own, so a
process of its own writes at 11,520 bytes/s, as a line of that speed carries at 8N1.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import tty
from dataclasses import dataclass, field
from typing import Any

from gateway.engine.clock import SystemClock
from gateway.flow.harness import BenchContext, make
from nodes.serial.connection import SerialConnection
from nodes.serial.source import SerialSource

SECONDS = 4.0
LINE_BYTES_PER_S = 115_200 // 10  # start, 8 data and stop bit a character
_LINE = b"ST,GS,+  12.50kg\r\n"


@dataclass
class _Context(BenchContext):
    clock: Any = field(default_factory=SystemClock)
    connections: dict[str, Any] = field(default_factory=dict)

    def connection(self, kind: type[Any], name: str) -> Any:
        return self.connections[name]


def _write(fd: int, bytes_per_s: int) -> None:
    """Write lines at a rate for `SECONDS`; 0 is as fast as the reader takes them."""
    start, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - start) < SECONDS:
        if bytes_per_s and sent >= now * bytes_per_s:
            time.sleep(0.001)
            continue
        sent += os.write(fd, _LINE)
    os.write(fd, b"END\r\n")
    print(sent // len(_LINE), flush=True)


async def _read(path: str) -> dict[str, Any]:
    line = make(SerialConnection, {"port": path, "baud": 115200}, _Context())
    config = {
        "connection": "line",
        "delimiter": "\r\n",
        "pattern": r"(?P<state>ST|US),GS,(?P<weight>[-+ ]*[\d.]+ ?\w+)",
        "tags": {"w": {"field": "weight", "unit": "kg"}},
    }
    source = make(SerialSource, config, _Context(connections={"line": line}))
    await line.open()
    await source.connect()
    rows, cpu, start = 0, time.process_time(), time.perf_counter()
    while "refused" not in source.ctx.counts:  # END is no weight
        reading = await source.read()
        rows += len(reading.outputs.get("out", ()))
    used, wall = time.process_time() - cpu, time.perf_counter() - start
    await line.close()
    return {
        "lines_read": rows + source.ctx.counts.get("partial", 0),
        "lines_per_s": round(rows / wall),
        "bytes_per_s": round(rows * len(_LINE) / wall),
        "cpu_us_per_line": round(used / rows * 1e6, 1),
        "cpu_share": round(used / wall, 3),
    }


def measure(name: str, bytes_per_s: int) -> dict[str, Any]:
    """One run; the counts of both ends must agree."""
    master, slave = os.openpty()
    tty.setraw(slave)
    command = [sys.executable, __file__, str(master), str(bytes_per_s)]
    writer = subprocess.Popen(command, pass_fds=(master,), stdout=subprocess.PIPE)
    try:
        found = asyncio.run(_read(os.ttyname(slave)))
        assert writer.stdout is not None
        return {"name": name, "lines_sent": int(writer.stdout.readline()), **found}
    finally:
        writer.terminate()
        writer.wait()
        os.close(master)
        os.close(slave)


def run() -> list[dict[str, Any]]:
    """At line speed, and as fast as it goes."""
    return [measure("115200 Bd", LINE_BYTES_PER_S), measure("no limit", 0)]


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _write(int(sys.argv[1]), int(sys.argv[2]))
    else:
        for row in run():
            print(json.dumps(row))
