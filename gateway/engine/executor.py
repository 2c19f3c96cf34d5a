"""Executors: where work runs that may block, so that the event loop never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")
GIVE_WAY_S: Final = 0.01
"""Work that takes longer may be waiting for the interpreter, and is given way so often."""
NAP_S: Final = 0.0005
"""How long the event loop rests then: 5 % of its time, and only while such work lasts."""


class Executor(Protocol):
    """Runs a function where it may block; `InlineExecutor` serves the simulation."""

    async def run(self, work: Callable[[], T]) -> T:
        """The function's result."""

    def close(self) -> None:
        """No more calls will come."""


class ThreadExecutor:
    """One thread of its own, so that a commit never blocks the event loop.

    Nor may the event loop block the commit. A thread that wants the interpreter asks for it
    after 5 ms in which nobody let go of it (CPython's `take_gil`). An event loop that always has
    something to do lets go of it at each turn, to look at its sockets, and takes it back before
    the other is awake: the 5 ms begin anew and no request is ever made. Measured with turns of
    0.4 ms: half a second for each SQL statement, so minutes for a checkpoint. So while work is
    under way the loop rests a moment now and then.

    Args:
        name: What the thread is called.
    """

    def __init__(self, name: str = "genba-store") -> None:
        self._pool = ThreadPoolExecutor(1, name)
        self._under_way: set[Future[Any]] = set()
        self._rest: asyncio.TimerHandle | None = None

    async def run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        future = self._pool.submit(work)
        self._under_way.add(future)
        if self._rest is None:
            self._rest = loop.call_later(GIVE_WAY_S, self._give_way, loop)
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._under_way.discard(future)
            if not self._under_way and self._rest is not None:
                self._rest.cancel()
                self._rest = None

    def _give_way(self, loop: asyncio.AbstractEventLoop) -> None:
        """Rest, which lets the thread have the interpreter for that long."""
        wait(self._under_way, NAP_S)
        self._rest = loop.call_later(GIVE_WAY_S, self._give_way, loop)

    def close(self) -> None:
        self._pool.shutdown(wait=True)


class InlineExecutor:
    """Runs at once on the caller's thread: for virtual time, where nothing may wait."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    def close(self) -> None:
        pass
