"""The audit is chained: whatever is altered, put in or taken out is found."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.engine import store_entry, store_schema
from gateway.engine import store_records as records
from gateway.engine.store import Store
from gateway.engine.store_audit import START, Check
from gateway.errors import Disconnected


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "genba.db")
    await store.open()
    for i in range(1, 11):
        await records.audit(store, i, "user:anna", "alarm/ack", {"alarm": f"a{i}"})
    yield store
    if store._db is not None:
        await store.close()


def check(path: Path) -> Check:
    found = Check()
    with closing(sqlite3.connect(path)) as db:
        while found.some(db):
            pass
    return found


async def test_what_is_whole_is_found_whole(store: Store) -> None:
    found = await records.audit_check(store)
    assert (found.rows, found.broken) == (10, [])
    newest, *_ = await records.audit_page(store)
    assert (newest["id"], newest["hash"]) == (10, found.head)
    assert [row["id"] for row in await records.audit_page(store, 2, before=5)] == [4, 3]


TAMPERED = {
    "UPDATE audit SET actor='user:bob' WHERE id=4": "Record 4 ",
    "UPDATE audit SET ts=ts+1 WHERE id=4": "Record 4 ",
    "UPDATE audit SET action='alarm/none' WHERE id=1": "Record 1 ",
    "UPDATE audit SET detail='{}' WHERE id=10": "Record 10 ",
    "DELETE FROM audit WHERE id=4": "The records 4 to 4 are missing",
    "DELETE FROM audit WHERE id=1": "The records 1 to 1 are missing",
    "DELETE FROM audit WHERE id>8": "record 10 should be the last",
    "INSERT INTO audit SELECT 11, ts, actor, action, detail, hash FROM audit WHERE id=10": (
        "Record 11 "
    ),
    "UPDATE audit SET id=id+100 WHERE id=10": "The records 10 to 109 are missing",
}


@pytest.mark.parametrize("sql", TAMPERED)
async def test_what_is_altered_is_found(store: Store, sql: str) -> None:
    await store.close()
    with closing(sqlite3.connect(store.path)) as db, db:
        for name in ("audit_is_final", "audit_is_kept"):
            db.execute(f"DROP TRIGGER {name}")
        assert db.execute(sql).rowcount > 0
    found = check(store.path)
    assert any(TAMPERED[sql] in text for text in found.broken), found.broken


async def test_every_single_altered_row_is_found(store: Store) -> None:
    await store.close()
    for number in range(1, 11):
        for column in ("ts", "actor", "action", "detail", "hash"):
            with closing(sqlite3.connect(store.path, isolation_level=None)) as db:
                db.execute("BEGIN")
                db.execute("DROP TRIGGER audit_is_final")
                to = "ts + 1" if column == "ts" else f"'x' || {column}"
                db.execute(f"UPDATE audit SET {column} = {to} WHERE id=?", (number,))
                found = Check()
                while found.some(db):
                    pass
                assert found.broken, (number, column)
                db.execute("ROLLBACK")
    assert check(store.path).broken == []


@pytest.mark.parametrize("sql", ["UPDATE audit SET actor='x' WHERE id=2", "DELETE FROM audit"])
async def test_the_file_refuses_to_alter_it(store: Store, sql: str) -> None:
    with pytest.raises(Disconnected, match="the audit is append-only"):
        await store.run(lambda db: db.execute(sql))
    assert (await records.audit_check(store)).broken == []


async def test_the_oldest_go_and_the_chain_holds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(store_entry.ROWS_MAX, "audit", 4)  # type: ignore[index]  # a limit
    await store.trim(0)
    await records.audit(store, 11, "user:anna", "alarm/ack", {})
    found = await records.audit_check(store)
    assert (found.rows, found.broken) == (5, [])
    assert [row["id"] for row in await records.audit_page(store)] == [11, 10, 9, 8, 7]
    with pytest.raises(Disconnected, match="append-only"):
        await store.run(lambda db: db.execute("DELETE FROM audit WHERE id=7"))


async def test_a_hole_stays_a_hole_after_more_records(store: Store) -> None:
    def cut(db: sqlite3.Connection) -> None:
        db.execute("DROP TRIGGER audit_is_kept")
        db.execute("DELETE FROM audit WHERE id>8")

    await store.run(cut)
    await records.audit(store, 11, "user:bob", "alarm/ack", {})
    (text, *_) = (await records.audit_check(store)).broken
    assert text == "The records 9 to 10 are missing before record 11."


def version_2(path: Path, rows: int) -> None:
    """A state file as the version before wrote it, with some audit."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(store_schema._SCHEMA_2 + "PRAGMA user_version=2;")
        for i in range(1, rows + 1):
            values = (i * 3, i, "user:anna", "flow/deploy", json.dumps({"flow": f"f{i}"}))
            db.execute("INSERT INTO audit VALUES (?,?,?,?,?)", values)


@pytest.mark.parametrize("rows", [0, 7])
async def test_the_version_before_is_chained(tmp_path: Path, rows: int) -> None:
    version_2(tmp_path / "genba.db", rows)
    store = Store(tmp_path / "genba.db")
    assert await store.open() == ""
    found = await records.audit_check(store)
    assert (found.rows, found.broken, found.head == START) == (rows, [], rows == 0)
    await records.audit(store, 99, "user:bob", "alarm/ack", {})
    kept = await records.audit_rows(store)
    assert [row["ts"] for row in kept] == [99, *range(rows, 0, -1)]
    assert rows == 0 or kept[1]["detail"] == {"flow": f"f{rows}"}
    await store.close()
    again = Store(tmp_path / "genba.db")
    assert await again.open() == "", "a file that was brought over is like one that is new"
    await again.close()
