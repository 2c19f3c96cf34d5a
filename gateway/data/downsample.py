"""Downsampling: many samples of one tag as few rows in which no spike is lost.

A row covers a span of time: the least and the greatest value in it, the last one, and the worst
quality. Rows are gathered from rows, so that minutes give hours exactly as the samples would.

Source: the min/max aggregation of Jugel et al., "M4: A Visualization-Oriented Time Series Data
Aggregation", VLDB 2014: what is drawn in one column of pixels needs no more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.data.batch import Batch
from gateway.data.quality import BAD

MINUTE_NS = 60 * 10**9
DAY_NS = 86_400 * 10**9


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """k spans of time of one tag, by time; a sample is a span of its own.

    Args:
        t: Where they begin [ns since 1970-01-01 UTC], int64 (k,); they never go back.
        low: The least value that is not bad, float64 (k,); NaN where all are bad.
        high: The greatest such value, float64 (k,).
        last: The last such value, float64 (k,).
        quality: The worst StatusCode: of equal severities the greater number, uint32 (k,).
    """

    t: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    last: NDArray[np.float64]
    quality: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.t)

    @classmethod
    def of(cls, rows: Batch) -> Spans:
        """Samples of one tag, which are in order, as spans; a bad value is NaN."""
        usable = (rows.quality < BAD) & np.isfinite(rows.value)
        value = np.where(usable, rows.value, np.nan)
        return cls(rows.ts, value, value, value, rows.quality)

    @classmethod
    def concat(cls, parts: list[Spans]) -> Spans:
        """The spans of all, in order; there must be at least one part."""
        return cls(
            np.concatenate([p.t for p in parts]),
            np.concatenate([p.low for p in parts]),
            np.concatenate([p.high for p in parts]),
            np.concatenate([p.last for p in parts]),
            np.concatenate([p.quality for p in parts]),
        )


def in_order(rows: Batch) -> Batch:
    """Rows by tag and time, and of each instant of a tag the one that came last.

    A row that came twice, as after a restart, or again with a better value, as from a node that
    scales it, is one row.
    """
    if len(rows) < 2:
        return rows
    order = np.lexsort((rows.ts, rows.tag))  # It is stable: what came last stays last.
    tag, ts = rows.tag[order], rows.ts[order]
    stays = np.empty(len(order), np.bool_)
    stays[-1] = True
    np.logical_or(tag[1:] != tag[:-1], ts[1:] != ts[:-1], out=stays[:-1])
    return rows.where(order if stays.all() else order[stays])


def gathered(spans: Spans, start: int, width: int) -> Spans:
    """Spans gathered into wider ones; those in which nothing lies are left out.

    Args:
        spans: What to gather; none may begin before `start`.
        start: Where the first span begins [ns].
        width: How long each is [ns]; where `spans` are no samples it is a multiple of theirs.
    """
    if not len(spans):
        return spans
    number = (spans.t - start) // width
    firsts = np.flatnonzero(np.concatenate(([True], number[1:] != number[:-1])))
    is_value = np.where(np.isnan(spans.last), -1, np.arange(len(spans)))
    newest = np.maximum.reduceat(is_value, firsts)
    newest_or_nan = np.where(newest < firsts, np.nan, spans.last[newest])
    return Spans(
        start + number[firsts] * width,
        np.fmin.reduceat(spans.low, firsts),
        np.fmax.reduceat(spans.high, firsts),
        newest_or_nan,
        np.maximum.reduceat(spans.quality, firsts),
    )


def window(start: int, end: int, points: int) -> tuple[int, int, int]:
    """Where spans begin and end and how wide they are, so that there are at most `points`.

    From a minute on widths are whole minutes and begin at one, because minutes are what is
    stored; then the window is up to a minute wider at both ends.

    Args:
        start: First instant that is asked for [ns].
        end: First instant that is not [ns].
        points: How many spans are wanted.

    Returns:
        (start, end, width) [ns].

    >>> window(0, 1_000, 10), window(30 * 10**9, 7_230 * 10**9, 60)
    ((0, 1000, 100), (0, 7260000000000, 180000000000))
    """
    width = -(-(end - start) // points)
    if width < MINUTE_NS:
        return start, end, max(width, 1)
    start -= start % MINUTE_NS
    end += -end % MINUTE_NS
    minutes = -(-(end - start) // (points * MINUTE_NS))
    return start, end, minutes * MINUTE_NS
