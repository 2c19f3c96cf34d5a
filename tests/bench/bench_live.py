"""Live data: what screens cost the engine process, as a share of one core.

20 tags at 5 Hz for 1, 5 and 10 screens, and the state of a flow of 300 nodes at 5 Hz. The gateway
is a process of its own; what it uses without a screen is measured first and last and subtracted.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from websockets.asyncio.client import connect

NODES = 300
SECONDS = 5.0


def tags_flow() -> str:
    """20 tags that change five times a second."""
    return (
        "flow: bench\nversion: 1\nnodes:\n"
        "  plant: {type: simulate.source, tag: bench/tag, count: 20, every_s: 0.2, noise: 1}\n"
        "  near: {type: filter.deadband, band: 0.000001}\n"
        "wires: [plant -> near]\n"
    )


def nodes_flow() -> str:
    """300 nodes, of which 15 rows of 20 each carry one tag five times a second."""
    nodes, wires = [], []
    for row in range(15):
        source = f"{{type: simulate.source, tag: bench/{row}, every_s: 0.2, noise: 1}}"
        nodes.append(f"  s{row}: {source}")
        nodes += [f"  n{row}x{i}: {{type: filter.deadband, band: 0.000001}}" for i in range(19)]
        wires.append(f"  - s{row} -> " + " -> ".join(f"n{row}x{i}" for i in range(19)))
    return "\n".join(["flow: bench", "version: 1", "nodes:", *nodes, "wires:", *wires, ""])


def start(folder: Path, text: str) -> tuple[subprocess.Popen[bytes], str]:
    """The program on a flow, once it answers."""
    folder.mkdir()
    (folder / "bench.flow.yaml").write_text(text)
    port_file = folder / "port"
    command = [sys.executable, "-m", "gateway", "run", str(folder / "bench.flow.yaml")]
    command += ["--state", str(folder / "state"), "--port", "0", "--port-file", str(port_file)]
    command += ["--listen", "off"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        if port_file.exists() and port_file.read_text().strip():
            return process, port_file.read_text().strip()
        assert process.poll() is None, "the gateway has ended"
        time.sleep(0.05)
    raise AssertionError("the gateway does not answer")


async def load(
    process: psutil.Process, port: str, asked: dict[str, Any], screens: int
) -> tuple[float, float, float]:
    """(share of a core, frames/s of a screen, bytes of a frame) with so many screens."""
    frames = size = 0

    async def watch() -> None:
        nonlocal frames, size
        async with connect(f"ws://127.0.0.1:{port}/live", compression=None) as socket:
            await socket.send(json.dumps({"sub": "k", **asked}))
            async for text in socket:
                if is_on:
                    frames += 1
                    size += len(text)

    is_on = False
    watching = [asyncio.ensure_future(watch()) for _ in range(screens)]
    await asyncio.sleep(1.5)
    before, began, is_on = process.cpu_times(), time.perf_counter(), True
    await asyncio.sleep(SECONDS)
    after, passed, is_on = process.cpu_times(), time.perf_counter() - began, False
    for task in watching:
        task.cancel()
    await asyncio.gather(*watching, return_exceptions=True)
    used = after.user + after.system - before.user - before.system
    each = frames / max(screens, 1) / passed
    return used / passed, each, size / max(frames, 1)


async def rows(
    folder: Path, what: str, text: str, asked: dict[str, Any], counts: tuple[int, ...]
) -> list[tuple[str, ...]]:
    """A row for each number of screens."""
    process, port = start(folder, text)
    try:
        watched = psutil.Process(process.pid)
        await asyncio.sleep(3)
        measured = {n: await load(watched, port, asked, n) for n in (0, *counts)}
        idle = (measured[0][0] + (await load(watched, port, asked, 0))[0]) / 2
    finally:
        process.terminate()
        process.wait(30)
    found: list[tuple[str, ...]] = [(what, "0", f"{idle:.1%}", "", "", "")]
    for n in counts:
        used, each, size = measured[n]
        cost = f"{used - idle:+.1%}"
        found.append((what, str(n), f"{used:.1%}", cost, f"{each:.1f}", f"{size:.0f}"))
    return found


async def main() -> list[tuple[str, ...]]:
    """(what, screens, share of a core, of that for the screens, frames/s each, bytes a frame)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asked = {"tags": [f"bench/tag/{i}" for i in range(1, 21)], "hz": 5}
        found = await rows(folder / "a", "20 tags, 5 Hz", tags_flow(), asked, (1, 5, 10))
        state = {"flow": "bench", "hz": 5}
        return found + await rows(
            folder / "b", f"{NODES} nodes, 5 Hz", nodes_flow(), state, (1, 5, 10)
        )


if __name__ == "__main__":
    print("what | screens | CPU of one core | for screens | frames/s each | bytes a frame")
    for row in asyncio.run(main()):
        print(*row, sep=" | ")
