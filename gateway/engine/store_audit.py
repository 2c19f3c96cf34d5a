"""The audit in the state file: who did what, append-only, each record chained to the one before.

A record carries a SHA-256 over the hash of the record before and over itself, so that a row
that is altered, put in or taken out is found by `genba audit verify`. Triggers refuse what an
accident or a careless script would do. The chain has no key: who may write the state file and
computes all hashes anew leaves no trace here, so export the newest hash to another machine.

Functions over an SQLite connection, for the store's writer thread.

Source: IEC 62443-4-2:2019, CR 2.8 to 2.12 and CR 3.9 (protection of audit information).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import Any, Final

AUDIT: Final = (
    "CREATE TABLE audit (id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, actor TEXT NOT NULL,"
    " action TEXT NOT NULL, detail TEXT NOT NULL, hash TEXT NOT NULL)",
    "CREATE TRIGGER audit_is_final BEFORE UPDATE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
    "CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit WHEN old.id > coalesce((SELECT"
    " CAST(value AS INTEGER) FROM meta WHERE key='audit_base'), 0)"
    " BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END",
)
"""The table and what keeps it; rows up to `audit_base` were let go for lack of room."""
START: Final = "0" * 64
"""Stands for the hash before the first record."""
_BASE: Final = "audit_base"
_HEAD: Final = "audit_head"
_ROWS: Final = 2_000
BROKEN_MAX: Final = 100


def digest(before: str, number: int, ts: int, actor: str, action: str, detail: str) -> str:
    """The hash of a record that follows a hash.

    >>> digest(START, 1, 5, "user:anna", "alarm/ack", "{}")[:16]
    '53d34cbe128aa02b'
    """
    text = json.dumps([before, number, ts, actor, action, detail])
    return hashlib.sha256(text.encode()).hexdigest()


def append(db: sqlite3.Connection, ts: int, actor: str, action: str, detail: str) -> None:
    """Write one record; it belongs into a transaction.

    Args:
        db: The state file.
        ts: When [ns].
        actor: Who: ``user:anna``.
        action: What: ``flow/deploy``.
        detail: What else there is to say, as JSON.
    """
    number, before = _mark(db, _HEAD) or _newest(db)
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM audit").fetchone()
    number = max(number, last) + 1
    found = digest(before, number, ts, actor, action, detail)
    values = (number, ts, actor, action, detail, found)
    db.execute("INSERT INTO audit VALUES (?,?,?,?,?,?)", values)
    _set_mark(db, _HEAD, number, found)


def chain_all(db: sqlite3.Connection, sql: str) -> None:
    """Append what a query gives: the migration of an audit that was not chained yet."""
    for row in db.execute(sql).fetchall():
        append(db, *row)


def page(
    db: sqlite3.Connection, limit: int, before: int = 0, text: str = ""
) -> list[dict[str, Any]]:
    """Records with smaller numbers than `before` (0: all), newest first.

    Args:
        db: The state file.
        limit: How many.
        before: See above.
        text: Only those with it in actor, action or detail, however ASCII letters are written.
    """
    names = ("id", "ts", "actor", "action", "detail", "hash")
    rows = db.execute(
        "SELECT id, ts, actor, action, detail, hash FROM audit WHERE (?1 = 0 OR id < ?1)"
        " AND (?3 = '' OR instr(lower(actor || ' ' || action || ' ' || detail), lower(?3)))"
        " ORDER BY id DESC LIMIT ?2",
        (before, limit, text),
    )
    return [{**dict(zip(names, row, strict=True)), "detail": _detail(row[4])} for row in rows]


def drop_oldest(db: sqlite3.Connection, kept: int) -> None:
    """Keep the newest records; the hash of the last that goes stays as the chain's beginning."""
    row = db.execute(
        "SELECT id, hash FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?"
        " ORDER BY id DESC LIMIT 1",
        (kept,),
    ).fetchone()
    if row is not None:
        _set_mark(db, _BASE, *row)
        db.execute("DELETE FROM audit WHERE id <= ?", (row[0],))


def base(db: sqlite3.Connection) -> str:
    """The hash that the oldest record follows."""
    return (_mark(db, _BASE) or (0, START))[1]


class Check:
    """Looks for records that are not as they were written, from the oldest to the newest."""

    def __init__(self) -> None:
        self.rows = 0
        self.broken: list[str] = []
        """A sentence for each fault, at most `BROKEN_MAX`."""
        self.head = START
        """The hash of the newest record: note it elsewhere."""
        self._after: int | None = None

    def some(self, db: sqlite3.Connection) -> bool:
        """Check the next records; False when there are no more."""
        if self._after is None:
            self._after, self.head = _mark(db, _BASE) or (0, START)
        rows = db.execute(
            "SELECT id, ts, actor, action, detail, hash FROM audit WHERE id > ?"
            " ORDER BY id LIMIT ?",
            (self._after, _ROWS),
        ).fetchall()
        for number, *record, found in rows:
            if number != self._after + 1:
                missing = f"{self._after + 1} to {number - 1}"
                self._say(f"The records {missing} are missing before record {number}.")
            if digest(self.head, number, *record) != found:
                self._say(f"Record {number} or the one before it was altered.")
            self.rows += 1
            self._after, self.head = number, found
        if rows:
            return True
        number, found = _mark(db, _HEAD) or (self._after, self.head)
        if (number, found) != (self._after, self.head):
            self._say(f"The end is not as it was written: record {number} should be the last.")
        return False

    def _say(self, text: str) -> None:
        if len(self.broken) < BROKEN_MAX:
            self.broken.append(text)


def _detail(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # Damaged; `Check` says so.
        return {"damaged": text}


def _newest(db: sqlite3.Connection) -> tuple[int, str]:
    """Where the chain goes on when its mark is damaged."""
    row = db.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    return (int(row[0]), str(row[1])) if row else _mark(db, _BASE) or (0, START)


def _mark(db: sqlite3.Connection, key: str) -> tuple[int, str] | None:
    row = db.execute("SELECT value FROM meta WHERE key=?", (key,)).fetchone()
    number, _, found = str(row[0]).partition(" ") if row else ("", "", "")
    return (int(number), found) if number.isdigit() and len(found) == len(START) else None


def _set_mark(db: sqlite3.Connection, key: str, number: int, found: str) -> None:
    db.execute("REPLACE INTO meta VALUES (?,?)", (key, f"{number} {found}"))
