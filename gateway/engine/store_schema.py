"""The tables of the state file, and how a file of an older version is brought to this one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Final

from gateway.engine.sealed import seal
from gateway.engine.store_audit import AUDIT, chain_all

SCHEMA_VERSION: Final = 6
READABLE_SINCE: Final = 6
"""The oldest version that can go on with a file of this one: what came since is only more tables.
An update that is taken back runs the old program on the new one's file, and must lose nothing."""
_SINCE: Final = "readable_since"

_SCHEMA_2: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE tag (code INTEGER PRIMARY KEY, fact TEXT NOT NULL);
CREATE TABLE journal (flow TEXT NOT NULL, seq INTEGER NOT NULL, ts INTEGER NOT NULL,
                      rows INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (flow, seq));
CREATE TABLE segment (flow TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
                      from_ts INTEGER NOT NULL, to_ts INTEGER NOT NULL, rows INTEGER NOT NULL,
                      bytes INTEGER NOT NULL, PRIMARY KEY (flow, first)) WITHOUT ROWID;
CREATE TABLE position (flow TEXT NOT NULL, node TEXT NOT NULL, value TEXT NOT NULL,
                       PRIMARY KEY (flow, node)) WITHOUT ROWID;
CREATE TABLE outlet (flow TEXT NOT NULL, sink TEXT NOT NULL, seq INTEGER NOT NULL,
                     mark TEXT NOT NULL, PRIMARY KEY (flow, sink)) WITHOUT ROWID;
CREATE TABLE outbox (flow TEXT NOT NULL, sink TEXT NOT NULL, first INTEGER NOT NULL,
                     last INTEGER NOT NULL, rows INTEGER NOT NULL, data BLOB NOT NULL,
                     PRIMARY KEY (flow, sink, first));
CREATE TABLE snapshot (flow TEXT PRIMARY KEY, seq INTEGER NOT NULL, ts INTEGER NOT NULL,
                       number INTEGER NOT NULL, manifest BLOB NOT NULL);
CREATE TABLE state (flow TEXT NOT NULL, part INTEGER NOT NULL, chunk INTEGER NOT NULL,
                    number INTEGER NOT NULL, data BLOB NOT NULL,
                    PRIMARY KEY (flow, part, chunk, number));
CREATE TABLE alarm_event (id INTEGER PRIMARY KEY, flow TEXT NOT NULL, key TEXT NOT NULL UNIQUE,
                          ts INTEGER NOT NULL, alarm TEXT NOT NULL, event TEXT NOT NULL);
CREATE INDEX alarm_event_ts ON alarm_event (ts);
CREATE TABLE dead_letter (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, flow TEXT NOT NULL,
                          node TEXT NOT NULL, port TEXT NOT NULL, ts INTEGER NOT NULL,
                          revision INTEGER NOT NULL, error TEXT NOT NULL, rows INTEGER NOT NULL,
                          data BLOB NOT NULL, state TEXT NOT NULL DEFAULT 'waiting');
