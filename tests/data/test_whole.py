"""Whole files: content, rights, and that both the file and its name are on the disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gateway.data.whole import write_whole


def test_the_file_and_its_name_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync = os.fsync

    def seen(number: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(number).st_mode)
        # The name is stored only after the new file has it.
        synced.append("folder" if is_folder and path.read_bytes() == b"new" else "file")
        sync(number)

    path = tmp_path / "one.json"
    path.write_bytes(b"old")
    (tmp_path / "one.json.new").write_bytes(b"half of one that was cut")
    monkeypatch.setattr(os, "fsync", seen)
    write_whole(path, b"new")
    assert synced == ["file", "folder"]
    assert [one.name for one in tmp_path.iterdir()] == ["one.json"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_who_may_read_it_is_not_left_to_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "one", "µ", mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == mode
    assert (tmp_path / "one").read_text("utf-8") == "µ"


def test_what_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(b"old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")
    assert path.read_bytes() == b"old"
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "one", b"")
