"""Checkpoints in the state file: states cut into chunks, of which only changed ones are written.

A chunk is at most 64 KiB of one array, checksummed. The chunks of a checkpoint are written in
slices, each a transaction of its own, so that a journal commit never waits long; they count only
when the last transaction has put their numbers into the manifest. A checkpoint that was cut
short leaves chunks that nobody names.

Source: measured in reference/reliability.md §3.3: whole blobs of 8 MB hold up commits for 29 ms
and more, and wear the flash.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from gateway.errors import StateError
from gateway.flow.node import State

CHUNK_BYTES: Final = 65_536
SLICE_BYTES: Final = 256 * 1024
"""Bytes that one transaction looks at: some milliseconds on a slow disk."""
_SAMPLE_BYTES: Final = 4_096
_CRC: Final = struct.Struct("<IB")


@dataclass(slots=True)
class Part:
    """One array of one node as it was stored last.

    Args:
        id: Its number in the state table.
        digests: A hash of each of its chunks.
        numbers: The checkpoint that wrote each of its chunks.
    """

    id: int
    digests: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Saved:
    """What is known of a flow's newest checkpoint, so that the next writes only what changed."""

    number: int = 0
    parts: dict[tuple[str, str], Part] = field(default_factory=dict)
    ids: int = 0
    is_whole: bool = False
    """True when all chunks in the file are named in `parts`; else the next writes all anew."""

    def forget(self) -> None:
        """A write failed: what is on the disk is not known any more."""
        self.parts.clear()
        self.is_whole = False

    def part(self, node: str, name: str) -> Part:
        """The part of that name; a new one when there is none."""
        key = (node, name)
        if key not in self.parts:
            self.ids += 1
            self.parts[key] = Part(self.ids)
        return self.parts[key]


@dataclass(slots=True)
class Checkpoint:
    """A checkpoint on its way to the disk.

    Args:
        flow: Whose.
        seq: The last journal record that the states contain.
        ts: The time now [ns].
        states: The arrays by node and name; they must not change any more.
        head: What else is to be known, as JSON values.
    """

    flow: str
    seq: int
    ts: int
    states: Mapping[str, State]
    head: Mapping[str, Any]
    written: int = 0
    """Bytes that were written."""
    _old: list[tuple[int, int, int]] = field(default_factory=list)
    _listed: list[dict[str, Any]] = field(default_factory=list)

    def slices(self, db: sqlite3.Connection, saved: Saved) -> Iterator[None]:
        """Write the changed chunks; stops after each slice, for a transaction of its own."""
        saved.number += 1
        size = 0
        for node, state in self.states.items():
            for name, array in state.items():
                flat = np.ascontiguousarray(array)
                part = saved.part(node, name)
                described = {"node": node, "name": name, "id": part.id}
                described |= {"dtype": flat.dtype.str, "shape": list(array.shape)}
                self._listed.append({**described, "chunks": part.numbers})
                view = flat.reshape(-1).view(np.uint8).data
                for chunk in range(math.ceil(len(view) / CHUNK_BYTES)):
                    raw = view[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES]
                    size += self._chunk(db, saved.number, part, chunk, raw)
                    if size >= SLICE_BYTES:
                        size = 0
                        yield
                self._cut(part, math.ceil(len(view) / CHUNK_BYTES))
        yield

    def _chunk(
        self, db: sqlite3.Connection, number: int, part: Part, chunk: int, raw: memoryview
    ) -> int:
        """Write one chunk if it changed; returns the bytes it cost to find out."""
        digest = hashlib.blake2b(raw, digest_size=16).digest()
        if chunk < len(part.digests):
            if part.digests[chunk] == digest:
                return len(raw) // 8
            self._old.append((part.id, chunk, part.numbers[chunk]))
            part.digests[chunk], part.numbers[chunk] = digest, number
        else:
            part.digests.append(digest)
            part.numbers.append(number)
        data = _packed(raw, (self.flow, part.id, chunk, number))
        db.execute(
            "REPLACE INTO state VALUES (?,?,?,?,?)", (self.flow, part.id, chunk, number, data)
        )
        self.written += len(data)
        return len(raw)

    def _cut(self, part: Part, chunks: int) -> None:
        """An array that became shorter needs its last chunks no more."""
        for chunk in range(chunks, len(part.digests)):
            self._old.append((part.id, chunk, part.numbers[chunk]))
        del part.digests[chunks:], part.numbers[chunks:]

    def finish(self, db: sqlite3.Connection, saved: Saved) -> None:
        """Make it the newest checkpoint: the transaction that counts."""
        listed = {(row["node"], row["name"]) for row in self._listed}
        for key in [key for key in saved.parts if key not in listed]:
            part = saved.parts.pop(key)
            self._old += [(part.id, chunk, n) for chunk, n in enumerate(part.numbers)]
        text = json.dumps({"head": self.head, "parts": self._listed}, separators=(",", ":"))
        row = (self.flow, self.seq, self.ts, saved.number)
        manifest = _packed(memoryview(text.encode()), row)
        db.execute("REPLACE INTO snapshot VALUES (?,?,?,?,?)", (*row, manifest))
        if saved.is_whole:
            db.executemany(
                "DELETE FROM state WHERE flow=? AND part=? AND chunk=? AND number=?",
                [(self.flow, *row) for row in self._old],
            )
        else:
            db.execute("DELETE FROM state WHERE flow=? AND number<?", (self.flow, saved.number))
        self.written += len(manifest)


