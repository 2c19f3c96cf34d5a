"""Tasks: the only caller of asyncio.create_task, so that none is lost and no error is silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Literal

_log = logging.getLogger("genba.tasks")


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
