"""Store: the only place that knows SQL. One file, one writer thread, one transaction a commit.

The file holds journal, positions, cursors, snapshots, tags, alarm events, dead letters and
audit, so that one transaction can cover them. A commit is a single hop to the writer thread:
group commit collects what all flows hand in and writes it at most ten times a second, at once
when nothing was written lately. Readers use connections of their own.

Source: sqlite.org/wal.html and pragma.html; reliability figures in the decision record 0003.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gateway.data.alarm import AlarmEvent
from gateway.engine.codec import alarm_of, plain
from gateway.engine.tasks import Tasks
from gateway.errors import Disconnected, StateError

T = TypeVar("T")
SCHEMA_VERSION = 1
COMMIT_INTERVAL_S = 0.1  # Ten commits a second need 8 % of the slowest disk that was measured.
COMMIT_ROWS_MAX = 2_000
WAL_BYTES_MAX = 64 * 1024 * 1024

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tag (code INTEGER PRIMARY KEY, fact TEXT NOT NULL);
CREATE TABLE journal (flow TEXT NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL,
                      rows INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (flow, seq));
CREATE TABLE position (flow TEXT NOT NULL, node TEXT NOT NULL, value TEXT NOT NULL,
                       PRIMARY KEY (flow, node)) WITHOUT ROWID;
CREATE TABLE cursor (flow TEXT NOT NULL, sink TEXT NOT NULL, delivered INTEGER NOT NULL,
                     PRIMARY KEY (flow, sink)) WITHOUT ROWID;
CREATE TABLE snapshot (flow TEXT PRIMARY KEY, seq INTEGER NOT NULL, ts INTEGER NOT NULL,
                       data BLOB NOT NULL);
CREATE TABLE alarm_event (id INTEGER PRIMARY KEY, flow TEXT NOT NULL, key TEXT NOT NULL UNIQUE,
                          ts INTEGER NOT NULL, alarm TEXT NOT NULL, event TEXT NOT NULL);
CREATE INDEX alarm_event_ts ON alarm_event (ts);
CREATE TABLE dead_letter (id INTEGER PRIMARY KEY, flow TEXT NOT NULL, node TEXT NOT NULL,
                          ts INTEGER NOT NULL, error TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE audit (id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, actor TEXT NOT NULL,
                    action TEXT NOT NULL, detail TEXT NOT NULL);
"""


@dataclass(slots=True)
class Entry:
    """What one flow wants committed together: its input and what it knows by now.

    Args:
        flow: The flow's name.
        seq: Number of the journal record; grows by one a commit of this flow.
        ts: Time of the step [ns].
        rows: Rows in `block`.
        block: The input as bytes; None where nothing came in but events are to be stored.
        positions: Source positions to store, by node id.
        cursors: How many messages each sink has taken, by node id.
        alarms: (key, event) of the steps before; a key that is known is ignored.
        tags: Facts of tags that are new or have changed, by code.
    """

    flow: str
    seq: int
    ts: int
    rows: int = 0
    block: bytes | None = None
    positions: Mapping[str, Any] = field(default_factory=dict)
    cursors: Mapping[str, int] = field(default_factory=dict)
    alarms: Sequence[tuple[str, AlarmEvent]] = ()
    tags: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


class Executor(Protocol):
    """Runs a function where it may block; `InlineExecutor` serves the simulation."""

    async def run(self, work: Callable[[], T]) -> T:
        """The function's result."""

    def close(self) -> None:
        """No more calls will come."""


