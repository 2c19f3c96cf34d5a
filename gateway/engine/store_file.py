"""The state file: its tables, how it is opened, and what one transaction writes.

Functions over an SQLite connection, for the store's writer thread; nothing here waits for
anything but the disk.

Source: sqlite.org/wal.html, pragma.html and lockingv3.html.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.data.alarm import AlarmEvent
from gateway.data.tag import Tag
from gateway.engine.codec import plain
from gateway.engine.store_schema import MIGRATIONS, SCHEMA_VERSION, create, migrate
from gateway.engine.tagbook import fact_of
from gateway.errors import ConfigError, Disconnected, StateError

WAL_BYTES_MAX: Final = 64 * 1024 * 1024
ROWS_MAX: Final = {"alarm_event": 100_000, "dead_letter": 10_000, "gap": 100_000, "audit": 100_000}
"""Rows kept by table; the oldest go first, at a checkpoint."""


@dataclass(frozen=True, slots=True)
class GapRow:
    """A hole in what a source brought, as it is stored; times are event times [ns]."""

    source: str
    cause: str
    from_ts: int
    to_ts: int
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a flow.

    Args:
        number: Counts up from 1 for each flow.
        ts: When it was deployed [ns].
        author: ``user:<name>``, or ``file`` where a file was edited.
        note: Why, in words.
        text: The flow file.
        variables: Values of its variables, as JSON.
    """

    number: int
    ts: int
    author: str
    note: str
    text: str
    variables: str = "{}"


@dataclass(slots=True)
class OutboxRow:
    """Messages of one sink, to be stored as one block; packed where the SQL runs.

    Args:
        sink: Whose.
        first: Number of the first message.
        last: Number of the last.
        rows: Rows in all.
        pack: Gives the block.
    """

    sink: str
    first: int
    last: int
    rows: int
    pack: Callable[[], bytes]
    _data: bytes = b""

    @property
    def data(self) -> bytes:
        """The block; it is made once."""
        self._data = self._data or self.pack()
        return self._data


@dataclass(slots=True)
class Entry:
    """What one flow wants committed together: its input and what it knows by now.

    Args:
        flow: The flow's name.
        seq: Number of the journal record; grows by one a record of this flow.
        ts: Time of the step [ns].
        rows: Rows in `block`.
        block: The input as bytes; None where nothing came in but events are to be stored.
        positions: Source positions as JSON, by node id.
        outlets: What each sink has taken, as JSON, by node id.
        blocks: Messages that wait for sinks, to be kept on the disk.
        freed: First numbers of the blocks that are no longer needed, by node id.
        closed: Sinks and workers that are gone, with all that waited for them.
        alarms: Alarm events of the steps before; one that is known is ignored.
        gaps: Holes that the block tells of.
        revision: The version of the flow that is deployed with this entry.
        tags: Tags that are new or have changed, by code.
        pack: Gives the block where the SQL runs, so that the event loop need not.
        urgent: A flow stands still until it is stored: it waits for no others.
    """

    flow: str
    seq: int
    ts: int
    rows: int = 0
    block: bytes | None = None
    positions: Mapping[str, str] = field(default_factory=dict)
    outlets: Mapping[str, str] = field(default_factory=dict)
    blocks: Sequence[OutboxRow] = ()
    freed: Mapping[str, Sequence[int]] = field(default_factory=dict)
    closed: Sequence[str] = ()
    alarms: Sequence[AlarmEvent] = ()
    gaps: Sequence[GapRow] = ()
    revision: Revision | None = None
    tags: Mapping[int, Tag] = field(default_factory=dict)
    pack: Callable[[], bytes] | None = None
    urgent: bool = False


