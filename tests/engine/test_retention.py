"""The journal that is kept: bounded in bytes and age, and never what a recovery needs."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway import Disconnected, Reading
from gateway.engine import store_journal, store_writer
from gateway.engine.store import Entry, Retention, Store
from gateway.engine.store_file import WAL_BYTES_MAX
from gateway.engine.store_state import Checkpoint
from tests.engine.gear import NS, Script, flow, kill, lent, samples, started, until, values

CHANCE = random.Random(17)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small segments, small deletes, and no waiting for others to commit with."""
    monkeypatch.setattr(store_journal, "SEGMENT_BYTES", 3_000)
    monkeypatch.setattr(store_journal, "DELETE_BYTES", 1_000)
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.0)


class Killed(BaseException):
    """The process is gone."""


async def opened(folder: Path, **retention: Any) -> Store:
    store = Store(folder / "genba.db", retention=Retention(**retention))
    await store.open()
    return store


def die(store: Store) -> None:
    """Let go as kill -9 does: nothing is folded, nothing is tidied."""
    db, store._db = store._db, None
    store._executor.close()
    store._unlock()
    assert db is not None
    db.close()


async def write(store: Store, name: str, first: int, last: int, size: int = 200) -> None:
    for number in range(first, last + 1):
        block = CHANCE.randbytes(size)
        await store.commit(Entry(name, number, number * NS, 1, block))


def checkpoint(name: str, seq: int) -> Checkpoint:
    return Checkpoint(name, seq, seq * NS, {"n": {"x": np.arange(3)}}, {"now": seq * NS})


def numbers(folder: Path, name: str) -> list[int]:
    db = sqlite3.connect(folder / "genba.db")
    try:
        found = db.execute("SELECT seq FROM journal WHERE flow=? ORDER BY seq", (name,))
        return [seq for (seq,) in found]
    finally:
        db.close()


async def test_too_many_bytes_go_in_whole_segments_oldest_first(tmp_path: Path) -> None:
    store = await opened(tmp_path, bytes_max=10_000)
    await write(store, "f", 1, 200)
    await store.save_snapshot(checkpoint("f", 200))
    await store.trim(200 * NS)
    kept = numbers(tmp_path, "f")
    assert kept == list(range(kept[0], 201))
    assert 6_000 < 200 * len(kept) <= 10_000
    assert (kept[0] - 1) % 15 == 0, "a segment of 15 records went in part"
    await store.close()


async def test_old_records_go_and_new_ones_stay(tmp_path: Path) -> None:
    store = await opened(tmp_path, age_s=50.0)
    await write(store, "f", 1, 200)
    await store.save_snapshot(checkpoint("f", 200))
    await store.trim(200 * NS)
    kept = numbers(tmp_path, "f")
    assert 136 <= kept[0] <= 150
    await store.close()


@pytest.mark.parametrize("done", [0, 90, 200])
async def test_what_a_recovery_needs_stays(tmp_path: Path, done: int) -> None:
    store = await opened(tmp_path, bytes_max=1, age_s=1.0)
    await write(store, "f", 1, 200)
    if done:
        await store.save_snapshot(checkpoint("f", done))
    await store.trim(10**6 * NS)
    assert set(range(done + 1, 201)) <= set(numbers(tmp_path, "f"))
    assert len(numbers(tmp_path, "f")) <= 200 - done + 15
    await store.close()


async def test_a_flow_that_cannot_run_for_now_keeps_what_it_needs(tmp_path: Path) -> None:
    store = await opened(tmp_path)
    await write(store, "broken", 1, 100)
    await write(store, "f", 1, 100)
    await store.save_snapshot(checkpoint("broken", 40))
    await store.close()
    store = await opened(tmp_path, bytes_max=1, age_s=1.0)
    await store.snapshot("f")
    await write(store, "f", 101, 110)
    await store.save_snapshot(checkpoint("f", 110))
    await store.trim(10**6 * NS)
    assert set(range(41, 101)) <= set(numbers(tmp_path, "broken"))
    assert len(numbers(tmp_path, "f")) < 15
    await store.close()


async def test_a_checkpoint_that_is_damaged_gives_nothing_free(tmp_path: Path) -> None:
    from gateway import StateError

    store = await opened(tmp_path)
    await write(store, "f", 1, 100)
    await store.save_snapshot(checkpoint("f", 100))
    await store.close()
    db = sqlite3.connect(tmp_path / "genba.db")
    with db:
        db.execute("UPDATE snapshot SET manifest = zeroblob(50)")
    db.close()
    store = await opened(tmp_path, bytes_max=1, age_s=1.0)
    with pytest.raises(StateError):
        await store.snapshot("f")
    await store.trim(10**6 * NS)
    assert numbers(tmp_path, "f") == list(range(1, 101))
    await store.close()


