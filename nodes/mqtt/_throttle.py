"""When to read the socket: not while the queue is full, and not for every single message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

QUEUE_ROWS_MAX = 20_000
QUEUE_BYTES_MAX = 64 << 20
_BUSY_PER_S = 3_000  # from this rate on the socket rests between reads
_REST_ROWS = 100  # so many should come meanwhile: a read, and the step it starts, cost 300 µs
_REST_MIN_S, _REST_MAX_S = 0.002, 0.010  # what that may cost in latency
_SPAN_S = 0.05  # over which the rate is taken


class Throttle:
    """Counts what waits, and pauses and resumes reading.

    Args:
        pause: Stops reading the socket.
        resume: Reads on.
    """

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._pause, self._resume = pause, resume
        self._rows = self._bytes = 0
        self._count, self._since = 0, self._loop.time()
        self._is_busy = self._is_resting = False
        self._rest_s = _REST_MIN_S
        self.is_full = False

    def came(self, rows: int, nbytes: int, *, is_all: bool) -> None:
        """Rows were queued; `is_all` says that the socket has no more for now."""
        self._rows += rows
        self._bytes += nbytes
        self._count += rows
        now = self._loop.time()
        span = now - self._since
        if span >= _SPAN_S:
            rate = self._count / span
            self._is_busy = rate > _BUSY_PER_S
            self._rest_s = min(max(_REST_ROWS / max(rate, 1.0), _REST_MIN_S), _REST_MAX_S)
            self._count, self._since = 0, now
        if self._rows > QUEUE_ROWS_MAX or self._bytes > QUEUE_BYTES_MAX:
            self.is_full = True
            self._pause()
        elif self._is_busy and is_all and not self._is_resting:
            self._is_resting = True
            self._pause()
            self._loop.call_later(self._rest_s, self._rested)

    def left(self, rows: int, nbytes: int) -> None:
        """Rows were taken off the queue."""
        self._rows -= rows
        self._bytes -= nbytes
        is_low = self._rows * 2 < QUEUE_ROWS_MAX and self._bytes * 2 < QUEUE_BYTES_MAX
        if self.is_full and is_low:
            self.is_full = False
            if not self._is_resting:
                self._resume()

    def _rested(self) -> None:
        self._is_resting = False
        if not self.is_full:
            self._resume()
