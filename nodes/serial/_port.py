"""Ports: bytes in and out of a serial line, or of a serial server over TCP.

The one place of this family that touches pyserial and sockets.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, cast

import serial

from gateway import ConfigError, Disconnected

Parity = Literal["none", "even", "odd", "mark", "space"]
_PARITIES: Final[dict[Parity, str]] = {
    "none": "N", "even": "E", "odd": "O", "mark": "M", "space": "S",
}  # fmt: skip
_TCP: Final = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\s]+):(?P<port>\d{1,5})\Z")
_READ_BYTES: Final = 4096
_OPEN_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Line:
    """How a serial line is set."""

    path: str
    baud: int
    data_bits: int
    parity: Parity
    stop_bits: float
    flow: Literal["none", "rtscts", "xonxoff"]


class Port(Protocol):
    """An open line."""

    def write(self, data: bytes) -> None:
        """Send; a loss shows as a loss of the line."""

    def close(self) -> None:
        """Close at once; `on_lost` is not called any more."""


OnData = Callable[[bytes], None]
OnLost = Callable[[str], None]


def host_and_port(path: str) -> tuple[str, int] | None:
    """Where a serial server is, or None when the path is a port of this machine.

    >>> host_and_port("tcp://10.0.0.7:4001"), host_and_port("/dev/ttyUSB0")
    (('10.0.0.7', 4001), None)
    """
    found = _TCP.match(path)
    return (found["host"].strip("[]"), int(found["port"])) if found else None


async def open_port(line: Line, on_data: OnData, on_lost: OnLost) -> Port:
    """Open a line. Raises Disconnected when it is not there, ConfigError for wrong settings."""
    place = host_and_port(line.path)
    if place is None:
        return _SerialPort(line, on_data, on_lost)
    try:
        async with asyncio.timeout(_OPEN_TIMEOUT_S):
            _, port = await asyncio.get_running_loop().create_connection(
                lambda: _TcpPort(on_data, on_lost), *place
            )
    except TimeoutError:
        raise Disconnected(f"No answer from {line.path}. Is the serial server on?") from None
    except OSError as error:
        raise Disconnected(f"{line.path} cannot be reached: {error.strerror or error}.") from error
    return port


class _TcpPort(asyncio.Protocol):
    def __init__(self, on_data: OnData, on_lost: OnLost) -> None:
        self._on_data = on_data
        self._on_lost = on_lost
        self._closed = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        if not self._closed:
            self._on_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed:
            self._closed = True
            self._on_lost("it closed the connection" if exc is None else str(exc))

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        self._closed = True
        if self._transport is not None:
            self._transport.abort()


class _SerialPort:
    """A port read by the event loop: no thread, and nothing to do while nothing comes."""

    def __init__(self, line: Line, on_data: OnData, on_lost: OnLost) -> None:
        self._on_data = on_data
        self._on_lost = on_lost
        self._port = _open(line)
        self._fd = self._port.fileno()
        self._unsent = b""
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read)

    def write(self, data: bytes) -> None:
        if not self._closed:
            self._unsent += data
            self._send()

    def _send(self) -> None:
        try:
            sent = os.write(self._fd, self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._loop.add_writer(self._fd, self._send)
        else:
            self._loop.remove_writer(self._fd)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if data:
            self._on_data(data)
        else:
            self._lose(OSError(errno.EIO, "end of file"))

    def _lose(self, error: OSError) -> None:
        self.close()
        self._on_lost(f"it was pulled out or its other end closed ({error.strerror})")

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._port.close()


def _open(line: Line) -> serial.Serial:
    try:
        return serial.Serial(
            line.path,
            baudrate=line.baud,
            bytesize=line.data_bits,
            parity=_PARITIES[line.parity],
            stopbits=line.stop_bits,
            rtscts=line.flow == "rtscts",
            xonxoff=line.flow == "xonxoff",
            timeout=0,
            exclusive=True,
        )
    except ValueError as error:
        raise ConfigError(f"{line.path} does not take these settings: {error}.") from error
    except OSError as error:
        raise Disconnected(_words(line.path, error)) from error


def _words(path: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"There is no port {path}. Is the device plugged in? See `ls /dev/serial/by-id`."
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"No permission to open {path}. Add the gateway's user to group dialout: "
            "`sudo usermod -aG dialout USER`, then start it anew."
        )
    if error.errno in (errno.EBUSY, errno.EAGAIN):
        return f"{path} is in use by another program. Close that, or choose another port."
    return f"{path} cannot be opened: {error.strerror or error}."


class Stream:
    """What a line brought, for one node, until it takes it; bounded.

    Args:
        bytes_max: When more waits, the oldest is dropped and counted.
    """

    def __init__(self, bytes_max: int) -> None:
        self.dropped = 0
        self._bytes_max = bytes_max
        self._parts: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._came = asyncio.Event()
        self._why: str | None = None

    def put(self, ts: int, data: bytes) -> None:
        """Bytes that came at a time [ns]."""
        self._parts.append((ts, data))
        self._size += len(data)
        while self._size > self._bytes_max and len(self._parts) > 1:
            _, old = self._parts.popleft()
            self._size -= len(old)
            self.dropped += len(old)
        self._came.set()

    def end(self, why: str) -> None:
        """The line is gone."""
        self._why = why
        self._came.set()

    async def take(self, timeout_s: float | None = None) -> list[tuple[int, bytes]]:
        """All that waits as (time, bytes), or nothing after `timeout_s`.

        Raises:
            Disconnected: The line is gone, and all that it brought was taken.
        """
        if not self._parts and self._why is None:
            self._came.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._came.wait()
            except TimeoutError:
                return []
        if not self._parts and self._why is not None:
            raise Disconnected(self._why)
        return self.clear()

    def clear(self) -> list[tuple[int, bytes]]:
        """Take what waits without waiting."""
        parts = list(self._parts)
        self._parts.clear()
        self._size = 0
        return parts