async def test_killed_at_any_point_of_a_trim(tmp_path: Path) -> None:
    """After each kill the records are one stretch without a hole, and the next trim goes on."""
    store = await opened(tmp_path)
    await write(store, "a", 1, 150)
    await write(store, "b", 1, 150)
    for name in ("a", "b"):
        await store.save_snapshot(checkpoint(name, 120))
    die(store)
    kills = 0
    while True:
        store = await opened(tmp_path, bytes_max=1, age_s=1.0)
        left, run = 2, store.run

        async def one(work: Any, run: Any = run) -> Any:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return await run(work)

        store.run = one  # type: ignore[method-assign]  # killed before the third piece of work
        try:
            await store.trim(10**6 * NS)
        except Killed:
            kills += 1
            die(store)
        else:
            await store.close()
            break
        for name in ("a", "b"):
            found = numbers(tmp_path, name)
            assert found == list(range(found[0], 151)), "a hole"
            assert found[0] <= 121
    assert kills >= 10
    assert all(len(numbers(tmp_path, name)) <= 45 for name in ("a", "b"))


async def test_a_commit_that_was_undone_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opened(tmp_path)
    crash = store_writer.crash_point

    def full(name: str) -> None:
        if name == "pre_commit":
            raise sqlite3.OperationalError("database or disk is full")
        crash(name)

    for number in range(1, 61):
        if number % 7 == 0:
            monkeypatch.setattr(store_writer, "crash_point", full)
            with pytest.raises(Disconnected):
                await write(store, "f", number, number)
            monkeypatch.setattr(store_writer, "crash_point", crash)
        await write(store, "f", number, number)
    counted = store.segments.bytes
    assert counted == 60 * 200
    listed = store.segments.closed["f"]
    await store.close()
    store = await opened(tmp_path)
    assert store.segments.bytes == counted
    assert [(s.first, s.last) for s in store.segments.closed["f"]] == [
        (s.first, s.last) for s in listed
    ]
    await store.close()


async def test_a_long_run_does_not_let_the_file_grow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_journal, "SEGMENT_BYTES", 300_000)
    monkeypatch.setattr(store_journal, "DELETE_BYTES", 100_000)
    store = await opened(tmp_path, bytes_max=1_000_000)
    sizes = []
    for turn in range(30):
        await write(store, "f", turn * 20 + 1, turn * 20 + 20, 50_000)  # 1 MB
        await store.save_snapshot(checkpoint("f", turn * 20 + 20))
        await store.trim((turn * 20 + 20) * NS)
        sizes.append((tmp_path / "genba.db").stat().st_size)
    assert max(sizes) <= 4_000_000
    assert max(sizes[10:]) <= max(sizes[:10]) + 500_000, "it still grows"
    assert (tmp_path / "genba.db-wal").stat().st_size < min(WAL_BYTES_MAX, 8_000_000)
    await store.close()


@pytest.fixture
def script() -> Iterator[Script]:
    with lent(Script()) as script:
        yield script


async def test_a_flow_is_recovered_from_what_little_is_kept(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_journal, "SEGMENT_AGE_NS", 0)
    document = flow(
        "src: {type: script.source}\nwin: {type: window.count, size: 7}\n"
        "mean: {type: feature.statistics, features: [mean]}\nout: {type: script.sink}",
        "src -> win -> mean -> out",
    )

    async def start() -> Any:
        store = Store(tmp_path / "genba.db", retention=Retention(bytes_max=1, age_s=0.0))
        return await started(document, tmp_path, store=store, checkpoint_s=0.03)

    runtime = await start()
    for number in range(140):
        await script.readings.put(
            Reading({"out": samples(runtime, f"A {number}s {number}")}, token=number)
        )
        await until(lambda n=number: n in script.acknowledged)  # type: ignore[misc]  # bound now
        if CHANCE.random() < 0.1:
            await kill(runtime)
            runtime = await start()
    await until(lambda: len(set(values(script))) == 20)
    assert list(dict.fromkeys(values(script))) == [7.0 * i + 3 for i in range(20)]
    await runtime.runners["test"].checkpoint()
    await runtime.store.trim(runtime.clock.now())
    assert len(await runtime.store.journal("test", 0, 10_000)) <= 3
    await runtime.stop()
