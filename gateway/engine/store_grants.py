"""Write grants in the state file: revisions that are only added, and what was set by hand.

A revision that takes a grant away has no fact. The table refuses what would alter a revision.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.engine.sealed import seal, unseal
from gateway.engine.store import Store
from gateway.engine.store_audit import append
from gateway.engine.store_file import in_transaction
from gateway.errors import StateError

GRANTS: Final = (
    "CREATE TABLE write_grant (id TEXT NOT NULL, number INTEGER NOT NULL, ts INTEGER NOT NULL,"
    " author TEXT NOT NULL, fact TEXT NOT NULL, PRIMARY KEY (id, number)) WITHOUT ROWID",
    "CREATE TRIGGER write_grant_is_final BEFORE UPDATE ON write_grant"
    " BEGIN SELECT RAISE(ABORT, 'write grants are append-only'); END",
    "CREATE TRIGGER write_grant_is_kept BEFORE DELETE ON write_grant"
    " BEGIN SELECT RAISE(ABORT, 'write grants are append-only'); END",
    "CREATE TABLE write_mark (flow TEXT NOT NULL, node TEXT NOT NULL, tag TEXT NOT NULL,"
    " fact TEXT NOT NULL, PRIMARY KEY (flow, node, tag)) WITHOUT ROWID",
)
"""Grants, and for each target what was written to it last."""


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One revision of a grant; no fact is a grant that was taken away."""

    id: str
    number: int
    ts: int
    author: str
    fact: Mapping[str, Any] | None
    is_damaged: bool = False


async def load_grants(store: Store) -> list[GrantRow]:
    """The newest revision of each grant; one that is damaged is said.

    Raises:
        Disconnected: The disk is away.
    """

    def work(db: sqlite3.Connection) -> list[tuple[str, int, int, str, str]]:
        return db.execute(
            "SELECT id, number, ts, author, fact FROM write_grant AS g WHERE number ="
            " (SELECT max(number) FROM write_grant AS n WHERE n.id = g.id) ORDER BY id"
        ).fetchall()

    found = []
    for name, number, ts, author, stored in await store.run(work):
        row = GrantRow(name, number, ts, author, None)
        try:
            row = replace(row, fact=json.loads(unseal(stored, name, number, ts, author)))
        except StateError:
            row = replace(row, is_damaged=True)
            store.lost(
                f"The write grant {name!r} is damaged: what no whole grant is for is not written. "
                f"Set it anew, or remove it: genba grants remove {name}"
            )
        found.append(row)
    return found


async def add_grant(
    store: Store, row: GrantRow, action: str, detail: Mapping[str, Any]
) -> GrantRow:
    """Add a revision with its line in the audit; returns it with its number.

    Raises:
        Disconnected: The disk refused; nothing was changed.
    """
    number = 0

    def work(db: sqlite3.Connection) -> None:
        nonlocal number
        sql = "SELECT coalesce(max(number), 0) + 1 FROM write_grant WHERE id=?"
        (number,) = db.execute(sql, (row.id,)).fetchone()
        fact = seal(json.dumps(row.fact, sort_keys=True), row.id, number, row.ts, row.author)
        values = (row.id, number, row.ts, row.author, fact)
        db.execute("INSERT INTO write_grant VALUES (?,?,?,?,?)", values)
        said = json.dumps({**detail, "revision": number}, sort_keys=True)
        append(db, row.ts, row.author, action, said)

    await store.run(lambda db: in_transaction(db, lambda: work(db)))
    return replace(row, number=number)


async def load_marks(store: Store) -> dict[tuple[str, str, str], dict[str, Any] | None]:
    """The last writes by target; None where the record is damaged.

    Raises:
        Disconnected: The disk is away.
    """

    def work(db: sqlite3.Connection) -> list[tuple[str, str, str, str]]:
        return db.execute("SELECT flow, node, tag, fact FROM write_mark").fetchall()

    found: dict[tuple[str, str, str], dict[str, Any] | None] = {}
    for *names, stored in await store.run(work):
        target = (names[0], names[1], names[2])
        try:
            found[target] = json.loads(unseal(stored, *target))
        except StateError:
            found[target] = None
            store.lost(f"What was written last to {target[2]} is damaged: it waits a minute.")
    return found


async def keep_mark(store: Store, target: tuple[str, str, str], fact: Mapping[str, Any]) -> None:
    """Have the disk know of the last writes of a target.

    Raises:
        Disconnected: The disk refused.
    """
    values = (*target, seal(json.dumps(fact), *target))

    def work(db: sqlite3.Connection) -> None:
        db.execute("REPLACE INTO write_mark VALUES (?,?,?,?)", values)

    await store.run(lambda db: in_transaction(db, lambda: work(db)))


async def setpoint_records(store: Store, limit: int) -> list[tuple[int, str, str, Any]]:
    """The newest records of the audit about setpoints, oldest first: (ts, actor, action, detail).

    Raises:
        Disconnected: The disk is away.
    """

    def work(db: sqlite3.Connection) -> list[tuple[int, str, str, str]]:
        return db.execute(
            "SELECT ts, actor, action, detail FROM audit WHERE action LIKE 'setpoint/%'"
            " ORDER BY id DESC LIMIT ?",
            (limit,),
        ).fetchall()

    found = []
    for ts, actor, action, text in reversed(await store.run(work)):
        try:
            found.append((ts, actor, action, json.loads(text)))
        except ValueError:  # Damaged; `genba audit verify` says so.
            continue
    return found


__all__ = [
    "GRANTS",
    "GrantRow",
    "add_grant",
    "keep_mark",
    "load_grants",
    "load_marks",
    "setpoint_records",
]
