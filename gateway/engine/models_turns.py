"""Turns: who is served next of those that wait for a model; the most urgent first, and bounded."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from gateway.errors import Disconnected


class Turns:
    """A bounded number at once; the others wait by priority, then in the order they came.

    Args:
        at_once: How many are served at one time.
        waiting_max: How many may wait. When there are more, the least urgent is sent away.
        what: Whose turns these are, for people.
    """

    def __init__(self, at_once: int, waiting_max: int, what: str) -> None:
        self._free = at_once
        self._waiting_max = waiting_max
        self._what = what
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._number = count()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(not future.done() for _, _, future in self._heap)

    @asynccontextmanager
    async def turn(self, priority: int) -> AsyncIterator[None]:
        """Wait for a turn and have it for as long as the block lasts.

        Raises:
            Disconnected: Too many wait, and this one is not more urgent than they.
        """
        await self._take(priority)
        try:
            yield
        finally:
            self._give()

    async def _take(self, priority: int) -> None:
        if self._free and not self.waiting:
            self._free -= 1
            return
        self._make_room(priority)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (-priority, next(self._number), future))
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give()  # It was given the turn in the same moment.
            raise

    def _make_room(self, priority: int) -> None:
        waiting = [entry for entry in self._heap if not entry[2].done()]
        if len(waiting) < self._waiting_max:
            return
        worst = max(waiting)
        text = f"{self._what} has {len(waiting)} questions waiting (queue_max)."
        if -worst[0] >= priority:
            raise Disconnected(text)
        worst[2].set_exception(Disconnected(f"{text} This one gave way to a more urgent one."))

    def _give(self) -> None:
        while self._heap:
            future = heapq.heappop(self._heap)[2]
            if not future.done():
                future.set_result(None)
                return
        self._free += 1


__all__ = ["Turns"]
