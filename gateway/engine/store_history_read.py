"""Reading days of history beside the thread that writes them.

Each request opens its own read-only connections: nothing that writes ever waits for them.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.data.batch import EMPTY, Batch
from gateway.data.downsample import Spans
from gateway.engine.store_history import VERSION, told, unpack_minutes, unpack_rows
from gateway.errors import StateError


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A stored block of one tag.

    Args:
        day: Where it is.
        id: Its number; of two the greater came later.
        tag: The tag's number in that file.
        first: Time of its first row [ns].
        last: Time of its last [ns].
        rows: How many it has.
        minutes: Its minutes, packed; empty where the rows serve as well.
    """

    day: DayReader
    id: int
    tag: int
    first: int
    last: int
    rows: int
    minutes: bytes

    def spans(self) -> Spans | None:
        """Its minutes; None when they are not there or damaged, and the rows must do."""
        if not self.minutes:
            return None
        try:
            found = unpack_minutes(self.minutes)
        except StateError:
            self.day.damaged += 1
            return None
        return Spans(
            np.ascontiguousarray(found["t"]),
            np.ascontiguousarray(found["low"]),
            np.ascontiguousarray(found["high"]),
            np.ascontiguousarray(found["last"]),
            np.ascontiguousarray(found["quality"]),
        )

    def batch(self) -> Batch:
        """Its rows, in order; none when they are damaged, which is counted."""
        return self.day.batch(self)


class DayReader:
    """The file of one day, opened read-only.

    Args:
        path: The file.
        day: Which day it is.

    Raises:
        FileNotFoundError: It is gone, or not yet there.
        Disconnected: The disk is away.
        StateError: The file is damaged.
    """

    def __init__(self, path: Path, day: int) -> None:
        self.path = path
        self.day = day
        self.damaged = 0
        """Blocks that could not be read."""
        if not path.exists():
            raise FileNotFoundError(path)
        try:
            self._db = self._open()
        except sqlite3.Error as error:
            raise told(path, error) from error

    def _open(self) -> sqlite3.Connection:
        uri = self.path.resolve().as_uri()
        db = sqlite3.connect(
            f"{uri}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if not version:  # It is being made at this moment.
                raise FileNotFoundError(self.path)
            if version != VERSION:
                raise StateError(f"{self.path} is of version {version}; ours is {VERSION}.")
        except BaseException:
            db.close()
            raise
        return db

    def blocks(self, name: str, start: int, end: int) -> list[Block]:
        """Blocks of a tag that touch [start, end) [ns], by their first row."""
        try:
            row = self._db.execute(
                "SELECT id FROM tag WHERE name=?", (name.encode("utf-8", "surrogatepass"),)
            ).fetchone()
            if row is None:
                return []
            rows = self._db.execute(
                "SELECT id, first, last, rows, minutes FROM block"
                " WHERE tag=? AND first<? AND last>=? ORDER BY first, id",
                (row[0], end, start),
            ).fetchall()
        except sqlite3.Error as error:
            raise told(self.path, error) from error
        return [Block(self, i, row[0], f, l_, n, bytes(m)) for i, f, l_, n, m in rows]

    def batch(self, block: Block) -> Batch:
        """The rows of a block."""
        try:
            row = self._db.execute("SELECT data FROM block WHERE id=?", (block.id,)).fetchone()
        except sqlite3.Error as error:
            raise told(self.path, error) from error
        try:
            rows = unpack_rows(bytes(row[0])) if row is not None else EMPTY
        except StateError:
            rows = EMPTY
        if len(rows) != block.rows or not (rows.tag == block.tag).all():
            self.damaged += 1
            return EMPTY
        return rows

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()
