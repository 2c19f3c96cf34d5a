"""Accounts, sessions and API tokens in the state file.

What is stored of each is a sealed JSON; secrets are stored as hashes only. A change and its
line in the audit are one transaction: neither is there without the other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.engine.sealed import seal, unseal
from gateway.engine.store import Store
from gateway.engine.store_audit import append
from gateway.engine.store_file import in_transaction
from gateway.errors import StateError

Table = Literal["account", "session", "api_token"]
_TABLES: Final[tuple[Table, ...]] = ("account", "session", "api_token")
_KEYS: Final[Mapping[Table, str]] = {"account": "name", "session": "hash", "api_token": "hash"}


@dataclass(frozen=True, slots=True)
class Put:
    """A row to be written, or to be removed where there is no fact."""

    table: Table
    key: str
    fact: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A line for the audit."""

    ts: int
    actor: str
    action: str
    detail: Mapping[str, Any]


async def load_accounts(store: Store) -> dict[Table, dict[str, dict[str, Any] | None]]:
    """All rows by table and key; one that is damaged is None, and that is said.

    Raises:
        Disconnected: The disk is away.
    """

    def work(db: sqlite3.Connection) -> dict[Table, list[tuple[str, str]]]:
        # The names are ours, from the top of this file.
        return {
            table: db.execute(f"SELECT {_KEYS[table]}, fact FROM {table}").fetchall()  # noqa: S608
            for table in _TABLES
        }

    found: dict[Table, dict[str, dict[str, Any] | None]] = {}
    for table, rows in (await store.run(work)).items():
        found[table] = {}
        for key, stored in rows:
            try:
                found[table][key] = json.loads(unseal(stored, table, key))
            except StateError:
                found[table][key] = None
                name = f" {key!r}" if table == "account" else ""
                word = table.replace("_", " ").replace("api", "API")
                store.lost(f"The {word}{name} is damaged in the state file and cannot be used.")
    return found


async def write_accounts(store: Store, rows: Sequence[Put], said: Sequence[Said] = ()) -> None:
    """Write rows and what the audit says of them, all or nothing.

    Raises:
        Disconnected: The disk refused; nothing was changed.
    """

    def work(db: sqlite3.Connection) -> None:
        for row in rows:
            if row.fact is None:
                where = f"DELETE FROM {row.table} WHERE {_KEYS[row.table]}=?"  # noqa: S608
                db.execute(where, (row.key,))
            else:
                sealed = seal(json.dumps(row.fact, sort_keys=True), row.table, row.key)
                into = f"REPLACE INTO {row.table} VALUES (?,?)"  # noqa: S608
                db.execute(into, (row.key, sealed))
        for line in said:
            append(db, line.ts, line.actor, line.action, json.dumps(line.detail, sort_keys=True))

    await store.run(lambda db: in_transaction(db, lambda: work(db)))
