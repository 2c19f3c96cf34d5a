"""Ports: how a serial line is opened, and what it brought for one node."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from typing import Final

from gateway import Disconnected
from nodes._line import Line, OnData, OnLost, Port, open_port, open_tcp

_TCP: Final = re.compile(r"tcp://(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/\s]+):(?P<port>\d{1,5})\Z")


def host_and_port(path: str) -> tuple[str, int] | None:
    """Where a serial server is, or None when the path is a port of this machine.

    >>> host_and_port("tcp://10.0.0.7:4001"), host_and_port("/dev/ttyUSB0")
    (('10.0.0.7', 4001), None)
    """
    found = _TCP.match(path)
    return (found["host"].strip("[]"), int(found["port"])) if found else None


async def open_line(port: Port, on_data: OnData, on_lost: OnLost) -> Line:
    """Open a line. Raises Disconnected when it is not there, ConfigError for wrong settings."""
    place = host_and_port(port.path)
    if place is None:
        return open_port(port, on_data, on_lost)
    return await open_tcp(*place, on_data, on_lost, "serial server")


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
