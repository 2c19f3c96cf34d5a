"""Store room: the store of a real gateway, whose full disk has a ballast file to give up."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from gateway.engine.ballast import BALLAST_BYTES_MAX, Ballast
from gateway.engine.executor import Executor, ThreadExecutor
from gateway.engine.store import Store
from gateway.errors import Disconnected

T = TypeVar("T")
STATE_BYTES_MAX: Final = 8 * 1024**3
"""The state file stops to grow here, so that it never takes the whole disk: 72 h of outbox and
as much of journal fit in twice."""
_LOOK_EVERY: Final = 50  # Transactions, of which there are ten a second at most.
_log = logging.getLogger("genba.store")


class RoomExecutor:
    """Runs what an executor runs; when the disk is full it gives up the ballast and runs again.

    A transaction that failed left nothing behind, so running it again is running it once.

    Args:
        executor: Where the work runs.
        ballast: What may be given up.
    """

    def __init__(self, executor: Executor, ballast: Ballast) -> None:
        self.told: Callable[[str, str], None] = lambda level, text: None
        """Called with (level, sentence) for people."""
        self._executor = executor
        self._ballast = ballast
        self._runs = 0

    async def run(self, work: Callable[[], T]) -> T:
        try:
            done = await self._executor.run(work)
        except (sqlite3.Error, OSError, Disconnected):
            if not await self._gave_up():
                raise
            return await self._executor.run(work)
        if self._runs % _LOOK_EVERY == 0:
            await self._make()
        self._runs += 1
        return done

    def close(self) -> None:
        self._executor.close()

    async def _gave_up(self) -> bool:
        try:
            size = await self._executor.run(self._ballast.give_up)
        except OSError as error:
            _log.error("%s cannot be given up: %s", self._ballast.path, error)
            return False
        if size:
            text = (
                f"The disk with {self._ballast.path.parent} is full. A reserve of {size:,} bytes "
                "was given up, so that nothing stops yet. Free some space; it then comes back."
            )
            _log.error("%s", text)
            self.told("error", text)
        return bool(size)

    async def _make(self) -> None:
        was_given_up = self._ballast.is_given_up
        try:
            await self._executor.run(self._ballast.make)
        except OSError as error:
            _log.debug("%s cannot be made: %s", self._ballast.path, error)
        if was_given_up and not self._ballast.is_given_up:
            text = "The disk has room again: the reserve is back."
            _log.info("%s", text)
            self.told("info", text)


def roomy_store(
    path: Path, bytes_max: int = STATE_BYTES_MAX, ballast_bytes_max: int = BALLAST_BYTES_MAX
) -> Store:
    """The store of a gateway in a folder of its own: with ballast, and a limit to its size."""
    ballast = Ballast(path.with_name(f"{path.name}.ballast"), ballast_bytes_max)
    room = RoomExecutor(ThreadExecutor(), ballast)
    store = Store(path, room, bytes_max=bytes_max)
    store.is_short = lambda: ballast.is_given_up
    room.told = lambda level, text: store.told(level, text)
    return store


__all__ = ["STATE_BYTES_MAX", "RoomExecutor", "roomy_store"]
