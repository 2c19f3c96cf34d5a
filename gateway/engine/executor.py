"""Executors: where work runs that may block, so that the event loop never does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

T = TypeVar("T")


class Executor(Protocol):
    """Runs a function where it may block; `InlineExecutor` serves the simulation."""

    async def run(self, work: Callable[[], T]) -> T:
        """The function's result."""

    def close(self) -> None:
        """No more calls will come."""


class ThreadExecutor:
    """One thread of its own, so that a commit never blocks the event loop.

    Args:
        name: What the thread is called.
    """

    def __init__(self, name: str = "genba-store") -> None:
        self._pool = ThreadPoolExecutor(1, name)

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        self._pool.shutdown(wait=True)


class InlineExecutor:
    """Runs at once on the caller's thread: for virtual time, where nothing may wait."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    def close(self) -> None:
        pass
