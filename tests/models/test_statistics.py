"""Statistics of ragged windows against numpy and scipy, window by window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from models.statistics import Statistics

S = 10**9
Floats = NDArray[np.float64]


def slope(t: Floats, x: Floats) -> float:
    return float(stats.linregress(t, x).slope) if len(np.unique(t)) > 1 else np.nan


def rate(t: Floats, x: Floats) -> float:
    return float((x[-1] - x[0]) / (t[-1] - t[0])) if t[-1] > t[0] else np.nan


def shape(function: Callable[[Floats], Any]) -> Callable[[Floats, Floats], float]:
    return lambda t, x: float(function(x)) if np.ptp(x) else np.nan


PLAIN: dict[str, Callable[[Floats, Floats], float]] = {
    "count": lambda t, x: len(x),
    "sum": lambda t, x: x.sum(),
    "mean": lambda t, x: x.mean(),
    "sd": lambda t, x: x.std(ddof=1) if len(x) > 1 else np.nan,
    "min": lambda t, x: x.min(),
    "max": lambda t, x: x.max(),
    "range": lambda t, x: np.ptp(x),
    "median": lambda t, x: float(np.median(x)),
    "rms": lambda t, x: np.sqrt(np.mean(x**2)),
    "crest_factor": lambda t, x: np.abs(x).max() / np.sqrt(np.mean(x**2)) if x.any() else np.nan,
    "skew": shape(stats.skew),
    "kurtosis": shape(stats.kurtosis),
    "zero_crossings": lambda t, x: np.count_nonzero(np.diff(x >= 0)),
    "slope": slope,
    "rate": rate,
}
VALUES = st.sampled_from([0.0, 1.0, 1.0, -1.0, 2.5, -7.25, 0.1, 1000.0])
WINDOWS = st.lists(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.0]), VALUES, st.booleans()), max_size=70),
    min_size=1,
    max_size=12,
)
Window = list[tuple[float, float, bool]]


def build(windows: list[Window]) -> tuple[Statistics, list[tuple[Floats, Floats]]]:
    """The windows as one object, and each one's good (t, x) for the plain formulas."""
    value, ts, good, offset, plain = [], [], [], [0], []
    for window in windows:
        t = np.cumsum([gap for gap, _, _ in window]) if window else np.zeros(0)
        x = np.array([x for _, x, _ in window], np.float64)
        ok = np.array([ok for _, _, ok in window], np.bool_)
        value.append(np.where(ok, x, np.nan))
        ts.append((t * S).astype(np.int64))
        good.append(ok)
        offset.append(offset[-1] + len(window))
        plain.append((t[ok], x[ok]))
    start = np.zeros(len(windows), np.int64)
    statistics = Statistics(
        np.concatenate(value), np.concatenate(ts), np.concatenate(good),
        np.array(offset), start, start + 100 * S,
    )  # fmt: skip
    return statistics, plain


@pytest.mark.parametrize("name", PLAIN)
@given(windows=WINDOWS)
@settings(max_examples=40, deadline=None)
def test_equals_the_plain_formula(name: str, windows: list[Window]) -> None:
    statistics, plain = build(windows)
    empty = 0.0 if name == "count" else np.nan
    expected = [PLAIN[name](t, x) if len(x) else empty for t, x in plain]
    np.testing.assert_allclose(getattr(statistics, name), expected, rtol=1e-9, atol=1e-9)


@given(windows=WINDOWS, percent=st.sampled_from([0.0, 5.0, 25.0, 50.0, 99.0, 100.0]))
@settings(max_examples=60, deadline=None)
def test_percentiles_equal_numpy(windows: list[Window], percent: float) -> None:
    statistics, plain = build(windows)
    expected = [np.percentile(x, percent) if len(x) else np.nan for _, x in plain]
    np.testing.assert_allclose(statistics.percentile(percent), expected, rtol=1e-12, atol=1e-12)


ALL = [*PLAIN, "percent_good"]


@given(windows=WINDOWS)
@settings(max_examples=60, deadline=None)
def test_a_window_has_the_same_bits_alone_and_in_company(windows: list[Window]) -> None:
    together, _ = build(windows)
    for i, window in enumerate(windows):
        alone, _ = build([window])
        for name in ALL:
            left, right = getattr(together, name)[i], getattr(alone, name)[0]
            assert left.tobytes() == right.tobytes() or (np.isnan(left) and np.isnan(right)), name
        for left, right in (
            (together.percentile(95.0)[i], alone.percentile(95.0)[0]),
            (together.time_above(0.5)[i], alone.time_above(0.5)[0]),
        ):
            assert left == right or (np.isnan(left) and np.isnan(right))


