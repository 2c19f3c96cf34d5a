"""Store: the gateway's memory. One file, one writer thread, one transaction a commit.

The file holds journal, positions, cursors, snapshots, tags, alarm events, dead letters and
audit, so that one transaction can cover them. A commit is a single hop to the writer thread:
group commit collects what all flows hand in and writes it at most ten times a second, at once
when nothing was written lately. Readers use connections of their own.

Source: sqlite.org/wal.html; reliability figures in the decision record 0003.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.data.tasks import Tasks
from gateway.engine.crash import crash_point
from gateway.engine.executor import Executor, InlineExecutor, ThreadExecutor
from gateway.engine.store_entry import Entry, write_entry
from gateway.engine.store_file import close_file, in_transaction, limit_file, open_file, take_lock
from gateway.engine.store_journal import Retention, Segments
from gateway.engine.store_state import Saved
from gateway.errors import Disconnected

T = TypeVar("T")
COMMIT_INTERVAL_S: Final = 0.08
"""With the commit itself less than 0.1 s; ten a second need 8 % of the slowest disk measured."""
COMMIT_ROWS_MAX: Final = 2_000
FOLD_BYTES: Final = 1024 * 1024
"""So much in the log is folded into the file, between two commits: little, and so at once."""
_Waiting = tuple[Entry, "asyncio.Future[None]"]


class Writer:
    """The gateway's memory in one SQLite file.

    Args:
        path: The file; its folder must exist.
        executor: Where SQL runs.
        retention: How much of the journal is kept for replays.
        bytes_max: Setting `state_bytes_max`: the file stops to grow here; 0 is no limit.
    """

    def __init__(
        self,
        path: Path,
        executor: Executor | None = None,
        retention: Retention | None = None,
        bytes_max: int = 0,
    ) -> None:
        self.path = path
        self._bytes_max = bytes_max
        self._executor: Executor = executor or ThreadExecutor()
        self._db: sqlite3.Connection | None = None
        self._lock = -1
        self._tasks = Tasks("store")
        self._waiting: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None
        self._last_commit_s = float("-inf")
        self._hurry = asyncio.Event()
        self._log_bytes = 0
        self._is_growing = False  # The log, because it cannot be folded.
        self.commits = 0
        self.bytes_written = 0
        self.retention = retention or Retention()
        self.segments = Segments()
        self._saved: dict[str, Saved] = {}
        self._saving = asyncio.Lock()
        self._done: dict[str, int] = {}
        """By flow: the last journal record that its newest checkpoint contains."""
        self.lost_blocks: set[tuple[str, str]] = set()  # Flow and sink that have lost rows.
        self.trouble = ""  # Why nothing can be written now.
        self.is_short: Callable[[], bool] = lambda: False  # The disk has little room left.
        self._is_miscounted = False
        """True after a commit that was undone: the segments in memory are ahead of the file."""
        self.told: Callable[[str, str], None] = lambda level, text: None  # For the screens.
        self.damage: list[str] = []  # Sentences about what was found damaged, for an alarm.

    async def open(self) -> str:
        """Open or make the file.

        Returns:
            Empty, or a sentence that says a damaged file was put aside.

        Raises:
            ConfigError: Another gateway uses it.
            Disconnected: The disk is away, full or not ours to write.
        """

        def work() -> str:
            self._lock = take_lock(self.path)
            try:
                self._db, told = open_file(self.path)
                limit_file(self._db, self._bytes_max)
                self._count(self._db)
            except BaseException:
                self._unlock()
                raise
            return told

        try:
            return await self._executor.run(work)
        except (OSError, sqlite3.Error) as error:
            raise Disconnected(f"{self.path} cannot be opened: {error}.") from error

    def _count(self, db: sqlite3.Connection) -> None:
        """What the journal holds, and what of it the checkpoints need."""
        self.segments, self._is_miscounted = Segments(), False
        self.segments.load(db)
        self._done = dict.fromkeys(self.segments.flows(), 0)
        self._done |= dict(db.execute("SELECT flow, seq FROM snapshot"))

    async def beat(self) -> None:
        """Return when the writer thread has done what was asked of it before: it is alive."""
        await self._executor.run(lambda: None)

    async def close(self) -> None:
        """Write what waits, fold the log into the file and close it."""
        while self._flusher is not None and not self._flusher.done():
            await asyncio.wait([self._flusher])
        await self._executor.run(self._close)
        self._executor.close()

    def _close(self) -> None:
        if self._db is not None:
            close_file(self._db)
            self._db = None
        self._unlock()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # ------------------------------------------------------------------ commit

    async def commit(self, entry: Entry) -> None:
        """Write an entry with whatever others hand in now; returns when it is on the disk.

        One who is cancelled while waiting does not know whether it was written.

        Raises:
            Disconnected: The disk refused; nothing of the group was stored.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        rows = sum(part.rows for one, _ in self._waiting for part in one.parts())
        if entry.urgent or rows >= COMMIT_ROWS_MAX:
            self._hurry.set()
        if self._flusher is None or self._flusher.done():
            self._flusher = self._tasks.start("flush", self._flush())
        await done

    async def _flush(self) -> None:
        try:
            await self._flush_all()
        except Exception:
            if self._waiting:  # These came meanwhile and have nothing to do with it.
                self._flusher = self._tasks.start("flush", self._flush())
            raise

    async def _flush_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            pause = self._last_commit_s + COMMIT_INTERVAL_S - loop.time()
            if pause > 0 and not self._hurry.is_set():
                try:
                    async with asyncio.timeout(pause):
                        await self._hurry.wait()
                except TimeoutError:
                    pass
            group, self._waiting = self._waiting, []
            self._hurry.clear()
            await self._commit_group(group)
            self._last_commit_s = loop.time()
            await self._fold_when_due()

    async def _fold_when_due(self) -> None:
        """Fold the log into the file if it has grown; whoever committed need not wait for it."""
        is_tight = self._log_bytes > 0 and self.is_short()  # A log that is folded grows no more.
        if self._log_bytes >= FOLD_BYTES or is_tight:
            try:
                await self.run(self._fold_log)
            except Disconnected as error:
                if not self._is_growing:
                    self.told("error", f"The log of the state file grows: {error}")
                self._is_growing = True
            else:
                self._is_growing = False

    async def _commit_group(self, group: list[_Waiting]) -> None:
        entries = [part for entry, _ in group for part in entry.parts()]
        try:
            await self._executor.run(lambda: self._write(entries))
        except (sqlite3.Error, OverflowError) as error:
            text = f"{self.path} cannot be written: {error}. Is the disk full or read-only?"
            _fail(group, Disconnected(text))
            return
        except BaseException as error:
            _fail(group, error)
            raise
        for _, done in group:
            if not done.done():
                done.set_result(None)

    def _write(self, entries: Sequence[Entry]) -> None:
        db = self._open_db()
        if self._is_miscounted:
            self._count(db)
        for entry in entries:
            if entry.pack is not None:
                entry.block, entry.pack = entry.pack(), None
        self._is_miscounted = True

        def work() -> None:
            for entry in entries:
                write_entry(db, entry)
                self.segments.write(db, entry)
                self._done.setdefault(entry.flow, 0)
            crash_point("pre_commit")

        in_transaction(db, work)
        self._is_miscounted = False
        crash_point("post_commit")
        self.commits += 1
        size = sum(len(e.block) for e in entries if e.block is not None)
        size += sum(len(row.data) for e in entries for row in e.blocks)
        self.bytes_written += size
        self._log_bytes += size

    def _fold_log(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._log_bytes = 0

    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.ProgrammingError("it is closed")
        return self._db

    def lost(self, text: str) -> None:
        """Say once that something stored is damaged."""
        if text not in self.damage:
            self.damage.append(text)
            self.told("error", text)

    async def _query(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return await self.run(lambda db: db.execute(sql, values).fetchall())

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Have the writer thread do something; it should take some milliseconds at most.

        Raises:
            Disconnected: The disk refused.
        """
        try:
            return await self._executor.run(lambda: work(self._open_db()))
        except sqlite3.Error as error:
            raise Disconnected(f"{self.path} cannot be used: {error}. Is the disk full?") from error


def _fail(group: list[_Waiting], error: BaseException) -> None:
    for _, done in group:
        if not done.done():
            done.set_exception(error)


__all__ = ["Entry", "Executor", "InlineExecutor", "ThreadExecutor", "Writer"]
