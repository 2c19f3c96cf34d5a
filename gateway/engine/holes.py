"""Holes: what a source brought and when, and the Bad rows that stand for what it did not bring.

A window sees rows, not events. So a hole is marked in the samples of each tag it is about, at
both of its ends: where the first and the last missing sample would have been when it is known
how many are missing (`Gap.missing`), and a nanosecond inside the hole when it is not. Why there:

* A window that holds the begin or the end of the hole then has a share of good samples below
  100 %. One that lies wholly in the hole has no rows and does not come out at all.
* The rows are sent before the samples that end the hole, and stand in time between those before
  it and those after it: no sample gets late by them, and they are late only where a timer had to
  close the window before anybody knew of the hole. `lateness_s` gives it the time to be known.
* Where a Bad row stands already at that end, such as the one of a lost line, there is no second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.data import quality
from gateway.data.batch import Batch
from gateway.data.tag import TagTable
from gateway.flow.context import Clock
from gateway.flow.gaps import Gap

Codes = NDArray[np.uint16]
Times = NDArray[np.int64]
CLOCK_STEP_NS: Final = 2_000_000_000
"""The wall clock runs so far from the steady one between two readings: it was set."""
FOLD_NS: Final = 10_000_000_000
"""Gaps of one kind that follow each other within this time are told as one, with the sum."""
_KINDS_MAX: Final = 1_000
_FAR: Final = 2**62


class Holes:
    """The last row of each tag, and Bad rows where rows are missing.

    Args:
        tags: The gateway's tags.
        clock: The time.
        codes: Gives the codes of all tags that the source has brought or names.
    """

    def __init__(self, tags: TagTable, clock: Clock, codes: Callable[[], Codes]) -> None:
        self.seen = np.zeros(tags.limit, np.bool_)
        self._ts = np.zeros(tags.limit, np.int64)
        self._at = np.zeros(tags.limit, np.int64)
        self._at_s = np.zeros(tags.limit, np.float64)
        self._bad = np.zeros(tags.limit, np.int64)
        self._clock = clock
        self._tags = tags
        self._codes = codes
        self._started = clock.now()
        self._old = len(tags)
        self._away: Gap | None = None
        """The hole of before the start: it is in tags too that have not come since."""

    def saw(self, batch: Batch, now: int) -> None:
        """Remember the rows of a reading."""
        self.seen[batch.tag] = True
        self._ts[batch.tag] = batch.ts
        self._at[batch.tag] = now
        self._at_s[batch.tag] = self._clock.monotonic()
        bad = batch.quality >= quality.BAD
        if np.count_nonzero(bad):
            self._bad[batch.tag[bad]] = batch.ts[bad]

    def lost(self, now: int) -> Batch:
        """A Bad row for each tag, because the way to the device is gone."""
        codes = self._codes()
        # On the device's own clock, so that its next samples are not late; ours may have been set.
        passed = ((self._clock.monotonic() - self._at_s[codes]) * 1e9).astype(np.int64)
        passed = np.minimum(passed, now - self._at[codes])
        ts = np.where(self._at[codes] > 0, self._ts[codes] + passed, now)
        self._bad[codes] = ts
        return _bad_rows(codes, ts)

    def marked(self, gaps: Sequence[Gap], batch: Batch, now: int) -> Batch:
        """The rows of a reading, with Bad rows for the gaps that it tells of."""
        if not gaps and self._away is None:
            return batch
        marks: list[Batch] = []
        for gap in gaps:
            if gap.tags is None and gap.start < self._started:
                self._away = gap
            codes = self._about(gap, batch)
            if len(codes):
                marks.append(self._marks(gap, codes, batch, now))
        if self._away not in (None, *gaps) and not self.seen[batch.tag].all():
            assert self._away is not None
            late = np.unique(batch.tag[~self.seen[batch.tag]])
            marks.append(self._marks(self._away, late[late < self._old], batch, now))
        rows = Batch.concat(marks)
        return _merged(rows, batch) if len(rows) else batch

    def _about(self, gap: Gap, batch: Batch) -> Codes:
        if gap.tags is not None:
            known = [self._tags.code(name) for name in gap.tags if name in self._tags]
            return np.array(sorted(set(known)), np.uint16)
        codes = self._codes()
        if gap.start >= self._started:
            return codes
        fresh = batch.tag[batch.tag < self._old]  # What never was there before misses nothing.
        return np.union1d(codes, fresh).astype(np.uint16)

    def _marks(self, gap: Gap, codes: Codes, batch: Batch, now: int) -> Batch:
        start, end = max(gap.start, -_FAR), min(gap.end, _FAR)
        step = max((end - start) // (gap.missing + 1), 1) if gap.missing else 1
        ts, at = self._ts[codes], self._at[codes]
        # A tag's clock may differ from ours: never before its last row, nor after its present.
        latest = np.where(at > 0, ts + (now - at), np.minimum(_first(codes, batch) - 1, now))
        latest = np.minimum(latest, _first(codes, batch.where(batch.ts > start)) - 1)
        earliest = np.where(at > 0, ts + 1, -_FAR)
        first = np.minimum(np.maximum(start + step, earliest), latest)
        last = np.minimum(end - step, latest)
        bad = self._bad[codes]
        has_first = bad > start
        has_last = (last <= first) | (bad >= end - 2 * step)
        self._bad[codes] = np.maximum(bad, np.where(has_last, first, last))
        begins = _bad_rows(codes[~has_first], first[~has_first])
        return Batch.concat([begins, _bad_rows(codes[~has_last], last[~has_last])])


def _bad_rows(codes: Codes, ts: Times) -> Batch:
    bad = np.full(len(codes), quality.BAD_NO_COMMUNICATION, np.uint32)
    return Batch(codes, ts.astype(np.int64), np.full(len(codes), np.nan), bad)


def _first(codes: Codes, batch: Batch) -> Times:
    """The earliest time of each tag in a batch [ns], (k,); far away where it has none."""
    earliest = np.full(int(codes.max(initial=0)) + 1, _FAR, np.int64)
    mine = batch.tag < len(earliest)
    np.minimum.at(earliest, batch.tag[mine], batch.ts[mine])
    return earliest[codes]


def _merged(marks: Batch, batch: Batch) -> Batch:
    """Marks and rows as one batch: each mark before the rows of its tag that are later."""
    at = np.zeros(len(marks), np.intp)
    for i in np.flatnonzero(_first(marks.tag, batch) <= marks.ts):
        later = np.flatnonzero((batch.tag == marks.tag[i]) & (batch.ts > marks.ts[i]))
        at[i] = later[0] if len(later) else len(batch)
    order = np.argsort(np.concatenate((at, np.arange(len(batch)))), kind="stable")
    return Batch.concat([marks, batch]).where(order)


class Folded:
    """Gaps on their way to be told: the first at once, those that follow as one sum."""

    def __init__(self) -> None:
        self._told: dict[tuple[Any, ...], int] = {}
        self._open: dict[tuple[Any, ...], Gap] = {}

    def tell(self, gaps: Sequence[Gap], now: int) -> list[Gap]:
        """What is to be told now of these and of those that wait."""
        for gap in gaps:
            kind = (gap.cause, gap.device, gap.tags)
            known = self._open.get(kind)
            self._open[kind] = gap if known is None else known.joined(gap)
        ripe = [k for k in self._open if now - self._told.get(k, now - FOLD_NS) >= FOLD_NS]
        if len(self._told) > _KINDS_MAX:
            self._told = {k: at for k, at in self._told.items() if now - at < FOLD_NS}
        self._told.update(dict.fromkeys(ripe, now))
        return [self._open.pop(kind) for kind in ripe]

    def rest(self) -> list[Gap]:
        """All that still wait."""
        gaps = list(self._open.values())
        self._open.clear()
        return gaps

    def __bool__(self) -> bool:
        return bool(self._open)


class Pace:
    """Finds out that the wall clock was set forward between two readings.

    Set back it only slows down (`gateway.engine.clock`), and no time is without samples.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now = clock.now()
        self._steady_s = clock.monotonic()

    def jumped(self, batch: Batch, now: int) -> tuple[int, int] | None:
        """(from, to) [ns] of the times that no sample of this source will bear, if any.

        Sources whose samples bear the time of a device are not concerned when ours is set.
        """
        before, self._now = self._now, now
        steady_s, self._steady_s = self._steady_s, self._clock.monotonic()
        passed = round((self._steady_s - steady_s) * 1e9)
        if now - before - passed < CLOCK_STEP_NS:
            return None
        return (before, now) if abs(now - int(batch.ts.max())) < CLOCK_STEP_NS else None


__all__ = ["FOLD_NS", "Folded", "Holes", "Pace"]
