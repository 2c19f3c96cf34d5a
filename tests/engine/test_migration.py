"""An update from version 1 of the state file loses nothing; the file was written by its code."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
from pathlib import Path

import pytest

from gateway.engine.runtime import Runtime
from gateway.engine.store_schema import MIGRATIONS, SCHEMA_VERSION
from gateway.flow.document import Document
from tests.engine.gear import kill, until
from tests.engine.version_1.make import HERE, ROWS, write_inputs


def prepare(folder: Path, *, is_old: bool) -> Document:
    """The flow, its rows, and the state file that the old gateway left."""
    write_inputs(folder)
    if is_old:
        (folder / "genba.db").write_bytes(gzip.decompress((HERE / "genba.db.gz").read_bytes()))
    return Document.load(folder / "old.flow.yaml")


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


async def run(document: Document, folder: Path) -> Runtime:
    """Run until all rows of the file have reached both sinks."""
    runtime = Runtime([document], folder)
    await runtime.start()
    flow = runtime.runners["old"]
    source = next(s for s in runtime.statuses if s.node == "file")
    await until(lambda: source.state == "stopped", 30)
    async with asyncio.timeout(30):
        await flow.drained()
    return runtime


async def test_an_update_goes_on_where_the_old_version_was(tmp_path: Path) -> None:
    whole, updated = tmp_path / "whole", tmp_path / "updated"
    whole.mkdir()
    updated.mkdir()
    await (await run(prepare(whole, is_old=False), whole)).stop()
    runtime = await run(prepare(updated, is_old=True), updated)
    boxes = runtime.runners["old"].outboxes()
    assert all(box.books.unbalanced(box.rows) == 0 for box in boxes.values())
    assert not any(box.books.dropped.total() for box in boxes.values())
    for name in ("late.jsonl", "windows.jsonl"):
        assert lines(updated / "away" / name) == lines(whole / "away" / name), name
    before = json.loads((HERE / "written.json").read_text())
    for name, wanted in (("raw.jsonl", ROWS), ("alarms.jsonl", None)):
        rest, all_ = lines(updated / name), lines(whole / name)
        assert len(all_) == wanted or wanted is None
        assert rest == all_[-len(rest) :], name
        assert len(all_) - len(rest) <= before[name], f"{name}: rows were lost"
        assert before[name] - (len(all_) - len(rest)) <= 200, f"{name}: all came again"
    alarms = [(e.alarm, e.ts, e.change) for e in await runtime.store.alarm_events()]
    assert len(alarms) == len(set(alarms)) == len(lines(whole / "alarms.jsonl"))
    await runtime.stop()


async def test_an_update_that_is_killed_is_made_again(tmp_path: Path) -> None:
    document = prepare(tmp_path, is_old=True)
    (tmp_path / "away").write_text("still away")
    for _ in range(2):
        runtime = Runtime([document], tmp_path)
        await runtime.start()
        await kill(runtime)
    (tmp_path / "away").unlink()
    runtime = await run(document, tmp_path)
    rows = [json.loads(line) for line in lines(tmp_path / "away" / "late.jsonl")]
    ram = [row["value"] for row in rows if row["tag"] == "press/ram"]
    assert ram == [float(i) for i in range(ROWS // 2)]
    await runtime.stop()


async def test_a_flow_that_was_edited_with_the_update_sends_again_what_is_in_doubt(
    tmp_path: Path,
) -> None:
    prepare(tmp_path, is_old=True)
    path = tmp_path / "old.flow.yaml"
    path.write_text(path.read_text().replace("hi: 95", "hi: 96"))
    runtime = await run(Document.load(path), tmp_path)
    rows = [json.loads(line) for line in lines(tmp_path / "away" / "late.jsonl")]
    ram = [row["value"] for row in rows if row["tag"] == "press/ram"]
    assert set(ram) == {float(i) for i in range(ROWS // 2)}
    await runtime.stop()


def test_a_migration_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.engine import store_schema

    def fails(db: sqlite3.Connection) -> None:
        MIGRATIONS[1](db)
        raise sqlite3.OperationalError("disk I/O error")

    prepare(tmp_path, is_old=True)
    db = sqlite3.connect(tmp_path / "genba.db", isolation_level=None)
    before = list(db.iterdump())
    monkeypatch.setattr(store_schema, "MIGRATIONS", {1: fails})
    with pytest.raises(sqlite3.OperationalError):
        store_schema.migrate(db, 1)
    assert list(db.iterdump()) == before
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    monkeypatch.undo()
    store_schema.migrate(db, 1)
    assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    db.close()


async def test_a_damaged_state_is_made_again_from_what_is_in_the_journal(tmp_path: Path) -> None:
    document = prepare(tmp_path, is_old=True)
    db = sqlite3.connect(tmp_path / "genba.db")
    with db:
        db.execute("UPDATE snapshot SET data = zeroblob(1000)")
    db.close()
    runtime = await run(document, tmp_path)
    rows = [json.loads(line) for line in lines(tmp_path / "away" / "late.jsonl")]
    ram = [row["value"] for row in rows if row["tag"] == "press/ram"]
    assert ram[-1] == ROWS / 2 - 1
    assert len(await runtime.store.alarm_events()) >= 9
    await runtime.stop()


@pytest.mark.parametrize("is_readable", [True, False])
async def test_a_program_goes_on_with_the_file_of_the_next(
    tmp_path: Path, is_readable: bool
) -> None:
    """What `genba update rollback` needs: the new program's file under the old program."""
    document = prepare(tmp_path, is_old=True)
    runtime = await run(document, tmp_path)
    before = len(await runtime.store.alarm_events())
    await runtime.stop()
    db = sqlite3.connect(tmp_path / "genba.db")
    with db:  # As a next version would leave it.
        db.execute("CREATE TABLE of_the_next (key TEXT PRIMARY KEY)")
        since = SCHEMA_VERSION if is_readable else SCHEMA_VERSION + 1
        db.execute("REPLACE INTO meta VALUES ('readable_since', ?)", (str(since),))
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    db.close()
    runtime = await run(document, tmp_path)
    found = len(await runtime.store.alarm_events())
    damaged = [e for e in runtime.book.current() if e.tag == "gateway/state"]
    await runtime.stop()
    db = sqlite3.connect(tmp_path / "genba.db")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.close()
    assert bool(damaged) == (not is_readable)
    assert not is_readable or found >= before > 0
    assert version == SCHEMA_VERSION + is_readable
