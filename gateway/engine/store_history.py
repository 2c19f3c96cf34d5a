"""A day of history: the samples of one day for trends, in an SQLite file of their own.

The file is disposable. Its log is synced only when it is folded (``synchronous=NORMAL``), so a
power cut may cost the newest minutes and never the file; the journal in the state file is what
loses nothing. Rows come as a tail first, all tags in one block every few seconds, and are cut
into a block for each tag every ten minutes: short writes, and long columns that pack well. The
log is folded behind a cut, when the tails are gone from it; small pages waste least of it.

Source: sqlite.org/wal.html and pragma.html#pragma_synchronous.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.data.batch import Batch
from gateway.data.downsample import MINUTE_NS, Spans, gathered
from gateway.data.tag import TAGS_MAX
from gateway.engine.codec import pack_inputs, unpack_inputs
from gateway.errors import Disconnected, StateError

T = TypeVar("T")
VERSION: Final = 1
_SCHEMA: Final = (
    "CREATE TABLE tag (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE)",
    "CREATE TABLE tail (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    "CREATE TABLE block (id INTEGER PRIMARY KEY, tag INTEGER NOT NULL, first INTEGER NOT NULL,"
    " last INTEGER NOT NULL, rows INTEGER NOT NULL, minutes BLOB NOT NULL, data BLOB NOT NULL)",
    "CREATE INDEX block_tag ON block (tag, first, last)",
)
"""`minutes` stands before `data`, so that it is read without the pages of the samples."""
LOG_BYTES_MAX: Final = 8 * 1024 * 1024
_OF_THE_DISK: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)
"""Errors that say nothing about what stands in the file; all others are damage."""
MINUTE: Final = np.dtype(
    [("t", "<i8"), ("low", "<f8"), ("high", "<f8"), ("last", "<f8"), ("quality", "<u4")]
)
_CRC_BYTES: Final = 4
_ROWS_PER_MINUTE: Final = 3
"""With fewer rows a minute than this, its summary would be longer than its samples."""


def told(path: Path, error: sqlite3.Error | OSError) -> Disconnected | StateError:
    """An error as what it means: the disk is away or full, or the file is damaged."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, OSError) or code in _OF_THE_DISK:
        return Disconnected(f"{path} cannot be used: {error}.")
    return StateError(f"{path} is damaged: {error}.")


def pack_rows(rows: Batch) -> bytes:
    """Rows as one block with a checksum."""
    return pack_inputs([("", "", rows)], int(rows.ts[0]))


def unpack_rows(block: bytes) -> Batch:
    """What `pack_rows` was given.

    Raises:
        StateError: The block is damaged.
    """
    inputs, _ = unpack_inputs(block)
    if len(inputs) != 1 or not isinstance(inputs[0][2], Batch):
        raise StateError("A stored block holds no samples.")
    return inputs[0][2]


def pack_minutes(rows: Batch) -> bytes:
    """The minutes of one tag's rows, with a checksum; empty where they would be no shorter."""
    minutes = gathered(Spans.of(rows), 0, MINUTE_NS)
    if len(rows) < _ROWS_PER_MINUTE * len(minutes):
        return b""
    packed = np.empty(len(minutes), MINUTE)
    for name in ("t", "low", "high", "last", "quality"):
        packed[name] = getattr(minutes, name)
    body = packed.tobytes()
    return body + zlib.crc32(body).to_bytes(_CRC_BYTES, "little")


def unpack_minutes(blob: bytes) -> NDArray[np.void]:
    """What `pack_minutes` was given, as records of `MINUTE`, (k,).

    Raises:
        StateError: They are damaged.
    """
    body, sum_ = blob[:-_CRC_BYTES], blob[-_CRC_BYTES:]
    if len(body) % MINUTE.itemsize or zlib.crc32(body).to_bytes(_CRC_BYTES, "little") != sum_:
        raise StateError("Stored minutes are damaged: their checksum does not fit.")
    return np.frombuffer(body, MINUTE)


