"""Store: group commit, a disk that refuses, a damaged file, and what is read back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import AlarmEvent, AlarmState, ConfigError, Disconnected, Tag
from gateway.engine import store_file
from gateway.engine.store import Entry, Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "genba.db")
    assert await store.open() == ""
    yield store
    await store.close()


def entry(flow: str, seq: int, size: int = 10) -> Entry:
    return Entry(flow, seq, seq * 10, rows=1, block=bytes(size))


def alarm(ts: int, change: str = "raised", occurrence: int = 1) -> AlarmEvent:
    return AlarmEvent("f/high:TT1:HI", "TT1", ts, change, AlarmState.UNACK, occurrence=occurrence)


def rows(path: Path, sql: str) -> list[tuple[object, ...]]:
    """What another connection sees."""
    db = sqlite3.connect(path)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


async def test_many_flows_share_a_transaction(store: Store) -> None:
    await store.commit(entry("warm-up", 1))
    before = store.commits
    await asyncio.gather(*(store.commit(entry(f"flow{i}", 1)) for i in range(50)))
    assert store.commits == before + 1
    assert rows(store.path, "SELECT count(*) FROM journal") == [(51,)]


async def test_a_commit_is_on_the_disk_when_it_returns(store: Store) -> None:
    await store.commit(entry("f", 1))
    assert rows(store.path, "SELECT flow, seq, ts, rows FROM journal") == [("f", 1, 10, 1)]


async def test_all_parts_of_an_entry(store: Store) -> None:
    await store.commit(
        Entry(
            "f",
            7,
            70,
            rows=2,
            block=b"block",
            positions={"src": '{"row": 5}'},
            cursors={"out": 3},
            revision="r1",
            alarms=[alarm(1), alarm(1), alarm(2, "returned")],
            tags={0: Tag("TT1", "Cel", 0.0)},
        )
    )
    assert await store.journal("f", 6) == [(7, b"block")]
    assert await store.journal("f", 7) == []
    assert await store.positions("f") == {"src": {"row": 5}}
    assert await store.cursors("f", "r1") == {"out": 3}
    assert await store.cursors("f", "r2") == {}
    assert [(e.ts, e.change) for e in await store.alarm_events()] == [
        (1, "raised"),
        (2, "returned"),
    ]
    (fact,) = await store.tags()
    assert (fact["name"], fact["unit"], fact["low"], fact["high"]) == ("TT1", "Cel", 0.0, None)


async def test_an_alarm_event_is_stored_once_however_often_it_comes(store: Store) -> None:
    for _ in range(3):
        await store.commit(Entry("f", 1, 1, alarms=[alarm(5)]))
    await store.commit(Entry("f", 1, 1, alarms=[alarm(5, occurrence=2)]))
    assert len(await store.alarm_events()) == 2


async def test_writing_a_record_again_changes_nothing(store: Store) -> None:
    await store.commit(entry("f", 1))
    await store.commit(entry("f", 1))
    assert len(await store.journal("f", 0)) == 1


async def test_a_snapshot_drops_the_records_it_contains(store: Store) -> None:
    for seq in range(1, 6):
        await store.commit(entry("f", seq))
    await store.commit(entry("other", 1))
    assert await store.save_snapshot("f", 3, 99, lambda: b"states") == 6
    assert await store.snapshot("f") == (3, b"states")
    assert [seq for seq, _ in await store.journal("f", 0)] == [4, 5]
    assert [seq for seq, _ in await store.journal("other", 0)] == [1]


async def test_old_rows_go_at_a_checkpoint(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(store_file.ROWS_MAX, "dead_letter", 3)  # type: ignore[index]  # a limit
    for i in range(10):
        await store.dead_letter("f", "n", i, "no", b"x")
    await store.save_snapshot("f", 0, 0, lambda: b"")
    assert [row["ts"] for row in await store.dead_letters()] == [9, 8, 7]


async def test_a_full_disk_refuses_and_recovers(store: Store) -> None:
    assert store._db is not None
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(Disconnected, match=r"full.*Is the disk full"):
        await store.commit(entry("f", 1, 1_000_000))
    with pytest.raises(Disconnected):
        await store.save_snapshot("f", 0, 0, lambda: bytes(1_000_000))
    assert await store.journal("f", 0) == []
    store._db.execute("PRAGMA max_page_count=1000000")
    await store.commit(entry("f", 1, 1_000_000))
    assert len(await store.journal("f", 0)) == 1


async def test_a_group_that_fails_fails_for_all_and_stores_nothing(store: Store) -> None:
    await store.commit(entry("warm-up", 1))
    assert store._db is not None
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages}")
    commits = [store.commit(entry("small", 1)), store.commit(entry("large", 1, 1_000_000))]
    found = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(error) for error in found] == [Disconnected, Disconnected]
    assert await store.journal("small", 0) == []


async def test_one_who_does_not_wait_does_not_stop_the_others(store: Store) -> None:
    await store.commit(entry("warm-up", 1))
    first = asyncio.ensure_future(store.commit(entry("a", 1)))
    second = asyncio.ensure_future(store.commit(entry("b", 1)))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert len(await store.journal("b", 0)) == 1


async def test_two_gateways_cannot_share_a_file(store: Store) -> None:
    with pytest.raises(ConfigError, match="Another gateway"):
        await Store(store.path).open()


@pytest.mark.parametrize("what", ["junk", "page", "version"])
async def test_a_damaged_file_is_put_aside(tmp_path: Path, what: str) -> None:
    path = tmp_path / "genba.db"
    store = Store(path)
    await store.open()
    for seq in range(1, 200):
        await store.commit(entry("f", seq, 2000)) if seq == 1 else None
    await asyncio.gather(*(store.commit(entry("f", seq, 2000)) for seq in range(2, 200)))
    await store.close()
    if what == "junk":
        path.write_bytes(b"no database at all, not even nearly" * 100)
    elif what == "page":
        content = bytearray(path.read_bytes())
        content[40_960:45_056] = b"\xff" * 4096
        path.write_bytes(bytes(content))
    else:
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version=99")
        db.close()
    again = Store(path)
    told = await again.open()
    assert "genba.db.damaged-1" in told
    assert "start fresh" in told
    assert await again.journal("f", 0) == []
    await again.commit(entry("f", 1))
    await again.close()
    assert (tmp_path / "genba.db.damaged-1").exists()


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(Disconnected, match="cannot be opened"):
        await Store(tmp_path / "absent" / "genba.db").open()


async def test_what_was_left_by_a_kill_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "genba.db")
    await store.open()
    await store.commit(entry("f", 1))
    db, store._db = store._db, None  # No checkpoint: the record is in the log only.
    store._unlock()
    again = Store(store.path)
    assert await again.open() == ""
    assert len(await again.journal("f", 0)) == 1
    await again.close()
    store._executor.close()
    assert db is not None
    db.close()


async def test_audit(store: Store) -> None:
    await store.audit(5, "user:anna", "alarm/ack", {"alarm": "x"})
    (row,) = await store.audit_rows()
    assert row == {"ts": 5, "actor": "user:anna", "action": "alarm/ack", "detail": {"alarm": "x"}}
