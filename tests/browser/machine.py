"""A machine on Modbus TCP whose registers can be written, and that can be switched off."""

from __future__ import annotations

import asyncio
import struct


class Machine(asyncio.Protocol):
    """A slave; a register that was never written holds how often the machine was asked."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out: asyncio.Transport = transport  # type: ignore[assignment]  # of a stream
        self._switch.lines.add(self._out)

    def connection_lost(self, error: Exception | None) -> None:
        self._switch.lines.discard(self._out)

    def data_received(self, data: bytes) -> None:
        while len(data) >= 12:
            length = struct.unpack(">H", data[4:6])[0] + 6
            self._answer(data[:length])
            data = data[length:]

    def _answer(self, data: bytes) -> None:
        tid, _, _, unit, code, at, count = struct.unpack(">HHHBBHH", data[:12])
        switch = self._switch
        switch.asked += 1
        if code == 6:
            switch.write(at, (count,))
            body = data[6:12]
        elif code == 16:
            switch.write(at, struct.unpack(f">{count}H", data[13 : 13 + 2 * count]))
            body = data[6:12]
        else:
            values = [switch.held.get(at + i, switch.asked % 500) for i in range(count)]
            body = bytes((unit, code, 2 * count)) + struct.pack(f">{count}H", *values)
        self._out.write(struct.pack(">HHH", tid, 0, len(body)) + body)


class Switch:
    """Turns the machine on and off; it keeps its port and what it holds."""

    def __init__(self) -> None:
        self.port = 0
        self.asked = 0
        self.held: dict[int, int] = {}
        """What registers hold, by number."""
        self.given: list[tuple[int, int]] = []
        """Every write: register and value."""
        self.lines: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Switch:
        await self.on()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.off()

    def write(self, at: int, values: tuple[int, ...]) -> None:
        """Somebody writes registers."""
        for i, value in enumerate(values):
            self.held[at + i] = value
            self.given.append((at + i, value))

    async def on(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Machine(self), "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def off(self) -> None:
        assert self._server is not None
        self._server.close()
        for line in list(self.lines):
            line.abort()
        await asyncio.sleep(0.05)


__all__ = ["Machine", "Switch"]