class DayFile:
    """The file of one day, open for writing; for one thread.

    Args:
        path: The file; made when absent.

    Raises:
        Disconnected: The disk is away or full.
        StateError: The file is damaged, or none of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise told(path, error) from error
        self._ids: dict[str, int] = {}
        try:
            self._open()
        except BaseException:
            self._db.close()
            raise

    def _open(self) -> None:
        def work() -> None:
            for pragma in (
                "page_size=2048",
                "journal_mode=WAL",
                "synchronous=NORMAL",
                "wal_autocheckpoint=0",
                f"journal_size_limit={LOG_BYTES_MAX}",
                "trusted_schema=OFF",
                "cell_size_check=ON",
            ):
                self._db.execute(f"PRAGMA {pragma}")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0 and not self._db.execute("SELECT 1 FROM sqlite_schema").fetchone():
                self._db.execute("BEGIN IMMEDIATE")
                for statement in _SCHEMA:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={VERSION}")
                self._db.execute("COMMIT")
            elif version != VERSION:
                raise StateError(f"{self.path} is of version {version}; ours is {VERSION}.")
            for number, name in self._db.execute("SELECT id, name FROM tag"):
                self._ids[bytes(name).decode("utf-8", "surrogatepass")] = int(number)

        self._do(work)

    def _do(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (sqlite3.Error, UnicodeDecodeError, TypeError, ValueError) as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise told(self.path, error) from error
            raise StateError(f"{self.path} is damaged: {error}.") from error

    def _transaction(self, work: Callable[[], None]) -> None:
        def whole() -> None:
            self._db.execute("BEGIN IMMEDIATE")
            work()
            self._db.execute("COMMIT")

        known = dict(self._ids)
        try:
            self._do(whole)
        except BaseException:
            self._ids = known
            raise

    def _id(self, name: str) -> int:
        """The number of a tag in this file, within a transaction; 0 when there is no room."""
        number = self._ids.get(name)
        if number is None:
            if len(self._ids) >= TAGS_MAX:
                return 0
            number = max(self._ids.values(), default=0) + 1
            row = (number, name.encode("utf-8", "surrogatepass"))
            self._db.execute("INSERT INTO tag VALUES (?,?)", row)
            self._ids[name] = number
        return number

    def add_tail(self, rows: Batch, name_of: Callable[[int], str]) -> None:
        """Keep rows of many tags as they came, until they are cut.

        Args:
            rows: At least one; their tags are codes.
            name_of: The name behind a code.
        """

        def work() -> None:
            codes, index = np.unique(rows.tag, return_inverse=True)
            ids = np.array([self._id(name_of(int(code))) for code in codes], np.uint16)
            kept = rows.with_tag(ids[index]).where(ids[index] > 0)
            if len(kept):
                self._db.execute("INSERT INTO tail (data) VALUES (?)", (pack_rows(kept),))

        self._transaction(work)

    def last_tail(self) -> int:
        """Number of the newest tail; 0 when there is none."""
        sql = "SELECT coalesce(max(id), 0) FROM tail"
        return self._do(lambda: int(self._db.execute(sql).fetchone()[0]))

    def tails(self) -> tuple[list[Batch], int]:
        """All tails under the numbers of this file, and how many were damaged."""
        blocks = self._do(lambda: self._db.execute("SELECT data FROM tail ORDER BY id").fetchall())
        found, lost = [], 0
        for (block,) in blocks:
            try:
                found.append(unpack_rows(bytes(block)))
            except StateError:
                lost += 1
        return found, lost

    def drop_tails(self, last: int) -> None:
        """What was cut needs no tail any more."""

        def work() -> None:
            self._db.execute("DELETE FROM tail WHERE id<=?", (last,))
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

        self._do(work)

    def add_blocks(self, blocks: Sequence[tuple[str, Batch]]) -> None:
        """Keep rows by tag, each in order, in one transaction."""

        def work() -> None:
            known = ((self._id(name), rows) for name, rows in blocks)
            self._insert((number, rows) for number, rows in known if number)

        self._transaction(work)

    def add_numbered(self, blocks: Sequence[tuple[int, Batch]]) -> None:
        """The same for rows that are already under the numbers of this file."""
        self._transaction(lambda: self._insert(blocks))

    def _insert(self, blocks: Iterable[tuple[int, Batch]]) -> None:
        self._db.executemany(
            "INSERT INTO block (tag, first, last, rows, minutes, data) VALUES (?,?,?,?,?,?)",
            (
                (number, int(rows.ts[0]), int(rows.ts[-1]), len(rows), pack_minutes(rows), block)
                for number, rows, block in (
                    (n, r, pack_rows(r.with_tag(np.full(len(r), n, np.uint16)))) for n, r in blocks
                )
            ),
        )

    def close(self) -> None:
        """Fold the log into the file and let go of it."""
        self._db.close()
