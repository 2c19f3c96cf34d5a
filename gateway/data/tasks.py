"""Tasks: the only caller of asyncio.create_task, so that none is lost and no error is silent."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

import anyio

_log = logging.getLogger("genba.tasks")
_T = TypeVar("_T")


class WantedLock(asyncio.Lock):
    """A lock that knows whether somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted = 0

    @property
    def is_wanted(self) -> bool:
        """True while somebody waits."""
        return self._wanted > 0

    async def acquire(self) -> Literal[True]:
        self._wanted += 1
        try:
            return await super().acquire()
        finally:
            self._wanted -= 1


class Alone:
    """Work in a task of its own, for libraries that count on anyio's way of cancelling.

    httpcore holds off a cancel while it takes or closes a connection by shields of anyio, and
    these do not hold off asyncio's own: a deadline that ends just then, or one around another
    one, leaves the connection open and its place in the pool taken for good. Here the caller is
    cancelled at once and the work by a scope of anyio, for which nobody need wait.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._running: set[asyncio.Task[Any]] = set()
        self._left: set[asyncio.Task[Any]] = set()
        """Those for which nobody waits any more."""

    async def run(
        self,
        work: Coroutine[Any, Any, _T],
        give_back: Callable[[_T], Coroutine[Any, Any, None]] | None = None,
    ) -> _T:
        """What the work returns or raises.

        Args:
            work: What is to be done.
            give_back: What is done with a result that came when its caller was gone already.
        """
        scope = anyio.CancelScope()
        task = self._start(_within(scope, work))
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            scope.cancel()
            self._leave(task)
            if give_back is not None:
                task.add_done_callback(functools.partial(self._unwanted, give_back))
            raise
        return task.result()

    async def tidied(self) -> None:
        """Wait for all that nobody else waits for."""
        while self._left:
            await asyncio.wait(self._left)

    def _leave(self, task: asyncio.Task[Any]) -> None:
        if not task.done():
            self._left.add(task)
            task.add_done_callback(self._left.discard)

    def _start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work, name=self.name)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # Whoever waits for it has it; nobody else wants to hear of it.

    def _unwanted(
        self, give_back: Callable[[_T], Coroutine[Any, Any, None]], task: asyncio.Task[_T]
    ) -> None:
        if not task.cancelled() and task.exception() is None:
            self._leave(self._start(give_back(task.result())))


async def _within(scope: anyio.CancelScope, work: Coroutine[Any, Any, _T]) -> _T:
    with scope:
        return await work
    raise asyncio.CancelledError


class Tasks:
    """A set of tasks that end together.

    A plain create_task keeps only a weak reference, so an unfinished task may vanish; and
    its exception is seen by nobody. Here both are held, and an exception is logged at once.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine; the task is held until it ends."""
        task = asyncio.get_running_loop().create_task(work, name=f"{self.name}/{name}")
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("Task %s ended with an error.", task.get_name(), exc_info=error)

    def running(self) -> list[asyncio.Task[Any]]:
        """Those that have not ended."""
        return list(self._running)

    def cancel(self) -> None:
        """Ask all to end, without waiting for them."""
        for task in self._running:
            task.cancel()

    async def stop(self) -> None:
        """Cancel all and wait until they have ended."""
        current = asyncio.current_task()
        waiting = [task for task in self._running if task is not current]
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.gather(*waiting, return_exceptions=True)
