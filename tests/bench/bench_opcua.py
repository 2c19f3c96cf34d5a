"""OPC UA: 10,000 monitored items at 1 Hz, beside asyncua's own subscription.

Run it: ``.venv/bin/python -m tests.bench.bench_opcua``. The server is a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from asyncua import Client, ua

from gateway import Batch
from tests.nodes.opcua_plc import Gateway, free_port, start_process, stop_process

ITEMS = 10_000
SECONDS = 10.0


async def node(port: int) -> dict[str, Any]:
    """The source as a flow runs it."""
    tags = {f"line/v{i}": f"ns=2;s=v{i}" for i in range(ITEMS)}
    with tempfile.TemporaryDirectory() as folder:
        url = f"opc.tcp://127.0.0.1:{port}/plc"
        async with Gateway(Path(folder), url=url, timeout_s=20, keepalive_s=5) as gw:
            source = gw.source(tags=tags, sampling_s=1.0, publishing_s=1.0)
            begin = time.perf_counter()
            await source.connect()
            seen: set[int] = set()
            while len(seen) < ITEMS:
                seen.update((await source.read()).outputs["out"].tag.tolist())  # type: ignore[union-attr]  # samples
            ready_s = time.perf_counter() - begin
            await asyncio.sleep(5)  # Units are read beside.
            await source.read()
            rows = 0
            start, cpu = time.perf_counter(), time.process_time()
            while time.perf_counter() - start < SECONDS:
                batch = (await source.read()).outputs.get("out")
                rows += len(batch) if isinstance(batch, Batch) else 0
            wall, used = time.perf_counter() - start, time.process_time() - cpu
            gaps = gw.ctx.counts.get("gaps", 0)
            await source.close()
    return _row("opcua.source", rows, wall, used) | {"ready_s": round(ready_s, 1), "gaps": gaps}


async def asyncua(port: int) -> dict[str, Any]:
    """asyncua's iterator, its cheaper mode, with a queue that is large enough."""
    url = f"opc.tcp://127.0.0.1:{port}/plc"
    # On a busy machine its watchdog gives up while the items are made; ours has no such trouble.
    async with Client(url, timeout=120, watchdog_intervall=120) as client:
        begin = time.perf_counter()
        params = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=1000.0,
            RequestedLifetimeCount=600,
            RequestedMaxKeepAliveCount=10,
            PublishingEnabled=True,
        )
        subscription = await client.create_subscription(params, None, queue_maxsize=10 * ITEMS)
        nodes = [client.get_node(f"ns=2;s=v{i}") for i in range(ITEMS)]
        for i in range(0, ITEMS, 1000):
            await subscription.subscribe_data_change(nodes[i : i + 1000], queuesize=10)
        ready_s = time.perf_counter() - begin
        for _ in range(2 * ITEMS):
            await subscription.next_event(5.0)
        rows = 0
        start, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - start < SECONDS:
            rows += await subscription.next_event(5.0) is not None
        wall, used = time.perf_counter() - start, time.process_time() - cpu
    return _row("asyncua iterator", rows, wall, used) | {"ready_s": round(ready_s, 1)}


def _row(name: str, rows: int, wall: float, used: float) -> dict[str, Any]:
    return {
        "name": name,
        "items": ITEMS,
        "rows_per_s": round(rows / wall),
        "cpu_percent": round(100 * used / wall, 1),
        "us_cpu_per_row": round(1e6 * used / max(rows, 1), 1),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


async def _measure(measured: Callable[[int], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """One of the two against a server of its own."""
    port = free_port()
    process = await start_process(port, "--many", str(ITEMS))
    try:
        return await measured(port)
    finally:
        await stop_process(process)


def main() -> list[dict[str, Any]]:
    """Measure both and print a line each."""
    found = []
    for measured in (node, asyncua):
        found.append(asyncio.run(_measure(measured)))
        print(json.dumps(found[-1]), flush=True)
    return found


if __name__ == "__main__":
    main()
