"""The audit is chained: whatever is altered, put in or taken out is found."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.engine import store_archive, store_entry, store_schema
from gateway.engine import store_records as records
from gateway.engine.store import Store
from gateway.engine.store_audit import START, Check
from gateway.errors import ConfigError, Disconnected


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


async def test_what_leaves_the_file_is_in_the_archive(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Record for record, with hashes that go on in the state file; an alteration is found."""
    monkeypatch.setitem(store_entry.ROWS_MAX, "audit", 4)  # type: ignore[index]  # a limit
    folder = store.path.parent / store_archive.FOLDER
    await store.trim(0)
    for i in range(11, 14):
        await records.audit(store, i, "user:anna", "alarm/ack", {"alarm": "ä\n"})
    await store.trim(0)
    first, second = store_archive.files(folder)
    assert (first.name, second.name) == ("audit-1-6.jsonl.gz", "audit-7-9.jsonl.gz")
    assert list(store_archive.check([first, second])) == []
    lines = gzip.decompress(second.read_bytes()).decode().splitlines()
    assert [json.loads(line)[0] for line in lines[1:]] == [7, 8, 9]
    assert (await records.audit_check(store)).broken == []
    assert list(store_archive.check([second])) == [], "a later file stands for itself"
    altered = gzip.decompress(first.read_bytes()).replace(b"user:anna", b"user:bob")
    first.write_bytes(gzip.compress(altered))
    (text, *_) = store_archive.check([first, second])
    assert text.startswith("Record 1 in audit-1-6.jsonl.gz")
    first.write_bytes(b"nothing")
    assert list(store_archive.check([first])) == ["audit-1-6.jsonl.gz is damaged."]


async def test_a_gap_between_files_is_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(store_entry.ROWS_MAX, "audit", 2)  # type: ignore[index]  # a limit
    for i in range(11, 17):
        await store.trim(0)
        await records.audit(store, i, "user:anna", "alarm/ack", {})
    paths = store_archive.files(store.path.parent / store_archive.FOLDER)
    assert len(paths) > 3
    assert list(store_archive.check(paths)) == []
    (text,) = store_archive.check([*paths[:1], *paths[2:]])
    assert "records are missing" in text
    with pytest.raises(ConfigError, match="no file"):
        store_archive.take_away(paths[0].parent, "../genba.db")
    store_archive.take_away(paths[0].parent, paths[0].name)
    assert not paths[0].exists()


async def test_a_full_archive_loses_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(store_entry.ROWS_MAX, "audit", 4)  # type: ignore[index]  # a limit
    monkeypatch.setattr(store_archive, "ARCHIVE_BYTES_MAX", 10)
    folder = store.path.parent / store_archive.FOLDER
    await store.trim(0)
    assert len(await records.audit_page(store)) == 10, "they stay in the state file"
    assert store_archive.files(folder) == []
    monkeypatch.setattr(store_archive, "ARCHIVE_BYTES_MAX", 1_000_000)
    await store.trim(0)
    assert len(await records.audit_page(store)) == 4
    assert store_archive.near_full(folder) == ""
    monkeypatch.setattr(store_archive, "ARCHIVE_BYTES_MAX", store_archive.size_of(folder) + 1)
    assert "genba audit export" in store_archive.near_full(folder)
