"""Store: group commit, a disk that refuses, a damaged file, and what is read back."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway import AlarmEvent, AlarmState, ConfigError, Disconnected, State, StateError, Tag
from gateway.engine import store_entry, store_journal, store_letters, store_state
from gateway.engine import store_records as records
from gateway.engine.crash import on_crash_point
from gateway.engine.store import Entry, Retention, Store
from gateway.engine.store_entry import GapRow, OutboxRow, Revision
from gateway.engine.store_state import Checkpoint


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "genba.db")
    assert await store.open() == ""
    yield store
    if store._db is not None:
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
            outlets={"out": '{"low": 3}'},
            blocks=[OutboxRow("out", 4, 6, 3, lambda: b"waiting")],
            gaps=[GapRow("src", "session_lost", 10, 20, {"missing": 2})] * 2,
            revision=Revision(1, 70, "user:anna", "why", "flow: f", "{}"),
            alarms=[alarm(1), alarm(1), alarm(2, "returned")],
            tags={0: Tag("TT1", "Cel", 0.0)},
        )
    )
    assert await store.journal("f", 6) == [(7, b"block")]
    assert await store.journal("f", 7) == []
    assert await store.positions("f") == {"src": {"row": 5}}
    assert await store.outlets("f") == {"out": (7, {"low": 3})}
    assert await store.blocks("f", "out") == [(4, 6, 3, 7)]
    assert await store.block("f", "out", 4) == b"waiting"
    (gap,) = await records.gaps(store)
    assert (gap["source"], gap["from"], gap["to"]) == ("src", 10, 20)
    (revision,) = await records.revisions(store, "f")
    assert (revision.number, revision.author, revision.text) == (1, "user:anna", "flow: f")
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


def checkpoint(seq: int, states: dict[str, State], flow: str = "f") -> Checkpoint:
    return Checkpoint(flow, seq, seq * 10, states, {"now": seq})


async def test_a_checkpoint_comes_back_bit_for_bit(store: Store) -> None:
    rng = np.random.default_rng(1)
    states: dict[str, State] = {
        "ring": {"value": rng.random((3000, 40)), "empty": np.zeros(0, np.int64)},
        "desk": {"json": np.frombuffer(b"{}", np.uint8), "one": np.array(7.5)},
    }
    await store.save_snapshot(checkpoint(3, states))
    loaded = await store.snapshot("f")
    assert loaded is not None
    assert (loaded.seq, loaded.head, loaded.damaged) == (3, {"now": 3}, {})
    for node, arrays in states.items():
        for name, array in arrays.items():
            found = loaded.states[node][name]
            assert (found.dtype, found.shape) == (array.dtype, array.shape)
            assert found.tobytes() == array.tobytes()


async def test_a_checkpoint_writes_only_what_changed(store: Store) -> None:
    values = np.random.default_rng(1).random(500_000)
    whole = await store.save_snapshot(checkpoint(1, {"n": {"v": values}}))
    assert whole > values.nbytes / 2
    assert await store.save_snapshot(checkpoint(2, {"n": {"v": values}})) < 2_000
    values[7] += 1
    small = await store.save_snapshot(checkpoint(3, {"n": {"v": values}}))
    assert 40_000 < small < 80_000
    again = Store(store.path)
    await store.close()
    await again.open()
    loaded = await again.snapshot("f")
    assert loaded is not None
    assert loaded.states["n"]["v"].tobytes() == values.tobytes()
    assert await again.save_snapshot(checkpoint(4, {"n": {"v": values}})) < 2_000, "after a start"
    shorter = values[:100_000].copy()
    await again.save_snapshot(checkpoint(5, {"n": {"v": shorter}, "m": {"x": np.arange(3)}}))
    loaded = await again.snapshot("f")
    assert loaded is not None
    assert loaded.states["n"]["v"].tobytes() == shorter.tobytes()
    await again.save_snapshot(checkpoint(6, {"m": {"x": np.arange(3)}}))
    assert rows(again.path, "SELECT count(*) FROM state") == [(1,)], "nothing old stays"
    await again.close()


async def test_a_checkpoint_that_was_cut_short_changes_nothing(store: Store) -> None:
    values = np.random.default_rng(1).random(300_000)
    await store.save_snapshot(checkpoint(1, {"n": {"v": values}}))
    assert store._db is not None
    saved = store._saved["f"]
    cut = checkpoint(2, {"n": {"v": values + 1}}).slices(store._db, saved)
    next(cut)
    next(cut)
    again = Store(store.path)
    await store.close()
    await again.open()
    loaded = await again.snapshot("f")
    assert loaded is not None
    assert (loaded.seq, loaded.states["n"]["v"].tobytes()) == (1, values.tobytes())
    await again.save_snapshot(checkpoint(3, {"n": {"v": values + 2}}))
    loaded = await again.snapshot("f")
    assert loaded is not None
    assert loaded.states["n"]["v"].tobytes() == (values + 2).tobytes()
    await again.close()


async def test_a_checkpoint_the_disk_refused_is_written_anew(store: Store) -> None:
    values = np.random.default_rng(1).random(300_000)
    await store.save_snapshot(checkpoint(1, {"n": {"v": values}}))
    assert store._db is not None
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(Disconnected):
        await store.save_snapshot(checkpoint(2, {"n": {"v": values + 1}}))
    loaded = await store.snapshot("f")
    assert loaded is not None
    assert loaded.seq == 1
    store._db.execute("PRAGMA max_page_count=1000000")
    await store.save_snapshot(checkpoint(3, {"n": {"v": values + 1}}))
    loaded = await store.snapshot("f")
    assert loaded is not None
    assert (loaded.seq, loaded.states["n"]["v"].tobytes()) == (3, (values + 1).tobytes())


async def test_a_damaged_chunk_costs_one_node(store: Store) -> None:
    states: dict[str, State] = {"a": {"v": np.arange(10.0)}, "b": {"v": np.arange(20.0)}}
    await store.save_snapshot(checkpoint(1, states))
    assert store._db is not None
    store._db.execute("UPDATE state SET data=zeroblob(50) WHERE part=1")
    loaded = await store.snapshot("f")
    assert loaded is not None
    assert list(loaded.damaged) == ["a"]
    assert loaded.states["b"]["v"].tolist() == list(range(20))
    store._db.execute("UPDATE snapshot SET manifest=x'00'")
    with pytest.raises(StateError, match="damaged"):
        await store.snapshot("f")


async def test_records_go_in_segments_when_they_are_old_or_many(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_journal, "SEGMENT_BYTES", 1000)
    for seq in range(1, 41):
        await store.commit(entry("f", seq, 100))
    await store.commit(entry("other", 1, 100))
    store.retention = Retention(bytes_max=2500, age_s=1e9)
    await store.trim(1000)
    assert len(await store.journal("f", 0)) == 40, "the checkpoint does not contain them yet"
    await store.save_snapshot(checkpoint(25, {}))
    await store.trim(1000)
    assert [seq for seq, _ in await store.journal("f", 0)] == list(range(21, 41))
    store.retention = Retention(age_s=0)
    await store.save_snapshot(checkpoint(40, {}))
    again = Store(store.path, retention=Retention(age_s=0))
    await store.close()
    await again.open()
    await again.snapshot("f")
    await again.trim(10**18)
    assert await again.journal("f", 0) == []
    assert len(await again.journal("other", 0)) == 1, "a segment that still grows stays"
    assert again.segments.bytes == 100
    await again.close()


async def test_old_rows_go_at_a_checkpoint(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(store_entry.ROWS_MAX, "audit", 3)  # type: ignore[index]  # a limit
    for i in range(10):
        await records.audit(store, i, "user:anna", "alarm/ack", {})
    await store.trim(0)
    assert [row["ts"] for row in await records.audit_rows(store)] == [9, 8, 7]


@pytest.mark.parametrize("limit", ["LETTERS_ROWS_MAX", "LETTERS_BYTES_MAX"])
async def test_dead_letters_beyond_the_limit_go_and_are_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    said: list[str] = []
    store.told = lambda level, text: said.append(text)
    monkeypatch.setattr(store_letters, limit, 4 if limit == "LETTERS_ROWS_MAX" else 45)

    async def keep(i: int) -> None:
        await records.keep_letter(store, f"k{i}", "f", "n", "in", i, 1, "no", 1, b"x" * 10)

    for i in range(4):
        await keep(i)
    await keep(3)  # The same once more, as after a crash.
    decision = store_letters.Decision(2, "discarded", 9, "user:anna")
    assert await records.settle_letter(store, decision)
    assert not await records.settle_letter(store, decision), "once is once"
    await keep(4)
    rows = await records.letters(store, None)
    assert [row["ts"] for row in rows] == [4, 3, 2, 0], "what is settled goes first"
    assert said == []
    await keep(5)
    assert [row["ts"] for row in await records.letters(store, None)] == [5, 4, 3, 2]
    assert "1 of the oldest that waited were dropped" in said[0]
    assert await store.run(store_letters.letters_dropped) == 1
    (row,) = await records.audit_rows(store)
    assert (row["actor"], row["action"], row["detail"]) == (
        "user:anna",
        "dlq/discard",
        {"letter": 2},
    )


async def test_a_full_disk_refuses_and_recovers(store: Store) -> None:
    assert store._db is not None
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(Disconnected, match=r"full.*Is the disk full"):
        await store.commit(entry("f", 1, 1_000_000))
    with pytest.raises(Disconnected):
        await store.save_snapshot(
            checkpoint(0, {"n": {"v": np.random.default_rng(1).random(99_999)}})
        )
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
        with db:
            db.execute("PRAGMA user_version=99")
            db.execute("UPDATE meta SET value='99' WHERE key='readable_since'")
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
    await records.audit(store, 5, "user:anna", "alarm/ack", {"alarm": "x"})
    (row,) = await records.audit_rows(store)
    assert row == {"ts": 5, "actor": "user:anna", "action": "alarm/ack", "detail": {"alarm": "x"}}


async def test_old_records_whose_deletion_was_undone_go_with_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_journal, "SEGMENT_BYTES", 10)
    for seq in range(1, 5):
        await store.commit(entry("f", seq))
    await store.save_snapshot(checkpoint(4, {}))

    def undone(db: sqlite3.Connection) -> None:
        db.execute("BEGIN")
        store.segments.drop_some(db, "f", store.segments.closed["f"][0])
        db.execute("ROLLBACK")

    await store.run(undone)
    store.retention = Retention(bytes_max=15)
    await store.trim(0)
    assert [seq for seq, _ in await store.journal("f", 0)] == [4]
    assert rows(store.path, "SELECT first FROM segment") == [(4,)]


async def test_two_checkpoints_at_once_do_not_mix_their_chunks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_state, "SLICE_BYTES", 1)
    states = [{node: {"x": np.full(9, seq)} for node in "abcde"} for seq in (1, 2, 3)]
    await store.save_snapshot(checkpoint(1, states[0]))
    await asyncio.gather(*(store.save_snapshot(checkpoint(n, states[n - 1])) for n in (2, 3)))
    loaded = await store.snapshot("f")
    assert loaded is not None
    assert (loaded.seq, loaded.damaged) == (3, {})
    assert {node: state["x"][0] for node, state in loaded.states.items()} == dict.fromkeys(
        "abcde", 3
    )


async def test_a_checkpoint_that_is_cancelled_at_its_end_is_whole(store: Store) -> None:
    states = [{node: {"x": np.full(9, seq)} for node in "ab"} for seq in (1, 2)]
    states[1]["a"] = states[0]["a"]
    await store.save_snapshot(checkpoint(1, states[0]))
    reached, cancelled = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def wait(point: str) -> None:
        if point == "pre_snapshot":  # In the writer thread, before the transaction that counts.
            loop.call_soon_threadsafe(reached.set)
            assert cancelled.wait(10)

    on_crash_point(wait)
    try:
        saving = asyncio.ensure_future(store.save_snapshot(checkpoint(2, states[1])))
        await reached.wait()
        saving.cancel()
        loop.call_later(0.05, cancelled.set)
        with pytest.raises(asyncio.CancelledError):
            await saving
    finally:
        on_crash_point(None)
    loaded = await store.snapshot("f")
    assert loaded is not None
    assert (loaded.seq, loaded.damaged) == (2, {})
    assert {node: state["x"][0] for node, state in loaded.states.items()} == {"a": 1, "b": 2}


async def test_an_entry_that_cannot_be_packed_strands_nobody(store: Store) -> None:
    meanwhile: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    def come() -> None:
        meanwhile.append(loop.create_task(store.commit(entry("g", 1))))

    def pack() -> bytes:
        loop.call_soon_threadsafe(come)
        while not store._waiting:  # Until one waits that comes too late for this group.
            pass
        raise ValueError("a bug")

    bad = entry("f", 1)
    bad.pack = pack
    with pytest.raises(ValueError, match="a bug"):
        await store.commit(bad)
    await asyncio.wait_for(meanwhile[0], 10)
    assert rows(store.path, "SELECT flow FROM journal") == [("g",)]
