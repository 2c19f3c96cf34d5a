"""Lines: bytes to and from a device, over a serial port or over TCP.

Not a family: `modbus` and `serial` both stand on it, and it knows the protocol of neither. The
one place of the product that touches pyserial.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, cast

import serial
from serial.tools import list_ports

from gateway import ConfigError, Disconnected, Found

BY_ID: Final = Path("/dev/serial/by-id")
Parity = Literal["none", "even", "odd", "mark", "space"]
OnData = Callable[[bytes], None]
OnLost = Callable[[str], None]

_PARITIES: Final[dict[Parity, str]] = {
    "none": "N", "even": "E", "odd": "O", "mark": "M", "space": "S",
}  # fmt: skip
_READ_BYTES: Final = 4096
_OPEN_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Port:
    """A serial port of this machine, and how it is set."""

    path: str
    baud: int
    parity: Parity
    stop_bits: int
    data_bits: int = 8
    flow: Literal["none", "rtscts", "xonxoff"] = "none"


class Line(Protocol):
    """An open line."""

    def write(self, data: bytes) -> None:
        """Send; what is lost shows as a loss of the line."""

    def close(self) -> None:
        """Close at once; `on_lost` is not called any more."""


def open_port(port: Port, on_data: OnData, on_lost: OnLost) -> Line:
    """Open a serial port in the running event loop.

    Raises:
        Disconnected: The port is not there, not ours or taken.
        ConfigError: The port refuses the settings.
    """
    return _SerialLine(_opened(port), on_data, on_lost)


async def open_tcp(host: str, port: int, on_data: OnData, on_lost: OnLost, server: str) -> Line:
    """Connect to a server, in words such as "Modbus server".

    Raises:
        Disconnected: It is not there.
    """
    place = f"{host}:{port}"
    try:
        async with asyncio.timeout(_OPEN_TIMEOUT_S):
            _, line = await asyncio.get_running_loop().create_connection(
                lambda: _TcpLine(on_data, on_lost), host, port
            )
    except TimeoutError:
        raise Disconnected(
            f"No answer from {place} within {_OPEN_TIMEOUT_S:g} s. Is it switched on?"
        ) from None
    except ConnectionRefusedError:
        raise Disconnected(
            f"{place} refuses the connection. Is its {server} on, and the port right?"
        ) from None
    except socket.gaierror as error:
        raise Disconnected(
            f"The name {host!r} is not known ({error.strerror}). Write its IP address?"
        ) from None
    except OSError as error:
        raise Disconnected(f"{place} cannot be reached: {error.strerror or error}.") from error
    return line


class _TcpLine(asyncio.Protocol):
    """A TCP connection; only what the kernel's and asyncio's buffers hold waits in it."""

    def __init__(self, on_data: OnData, on_lost: OnLost) -> None:
        self._on_data = on_data
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._closed = False

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


class _SerialLine:
    """A port read by the event loop: no thread, and nothing to do while nothing comes."""

    def __init__(self, port: serial.Serial, on_data: OnData, on_lost: OnLost) -> None:
        self._on_data = on_data
        self._on_lost = on_lost
        self._port = port
        self._fd = port.fileno()
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


def _opened(port: Port) -> serial.Serial:
    try:
        return serial.Serial(
            port.path,
            baudrate=port.baud,
            bytesize=port.data_bits,
            parity=_PARITIES[port.parity],
            stopbits=port.stop_bits,
            rtscts=port.flow == "rtscts",
            xonxoff=port.flow == "xonxoff",
            timeout=0,
            exclusive=True,
        )
    except ValueError as error:
        raise ConfigError(f"{port.path} does not take these settings: {error}.") from error
    except OSError as error:
        raise Disconnected(why_not_open(port.path, error)) from error


def why_not_open(path: str, error: OSError) -> str:
    """A sentence about a port that did not open, with what to do."""
    if error.errno == errno.ENOENT:
        return f"There is no port {path}. Is it plugged in? See `ls /dev/serial/by-id`."
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"No permission to open {path}. Add the gateway's user to group dialout: "
            "`sudo usermod -aG dialout USER`, then start it anew."
        )
    if error.errno in (errno.EBUSY, errno.EAGAIN):
        return f"{path} is in use by another program. Close that, or choose another port."
    return f"{path} cannot be opened: {error.strerror or error}."


def ports(prefix: str = "") -> list[Found]:
    """The serial ports that this machine has now, with what is known of each.

    A port that has a name by-id is called by that: it stays the same after replugging.

    Args:
        prefix: Written before each, as in ``rtu:/dev/ttyUSB0``.
    """
    names = {}
    with contextlib.suppress(OSError):
        names = {os.path.realpath(link): str(link) for link in sorted(BY_ID.iterdir())}
    found = []
    for port in sorted(list_ports.comports(), key=lambda one: str(one.device)):
        device = str(port.device)
        known = [str(port.description or ""), str(port.manufacturer or "")]
        about = ", ".join(text for text in dict.fromkeys(known) if text and text != "n/a")
        address = prefix + names.get(os.path.realpath(device), device)
        found.append(Found(device, "port", address=address, facts={"about": about}))
    return found
