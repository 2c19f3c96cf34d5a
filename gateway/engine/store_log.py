"""The log beside the state file (SQLite's WAL): made safe, and looked through, before it is used.

Two things SQLite cannot know. A log that was left by a failed sync reads as if it were on the
disk, from the page cache, though it is not: what is committed behind it would be lost with the
power. And a log that is damaged in its middle ends there for SQLite, without a word. All this
is done before a connection is opened: to close a file that SQLite has open drops its locks.

Source: sqlite.org/walformat.html and fileformat2.html#walformat; sqlite.org/howtocorrupt.html
2.2; Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

from gateway.data.whole import sync_folder

_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_MAGIC: Final = (0x377F0682, 0x377F0683)
_COPY_BYTES: Final = 1 << 20


def log_of(path: Path) -> Path:
    """The log of a state file."""
    return path.with_name(f"{path.name}-wal")


def renew(path: Path) -> None:
    """Write the log of a state file again, so that what is read from it is on the disk.

    A disk without room for a copy keeps the log as it is: only a failed sync makes it unsafe,
    and a gateway that does not start is worse.

    Raises:
        OSError: The disk is away or not ours to write.
    """
    log = log_of(path)
    if not log.exists() or not log.stat().st_size:
        return
    fresh = log.with_name(f"{log.name}.new")
    try:
        with log.open("rb") as old, fresh.open("wb") as new:
            shutil.copyfileobj(old, new, _COPY_BYTES)
            new.flush()
            os.fsync(new.fileno())
        shutil.copymode(log, fresh)
        fresh.replace(log)
        sync_folder(path.parent)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


@dataclass(frozen=True, slots=True)
class LogScan:
    """What stands in a log, whether SQLite can read it or not.

    Args:
        log: The file.
        page: Bytes of a page.
        is_big_endian: How its checksums take words.
        commits: Numbers of the frames that end a commit of the present round, counted from 1.
        is_headless: The log does not begin as one should, yet holds commits.
    """

    log: Path
    page: int = 4096
    is_big_endian: bool = False
    commits: tuple[int, ...] = ()
    is_headless: bool = False

    def lost(self, accepted: int) -> str:
        """A sentence when commits stand behind the frames that were accepted; else empty.

        One commit there is what a power cut leaves: it was never acknowledged. The next is
        written only when the one before is on the disk, so one that was written behind it means
        damage. What an earlier power cut left may stand there too, but the checksums of a
        commit go on from those of the one before it.

        Raises:
            OSError: The disk is away.
        """
        behind = [number for number in self.commits if number > accepted]
        if self.is_headless:
            return (
                "The beginning of the log of the state file is damaged: up to "
                f"{len(behind)} commits behind it are lost, and with them the newest windows, "
                "alarms and positions."
            )
        for i, (end, next_end) in enumerate(pairwise(behind)):
            if self._follows(end, next_end):
                return (
                    "The log of the state file is damaged in its middle: "
                    f"{len(behind) - i - 1} commits or more behind the damage are lost, and with "
                    "them the newest windows, alarms and positions."
                )
        return ""

    def _follows(self, end: int, next_end: int) -> bool:
        """Whether the frames up to `next_end` were written behind the frame `end`."""
        size = _FRAME.size + self.page
        with self.log.open("rb") as file:
            file.seek(_HEADER.size + (end - 1) * size)
            *_, first, second = _FRAME.unpack(file.read(_FRAME.size))
            file.seek(self.page, os.SEEK_CUR)
            for _ in range(end, next_end):
                frame = file.read(size)
                words = frame[:8] + frame[_FRAME.size :]
                first, second = _checksum(words, self.is_big_endian, first, second)
                if (first, second) != _FRAME.unpack(frame[: _FRAME.size])[4:]:
                    return False
        return True


def scan(path: Path) -> LogScan:
    """Look through the log of a state file, before it is opened.

    Raises:
        OSError: The disk is away or not ours to read.
    """
    log = log_of(path)
    if not log.exists() or log.stat().st_size < _HEADER.size + _FRAME.size:
        return LogScan(log)
    with log.open("rb") as file:
        head = file.read(_HEADER.size)
        sound = _is_sound(head)
        page = _page_size(path) if not sound else _HEADER.unpack(head)[2]
        ends: list[int] = []
        newer: dict[int, int] = {}
        frames = (os.fstat(file.fileno()).st_size - _HEADER.size) // (_FRAME.size + page)
        salts = _HEADER.unpack(head)[4:6] if sound else _salts(file, page, frames)
        for number in range(frames):
            file.seek(_HEADER.size + number * (_FRAME.size + page))
            number_of_page, pages_after, *own, _, _ = _FRAME.unpack(file.read(_FRAME.size))
            if not number_of_page:  # Pages are counted from 1: this is no frame.
                continue
            if (own[0], own[1]) != salts:
                continue
            newer[number_of_page] = file.tell()
            if pages_after:
                ends.append(number + 1)
        is_folded = not sound and _is_folded(path, log, page, newer)
    if is_folded or (not sound and len(ends) < 2):  # One may be what a power cut left.
        return LogScan(log)
    return LogScan(log, page, bool(_HEADER.unpack(head)[0] & 1), tuple(ends), not sound)


def _salts(file: BinaryIO, page: int, frames: int) -> tuple[int, ...]:
    """What the frames of the present round are known by, in a log whose header is damaged.

    The first frame may be damaged as well, so it takes two that agree.
    """
    before: tuple[int, ...] = ()
    for number in range(frames):
        file.seek(_HEADER.size + number * (_FRAME.size + page))
        salts = _FRAME.unpack(file.read(_FRAME.size))[2:4]
        if salts == before and any(salts):
            break
        before = salts
    return before


def _is_sound(head: bytes) -> bool:
    """Whether the header of a log carries the checksum it should."""
    magic, _, page, *_, first, second = _HEADER.unpack(head)
    if magic not in _MAGIC or page < 512:
        return False
    return _checksum(head[:24], bool(magic & 1), 0, 0) == (first, second)


def _checksum(data: bytes, is_big_endian: bool, first: int, second: int) -> tuple[int, int]:
    """The checksum of a log, gone on with over more data; a multiple of eight bytes."""
    words = struct.unpack(f"{'>' if is_big_endian else '<'}{len(data) // 4}I", data)
    for x, y in zip(words[::2], words[1::2], strict=True):
        first = (first + x + second) & 0xFFFFFFFF
        second = (second + y + first) & 0xFFFFFFFF
    return first, second


def _page_size(path: Path) -> int:
    """Page size of a state file as it says itself, or the usual one."""
    with path.open("rb") as file:
        file.seek(16)
        size = int.from_bytes(file.read(2), "big")
    return 65_536 if size == 1 else size if size >= 512 and not size & (size - 1) else 4096


def _is_folded(path: Path, log: Path, page: int, newest: dict[int, int]) -> bool:
    """Whether the pages in a log stand in the state file already: then nothing of it is missed.

    A power cut may take the header at the moment when a log that was folded begins anew.
    """
    with path.open("rb") as file, log.open("rb") as pages:
        for number, at in newest.items():
            file.seek((number - 1) * page)
            pages.seek(at)
            if file.read(page) != pages.read(page):
                return False
    return True


__all__ = ["LogScan", "log_of", "renew", "scan"]
