"""Modbus: polls of 100 registers a second over loopback TCP, beside pymodbus' client.

Run it: ``.venv/bin/python -m tests.bench.bench_modbus``. The slave is a process of its own and
answers at once, so that the figures are those of the master.
"""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
import time
from typing import Any

from pymodbus.client import AsyncModbusTcpClient

from tests.nodes.modbus_slaves import opened, source_of

SECONDS = 3.0


class _Slave(asyncio.Protocol):
    """Answers every read with 100 registers that hold 7."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out = transport

    def data_received(self, data: bytes) -> None:
        tid, _, _, unit, code, _, count = struct.unpack(">HHHBBHH", data[:12])
        body = bytes((unit, code, 2 * count)) + b"\0\7" * count
        self._out.write(struct.pack(">HHH", tid, 0, len(body)) + body)  # type: ignore[attr-defined]  # a transport


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Slave, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def node(port: int) -> dict[str, Any]:
    """The source as a flow runs it: as fast as it can, 100 tags decoded at every scan."""
    async with opened(f"tcp://127.0.0.1:{port}") as bus:
        tags = {f"line/r{i}": f"holding:{i} int16" for i in range(100)}
        source = source_of(bus, tags, scan_s=0.0001)
        await source.connect()
        polls = rows = 0
        start, cpu = time.perf_counter(), time.process_time()
        while time.perf_counter() - start < SECONDS:
            reading = await source.read()
            polls += 1
            rows += len(reading.outputs["out"])
        wall, used = time.perf_counter() - start, time.process_time() - cpu
    return _row("modbus.source", polls, rows, wall, used)


async def pymodbus(port: int) -> dict[str, Any]:
    """A plain loop over pymodbus' client that decodes the same."""
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    await client.connect()
    polls = rows = 0
    start, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < SECONDS:
        reply = await client.read_holding_registers(0, count=100)
        values = client.convert_from_registers(reply.registers, client.DATATYPE.INT16)
        polls += 1
        rows += len(values)  # type: ignore[arg-type]  # a list for 100 registers
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    client.close()
    return _row("pymodbus loop", polls, rows, wall, used)


def _row(name: str, polls: int, rows: int, wall: float, used: float) -> dict[str, Any]:
    return {
        "name": name,
        "polls_per_s": round(polls / wall),
        "rows_per_s": round(rows / wall),
        "cpu_us_per_poll": round(used / polls * 1e6, 1),
        "cpu_share": round(used / wall, 2),
    }


def run() -> list[dict[str, Any]]:
    """Both figures from one run against one slave."""
    slave = subprocess.Popen([sys.executable, __file__, "slave"], stdout=subprocess.PIPE)
    try:
        assert slave.stdout is not None
        port = int(slave.stdout.readline())
        return [asyncio.run(node(port)), asyncio.run(pymodbus(port))]
    finally:
        slave.terminate()
        slave.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["slave"]:
        asyncio.run(_serve())
    else:
        for row in run():
            print(json.dumps(row))
