"""The state file: its tables, how it is opened, and what one transaction writes.

Functions over an SQLite connection, for the store's writer thread; nothing here waits for
anything but the disk.

Source: sqlite.org/wal.html, pragma.html and lockingv3.html.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Final

from gateway.engine.store_log import log_of, renew, scan
from gateway.engine.store_schema import MIGRATIONS, SCHEMA_VERSION, can_go_on, create, migrate
from gateway.errors import ConfigError, Disconnected, StateError

WAL_BYTES_MAX: Final = 64 * 1024 * 1024
_CHECKED_WHOLE_BYTES: Final = 256 * 1024 * 1024
"""A file up to this is checked with its indexes at the start (0.8 s); a larger one without."""
_FRESH: Final = "windows, alarms and positions start fresh."
_OF_THE_DISK: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""Errors that say nothing about what stands in the file; all others are damage."""


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
    """The connection, and a sentence when something of the file was lost or it was put aside.

    Raises:
        Disconnected: The disk is away, full or not ours to write.
    """
    renew(path)
    if told := _without_file(path):
        return _connect(path), told
    found = scan(path)
    try:
        db = _connect(path)
    except (sqlite3.DatabaseError, UnicodeDecodeError, StateError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK:
            raise Disconnected(f"{path} cannot be opened: {error}. Look at the disk.") from error
        return _begin_anew(path, f"The state file cannot be used ({error}).")
    try:
        return db, found.lost(_frames(db)) if found.commits else ""
    except BaseException:
        db.close()
        raise


def _without_file(path: Path) -> str:
    """Put a log aside whose file is empty or gone, since SQLite would drop it without a word."""
    if path.exists() and path.stat().st_size:
        return ""
    log = log_of(path)
    if log.exists() and log.stat().st_size:
        log.rename(aside := _aside(log))
        return f"The state file is gone. Its log was put aside as {aside.name}; {_FRESH}"
    return f"The state file was empty: {_FRESH}" if path.exists() else ""


def _begin_anew(path: Path, why: str) -> tuple[sqlite3.Connection, str]:
    aside = _aside(path)
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        side = Path(f"{path}{suffix}")
        if side.exists():
            side.rename(f"{aside}{suffix}")
    return _connect(path), (
        f"{why} It was put aside as {aside.name} and an empty one was begun: {_FRESH}"
    )


def _frames(db: sqlite3.Connection) -> int:
    """How many frames of the log were taken for good; they are folded into the file by the way."""
    try:
        (_, frames, _) = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.OperationalError:
        return 1 << 62  # A disk that is full now: nothing can be said about the log.
    return int(frames)


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
        db.text_factory = _as_text
        small = path.stat().st_size < _CHECKED_WHOLE_BYTES
        check = "integrity_check" if small else "quick_check"
        (sound,) = db.execute(f"PRAGMA {check}(1)").fetchone()
        if sound != "ok":
            raise StateError(f"{check} says: {sound}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0 and not _tables(db):
            create(db)
        elif version in MIGRATIONS:
            migrate(db, version)
        elif not can_go_on(db, version):
            raise StateError(f"it is of version {version}, this program knows {SCHEMA_VERSION}")
        elif not _has_our_tables(db, version):
            raise StateError("its tables are not those of this version")
        _keep_private(path)
    except BaseException:
        db.close()
        raise
    return db


def _keep_private(path: Path) -> None:
    """Nobody but our own user reads what people and machines did here."""
    for suffix in ("", "-wal", "-shm"):
        side = Path(f"{path}{suffix}")
        with contextlib.suppress(OSError):  # A file system without modes, or one of another user.
            if side.stat().st_mode & 0o077:
                side.chmod(0o600)


def _as_text(stored: bytes) -> str:
    """A text as it stands, with a mark for what is none: that is for its seal to find."""
    return stored.decode(errors="replace")


def _tables(db: sqlite3.Connection) -> list[tuple[str, str]]:
    """What the file says its tables and indexes are."""
    return db.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type IN ('table', 'index') AND sql <> ''"
        " ORDER BY name"
    ).fetchall()


def _has_our_tables(db: sqlite3.Connection, version: int) -> bool:
    """Whether all tables are there; a newer version may have more."""
    found, ours = _tables(db), _tables_of_this_version()
    return found == ours if version == SCHEMA_VERSION else set(ours) <= set(found)


@cache
def _tables_of_this_version() -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as db:
        create(db)
        return _tables(db)


def limit_file(db: sqlite3.Connection, bytes_max: int) -> None:
    """Let the state file grow to so many bytes and no further; 0 is as far as there is disk.

    A file that is larger already stays as it is and does not grow. What passes the limit fails
    as on a full disk, and nothing of it is stored.
    """
    if bytes_max:
        (page,) = db.execute("PRAGMA page_size").fetchone()
        db.execute(f"PRAGMA max_page_count={max(bytes_max // page, 1)}")


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
