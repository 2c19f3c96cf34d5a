"""The log beside the state file: written again, looked through, and loud when it is damaged."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from gateway.engine import store_log
from gateway.engine.store import Entry, InlineExecutor, Store
from gateway.engine.store_log import log_of, renew, scan

COMMITS = 6
HEADER, FRAME = 32, 24 + 4096


async def left_by_a_kill(folder: Path) -> Path:
    """A state file with six commits in its log, as after kill -9."""
    store = Store(folder / "living" / "genba.db", InlineExecutor())
    store.path.parent.mkdir()
    await store.open()
    for seq in range(1, COMMITS + 1):
        await store.commit(Entry("f", seq, seq, rows=1, block=bytes(10)))
    for suffix in ("", "-wal"):
        shutil.copy(f"{store.path}{suffix}", folder)
    await store.close()
    return folder / "genba.db"


async def opened(path: Path) -> tuple[str, int]:
    """What the store says, and how many records it has."""
    store = Store(path, InlineExecutor())
    told = await store.open()
    found = len(await store.journal("f", 0))
    await store.close()
    return told, found


def damage(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(bytes(content))


async def test_a_log_that_was_left_is_written_again_and_read(tmp_path: Path) -> None:
    path = await left_by_a_kill(tmp_path)
    before, inode = log_of(path).read_bytes(), log_of(path).stat().st_ino
    renew(path)
    assert log_of(path).read_bytes() == before
    assert log_of(path).stat().st_ino != inode
    assert len(scan(path).commits) >= COMMITS
    assert await opened(path) == ("", COMMITS)


async def test_no_room_for_a_copy_keeps_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await left_by_a_kill(tmp_path)

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store_log.shutil, "copyfileobj", full)
    assert await opened(path) == ("", COMMITS)
    assert not list(tmp_path.glob("*.new"))


async def test_a_flip_in_the_last_commit_looks_like_a_power_cut(tmp_path: Path) -> None:
    path = await left_by_a_kill(tmp_path)
    damage(log_of(path), log_of(path).stat().st_size - 100)
    assert await opened(path) == ("", COMMITS - 1)


@pytest.mark.parametrize("back", [2, 4])
async def test_a_flip_in_the_middle_is_said(tmp_path: Path, back: int) -> None:
    path = await left_by_a_kill(tmp_path)
    end = scan(path).commits[-1 - back]
    damage(log_of(path), HEADER + (end - 1) * FRAME + 1000)
    told, found = await opened(path)
    assert found == COMMITS - 1 - back
    assert f"{back} commits or more behind the damage are lost" in told


async def test_what_an_earlier_power_cut_left_is_no_damage(tmp_path: Path) -> None:
    """A commit that was never whole may leave its end behind; the next does not go on from it."""
    path = await left_by_a_kill(tmp_path)
    first, *_, last_but_one, _ = scan(path).commits
    content = bytearray(log_of(path).read_bytes())
    old = content[HEADER + (first - 1) * FRAME :][:FRAME]
    at = HEADER + (last_but_one - 1) * FRAME
    content[at : at + FRAME] = old
    log_of(path).write_bytes(bytes(content))
    assert await opened(path) == ("", COMMITS - 2)


async def test_a_log_without_its_beginning_is_said(tmp_path: Path) -> None:
    path = await left_by_a_kill(tmp_path)
    damage(log_of(path), 17)
    told, _ = await opened(path)
    assert "The beginning of the log" in told


async def test_a_log_that_begins_with_another_page_is_said(tmp_path: Path) -> None:
    path = await left_by_a_kill(tmp_path)
    content = log_of(path).read_bytes()
    log_of(path).write_bytes(content[8192:12288] + content[4096:])
    told, _ = await opened(path)
    assert "The beginning of the log" in told
    log_of(path).write_bytes(bytes(4096) + content[4096:])
    assert "The beginning of the log" in (await opened(path))[0]


async def test_a_log_that_was_folded_may_lose_its_beginning(tmp_path: Path) -> None:
    path = await left_by_a_kill(tmp_path)
    kept = log_of(path).read_bytes()
    assert await opened(path) == ("", COMMITS)  # Closing folds the log into the file.
    log_of(path).write_bytes(kept)
    damage(log_of(path), 17)
    assert await opened(path) == ("", COMMITS)


async def test_a_log_whose_file_is_gone_is_put_aside(tmp_path: Path) -> None:
    path = await left_by_a_kill(tmp_path)
    path.unlink()
    told, found = await opened(path)
    assert "genba.db-wal.damaged-1" in told
    assert (tmp_path / "genba.db-wal.damaged-1").exists()
    assert found == 0


async def test_an_empty_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "genba.db").touch()
    assert "was empty" in (await opened(tmp_path / "genba.db"))[0]
    assert await opened(tmp_path / "other.db") == ("", 0)
