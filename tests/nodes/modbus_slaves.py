"""Modbus slaves for tests: pymodbus' servers, and hostile ones that answer what a test says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import threading
import tty
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway import ConfigError, TagTable
from gateway.data.tasks import Tasks
from gateway.engine.clock import SystemClock
from gateway.flow.harness import BenchContext, make
from nodes.modbus._frame import crc16, mbap, rtu
from nodes.modbus.connection import ModbusConnection
from nodes.modbus.sink import ModbusSink
from nodes.modbus.source import ModbusSource

logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
Answer = Callable[[int, int, bytes], list[tuple[float, bytes]]]
"""(transaction, unit, pdu) to what is sent, as (delay [s], bytes of the whole frame)."""


@dataclass
class LiveContext(BenchContext):
    """The context of a node that runs in a test: a real clock and shared connections."""

    tags: TagTable = field(default_factory=lambda: TagTable(1000))
    clock: Any = field(default_factory=SystemClock)
    connections: dict[str, Any] = field(default_factory=dict)
    tasks: Tasks = field(default_factory=lambda: Tasks("test"))

    def connection(self, kind: type[Any], name: str) -> Any:
        if name not in self.connections:
            raise ConfigError(f"There is no connection {name!r} here.")
        assert isinstance(self.connections[name], kind)
        return self.connections[name]


def connection_of(address: str, **config: Any) -> ModbusConnection:
    ctx = LiveContext(node_id="bus")
    node: ModbusConnection = make(ModbusConnection, {"address": address, **config}, ctx)
    return node


@contextlib.asynccontextmanager
async def opened(address: str, **config: Any) -> AsyncIterator[ModbusConnection]:
    node = connection_of(address, **config)
    await node.open()
    try:
        yield node
    finally:
        await node.close()


def source_of(connection: ModbusConnection, tags: dict[str, Any], **config: Any) -> ModbusSource:
    ctx = LiveContext(node_id="source", connections={"bus": connection})
    made: ModbusSource = make(ModbusSource, {"connection": "bus", "tags": tags, **config}, ctx)
    return made


def sink_of(connection: ModbusConnection, tags: dict[str, Any], **config: Any) -> ModbusSink:
    ctx = LiveContext(node_id="sink", connections={"bus": connection})
    made: ModbusSink = make(ModbusSink, {"connection": "bus", "tags": tags, **config}, ctx)
    return made


def values(node: Any, outputs: Any) -> dict[str, tuple[float, int]]:
    """(value, quality) by tag."""
    if "out" not in outputs:
        return {}
    return {node.ctx.tags.name(c): (v, q) for c, _, v, q in outputs["out"].rows()}


def device(unit: int, tables: dict[str, list[int]], action: Any = None) -> SimDevice:
    """A pymodbus unit whose tables begin at address 0."""

    def block(name: str) -> list[SimData]:
        if name in ("coil", "discrete"):
            bits = [bool(bit) for bit in tables.get(name, [0] * 16)]
            return [SimData(0, values=bits, datatype=DataType.BITS)]
        return [SimData(0, values=tables.get(name, [0]), datatype=DataType.REGISTERS)]

    blocks = (block("coil"), block("discrete"), block("holding"), block("input"))
    return SimDevice(unit, simdata=blocks, action=action)


@contextlib.asynccontextmanager
async def tcp_server(*devices: SimDevice, port: int = 0) -> AsyncIterator[int]:
    server = ModbusTcpServer(list(devices), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


@contextlib.asynccontextmanager
async def cable() -> AsyncIterator[tuple[str, str]]:
    """Two ends of a serial cable: two raw ptys, and a thread that carries bytes between them."""
    pairs = [os.openpty(), os.openpty()]
    masters = [master for master, _ in pairs]
    for _, port in pairs:
        tty.setraw(port)
    over, wake = os.pipe()

    def carry() -> None:
        other = dict(zip(masters, reversed(masters), strict=True))
        while True:
            ready, _, _ = select.select([*masters, over], [], [])
            if over in ready:
                return
            for end in ready:
                os.write(other[end], os.read(end, 4096))

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        near, far = (os.ttyname(port) for _, port in pairs)
        yield near, far
    finally:
        os.write(wake, b".")
        thread.join()
        for fd in (over, wake, *(fd for pair in pairs for fd in pair)):
            os.close(fd)


@contextlib.asynccontextmanager
async def rtu_server(far: str, *devices: SimDevice) -> AsyncIterator[None]:
    server = ModbusSerialServer(
        list(devices), port=far, baudrate=115200, ignore_missing_devices=True
    )
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()


def rtu_request_size(buffer: bytes) -> int:
    """How long the request is that begins here; more than there is when it is not complete."""
    if len(buffer) < 2:
        return 8
    size = {15: 9, 16: 9, 22: 10, 23: 13}.get(buffer[1], 8)
    if buffer[1] in (15, 16, 23) and len(buffer) >= size:
        size += buffer[size - 3]
    return size


class TcpSlave:
    """A TCP server that answers what the test says, byte for byte.

    Args:
        answer: What to send for a request.
        framing: ``tcp``, or ``rtu`` for RTU frames over TCP.
        in_order: A late reply delays those behind it, as in a device with one thread.
    """

    def __init__(self, answer: Answer, framing: str = "tcp", *, in_order: bool = False) -> None:
        self.answer = answer
        self.framing = framing
        self.in_order = in_order
        self.requests: list[tuple[int, bytes]] = []
        self.sessions = 0
        self.port = 0
        self._tasks = Tasks("slave")

    async def __aenter__(self) -> TcpSlave:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._tasks.stop()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        self._tasks.start("session", self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sends: asyncio.Queue[list[tuple[float, bytes]]] = asyncio.Queue()
        if self.in_order:
            self._tasks.start("answers", self._answers(writer, sends))
        try:
            while True:
                tid, unit, pdu = await self._request(reader)
                self.requests.append((unit, pdu))
                answer = self.answer(tid, unit, pdu)
                if self.in_order:
                    sends.put_nowait(answer)
                else:
                    self._tasks.start("answer", self._send(writer, answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
        if self.framing == "rtu":
            frame = b""
            while len(frame) < rtu_request_size(frame):
                frame += await reader.readexactly(1)
            return 0, frame[0], frame[1:-2]
        head = await reader.readexactly(7)
        pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
        return int.from_bytes(head[:2], "big"), head[6], pdu

    async def _answers(
        self, writer: asyncio.StreamWriter, sends: asyncio.Queue[list[tuple[float, bytes]]]
    ) -> None:
        while True:
            await self._send(writer, await sends.get())

    async def _send(self, writer: asyncio.StreamWriter, sends: list[tuple[float, bytes]]) -> None:
        for delay, data in sends:
            if delay:
                await asyncio.sleep(delay)
            if data == b"CLOSE":
                writer.close()
                return
            writer.write(data)


class RtuSlave:
    """A slave at the other end of a pty that answers what the test says.

    Like a real one it answers in order: a late reply delays those behind it.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[tuple[int, bytes]] = []
        self.overlaps = 0
        self._queue: asyncio.Queue[list[tuple[float, bytes]]] = asyncio.Queue()
        self._tasks = Tasks("slave")
        self._buffer = bytearray()

    async def __aenter__(self) -> RtuSlave:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        self._tasks.start("answers", self._answers())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.stop()
        self.unplug()

    def unplug(self) -> None:
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._master)
            os.close(self._slave)
            self._master = -1

    def _read(self) -> None:
        self._buffer += os.read(self._master, 4096)
        while len(self._buffer) >= 4:
            size = rtu_request_size(self._buffer)
            if len(self._buffer) < size:
                return
            frame = bytes(self._buffer[:size])
            assert crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")
            del self._buffer[:size]
            self.requests.append((frame[0], frame[1:-2]))
            if self._buffer:
                self.overlaps += 1  # a second request in the same breath
            self._queue.put_nowait(self.answer(0, frame[0], frame[1:-2]))

    async def _answers(self) -> None:
        while True:
            for delay, data in await self._queue.get():
                await asyncio.sleep(delay)
                if self._master >= 0:
                    os.write(self._master, data)


def read_reply(pdu: bytes, value: Callable[[int], int] = lambda at: at) -> bytes:
    """The right reply to a read of registers; each register holds a function of its address."""
    start, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    if pdu[0] == 8:
        return pdu
    data = b"".join(value(start + i).to_bytes(2, "big") for i in range(count))
    return bytes((pdu[0], len(data))) + data


def honest_tcp(tid: int, unit: int, pdu: bytes) -> list[tuple[float, bytes]]:
    return [(0, mbap(tid, unit, read_reply(pdu)))]


def honest_rtu(tid: int, unit: int, pdu: bytes) -> list[tuple[float, bytes]]:
    return [(0, rtu(unit, read_reply(pdu)))]
