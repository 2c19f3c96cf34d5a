"""Notify: tells systemd when the gateway is ready, and that it is alive.

The watchdog is fed only while the event loop turns and the writer thread gets its work done. A
loop that hangs sends nothing, and a thread that hangs keeps the loop from sending; systemd then
ends the process and starts it again, and what was acknowledged is in the journal.

Source: sd_notify(3), sd_watchdog_enabled(3), systemd 252.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from gateway.data.tasks import Tasks

_log = logging.getLogger("genba.notify")
PARTS: Final = 3
"""The watchdog is fed so many times in its time."""
EXTEND_S: Final = 60
"""While it starts, it asks for so much more time again and again: a long journal is replayed."""
STOP_S: Final = 240
"""For so long in all it asks for more time while it ends: a unit that systemd has to kill counts as
failed, and the engine would then be started in safe mode."""


class Notify:
    """The way to systemd; does nothing where nobody listens.

    Args:
        environ: The environment that systemd gave.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        pid = environ.get("WATCHDOG_PID", str(os.getpid()))
        usec = environ.get("WATCHDOG_USEC", "0")
        is_ours = pid == str(os.getpid()) and usec.isdigit()
        self.watchdog_s = int(usec) * 1e-6 if is_ours else 0.0
        self._tasks = Tasks("notify")

    def send(self, text: str) -> None:
        """Send assignments, one a line."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(text.encode(), self._address)
        except OSError as error:
            _log.debug("systemd cannot be told: %s", error)

    def starting(self) -> None:
        """The start takes as long as it takes, as long as the loop turns."""
        if self._address:
            self._tasks.start("extend", self._extend())

    async def _extend(self, most: float = math.inf) -> None:
        asked = 0
        while asked < most:
            self.send(f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1_000_000}")
            await asyncio.sleep(EXTEND_S / 2)
            asked += 1

    async def ready(self, text: str, beat: Callable[[], Awaitable[object]]) -> None:
        """Flows run.

        Args:
            text: What `systemctl status` shows.
            beat: Returns when the writer thread has done what was asked of it before.
        """
        await self._tasks.stop()
        self.send(f"READY=1\nSTATUS={text}")
        if self._address and self.watchdog_s:
            self._tasks.start("watchdog", self._feed(beat))

    async def _feed(self, beat: Callable[[], Awaitable[object]]) -> None:
        while True:
            await beat()
            self.send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / PARTS)

    async def stopping(self) -> None:
        """The gateway ends in order."""
        await self._tasks.stop()
        self.send("STOPPING=1\nSTATUS=Ends in order.")
        if self._address:
            self._tasks.start("extend", self._extend(STOP_S * 2 / EXTEND_S))
