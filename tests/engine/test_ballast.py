"""Ballast: how large it is, when it is given up, when it comes back; and the file's own limit."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from gateway import Disconnected
from gateway.engine.ballast import BALLAST_BYTES_MIN, Ballast
from gateway.engine.executor import InlineExecutor
from gateway.engine.store import Entry, Store
from gateway.engine.store_room import RoomExecutor, roomy_store

MB = 1 << 20


class Disk(Ballast):
    """A ballast on a disk of which the test says how much is free."""

    free = 1024 * MB

    def _free(self) -> int:
        return self.free


@pytest.fixture
def ballast(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "ballast", 8 * MB)


@pytest.mark.parametrize(("free", "size"), [(1024, 8), (128, 8), (64, 4), (4, 0.25), (1, 0)])
def test_its_size_is_a_sixteenth_of_what_is_free(ballast: Disk, free: int, size: float) -> None:
    ballast.free = free * MB
    assert ballast.make() == ballast.size == int(size * MB)
    assert BALLAST_BYTES_MIN == MB // 4


def test_it_takes_real_room(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "ballast", MB)
    assert ballast.make() == MB
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= MB
    assert ballast.give_up() == 0, "this disk has room"


def test_it_is_given_up_once_and_comes_back_when_there_is_room(ballast: Disk) -> None:
    ballast.make()
    assert ballast.give_up() == 0
    ballast.free = 0
    assert ballast.give_up() == 8 * MB
    assert ballast.give_up() == ballast.size == 0
    ballast.free = 8 * MB  # No more than what it gave itself.
    assert ballast.make() == 0
    ballast.free = 100 * MB
    assert ballast.make() == 100 * MB // 16
    ballast.free = 1024 * MB
    assert ballast.make() == 100 * MB // 16, "it grows only when it can be twice as large"


async def test_work_is_done_again_after_it_was_given_up(ballast: Disk) -> None:
    told: list[tuple[str, str]] = []
    room = RoomExecutor(InlineExecutor(), ballast)
    room.told = lambda level, text: told.append((level, text))
    tries = []

    def work() -> str:
        tries.append(ballast.size)
        if ballast.size:
            raise sqlite3.OperationalError("database or disk is full")
        return "done"

    assert await room.run(lambda: "makes it") == "makes it"
    ballast.free = 0
    assert await room.run(work) == "done"
    assert tries == [8 * MB, 0]
    ((level, text),) = told
    assert level == "error"
    assert "A reserve of 8,388,608 bytes was given up" in text
    ballast.free = 1024 * MB
    for _ in range(60):
        await room.run(lambda: None)
    assert told[1:] == [("info", "The disk has room again: the reserve is back.")]


async def test_an_error_on_a_disk_with_room_is_passed_on(ballast: Disk) -> None:
    room = RoomExecutor(InlineExecutor(), ballast)
    await room.run(lambda: None)

    def work() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(sqlite3.OperationalError, match="I/O"):
        await room.run(work)
    assert ballast.size == 8 * MB


async def test_the_state_file_stops_at_its_limit(tmp_path: Path) -> None:
    store = Store(tmp_path / "genba.db", InlineExecutor(), bytes_max=400_000)
    await store.open()
    with pytest.raises(Disconnected, match="full"):
        await store.commit(Entry("f", 1, 1, rows=1, block=bytes(500_000)))
    await store.commit(Entry("f", 1, 1, rows=1, block=bytes(200_000)))
    await store.close()


async def test_the_store_of_a_gateway_has_both(tmp_path: Path) -> None:
    store = roomy_store(tmp_path / "genba.db", bytes_max=400_000, ballast_bytes_max=MB)
    assert await store.open() == ""
    assert (tmp_path / "genba.db.ballast").stat().st_size == MB
    with pytest.raises(Disconnected, match="full"):
        await store.commit(Entry("f", 1, 1, rows=1, block=bytes(500_000)))
    assert (tmp_path / "genba.db.ballast").exists()
    await store.close()