def test_long_windows_of_unlike_length_have_the_same_bits_alone() -> None:
    rng = np.random.default_rng(6)
    windows: list[Window] = [
        [(0.1, x, True) for x in rng.normal(size=n).tolist()]
        for n in (1, 2, 7, 8, 9, 127, 128, 129, 1000, 3, 5000)
    ]
    together, plain = build(windows)
    for i, window in enumerate(windows):
        alone, _ = build([window])
        for name in ALL:
            left, right = getattr(together, name)[i], getattr(alone, name)[0]
            assert left == right or (np.isnan(left) and np.isnan(right)), name
    medians = [np.median(x) for _, x in plain]
    np.testing.assert_allclose(together.median, medians, rtol=1e-12)


def test_a_constant_has_exactly_no_spread() -> None:
    statistics, _ = build([[(1.0, 0.1, True)] * 10, [(1.0, 1e9 + 0.1, True)] * 7])
    assert statistics.mean.tolist() == [0.1, 1e9 + 0.1]
    assert statistics.sd.tolist() == [0.0, 0.0]
    assert np.isnan(statistics.skew).all()
    assert np.isnan(statistics.kurtosis).all()


def test_a_large_offset_costs_no_precision() -> None:
    x = np.random.default_rng(1).normal(size=500)
    statistics, _ = build([[(0.5, v + 1e9, True) for v in x.tolist()]])
    t = np.arange(500) * 0.5
    shifted = (x + 1e9) - 1e9
    assert statistics.sd[0] == pytest.approx(shifted.std(ddof=1), rel=1e-9)
    assert statistics.slope[0] == pytest.approx(slope(t, shifted), rel=1e-7)


def time_above(rows: list[tuple[float, float, bool]], start: float, end: float) -> float:
    """Seconds above 10 of one window."""
    t, x, ok = (np.array(column) for column in zip(*rows, strict=True))
    return float(
        Statistics(
            x, (t * S).astype(np.int64), ok, np.array([0, len(t)]),
            np.array([round(start * S)]), np.array([round(end * S)]),
        ).time_above(10.0)[0]
    )  # fmt: skip


def test_each_value_holds_until_the_next_and_the_last_until_the_end() -> None:
    rows = [(1.0, 11.0, True), (3.0, 9.0, True), (4.5, 12.0, True)]
    assert time_above(rows, 0, 10) == 2.0 + 5.5


def test_exactly_the_limit_is_not_above() -> None:
    assert time_above([(0.0, 10.0, True), (5.0, 10.000001, True)], 0, 6) == 1.0


def test_a_bad_row_ends_the_hold() -> None:
    rows = [(0.0, 11.0, True), (2.0, np.nan, False), (5.0, 11.0, True)]
    assert time_above(rows, 0, 6) == 3.0


def test_a_window_without_good_rows_has_no_time_above() -> None:
    assert np.isnan(time_above([(0.0, 11.0, False)], 0, 6))


def test_a_window_that_ends_at_its_last_row_counts_no_hold_after_it() -> None:
    assert time_above([(0.0, 11.0, True), (2.0, 11.0, True)], 0, 2) == 2.0


def test_no_windows_and_windows_without_rows() -> None:
    none = Statistics(
        np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.bool_), np.zeros(1, np.intp),
        np.zeros(0, np.int64), np.zeros(0, np.int64),
    )  # fmt: skip
    statistics, _ = build([[], []])
    for name in ALL:
        assert getattr(none, name).shape == (0,)
        assert getattr(statistics, name).shape == (2,)
    assert none.percentile(5.0).shape == none.time_above(1.0).shape == (0,)
    assert np.isnan(statistics.percentile(5.0)).all()
    assert np.isnan(statistics.time_above(1.0)).all()
    assert statistics.percent_good.tolist() == [0.0, 0.0]


def test_percent_good_counts_all_rows() -> None:
    statistics, _ = build([[(1.0, 1.0, True), (1.0, 1.0, False), (1.0, 1.0, False)]])
    assert statistics.percent_good[0] == pytest.approx(100 / 3)
