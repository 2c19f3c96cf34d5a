"""Where a bus is, and the way to it: Modbus TCP, or RTU frames over TCP or a serial port."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from nodes._line import Line, OnData, OnLost, Parity, Port, open_port, open_tcp

Framing = Literal["tcp", "rtu+tcp", "rtu"]
_URL: Final = re.compile(
    r"(?:(?P<framing>tcp|rtu\+tcp)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\s\[\]]+)(?::(?P<port>\d{1,5}))?/?"
    r"|rtu:(?://)?(?P<path>\S+))\Z"
)


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


async def open_link(target: Target, on_data: OnData, on_lost: OnLost) -> Line:
    """Open the way to a device.

    Raises:
        Disconnected: The device or the port is not there.
        ConfigError: The port refuses the settings.
    """
    if target.framing == "rtu":
        port = Port(target.path, target.baud, target.parity, target.stop_bits)
        return open_port(port, on_data, on_lost)
    return await open_tcp(target.host, target.port, on_data, on_lost, "Modbus server")