def _packed(raw: memoryview, row: tuple[str | int, ...]) -> bytes:
    """A chunk with a checksum over it and its row, compressed where that pays."""
    body, is_small = bytes(raw), 0
    sample = zlib.compress(raw[:_SAMPLE_BYTES], 1)
    if len(sample) < 0.7 * min(len(raw), _SAMPLE_BYTES):
        body, is_small = zlib.compress(raw, 1), 1
    return _CRC.pack(_sum(body, is_small, row), is_small) + body


def _sum(body: bytes, is_small: int, row: tuple[str | int, ...]) -> int:
    return zlib.crc32(body, zlib.crc32("\n".join(map(str, (is_small, *row))).encode()))


def _unpacked(data: bytes, row: tuple[str | int, ...]) -> bytes:
    """What `_packed` was given for the row.

    Raises:
        StateError: It is damaged.
    """
    if len(data) < _CRC.size:
        raise StateError("A stored chunk is cut short.")
    crc, is_small = _CRC.unpack_from(data)
    body = data[_CRC.size :]
    if _sum(body, is_small, row) != crc:
        raise StateError("A stored chunk is damaged: its checksum does not fit.")
    try:
        return zlib.decompress(body) if is_small else body
    except zlib.error as error:
        raise StateError(f"A stored chunk is damaged: {error}.") from error


@dataclass(slots=True)
class Loaded:
    """A checkpoint as it was found.

    Args:
        seq: The last journal record it contains.
        states: The arrays by node and name.
        head: What was stored with it.
        damaged: A sentence for each node whose state could not be read.
    """

    seq: int
    states: dict[str, State]
    head: dict[str, Any]
    damaged: dict[str, str] = field(default_factory=dict)


def load(db: sqlite3.Connection, flow: str) -> tuple[Loaded | None, Saved]:
    """A flow's newest checkpoint, and what is needed to write the next.

    Raises:
        StateError: The manifest is damaged: nothing of it can be used.
    """
    found = db.execute(
        "SELECT seq, ts, number, manifest FROM snapshot WHERE flow=?", (flow,)
    ).fetchone()
    if found is None:
        return None, Saved(_newest(db, flow))
    seq, ts, number, manifest = found
    try:
        meta = json.loads(_unpacked(bytes(manifest), (flow, seq, ts, number)))
        head, parts = dict(meta["head"]), list(meta["parts"])
    except (StateError, ValueError, LookupError, TypeError) as error:
        raise StateError(f"The checkpoint of {flow} is damaged: {error}.") from error
    saved = Saved(max(_newest(db, flow), int(number)), is_whole=True)
    saved.ids = max((row["id"] for row in parts), default=0)
    loaded = Loaded(int(seq), {}, head)
    for row in parts:
        node, name = row["node"], row["name"]
        if node in loaded.damaged:
            continue
        try:
            raw, part = _read(db, flow, row)
            array = np.frombuffer(raw, np.dtype(row["dtype"])).reshape(row["shape"]).copy()
        except (StateError, ValueError, TypeError) as error:
            loaded.damaged[node] = (
                f"The stored state of {node} cannot be read ({error}): it is new."
            )
            loaded.states.pop(node, None)
            continue
        loaded.states.setdefault(node, {})[name] = array
        saved.parts[node, name] = part
    if loaded.damaged:
        saved.forget()
    return loaded, saved


def _newest(db: sqlite3.Connection, flow: str) -> int:
    row = db.execute("SELECT coalesce(max(number), 0) FROM state WHERE flow=?", (flow,)).fetchone()
    return int(row[0])


def _read(db: sqlite3.Connection, flow: str, row: Mapping[str, Any]) -> tuple[bytes, Part]:
    part = Part(int(row["id"]), [], [int(n) for n in row["chunks"]])
    pieces = []
    for chunk, number in enumerate(part.numbers):
        found = db.execute(
            "SELECT data FROM state WHERE flow=? AND part=? AND chunk=? AND number=?",
            (flow, part.id, chunk, number),
        ).fetchone()
        if found is None:
            raise StateError("A chunk is missing.")
        piece = _unpacked(bytes(found[0]), (flow, part.id, chunk, number))
        part.digests.append(hashlib.blake2b(piece, digest_size=16).digest())
        pieces.append(piece)
    return b"".join(pieces), part


def sweep(db: sqlite3.Connection, flow: str) -> None:
    """Take away chunks of a checkpoint that was cut short."""
    db.execute(
        "DELETE FROM state WHERE flow=?1 AND number >"
        " (SELECT coalesce(max(number), 0) FROM snapshot WHERE flow=?1)",
        (flow,),
    )
