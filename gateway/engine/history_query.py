"""Trends out of history: a few tags over minutes or weeks, so that no spike is lost.

Reads beside the thread that writes, with connections of its own, on a thread that is not the
event loop's. What is still in memory is taken first and the files after it, so that nothing is
between the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from gateway.data.batch import EMPTY, Batch
from gateway.data.downsample import (
    DAY_NS,
    MINUTE_NS,
    Spans,
    gathered,
    in_order,
    window,
)
from gateway.engine.history_recorder import Recorder
from gateway.engine.store_history_read import Block, DayReader
from gateway.errors import Disconnected, StateError

ROWS_MAX: Final = 2_000_000
"""Samples of one tag that are looked at one by one; beyond it minutes must do."""
_CHUNK_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One tag over a window.

    Args:
        spans: Samples, or spans that hold them.
        width: How long each span is [ns]; 0 for samples.
    """

    spans: Spans
    width: int


class Look:
    """One look at history: what is in memory now, and the files of the days it needs.

    Args:
        history: The history.
        start: First instant [ns].
        end: First instant that is not wanted [ns].
    """

    def __init__(self, history: Recorder, start: int, end: int) -> None:
        self._history = history
        self._start, self._end = start, end
        self._days: dict[int, DayReader] = {}

    def __enter__(self) -> Look:
        days = self._history.days
        for day in days.listed():
            if self._start // DAY_NS <= day <= (self._end - 1) // DAY_NS:
                try:
                    self._days[day] = DayReader(days.path(day), day)
                except FileNotFoundError:
                    continue  # It was dropped just now, or is being made.
                except StateError:
                    self._history.broken.add(day)
                except Disconnected:
                    self._close()
                    raise
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        for day, reader in self._days.items():
            if reader.damaged:
                self._history.found_damage(day, reader.damaged)
            reader.close()

    def _blocks(self, name: str) -> list[Block]:
        found: list[Block] = []
        for day, reader in self._days.items():
            try:
                found += reader.blocks(name, self._start, self._end)
            except StateError:
                self._history.broken.add(day)
        return found

    def _recent(self, name: str) -> Batch:
        tags = self._history.tags
        if name not in tags:
            return EMPTY
        rows = self._history.recent(tags.code(name), self._start, self._end)
        return in_order(_untagged(rows))

    def _rows_of(self, blocks: Sequence[Block], recent: Batch) -> Batch:
        """The rows of blocks and memory within the window, each instant once."""
        came = sorted(blocks, key=lambda block: (block.first // DAY_NS, block.id))
        parts = []
        for block in came:
            try:
                parts.append(_untagged(block.batch()))
            except StateError:
                self._history.broken.add(block.day.day)
        rows = Batch.concat([*parts, recent])
        return in_order(rows.where((rows.ts >= self._start) & (rows.ts < self._end)))

    def rows_of(self, names: Sequence[str]) -> dict[str, Batch]:
        """All samples of some tags, each in order; what is in memory is gone through once."""
        tags = self._history.tags
        codes = {name: tags.code(name) for name in names if name in tags}
        came = self._history.recent_of(list(codes.values()), self._start, self._end)
        order = np.argsort(came.tag, kind="stable")
        edges = np.searchsorted(came.tag[order], list(codes.values()), "left")
        ends = np.searchsorted(came.tag[order], list(codes.values()), "right")
        recent = dict.fromkeys(names, EMPTY)
        for name, first, last in zip(codes, edges.tolist(), ends.tolist(), strict=True):
            recent[name] = in_order(_untagged(came.where(order[first:last])))
        return {name: self._rows_of(self._blocks(name), recent[name]) for name in names}

    def rows(self, name: str) -> Batch:
        """All samples of a tag, in order."""
        recent = self._recent(name)
        return self._rows_of(self._blocks(name), recent)

    def count(self, names: Sequence[str]) -> int:
        """How many samples there are, at most."""
        return sum(
            len(self._recent(name)) + sum(block.rows for block in self._blocks(name))
            for name in names
        )

    def series(self, name: str, points: int, width: int) -> Series:
        """One tag as at most so many points.

        Args:
            name: The tag.
            points: How many.
            width: Of a span, from `window` [ns].
        """
        recent = self._recent(name)
        blocks = self._blocks(name)
        total = len(recent) + sum(block.rows for block in blocks)
        if total <= points or (width < MINUTE_NS and total <= ROWS_MAX):
            rows = self._rows_of(blocks, recent)
            if len(rows) <= points:
                return Series(Spans.of(rows), 0)
            return Series(gathered(Spans.of(rows), self._start, width), width)
        minutes = self._minutes(blocks, recent)
        if width < MINUTE_NS:  # Thousands of samples a second: a minute is narrow enough.
            width = MINUTE_NS
        start = self._start - self._start % MINUTE_NS
        return Series(gathered(minutes, start, width), width)

    def _minutes(self, blocks: Sequence[Block], recent: Batch) -> Spans:
        """The minutes of blocks and memory; where they overlap, of their rows."""
        parts = [Spans.of(EMPTY)]
        for together, has_recent in _overlapping(blocks, recent):
            spans = None
            if len(together) == 1 and not has_recent and self._holds(together[0]):
                spans = together[0].spans()
            if spans is None:
                rows = self._rows_of(together, recent if has_recent else EMPTY)
                spans = gathered(Spans.of(rows), 0, MINUTE_NS)
            parts.append(spans)
        return Spans.concat(parts)

    def _holds(self, block: Block) -> bool:
        return self._start <= block.first and block.last < self._end


def _overlapping(blocks: Sequence[Block], recent: Batch) -> Iterator[tuple[list[Block], bool]]:
    """Blocks that overlap in time together, and whether memory does; by time."""
    ends: list[tuple[int, int, Block | None]] = [(b.first, b.last, b) for b in blocks]
    if len(recent):
        ends.append((int(recent.ts[0]), int(recent.ts[-1]), None))
    ends.sort(key=lambda item: item[:2])
    group: list[Block] = []
    has_recent, newest = False, -1
    for first, last, block in ends:
        if (group or has_recent) and first > newest:
            yield group, has_recent
            group, has_recent = [], False
        newest = max(newest, last) if group or has_recent else last
        if block is None:
            has_recent = True
        else:
            group.append(block)
    if group or has_recent:
        yield group, has_recent


def _untagged(rows: Batch) -> Batch:
    """Numbers of a tag differ by file, so that they would keep rows of one tag apart."""
    return rows.with_tag(np.zeros(len(rows), np.uint16))


def trends(
    history: Recorder, names: Sequence[str], start: int, end: int, points: int
) -> tuple[dict[str, Series], int, int]:
    """Some tags over a window, and the window: at long ones it begins and ends at a minute.

    Raises:
        Disconnected: The disk is away.
    """
    start, end, width = window(start, end, points)
    with Look(history, start, end) as look:
        return {name: look.series(name, points, width) for name in names}, start, end


def count_rows(history: Recorder, names: Sequence[str], start: int, end: int) -> int:
    """How many samples there are, at most; raises as `trends` does."""
    with Look(history, start, end) as look:
        return look.count(names)


def windows_of(rows: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a window so that each part has about as many rows as are sent in one go."""
    parts = max(-(-rows // _CHUNK_ROWS), 1)
    edges = [start + (end - start) * i // parts for i in range(parts + 1)]
    return pairwise(edges)


def rows_between(
    history: Recorder, names: Sequence[str], start: int, end: int
) -> list[tuple[int, str, float, int]]:
    """(ts, tag, value, quality) of all samples of some tags, by time; raises as `trends` does."""
    found: list[tuple[int, str, float, int]] = []
    with Look(history, start, end) as look:
        for name in names:
            rows = look.rows(name)
            columns = (rows.ts.tolist(), rows.value.tolist(), rows.quality.tolist())
            found += [(ts, name, value, q) for ts, value, q in zip(*columns, strict=True)]
    found.sort(key=lambda row: row[0])
    return found