CREATE TABLE gap (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, flow TEXT NOT NULL,
                  source TEXT NOT NULL, cause TEXT NOT NULL, from_ts INTEGER NOT NULL,
                  to_ts INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE INDEX gap_to ON gap (to_ts);
CREATE TABLE revision (flow TEXT NOT NULL, number INTEGER NOT NULL, ts INTEGER NOT NULL,
                       author TEXT NOT NULL, note TEXT NOT NULL, text TEXT NOT NULL,
                       variables TEXT NOT NULL, PRIMARY KEY (flow, number));
CREATE TABLE audit (id INTEGER PRIMARY KEY, ts INTEGER NOT NULL, actor TEXT NOT NULL,
                    action TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE wear (day TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
"""


_ADDED_3: Final = (
    "CREATE TABLE account (name TEXT PRIMARY KEY, fact TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE session (hash TEXT PRIMARY KEY, fact TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE api_token (hash TEXT PRIMARY KEY, fact TEXT NOT NULL) WITHOUT ROWID",
)
"""Facts are sealed JSON, as those of tags: a flipped bit must not become another role."""

_ADDED_4: Final = (
    "CREATE TABLE draft (flow TEXT PRIMARY KEY, fact TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE layout (flow TEXT PRIMARY KEY, fact TEXT NOT NULL) WITHOUT ROWID",
)
"""What people edit and have not deployed, and where boxes stand; sealed JSON as well."""


def create(db: sqlite3.Connection) -> None:
    """Make all tables in an empty file."""
    db.execute("BEGIN")
    for statement in _SCHEMA_2.split(";"):
        db.execute(statement)
    _to_3(db)
    _to_4(db)
    _to_5(db)
    _to_6(db)
    _say_since(db)
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    db.execute("COMMIT")


def _say_since(db: sqlite3.Connection) -> None:
    db.execute("REPLACE INTO meta VALUES (?, ?)", (_SINCE, str(READABLE_SINCE)))


def can_go_on(db: sqlite3.Connection, version: int) -> bool:
    """Whether this program can go on with a file of a newer version."""
    if version <= SCHEMA_VERSION:
        return version == SCHEMA_VERSION
    try:
        row = db.execute("SELECT value FROM meta WHERE key=?", (_SINCE,)).fetchone()
    except sqlite3.OperationalError:  # It has not even that table.
        return False
    return row is not None and row[0].isdigit() and int(row[0]) <= SCHEMA_VERSION


def _to_2(db: sqlite3.Connection) -> None:
    """Version 1 kept a state as one block with what waited for the sinks inside."""
    from gateway.engine.store_migrate import convert  # It needs what needs this file.

    kept = ("journal", "alarm_event", "audit")
    others = ("tag", "position", "dead_letter", "cursor", "snapshot")
    for table in (*kept, *others):
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    db.execute("DROP INDEX alarm_event_ts")
    for statement in _SCHEMA_2.split(";"):
        db.execute(statement)
    for table in kept:
        db.execute(f"INSERT INTO {table} SELECT * FROM old_{table}")  # noqa: S608 - names of ours
    db.execute(
        "INSERT INTO dead_letter (id, key, flow, node, port, ts, revision, error, rows, data)"
        " SELECT id, 'v1/' || id, flow, node, '', ts, 0, error, 0, data FROM old_dead_letter"
    )
    for code, fact in db.execute("SELECT code, fact FROM old_tag").fetchall():
        db.execute("INSERT INTO tag VALUES (?,?)", (code, seal(fact, code)))
    for flow, node, value in db.execute("SELECT * FROM old_position").fetchall():
        db.execute("INSERT INTO position VALUES (?,?,?)", (flow, node, seal(value, flow, node)))
    convert(db)
    for table in (*kept, *others):
        db.execute(f"DROP TABLE old_{table}")


def _to_3(db: sqlite3.Connection) -> None:
    """Version 2 knew no accounts, and a row of its audit could be altered without a trace."""
    db.execute("ALTER TABLE audit RENAME TO old_audit")
    for statement in (*AUDIT, *_ADDED_3):
        db.execute(statement)
    chain_all(db, "SELECT ts, actor, action, detail FROM old_audit ORDER BY id")
    db.execute("DROP TABLE old_audit")


def _to_4(db: sqlite3.Connection) -> None:
    """Version 3 knew no drafts."""
    for statement in _ADDED_4:
        db.execute(statement)


def _to_5(db: sqlite3.Connection) -> None:
    """Version 4 knew no write grants."""
    from gateway.engine.store_grants import GRANTS  # It needs what needs this file.

    for statement in GRANTS:
        db.execute(statement)


def _to_6(db: sqlite3.Connection) -> None:
    """Version 5 knew no explanations of alarms."""
    from gateway.engine.store_explain import EXPLANATIONS  # It needs what needs this file.

    for statement in EXPLANATIONS:
        db.execute(statement)


MIGRATIONS: Final[Mapping[int, Callable[[sqlite3.Connection], None]]] = {
    1: _to_2,
    2: _to_3,
    3: _to_4,
    4: _to_5,
    5: _to_6,
}
"""What brings a file from a version to the next."""


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring a file to `SCHEMA_VERSION`, all of it or nothing.

    Raises:
        KeyError: There is no way from that version.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version, SCHEMA_VERSION):
            MIGRATIONS[step](db)
        _say_since(db)
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
