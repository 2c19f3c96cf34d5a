"""A disk that loses power: from a log of operations to what may be on it after the cut.

What `iolog.c` wrote is read back, and for any moment in it the files are put together as a disk
may hold them: everything that was synced before the cut is there; of what came later every
512-byte sector is there or not, is torn or is garbage; truncations, new names, unlinks and
renames since the last sync of the folder have happened or not. Later writes of one sector do
not give way to earlier ones, as in a page cache.

A sync that failed is taken as Linux takes it: the pages count as clean, so that no later sync
writes them, though the program that reads them back sees what it wrote. Bytes beside a write
in its sector are never harmed, which is what SQLite assumes too (its powersafe overwrite).

Source: Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020;
sqlite.org/psow.html and atomiccommit.html.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

SECTOR: Final = 512
FOLDER: Final = -1
_HEAD = struct.Struct("<BBHiqQ")
_CREATE, _TRUNCATE = 1, 2
# How much of what was not synced is there: nothing, all, the first part, half, nearly all.
STYLES: Final = ("nothing", "all", "first", "half", "most")


@dataclass(frozen=True, slots=True)
class Op:
    """One operation.

    Args:
        kind: write, truncate, sync, link, unlink, rename, mark or start.
        inode: Which file, whatever its name; FOLDER for the folder and its names.
        at: Offset of a write, size of a truncate, inode of a link [bytes].
        data: What was written or marked.
        names: The name of a link or an unlink; old and new of a rename.
        ok: False for a sync that failed.
    """

    kind: str
    inode: int = FOLDER
    at: int = 0
    data: bytes = b""
    names: tuple[str, ...] = ()
    ok: bool = True


@dataclass
class Log:
    """What happened to a folder, from the files it held at first.

    Args:
        base: The files at first, by name; they are safely on the disk.
    """

    base: Mapping[str, bytes]
    ops: list[Op] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    """Numbers of the operations that a failed sync took for written: no sync writes them."""

    @classmethod
    def read(cls, path: Path, folder: Path, base: Mapping[str, bytes]) -> Log:
        """The log in a file, about a folder."""
        log = cls(dict(base))
        reader = _Reader(log, folder)
        for record in _records(path.read_bytes()):
            reader.take(*record)
        return log

    def image(self, cut: int, chance: random.Random) -> dict[str, bytes]:
        """The files after a power cut before operation number `cut`, by name."""
        ops = self.ops[:cut]
        synced = {op.inode: i for i, op in enumerate(ops) if op.kind == "sync" and op.ok}
        inodes = {name: number for number, name in enumerate(self.base)}
        files = {inodes[name]: bytearray(content) for name, content in self.base.items()}
        fate = _Fate(chance, chance.choice(STYLES))
        renames = _Fate(chance, chance.choice(STYLES))
        for i, op in enumerate(ops):
            safe = i < synced.get(op.inode, -1) and i not in self.lost
            if op.kind == "write":
                content = files.setdefault(op.inode, bytearray())
                pieces = [(op.at, op.data)] if safe else fate.pieces(op.at, op.data)
                for at, data in pieces:
                    content.extend(bytes(max(at + len(data) - len(content), 0)))
                    content[at : at + len(data)] = data
            elif op.kind == "truncate" and (safe or fate.holds()):
                content = files.setdefault(op.inode, bytearray())
                del content[op.at :]
                content.extend(bytes(op.at - len(content)))
            elif op.inode == FOLDER and (safe or renames.holds()):
                _rename(inodes, op)
        return {name: bytes(files.get(inode, b"")) for name, inode in inodes.items()}


class _Reader:
    """Makes operations on files of calls with descriptors."""

    def __init__(self, log: Log, folder: Path) -> None:
        self._log = log
        self._folder = folder
        self._inodes = {name: number for number, name in enumerate(log.base)}
        self._open: dict[int, int] = {}
        self._dirty: dict[int, list[int]] = {}

    def take(self, kind: str, fd: int, flags: int, at: int, data: bytes, ok: bool) -> None:
        """One record of `iolog`."""
        log = self._log
        match kind:
            case "b":
                self._open.clear()
                log.ops.append(Op("start"))
            case "c":
                self._open.pop(fd, None)
            case "o" | "u" | "r":
                self._take_name(kind, fd, flags, data)
            case "w" | "t":
                inode = self._open[fd]
                self._dirty.setdefault(inode, []).append(len(log.ops))
                log.ops.append(Op("write" if kind == "w" else "truncate", inode, at, data))
            case "s":
                waiting = self._dirty.pop(self._open[fd], [])
                log.lost.update(() if ok else waiting)
                log.ops.append(Op("sync", self._open[fd], ok=ok))
            case _:
                assert kind == "m", kind
                log.ops.append(Op("mark", data=data))

    def _take_name(self, kind: str, fd: int, flags: int, data: bytes) -> None:
        log, inodes = self._log, self._inodes
        names = tuple(os.path.relpath(os.fsdecode(n), self._folder) for n in data.split(b"\0"))
        if kind == "u":
            inodes.pop(names[0], None)
            log.ops.append(Op("unlink", names=names))
        elif kind == "r":
            inodes[names[1]] = inodes.pop(names[0])
            log.ops.append(Op("rename", names=names))
        elif names == (".",):
            self._open[fd] = FOLDER
        else:
            if names[0] not in inodes:
                assert flags & _CREATE, f"{names[0]} was opened, but nobody made it"
                inodes[names[0]] = len(log.base) + len(log.ops)
                log.ops.append(Op("link", FOLDER, inodes[names[0]], names=names))
            self._open[fd] = inodes[names[0]]
            if flags & _TRUNCATE:
                log.ops.append(Op("truncate", self._open[fd]))


def _rename(inodes: dict[str, int], op: Op) -> None:
    if op.kind == "link":
        inodes[op.names[0]] = op.at
    elif op.kind == "unlink":
        inodes.pop(op.names[0], None)
    elif op.kind == "rename" and op.names[0] in inodes:
        inodes[op.names[1]] = inodes.pop(op.names[0])


class _Fate:
    """Whether what was not synced is on the disk."""

    def __init__(self, chance: random.Random, style: str) -> None:
        self._chance = chance
        self._style = style
        self._left = chance.randrange(16) if style == "first" else 0

    def holds(self) -> bool:
        """Whether the next thing is there."""
        match self._style:
            case "nothing":
                return False
            case "all":
                return True
            case "first":
                self._left -= 1
                return self._left >= 0
            case "half":
                return self._chance.random() < 0.5
            case _:
                return self._chance.random() < 0.97

    def pieces(self, at: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """What of a write is there, by sector."""
        end = at + len(data)
        start = at
        while start < end:
            stop = min((start // SECTOR + 1) * SECTOR, end)
            piece = data[start - at : stop - at]
            if self.holds():
                yield start, piece
            elif self._style != "nothing" and self._chance.random() < 0.05:
                if self._chance.random() < 0.5:
                    yield start, piece[: self._chance.randrange(len(piece))]  # Torn.
                else:
                    yield start, self._chance.randbytes(len(piece))
            start = stop


def marks_in(content: bytes) -> tuple[list[bytes], int]:
    """The marks in a piece of a log that may still grow, and how many bytes were whole records."""
    marks = []
    at = 0
    while at + _HEAD.size <= len(content):
        kind, _, _, _, _, size = _HEAD.unpack_from(content, at)
        end = at + _HEAD.size + size
        if end > len(content):
            break
        if kind == ord("m"):
            marks.append(content[at + _HEAD.size : end])
        at = end
    return marks, at


def _records(content: bytes) -> Iterator[tuple[str, int, int, int, bytes, bool]]:
    at = 0
    while at < len(content):
        op, failed, flags, fd, offset, size = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        yield chr(op), fd, flags, offset, content[at : at + size], not failed
        at += size
