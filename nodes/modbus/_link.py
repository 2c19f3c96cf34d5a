"""Links: bytes to and from a device, over TCP or a serial port.

The one place of this family that touches sockets and pyserial. Nothing is known of Modbus here.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol, cast

import serial

from gateway import ConfigError, Disconnected

Parity = Literal["none", "even", "odd"]
Framing = Literal["tcp", "rtu+tcp", "rtu"]
_PARITIES: Final[dict[Parity, str]] = {"none": "N", "even": "E", "odd": "O"}
_URL: Final = re.compile(
    r"(?:(?P<framing>tcp|rtu\+tcp)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\s\[\]]+)(?::(?P<port>\d{1,5}))?/?"
    r"|rtu:(?://)?(?P<path>\S+))\Z"
)
_READ_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Target:
    """Where a bus is: host and port, or a serial port in `path`."""

    framing: Framing
    host: str = ""
    port: int = 0
    path: str = ""
    baud: int = 19200
    parity: Parity = "even"
    stop_bits: int = 1

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


def parse_url(url: str) -> Target:
    """The place that an address names.

    Raises:
        ValueError: The text has none of the three forms.

    >>> parse_url("tcp://10.0.0.5").port, parse_url("rtu+tcp://gw:4001").framing
    (502, 'rtu+tcp')
    >>> parse_url("rtu:/dev/ttyUSB0").path
    '/dev/ttyUSB0'
    """
    found = _URL.match(url.strip())
    if found is None or int(found["port"] or 1) not in range(1, 65536):
        raise ValueError(
            f"{url!r} is no Modbus address. Write tcp://10.0.0.5:502, "
            "rtu+tcp://10.0.0.5:4001 or rtu:/dev/ttyUSB0."
        )
    if found["path"]:
        return Target("rtu", path=found["path"])
    framing: Framing = "tcp" if found["framing"] == "tcp" else "rtu+tcp"
    return Target(framing, found["host"].strip("[]"), int(found["port"] or 502))


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient a bus is; all in seconds. See the fields of ``modbus.connection``."""

    timeout_s: float
    quiet_s: float
    pause_connect_s: float
    pause_between_s: float
    idle_close_s: float


class Link(Protocol):
    """An open way to a device."""

    def write(self, data: bytes) -> None:
        """Send; what is lost shows as a loss of the link."""

    def close(self) -> None:
        """Close at once; `on_lost` is not called any more."""


async def open_link(
    target: Target,
    on_data: Callable[[bytes], None],
    on_lost: Callable[[str], None],
    timeout_s: float,
) -> Link:
    """Open the way to a device.

    Raises:
        Disconnected: The device or the port is not there.
        ConfigError: The port refuses the settings.
    """
    if target.framing == "rtu":
        return _SerialLink(target, on_data, on_lost)
    try:
        async with asyncio.timeout(timeout_s):
            _, protocol = await asyncio.get_running_loop().create_connection(
                lambda: _TcpLink(on_data, on_lost), target.host, target.port
            )
    except TimeoutError:
        raise Disconnected(
            f"No answer from {target} within {timeout_s:g} s. Is it switched on?"
        ) from None
    except ConnectionRefusedError:
        raise Disconnected(
            f"{target} refuses the connection. Is its Modbus server on, and the port right?"
        ) from None
    except socket.gaierror as error:
        raise Disconnected(
            f"The name {target.host!r} is not known ({error.strerror}). Write its IP address?"
        ) from None
    except OSError as error:
        raise Disconnected(f"{target} cannot be reached: {error.strerror or error}.") from error
    return protocol


class _TcpLink(asyncio.Protocol):
    """A TCP connection; the kernel's and asyncio's buffers hold at most one request."""

    def __init__(self, on_data: Callable[[bytes], None], on_lost: Callable[[str], None]) -> None:
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


class _SerialLink:
    """A serial port read by the event loop: no thread, 0.1 ms a round trip."""

    def __init__(
        self, target: Target, on_data: Callable[[bytes], None], on_lost: Callable[[str], None]
    ) -> None:
        self._on_data = on_data
        self._on_lost = on_lost
        self._port = _open_port(target)
        self._fd = self._port.fileno()
        self._unsent = b""
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read)

    def write(self, data: bytes) -> None:
        if self._closed:
            return
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
        self._on_lost(f"the port is gone ({error.strerror})")

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._port.close()


def _open_port(target: Target) -> serial.Serial:
    path = target.path
    try:
        return serial.Serial(
            path,
            baudrate=target.baud,
            parity=_PARITIES[target.parity],
            stopbits=target.stop_bits,
            timeout=0,
            exclusive=True,
        )
    except ValueError as error:
        raise ConfigError(f"{path} does not take these settings: {error}.") from error
    except OSError as error:
        raise Disconnected(_port_words(path, error)) from error


def _port_words(path: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"There is no port {path}. Is the adapter plugged in? See `ls /dev/serial/by-id`."
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"No permission to open {path}. Add the gateway's user to group dialout: "
            "`sudo usermod -aG dialout USER`, then start it anew."
        )
    if error.errno in (errno.EBUSY, errno.EAGAIN):
        return f"{path} is in use by another program. Close it: a bus has one master."
    return f"{path} cannot be opened: {error.strerror or error}."