class ThreadExecutor:
    """One thread of its own, so that a commit never blocks the event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "genba-store")

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


class Store:
    """The gateway's memory in one SQLite file.

    Args:
        path: The file; its folder must exist.
        executor: Where SQL runs.
    """

    def __init__(self, path: Path, executor: Executor | None = None) -> None:
        self.path = path
        self._executor: Executor = executor or ThreadExecutor()
        self._db: sqlite3.Connection | None = None
        self._tasks = Tasks("store")
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._flushing = False
        self._last_commit_s = float("-inf")
        self.commits = 0
        self.bytes_written = 0

    async def open(self) -> str:
        """Open or make the file.

        Returns:
            Empty, or a sentence that says a damaged file was put aside.
        """
        return await self._executor.run(self._open)

    def _open(self) -> str:
        try:
            self._db = self._connect()
            return ""
        except (sqlite3.DatabaseError, StateError) as error:
            aside = _aside(self.path)
            self.path.rename(aside)
            for suffix in ("-wal", "-shm"):
                side = Path(f"{self.path}{suffix}")
                if side.exists():
                    side.rename(f"{aside}{suffix}")
            self._db = self._connect()
            return (
                f"The state file was damaged ({error}). It was put aside as {aside.name} and an "
                "empty one was begun: windows, alarms and positions start fresh."
            )

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (
                "journal_mode=WAL",
                "synchronous=FULL",
                "wal_autocheckpoint=0",
                f"journal_size_limit={WAL_BYTES_MAX}",
                "foreign_keys=ON",
                "trusted_schema=OFF",
                "cell_size_check=ON",
            ):
                db.execute(f"PRAGMA {pragma}")
            (sound,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if sound != "ok":
                raise StateError(f"quick_check says: {sound}")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
            elif version != SCHEMA_VERSION:
                raise StateError(f"it is of version {version}, this program knows {SCHEMA_VERSION}")
        except BaseException:
            db.close()
            raise
        return db

    async def close(self) -> None:
        """Write what waits, fold the log into the file and close it."""
        while self._waiting or self._flushing:
            await asyncio.sleep(0.005)
        await self._executor.run(self._close)
        self._executor.close()

    def _close(self) -> None:
        if self._db is not None:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()
            self._db = None

    # ------------------------------------------------------------------ commit

    async def commit(self, entry: Entry) -> None:
        """Write an entry with whatever others hand in now; returns when it is on the disk.

        Raises:
            Disconnected: The disk refused; nothing of the group was stored.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        if not self._flushing:
            self._flushing = True
            self._tasks.start("flush", self._flush())
        await done

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                rows = sum(entry.rows for entry, _ in self._waiting)
                pause = self._last_commit_s + COMMIT_INTERVAL_S - loop.time()
                if pause > 0 and rows < COMMIT_ROWS_MAX:
                    await asyncio.sleep(pause)
                group, self._waiting = self._waiting, []
                await self._commit_group(group)
                self._last_commit_s = loop.time()
        finally:
            self._flushing = False

    async def _commit_group(self, group: list[tuple[Entry, asyncio.Future[None]]]) -> None:
        entries = [entry for entry, _ in group]
        try:
            await self._executor.run(lambda: self._write(entries))
        except sqlite3.Error as error:
            text = f"{self.path} cannot be written: {error}. Is the disk full or read-only?"
            for _, done in group:
                if not done.done():
                    done.set_exception(Disconnected(text))
            return
        for _, done in group:
            if not done.done():
                done.set_result(None)

    def _write(self, entries: Sequence[Entry]) -> None:
        db = self._open_db()
        db.execute("BEGIN IMMEDIATE")
        try:
            for entry in entries:
                _write_entry(db, entry)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        self.commits += 1
        self.bytes_written += sum(len(e.block) for e in entries if e.block is not None)

    def _open_db(self) -> sqlite3.Connection:
        assert self._db is not None, "the store is open while the engine runs"
        return self._db

    async def save_snapshot(self, flow: str, seq: int, ts: int, block: bytes) -> None:
        """Store the states after journal record `seq` and drop the records they contain."""

        def work() -> None:
            db = self._open_db()
            db.execute("BEGIN IMMEDIATE")
            try:
                db.execute("REPLACE INTO snapshot VALUES (?,?,?,?)", (flow, seq, ts, block))
                db.execute("DELETE FROM journal WHERE flow=? AND seq<=?", (flow, seq))
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self.bytes_written += len(block)

        await self._executor.run(work)

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

    async def last_seq(self, flow: str) -> int:
        """Number of a flow's newest journal record, also when it was dropped; 0 without any."""
        rows = await self._query(
            "SELECT max(a) FROM (SELECT max(seq) AS a FROM journal WHERE flow=?1"
            " UNION ALL SELECT seq FROM snapshot WHERE flow=?1)",
            (flow,),
        )
        return int(rows[0][0] or 0)

    async def positions(self, flow: str) -> dict[str, Any]:
        """Source positions by node id."""
        rows = await self._query("SELECT node, value FROM position WHERE flow=?", (flow,))
        return {node: json.loads(value) for node, value in rows}

    async def cursors(self, flow: str) -> dict[str, int]:
        """How many messages each sink has taken, by node id."""
        rows = await self._query("SELECT sink, delivered FROM cursor WHERE flow=?", (flow,))
        return {sink: int(delivered) for sink, delivered in rows}

    async def tags(self) -> list[dict[str, Any]]:
        """Facts of all tags, by code."""
        rows = await self._query("SELECT fact FROM tag ORDER BY code", ())
        return [json.loads(fact) for (fact,) in rows]

    async def alarm_events(self, limit: int = 100_000) -> list[AlarmEvent]:
        """The newest alarm events, oldest first."""
        rows = await self._query(
            "SELECT event FROM (SELECT id, event FROM alarm_event ORDER BY id DESC LIMIT ?)"
            " ORDER BY id",
            (limit,),
        )
        return [alarm_of(json.loads(event)) for (event,) in rows]

    async def dead_letter(self, flow: str, node: str, ts: int, error: str, data: bytes) -> None:
        """Keep what a sink refused for good, or what made a node fail."""
        await self._execute(
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
        await self._execute(
            "INSERT INTO audit (ts, actor, action, detail) VALUES (?,?,?,?)",
            (ts, actor, action, json.dumps(detail, sort_keys=True)),
        )

    async def off_loop(self, work: Callable[[], T]) -> T:
        """Run a function on the writer thread: for packing that would hold up the loop."""
        return await self._executor.run(work)

    async def _query(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return await self._executor.run(lambda: self._open_db().execute(sql, values).fetchall())

    async def _execute(self, sql: str, values: tuple[Any, ...]) -> None:
        await self._executor.run(lambda: self._open_db().execute(sql, values) and None)


def _write_entry(db: sqlite3.Connection, entry: Entry) -> None:
    if entry.tags:
        db.executemany(
            "REPLACE INTO tag VALUES (?,?)",
            [(code, json.dumps(fact)) for code, fact in entry.tags.items()],
        )
    if entry.block is not None:
        db.execute(
            "INSERT INTO journal VALUES (?,?,?,?,?)",
            (entry.flow, entry.seq, entry.ts, entry.rows, entry.block),
        )
    for node, value in entry.positions.items():
        db.execute("REPLACE INTO position VALUES (?,?,?)", (entry.flow, node, json.dumps(value)))
    for sink, delivered in entry.cursors.items():
        db.execute("REPLACE INTO cursor VALUES (?,?,?)", (entry.flow, sink, delivered))
    for key, event in entry.alarms:
        db.execute(
            "INSERT OR IGNORE INTO alarm_event (flow, key, ts, alarm, event) VALUES (?,?,?,?,?)",
            (entry.flow, key, event.ts, event.alarm, json.dumps(plain(event))),
        )


def _aside(path: Path) -> Path:
    """A free name beside a file."""
    for number in range(1, 10_000):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        if not aside.exists():
            return aside
    raise StateError("There are 9,999 damaged state files here. Look at the disk.")
