"""A serial line: RS-232, RS-485, USB, or a serial server over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import Field

from gateway import Bytes, Config, Connection, Context, Disconnected, Example, Found
from nodes._line import Line, Parity, Port, ports
from nodes.serial._port import Stream, open_line


class SerialConnectionConfig(Config):
    port: str = Field(
        min_length=1,
        examples=["/dev/serial/by-id/usb-FTDI_A50285BI-if00-port0", "tcp://10.0.0.7:4001"],
        description="The port, or a serial server. A name by-id stays the same after replugging.",
        json_schema_extra={"places": True},
    )
    baud: int = Field(
        9600,
        ge=50,
        le=4_000_000,
        json_schema_extra={"unit": "Bd"},
        description="Speed of the line.",
    )
    data_bits: Literal[5, 6, 7, 8] = Field(8, description="Bits of one character.")
    parity: Parity = Field("none", description="Parity of one character.")
    stop_bits: Literal[1, 2] = Field(1, description="Stop bits of one character.")
    flow: Literal["none", "rtscts", "xonxoff"] = Field(
        "none",
        description="Flow control: none, by wires or by characters.",
        json_schema_extra={"advanced": True},
    )
    stream_bytes_max: Bytes = Field(
        65_536,
        description="How much may wait for a node; beyond it the oldest is dropped.",
        json_schema_extra={"advanced": True},
    )


class SerialConnection(Connection[SerialConnectionConfig]):
    """One serial line that several nodes may share: all hear everything, one speaks at a time.

    Source: EIA-232-F; TIA-485-A; termios(3).
    """

    Config = SerialConnectionConfig
    examples = (
        Example("A scale on a USB adapter", {"port": "/dev/ttyUSB0", "baud": 9600}),
        Example("Behind a serial server", {"port": "tcp://10.0.0.7:4001"}),
    )

    def __init__(self, config: SerialConnectionConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._line: Line | None = None
        self._lost: asyncio.Future[str] | None = None
        self._streams: set[Stream] = set()
        self._turn = asyncio.Lock()

    @classmethod
    def places(cls) -> Sequence[Found]:
        """The serial ports of this machine."""
        return ports()

    async def open(self) -> None:
        config = self.config
        port = Port(
            config.port,
            config.baud,
            config.parity,
            config.stop_bits,
            config.data_bits,
            config.flow,
        )
        self._lost = asyncio.get_running_loop().create_future()
        self._line = await open_line(port, self._on_data, self._end)

    async def lost(self) -> str:
        if self._lost is None:
            return "It was never open."
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        self._end("the connection was closed")

    def check_open(self) -> None:
        """Raises Disconnected while the line is not open."""
        if self._line is None:
            raise Disconnected(f"Serial {self.config.port} is not open.")

    def listen(self) -> Stream:
        """Everything that comes from now on. Give it back with `leave`."""
        self.check_open()
        stream = Stream(self.config.stream_bytes_max)
        self._streams.add(stream)
        return stream

    def leave(self, stream: Stream) -> None:
        """Listen no more."""
        self._streams.discard(stream)

    @asynccontextmanager
    async def speak(self) -> AsyncIterator[Line]:
        """Hold the line to send, and to wait for what is answered. Raises Disconnected."""
        async with self._turn:
            self.check_open()
            assert self._line is not None
            yield self._line

    def _on_data(self, data: bytes) -> None:
        now = self.ctx.clock.now()
        for stream in self._streams:
            stream.put(now, data)

    def _end(self, why: str) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
        text = f"Serial {self.config.port} is gone: {why}."
        for stream in self._streams:
            stream.end(text)
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(text)
