"""Batch: samples in columns, the one type that travels on sample wires."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.data.quality import BAD


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """n samples as read-only columns, in the order they arrived.

    Build one with `Batch.of`, `Batch.columns` or from another batch; the bare constructor
    trusts its arguments.

    Args:
        tag: Codes in the TagTable, uint16 (n,).
        ts: Source timestamps [ns since 1970-01-01 UTC], int64 (n,).
        value: In the tag's unit, float64 (n,); a value that is not finite has quality Bad.
        quality: OPC UA StatusCodes, uint32 (n,).
    """

    tag: NDArray[np.uint16]
    ts: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint32]

    @classmethod
    def columns(
        cls,
        tag: NDArray[np.integer] | Sequence[int],
        ts: NDArray[np.int64] | Sequence[int],
        value: NDArray[np.floating] | Sequence[float],
        quality: NDArray[np.integer] | Sequence[int] | None = None,
    ) -> Batch:
        """A batch from columns of one length; NaN and infinities become quality Bad here.

        This is the edge: no number that is not finite enters state with a good quality.
        """
        tags = np.asarray(tag, np.uint16)
        values = np.asarray(value, np.float64)
        codes = (
            np.zeros(len(tags), np.uint32) if quality is None else np.asarray(quality, np.uint32)
        )
        finite = np.isfinite(values)
        if np.count_nonzero(finite) < len(values):
            if quality is None:
                codes[~finite] = BAD
            else:
                codes = np.where(~finite & (codes >> 30 < 2), np.uint32(BAD), codes)
        batch = cls(tags, np.asarray(ts, np.int64), values, codes)
        assert len(batch.tag) == len(batch.ts) == len(batch.value) == len(batch.quality)
        return batch

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, float, int]]) -> Batch:
        """A batch from (tag, ts, value, quality) rows."""
        listed = list(rows)
        if not listed:
            return EMPTY
        tag, ts, value, quality = zip(*listed, strict=True)
        return cls.columns(
            np.array(tag, np.uint16),
            np.array(ts, np.int64),
            np.array(value, np.float64),
            np.array(quality, np.uint32),
        )

    @classmethod
    def concat(cls, batches: Sequence[Batch]) -> Batch:
        """One batch with the rows of all, in order."""
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return EMPTY
        return cls(
            np.concatenate([b.tag for b in batches]),
            np.concatenate([b.ts for b in batches]),
            np.concatenate([b.value for b in batches]),
            np.concatenate([b.quality for b in batches]),
        )

    def __len__(self) -> int:
        return len(self.tag)

    def where(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Batch:
        """The rows a mask (n,), an index array (m,) or a slice selects."""
        return Batch(self.tag[rows], self.ts[rows], self.value[rows], self.quality[rows])

    def with_tag(self, tag: NDArray[np.uint16]) -> Batch:
        """The same rows under other tags (n,)."""
        return Batch(tag, self.ts, self.value, self.quality)

    def with_value(self, value: NDArray[np.float64]) -> Batch:
        """The same rows with other values (n,); what is not finite becomes Bad."""
        return Batch.columns(self.tag, self.ts, value, self.quality)

    def degraded(self, mask: NDArray[np.bool_], status: int) -> Batch:
        """Mark rows with a worse quality; none is dropped and none gets better."""
        worse = mask & (self.quality >> 30 < status >> 30)
        if not worse.any():
            return self
        return Batch(
            self.tag, self.ts, self.value, np.where(worse, np.uint32(status), self.quality)
        )

    @property
    def good(self) -> NDArray[np.bool_]:
        """Rows that may be used in a calculation: severity good, (n,)."""
        return self.quality < 0x40000000

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Rows that are not bad: good or uncertain, (n,)."""
        return self.quality < BAD

    def rounds(self) -> Iterator[NDArray[np.intp]]:
        """Row indices cut so that no tag repeats within a round, in order of arrival.

        State may then be an array indexed by tag code. Cost: ~35 µs a round, so a burst of
        one tag is dear: see `by_tag`.
        """
        n = len(self.tag)
        if n == 0:
            return
        if n == 1:
            yield np.zeros(1, np.intp)
            return
        # Rising codes, as in a poll or the features of a window, are told at once.
        if np.count_nonzero(self.tag[1:] > self.tag[:-1]) == n - 1:
            yield np.arange(n)
            return
        order, occurrence = self.occurrences()
        last = int(occurrence.max())
        if last == 0:
            yield np.arange(n)
            return
        # Rows by occurrence, and by arrival within one: two stable sorts.
        arrival = np.empty(n, np.intp)
        arrival[order] = occurrence
        kind = np.uint16 if last <= 0xFFFF else np.int64
        by_round = np.argsort(arrival.astype(kind), kind="stable")
        bounds = np.cumsum(np.bincount(arrival))
        start = 0
        for end in bounds.tolist():
            yield by_round[start:end]
            start = end

    def occurrences(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """(order, nth): rows sorted by tag, stable; and which occurrence of its tag each is.

        `nth` is in the sorted order, so ``nth[i]`` belongs to row ``order[i]``. Both (n,).
        """
        n = len(self.tag)
        order = np.argsort(self.tag, kind="stable")
        tags = self.tag[order]
        starts = np.empty(n, np.bool_)
        starts[:1] = True
        np.not_equal(tags[1:], tags[:-1], out=starts[1:])
        index = np.arange(n)
        first = np.maximum.accumulate(np.where(starts, index, 0))
        return order, index - first

    def by_tag(self) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Each tag with the indices of its rows in arrival order: for bursts of one tag."""
        n = len(self.tag)
        if n == 0:
            return
        order = np.argsort(self.tag, kind="stable")
        tags = self.tag[order]
        cuts = np.flatnonzero(tags[1:] != tags[:-1]) + 1
        start = 0
        for end in [*cuts.tolist(), n]:
            yield int(tags[start]), order[start:end]
            start = end

    def freeze(self) -> Batch:
        """Make the columns read-only, as every test does; returns itself."""
        for column in (self.tag, self.ts, self.value, self.quality):
            column.flags.writeable = False
        return self

    def rows(self) -> Iterator[tuple[int, int, float, int]]:
        """(tag, ts, value, quality) row by row: for edges and tests, not for the hot path."""
        return zip(
            self.tag.tolist(),
            self.ts.tolist(),
            self.value.tolist(),
            self.quality.tolist(),
            strict=True,
        )


EMPTY = Batch(
    np.zeros(0, np.uint16),
    np.zeros(0, np.int64),
    np.zeros(0, np.float64),
    np.zeros(0, np.uint32),
)
