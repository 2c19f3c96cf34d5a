"""Ring: the rows that wait for their window to close, a stretch of one arena per tag.

A tag owns a stretch of the arena, with room for a power of two of rows. A tag that outgrows
its stretch moves to a longer one at the end of the arena; when the arena is used up, all live
rows move to a fresh one. So memory follows the rows that exist, never tags × the longest tag,
and every operation is a handful of numpy calls for any number of tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.data.batch import Batch
from gateway.data.ragged import Index, heads, lengths, ranges

_ROOM_MIN: Final = 8
_ARENA_MIN: Final = 1024
_TURNS: Final = 4  # How often the arena is filled anew before it may shrink.


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of k tags: ``count[i]`` rows of ``code[i]``, tag after tag, in columns (n,)."""

    code: NDArray[np.uint16]
    count: Index
    ts: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint32]


def grouped(batch: Batch, order: Index) -> Rows:
    """The rows of a batch in an order that sorts them by tag, such as a stable argsort."""
    tag = batch.tag[order]
    starts = heads(tag).nonzero()[0]
    count = lengths(starts, len(tag))
    return Rows(tag[starts], count, batch.ts[order], batch.value[order], batch.quality[order])


class Ring:
    """Rows by tag, in order of arrival until `put` says otherwise.

    Args:
        tags: How many codes there may be.
        rows_max: How many rows may wait in all; the owner asks `room` before it adds.

    Cost: append and gather ~20 ns a row each for thousands of rows; 20 bytes a row, twice to
    six times that while stretches grow.
    """

    def __init__(self, tags: int, rows_max: int) -> None:
        self.rows_max = rows_max
        self.count: Index = np.zeros(tags, np.intp)
        """Rows that wait, by code (tags,)."""
        self.rows = 0
        """Rows that wait in all."""
        self._base: Index = np.zeros(tags, np.intp)
        self._room: Index = np.zeros(tags, np.intp)
        self._top = self._turned = self._peak = 0
        self._renew(_ARENA_MIN)

    @property
    def room(self) -> int:
        """How many more rows fit."""
        return self.rows_max - self.rows

    @property
    def nbytes(self) -> int:
        """Bytes of the arena."""
        return self._ts.nbytes + self._value.nbytes + self._quality.nbytes

    def append(self, batch: Batch) -> None:
        """Add the rows of a batch of any mix of tags; they must fit into `room`."""
        self.extend(grouped(batch, np.argsort(batch.tag, kind="stable")))

    def extend(self, rows: Rows) -> None:
        """Add rows that are grouped by tag; they must fit into `room`."""
        n = len(rows.ts)
        assert n <= self.room, f"rows_max = {self.rows_max} is passed; ask `room` first"
        if n == 0:
            return
        if len(rows.code) == 1:
            self._extend_one(int(rows.code[0]), rows)
        else:
            have = self.count[rows.code]
            need = have + rows.count
            if (need > self._room[rows.code]).any():
                self._grow(rows.code, need)
            self._write(ranges(self._base[rows.code] + have, rows.count), rows)
            self.count[rows.code] = need
        self.rows += n
        self._peak = max(self._peak, self.rows)

    def add(self, code: int, ts: int, value: float, quality: int) -> None:
        """Add one row, in plain numbers; it must fit into `room`."""
        assert self.rows < self.rows_max, f"rows_max = {self.rows_max}; ask `room` first"
        have = int(self.count[code])
        if have == self._room[code]:
            self._grow(np.array([code], np.uint16), np.array([have + 1]))
        at = int(self._base[code]) + have
        self._ts[at], self._value[at], self._quality[at] = ts, value, quality
        self.count[code] = have + 1
        self.rows += 1
        if self.rows > self._peak:
            self._peak = self.rows

    def gather(self, code: NDArray[np.uint16]) -> Rows:
        """A copy of all rows of some tags (k,), in the order in which they are kept."""
        if len(code) == 1:
            one = int(code[0])
            low, n = int(self._base[one]), int(self.count[one])
            part = slice(low, low + n)
            return Rows(
                code,
                np.array([n]),
                self._ts[part].copy(),
                self._value[part].copy(),
                self._quality[part].copy(),
            )
        count = self.count[code]
        at = ranges(self._base[code], count)
        return Rows(code, count, self._ts.take(at), self._value.take(at), self._quality.take(at))

    def put(self, rows: Rows) -> None:
        """Keep these rows of some tags in place of what they had; there may not be more."""
        had = self.count[rows.code]
        assert (rows.count <= had).all(), "put() only takes rows away"
        gone = int(had.sum()) - len(rows.ts)
        if len(rows.ts):
            self._write(ranges(self._base[rows.code], rows.count), rows)
        self.count[rows.code] = rows.count
        self._forget(gone)

    def clear(self, code: int) -> None:
        """Forget all rows of a tag."""
        had = int(self.count[code])
        self.count[code] = 0
        self._forget(had)

    def _forget(self, gone: int) -> None:
        """Count rows that went, and shrink an arena that is far too large for what is left."""
        self.rows -= gone
        self._turned += gone
        if self._turned > _TURNS * len(self._ts):
            if self._peak * 8 < len(self._ts) > _ARENA_MIN:
                self._move(np.zeros(0, np.uint16), np.zeros(0, np.intp))
            self._turned, self._peak = 0, self.rows

    def save(self) -> Mapping[str, NDArray[Any]]:
        """All live rows, as columns."""
        rows = self.gather(np.flatnonzero(self.count).astype(np.uint16))
        return {
            "code": rows.code,
            "count": rows.count,
            "ts": rows.ts,
            "value": rows.value,
            "quality": rows.quality,
        }

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `save` gave.

        Raises:
            KeyError, ValueError: The state does not fit.
        """
        rows = Rows(
            state["code"].astype(np.uint16),
            state["count"].astype(np.intp),
            state["ts"].astype(np.int64),
            state["value"].astype(np.float64),
            state["quality"].astype(np.uint32),
        )
        sizes = {len(rows.ts), len(rows.value), len(rows.quality), int(rows.count.sum())}
        if len(sizes) > 1 or len(rows.code) != len(rows.count) or (rows.count < 0).any():
            raise ValueError("its columns are not of one length")
        if len(rows.code) and int(rows.code.max()) >= len(self.count):
            raise ValueError("it has a tag beyond tags_max")
        if len(rows.ts) > self.rows_max:
            raise ValueError(f"it has {len(rows.ts)} rows and rows_max is {self.rows_max}")
        self.count[:] = self._base[:] = self._room[:] = 0
        self.rows = 0
        self._renew(_ARENA_MIN)
        self.extend(rows)

    def _extend_one(self, code: int, rows: Rows) -> None:
        have, n = int(self.count[code]), len(rows.ts)
        if have + n > self._room[code]:
            self._grow(rows.code, np.array([have + n]))
        low = int(self._base[code]) + have
        self._write(slice(low, low + n), rows)
        self.count[code] = have + n

    def _write(self, at: Index | slice, rows: Rows) -> None:
        self._ts[at] = rows.ts
        self._value[at] = rows.value
        self._quality[at] = rows.quality

    def _grow(self, code: NDArray[np.uint16], need: Index) -> None:
        """Give tags with too little room for `need` longer stretches at the end of the arena."""
        short = need > self._room[code]
        room = _power_of_two(need[short])
        total = int(room.sum())
        if self._top + total > len(self._ts):
            # With the needs of all: a move leaves no tag more room than it is known to need.
            self._move(code, need)
            return
        code = code[short]
        base = self._top + np.cumsum(room) - room
        count = self.count[code]
        old, new = ranges(self._base[code], count), ranges(base, count)
        self._ts[new] = self._ts[old]
        self._value[new] = self._value[old]
        self._quality[new] = self._quality[old]
        self._base[code], self._room[code] = base, room
        self._top += total

    def _move(self, code: NDArray[np.uint16], need: Index) -> None:
        """Move all live rows to a fresh arena, where some tags get more room."""
        wanted = self.count.copy()
        wanted[code] = need
        live = np.flatnonzero(wanted)
        room = _power_of_two(wanted[live])
        base = np.cumsum(room) - room
        count = self.count[live]
        old, new = ranges(self._base[live], count), ranges(base, count)
        columns = self._ts[old], self._value[old], self._quality[old]
        total = int(room.sum())
        self._renew(max(_ARENA_MIN, total + total // 2))
        self._ts[new], self._value[new], self._quality[new] = columns
        self._base[:] = 0
        self._room[:] = 0
        self._base[live], self._room[live] = base, room
        self._top = total

    def _renew(self, rows: int) -> None:
        self._ts: NDArray[np.int64] = np.empty(rows, np.int64)
        self._value: NDArray[np.float64] = np.empty(rows, np.float64)
        self._quality: NDArray[np.uint32] = np.empty(rows, np.uint32)
        self._top = 0
        self._turned = 0
        self._peak = self.rows


def _power_of_two(need: Index) -> Index:
    """The next power of two at or above each number, at least `_ROOM_MIN`; (k,).

    >>> _power_of_two(np.array([1, 8, 9, 64])).tolist()
    [8, 8, 16, 64]
    """
    _, exponent = np.frexp((need - 1).astype(np.float64))
    return np.maximum(np.left_shift(1, exponent.astype(np.intp)), _ROOM_MIN)
