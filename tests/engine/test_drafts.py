"""Drafts in the state file: a file of the version before takes them, and versions never repeat."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway.engine import store_schema
from gateway.engine.store import Store
from gateway.engine.store_drafts import Draft, Overwritten, draft, drop_draft, save_draft
from gateway.engine.store_records import audit, audit_rows

MS = 10**6


async def test_a_file_of_version_3_is_brought_over(tmp_path: Path) -> None:
    path = tmp_path / "genba.db"
    with sqlite3.connect(path) as db:
        db.executescript(store_schema._SCHEMA_2)
        store_schema._to_3(db)
        db.execute("PRAGMA user_version=3")
    db.close()
    store = Store(path)
    assert await store.open() == ""
    await audit(store, 1, "user:anna", "test", {})
    await save_draft(store, Draft("f", "text", {"a": [1, 2]}, 3, 0, "user:anna", 5 * MS))
    await store.close()
    store = Store(path)
    assert await store.open() == ""
    found = await draft(store, "f")
    assert found is not None
    assert (found.text, found.layout, found.base, found.version) == ("text", {"a": [1, 2]}, 3, 5)
    assert len(await audit_rows(store)) == 1
    await store.close()


async def test_a_version_never_comes_again(tmp_path: Path) -> None:
    """Also when the clock stands still, and when a draft was thrown away in between."""
    store = Store(tmp_path / "genba.db")
    await store.open()
    seen = [0]
    for _ in range(3):
        new = Draft("f", "", {}, None, seen[-1], "user:anna", 9 * MS)
        seen.append((await save_draft(store, new)).version)
    assert seen == [0, 9, 10, 11]
    with pytest.raises(Overwritten):
        await drop_draft(store, "f", 10)
    assert await drop_draft(store, "f", 11)
    assert not await drop_draft(store, "f")
    later = Draft("f", "", {}, None, 0, "user:bob", 12 * MS)
    assert (await save_draft(store, later)).version == 12
    await store.close()
