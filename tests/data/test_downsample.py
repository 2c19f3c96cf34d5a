"""Downsampling against an obvious reference: loops over rows, no array."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.data.batch import Batch
from gateway.data.downsample import MINUTE_NS, Spans, gathered, in_order, window
from gateway.data.quality import BAD

NAN = float("nan")
QUALITIES = (0, 0, 0, 0x40000000, 0x40900000, 0x80000000, 0x808C0000)
rows_of = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(0, 400),
        st.sampled_from([1.0, -2.5, 0.0, 7.25, NAN, math.inf, 1e300]),
        st.sampled_from(QUALITIES),
    ),
    max_size=60,
)


def batch(rows: list[tuple[int, int, float, int]], unit: int = 1) -> Batch:
    return Batch.of([(tag, ts * unit, value, quality) for tag, ts, value, quality in rows])


def plain(spans: Spans) -> list[tuple[Any, ...]]:
    columns = (spans.t, spans.low, spans.high, spans.last, spans.quality)
    return [
        tuple(None if isinstance(cell, float) and math.isnan(cell) else cell for cell in row)
        for row in zip(*(column.tolist() for column in columns), strict=True)
    ]


def reference(rows: list[tuple[int, float, int]], start: int, width: int) -> list[tuple[Any, ...]]:
    """Buckets of (ts, value, quality), which are in order."""
    found: dict[int, list[tuple[float, int]]] = {}
    for ts, value, quality in rows:
        found.setdefault((ts - start) // width, []).append((value, quality))
    out = []
    for number, inside in sorted(found.items()):
        good = [v for v, q in inside if q < BAD and math.isfinite(v)]
        low, high = (min(good), max(good)) if good else (None, None)
        last = good[-1] if good else None
        out.append((start + number * width, low, high, last, max(q for _, q in inside)))
    return out


@given(rows_of)
def test_rows_are_put_in_order_and_the_last_that_came_stays(rows: list[Any]) -> None:
    kept: dict[tuple[int, int], tuple[float, int]] = {}
    for tag, ts, value, quality in batch(rows).rows():
        kept[tag, ts] = value, quality
    wanted = [(tag, ts, *kept[tag, ts]) for tag, ts in sorted(kept)]
    assert repr(list(in_order(batch(rows)).rows())) == repr(wanted)


@given(rows_of, st.integers(1, 90), st.integers(0, 3))
def test_spans_are_those_of_the_reference(rows: list[Any], width: int, before: int) -> None:
    samples = in_order(batch([(0, *row[1:]) for row in rows]))
    spans = gathered(Spans.of(samples), -before, width)
    wanted = reference([row[1:] for row in samples.rows()], -before, width)
    assert plain(spans) == wanted


@given(rows_of, st.integers(1, 7))
def test_minutes_give_what_samples_give(rows: list[Any], minutes: int) -> None:
    samples = in_order(batch([(0, *row[1:]) for row in rows], unit=7 * 10**9))
    width = minutes * MINUTE_NS
    through = gathered(gathered(Spans.of(samples), 0, MINUTE_NS), 0, width)
    assert plain(through) == plain(gathered(Spans.of(samples), 0, width))


@given(st.integers(0, 10**18), st.integers(1, 10**17), st.integers(1, 4_000))
def test_a_window_holds_what_was_asked_for_in_as_many_points(
    start: int, length: int, points: int
) -> None:
    first, last, width = window(start, start + length, points)
    assert first <= start < start + length <= last
    assert -(-(last - first) // width) <= points
    if width >= MINUTE_NS:
        assert first % MINUTE_NS == width % MINUTE_NS == 0
        assert start - first < MINUTE_NS
    else:
        assert (first, last) == (start, start + length)


def test_one_spike_among_many_is_not_lost() -> None:
    n = 100_000
    value = np.zeros(n)
    value[77_777] = 99.0
    samples = Batch.columns(np.zeros(n, np.uint16), np.arange(n), value)
    spans = gathered(Spans.of(samples), 0, n // 2_000)
    assert len(spans) == 2_000
    assert spans.high.max() == 99.0
    assert spans.t[spans.high.argmax()] == 77_750


@pytest.mark.parametrize("rows", [[], [(0, 5, NAN, 0)]])
def test_nothing_and_only_bad(rows: list[Any]) -> None:
    spans = gathered(Spans.of(batch(rows)), 0, 10)
    assert plain(spans) == [(0, None, None, None, 0x80000000)] * len(rows)