def take_lock(path: Path) -> int:
    """Hold the state file for this process; the system lets go when the process ends.

    Raises:
        ConfigError: Another gateway has it.
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ConfigError(
            f"Another gateway uses {path}.", hint="Stop it, or choose another --state."
        ) from error
    return lock


def open_file(path: Path) -> tuple[sqlite3.Connection, str]:
    """The connection, and a sentence when a damaged file was put aside.

    Raises:
        Disconnected: The disk is away, full or not ours to write.
    """
    try:
        return _connect(path), ""
    except sqlite3.OperationalError as error:
        raise Disconnected(f"{path} cannot be opened: {error}. Look at the disk.") from error
    except (sqlite3.DatabaseError, StateError) as error:
        aside = _aside(path)
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            side = Path(f"{path}{suffix}")
            if side.exists():
                side.rename(f"{aside}{suffix}")
        return _connect(path), (
            f"The state file cannot be used ({error}). It was put aside as {aside.name} and an "
            "empty one was begun: windows, alarms and positions start fresh."
        )


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
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
            create(db)
        elif version in MIGRATIONS:
            migrate(db, version)
        elif version != SCHEMA_VERSION:
            raise StateError(f"it is of version {version}, this program knows {SCHEMA_VERSION}")
    except BaseException:
        db.close()
        raise
    return db


def _aside(path: Path) -> Path:
    """A free name beside a file."""
    for number in range(1, 10_000):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        if not aside.exists():
            return aside
    raise Disconnected("There are 9,999 damaged state files here. Look at the disk.")


def close_file(db: sqlite3.Connection) -> None:
    """Fold the log into the file and close it; a full disk leaves the log for the next start."""
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        pass
    finally:
        db.close()


def in_transaction(db: sqlite3.Connection, work: Callable[[], None]) -> None:
    """Do all of it or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        work()
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def write_entry(db: sqlite3.Connection, entry: Entry) -> None:
    """Write one entry; doing it again changes nothing."""
    if entry.tags:
        db.executemany(
            "REPLACE INTO tag VALUES (?,?)",
            [(code, json.dumps(fact_of(tag))) for code, tag in entry.tags.items()],
        )
    if entry.block is not None:
        db.execute(
            "REPLACE INTO journal VALUES (?,?,?,?,?)",
            (entry.flow, entry.seq, entry.ts, entry.rows, entry.block),
        )
    for node, value in entry.positions.items():
        db.execute("REPLACE INTO position VALUES (?,?,?)", (entry.flow, node, value))
    _write_outboxes(db, entry)
    if entry.revision is not None:
        r = entry.revision
        db.execute(
            "REPLACE INTO revision VALUES (?,?,?,?,?,?,?)",
            (entry.flow, r.number, r.ts, r.author, r.note, r.text, r.variables),
        )
    _write_events(db, entry)


def _write_outboxes(db: sqlite3.Connection, entry: Entry) -> None:
    for sink, mark in entry.outlets.items():
        db.execute("REPLACE INTO outlet VALUES (?,?,?,?)", (entry.flow, sink, entry.seq, mark))
    for sink, numbers in entry.freed.items():
        db.executemany(
            "DELETE FROM outbox WHERE flow=? AND sink=? AND first=?",
            [(entry.flow, sink, first) for first in numbers],
        )
    for row in entry.blocks:
        values = (entry.flow, row.sink, row.first, row.last, row.rows, row.data)
        db.execute("REPLACE INTO outbox VALUES (?,?,?,?,?,?)", values)
    for sink in entry.closed:  # With its lanes, which are named like `out#1`.
        for table in ("outbox", "outlet"):  # Names of ours.
            where = "flow=?1 AND (sink=?2 OR substr(sink, 1, length(?2) + 1) = ?2 || '#')"
            db.execute(f"DELETE FROM {table} WHERE {where}", (entry.flow, sink))  # noqa: S608


def _write_events(db: sqlite3.Connection, entry: Entry) -> None:
    for gap in entry.gaps:
        text = json.dumps(gap.detail, sort_keys=True, default=str)
        key = _key(entry.flow, gap.source, gap.cause, str(gap.from_ts), str(gap.to_ts), text)
        db.execute(
            "INSERT OR IGNORE INTO gap (key, flow, source, cause, from_ts, to_ts, detail)"
            " VALUES (?,?,?,?,?,?,?)",
            (key, entry.flow, gap.source, gap.cause, gap.from_ts, gap.to_ts, text),
        )
    for event in entry.alarms:
        text = json.dumps(plain(event), sort_keys=True)
        db.execute(
            "INSERT OR IGNORE INTO alarm_event (flow, key, ts, alarm, event) VALUES (?,?,?,?,?)",
            (entry.flow, _key(entry.flow, text), event.ts, event.alarm, text),
        )


def _key(*parts: str) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def drop_old_rows(db: sqlite3.Connection) -> None:
    """Keep the newest rows of the tables that only grow."""
    for table, kept in ROWS_MAX.items():
        # The names are ours, from the top of this file.
        db.execute(f"DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - {kept}")  # noqa: S608
