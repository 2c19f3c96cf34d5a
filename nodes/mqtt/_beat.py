"""Keep alive: ping when it is quiet, and find out that the other side is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Beat:
    """Finds a dead peer within two keepalives.

    Half a keepalive of quiet, up to a quarter until it is noticed, one for the answer: at most
    1.75 in all, since it looks every quarter. Source: MQTT 5.0, 3.1.2.10 and 3.12.

    Args:
        ping: Sends a PINGREQ.
        dead: Called once with the seconds of silence.
        is_deaf: Whether we do not read at present, so that silence proves nothing.
    """

    def __init__(
        self, ping: Callable[[], None], dead: Callable[[float], None], is_deaf: Callable[[], bool]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ping, self._dead, self._is_deaf = ping, dead, is_deaf
        self._keepalive_s = 0.0
        self._pinged: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.heard = self.spoke = self._loop.time()

    def start(self, keepalive_s: float) -> None:
        """Begin; 0 means never."""
        self._keepalive_s = keepalive_s
        if keepalive_s:
            self._timer = self._loop.call_later(keepalive_s / 4, self._look)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now, keepalive_s = self._loop.time(), self._keepalive_s
        # An answer may come within the same millisecond, which is the grain of the loop's time.
        if self._pinged is not None and self.heard >= self._pinged:
            self._pinged = None
        waited = 0.0 if self._pinged is None else now - self._pinged
        if waited >= keepalive_s and not self._is_deaf():
            self._dead(now - self.heard)
            return
        is_quiet = self._pinged is None and now - self.heard >= keepalive_s / 2
        if is_quiet or now - self.spoke >= keepalive_s / 2:
            if self._pinged is None:
                self._pinged = now
            self._ping()
        self._timer = self._loop.call_later(keepalive_s / 4, self._look)
