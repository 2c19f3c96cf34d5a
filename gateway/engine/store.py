"""Store: the gateway's memory. One file, one writer thread, one transaction a commit.

The file holds journal, positions, cursors, snapshots, tags, alarm events, dead letters and
audit, so that one transaction can cover them. A commit is a single hop to the writer thread:
group commit collects what all flows hand in and writes it at most ten times a second, at once
when nothing was written lately. Readers use connections of their own.

Source: sqlite.org/wal.html; reliability figures in the decision record 0003.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.data.alarm import AlarmEvent
from gateway.engine.crash import crash_point
from gateway.engine.executor import Executor, InlineExecutor, ThreadExecutor
from gateway.engine.store_file import (
    Entry,
    close_file,
    in_transaction,
    limit_file,
    open_file,
    take_lock,
    write_entry,
    write_snapshot,
)
from gateway.engine.store_rows import whole_alarms, whole_positions, whole_tags
from gateway.engine.tasks import Tasks
from gateway.errors import Disconnected

T = TypeVar("T")
COMMIT_INTERVAL_S: Final = 0.1  # Ten commits a second need 8 % of the slowest disk measured.
COMMIT_ROWS_MAX: Final = 2_000
CHECKPOINT_BYTES: Final = 16 * 1024 * 1024  # So much in the log is folded into the file.
_Waiting = tuple[Entry, "asyncio.Future[None]"]


class Store:
    """The gateway's memory in one SQLite file.

    Args:
        path: The file; its folder must exist.
        executor: Where SQL runs.
        bytes_max: Setting `state_bytes_max`: the file stops to grow here; 0 is no limit.
    """

    def __init__(self, path: Path, executor: Executor | None = None, bytes_max: int = 0) -> None:
        self.path = path
        self._bytes_max = bytes_max
        self._executor: Executor = executor or ThreadExecutor()
        self._db: sqlite3.Connection | None = None
        self._lock = -1
        self._tasks = Tasks("store")
        self._waiting: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None
        self._last_commit_s = float("-inf")
        self._log_bytes = 0
        self.commits = 0
        self.bytes_written = 0
        self.told: Callable[[str, str], None] = lambda level, text: None  # For the screens.

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
            except BaseException:
                self._unlock()
                raise
            return told

        try:
            return await self._executor.run(work)
        except (OSError, sqlite3.Error) as error:
            raise Disconnected(f"{self.path} cannot be opened: {error}.") from error

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
        if self._flusher is None or self._flusher.done():
            self._flusher = self._tasks.start("flush", self._flush())
        await done

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            rows = sum(entry.rows for entry, _ in self._waiting)
            pause = self._last_commit_s + COMMIT_INTERVAL_S - loop.time()
            if pause > 0 and rows < COMMIT_ROWS_MAX:
                await asyncio.sleep(pause)
            group, self._waiting = self._waiting, []
            await self._commit_group(group)
            self._last_commit_s = loop.time()

    async def _commit_group(self, group: list[_Waiting]) -> None:
        entries = [entry for entry, _ in group]
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

        def work() -> None:
            for entry in entries:
                write_entry(db, entry)
            crash_point("pre_commit")

        in_transaction(db, work)
        crash_point("post_commit")
        self.commits += 1
        size = sum(len(e.block) for e in entries if e.block is not None)
        self.bytes_written += size
        self._log_bytes += size
        if self._log_bytes > CHECKPOINT_BYTES:
            self._fold_log(db)

    def _fold_log(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._log_bytes = 0

    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise sqlite3.ProgrammingError("it is closed")
        return self._db

    async def save_snapshot(self, flow: str, seq: int, ts: int, pack: Callable[[], bytes]) -> int:
        """Store the states after journal record `seq` and drop the records they contain.

        Args:
            flow: Whose states.
            seq: The last record they contain.
            ts: The time now [ns].
            pack: Makes the block; it runs on the writer thread, because it may take long.

        Returns:
            Size of the block [bytes].

        Raises:
            Disconnected: The disk refused; the older snapshot stays.
        """

        def work() -> int:
            db, block = self._open_db(), pack()
            crash_point("pre_snapshot")
            in_transaction(db, lambda: write_snapshot(db, flow, seq, ts, block))
            crash_point("post_snapshot")
            self._fold_log(db)
            self.bytes_written += len(block)
            return len(block)

        return await self._run(work)

    # ------------------------------------------------------------------ reading back

    async def snapshot(self, flow: str) -> tuple[int, bytes] | None:
        """(journal number, block) of a flow's newest snapshot."""
        rows = await self._query("SELECT seq, data FROM snapshot WHERE flow=?", (flow,))
        return (int(rows[0][0]), bytes(rows[0][1])) if rows else None

    async def journal(self, flow: str, after: int, limit: int = 500) -> list[tuple[int, bytes]]:
        """(number, block) of the next journal records of a flow, oldest first."""
        rows = await self._query(
            "SELECT seq, data FROM journal WHERE flow=? AND seq>? ORDER BY seq LIMIT ?",
            (flow, after, limit),
        )
        return [(int(seq), bytes(data)) for seq, data in rows]

    async def positions(self, flow: str) -> dict[str, Any]:
        """Source positions by node id."""
        rows = await self._query("SELECT node, value FROM position WHERE flow=?", (flow,))
        return self._whole(whole_positions(flow, rows))

    async def cursors(self, flow: str, revision: str) -> dict[str, int]:
        """How many messages each sink of this revision has taken, by node id."""
        sql = "SELECT sink, delivered FROM cursor WHERE flow=? AND revision=?"
        rows = await self._query(sql, (flow, revision))
        return {sink: int(delivered) for sink, delivered in rows}

    async def tags(self) -> list[dict[str, Any]]:
        """Facts of all tags, by code."""
        return self._whole(whole_tags(await self._query("SELECT code, fact FROM tag", ())))

    async def alarm_events(self, limit: int = 100_000) -> list[AlarmEvent]:
        """The newest alarm events, oldest first."""
        sql = "SELECT flow, key, event FROM alarm_event ORDER BY id DESC LIMIT ?"
        return self._whole(whole_alarms((await self._query(sql, (limit,)))[::-1]))

    async def dead_letter(self, flow: str, node: str, ts: int, error: str, data: bytes) -> None:
        """Keep what a sink refused for good, or what made a node fail."""
        await self._query(
            "INSERT INTO dead_letter (flow, node, ts, error, data) VALUES (?,?,?,?,?)",
            (flow, node, ts, error, data),
        )

    async def dead_letters(self, limit: int = 1000) -> list[dict[str, Any]]:
        """The newest dead letters, newest first, without their contents."""
        rows = await self._query(
            "SELECT id, flow, node, ts, error, length(data) FROM dead_letter"
            " ORDER BY id DESC LIMIT ?",
            (limit,),
        )
        names = ("id", "flow", "node", "ts", "error", "bytes")
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def audit(self, ts: int, actor: str, action: str, detail: Mapping[str, Any]) -> None:
        """Record who did what."""
        await self._query(
            "INSERT INTO audit (ts, actor, action, detail) VALUES (?,?,?,?)",
            (ts, actor, action, json.dumps(detail, sort_keys=True)),
        )

    async def audit_rows(self, limit: int = 1000) -> list[dict[str, Any]]:
        """The newest records of who did what, newest first."""
        rows = await self._query(
            "SELECT ts, actor, action, detail FROM audit ORDER BY id DESC LIMIT ?", (limit,)
        )
        names = ("ts", "actor", "action")
        return [
            {**dict(zip(names, row, strict=False)), "detail": json.loads(row[3])} for row in rows
        ]

    def _whole(self, read: tuple[T, str]) -> T:
        """What was read; what is damaged is said."""
        found, damage = read
        if damage:
            self.told("error", damage)
        return found

    async def _query(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return await self._run(lambda: self._open_db().execute(sql, values).fetchall())

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await self._executor.run(work)
        except sqlite3.Error as error:
            raise Disconnected(f"{self.path} cannot be used: {error}. Is the disk full?") from error


def _fail(group: list[_Waiting], error: BaseException) -> None:
    for _, done in group:
        if not done.done():
            done.set_exception(error)


__all__ = ["Entry", "Executor", "InlineExecutor", "Store", "ThreadExecutor"]
