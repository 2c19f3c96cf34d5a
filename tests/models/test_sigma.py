"""Sigma against the plain formula over the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.kernel import SCORE_MAX
from models.sigma import Sigma

S = 10**9


def scores(sigma: Sigma, ts: list[float], values: list[float]) -> list[float]:
    tag = np.zeros(1, np.uint16)
    return [
        float(sigma.score(tag, np.array([round(t * S)]), np.array([float(x)]))[0])
        for t, x in zip(ts, values, strict=True)
    ]


def plain(
    ts: list[float], values: list[float], window_s: float, rows_max: int, min_rows: int
) -> list[float]:
    """The definition, written down row by row."""
    out = []
    for i, (t, x) in enumerate(zip(ts, values, strict=True)):
        oldest = round(t * S) - round(window_s * S)
        rows = [values[j] for j in range(i) if round(ts[j] * S) > oldest][-rows_max:]
        if len(rows) < min_rows:
            out.append(np.nan)
        else:
            out.append((x - np.mean(rows)) / np.std(rows, ddof=1))
    return out


@given(
    gaps=st.lists(st.sampled_from([0.0, 0.1, 1.0, 1.0, 3.0, 30.0]), min_size=30, max_size=200),
    seed=st.integers(0, 2**16),
    window_s=st.sampled_from([2.0, 10.0, 100.0]),
    rows_max=st.sampled_from([5, 17, 100]),
)
@settings(max_examples=40, deadline=None)
def test_equals_the_definition(
    gaps: list[float], seed: int, window_s: float, rows_max: int
) -> None:
    ts = np.round(np.cumsum(gaps), 6).tolist()
    values = np.random.default_rng(seed).normal(20.0, 3.0, len(ts)).tolist()
    got = scores(Sigma(1, window_s=window_s, rows_max=rows_max, min_rows=3), ts, values)
    np.testing.assert_allclose(got, plain(ts, values, window_s, rows_max, 3), rtol=1e-9, atol=1e-9)


def test_a_spike_that_left_the_window_leaves_no_rounding_error() -> None:
    rng = np.random.default_rng(5)
    ts = np.arange(400.0).tolist()
    values = rng.normal(1.0, 0.01, 400)
    values[100] = 1e12
    values = values.tolist()
    got = scores(Sigma(1, window_s=50, min_rows=10), ts, values)
    expected = plain(ts, values, 50, 1000, 10)
    np.testing.assert_allclose(got[151:], expected[151:], rtol=1e-9, atol=1e-9)


def test_a_sample_exactly_as_old_as_the_window_has_left_it() -> None:
    got = scores(Sigma(1, window_s=10, min_rows=2), [0, 1, 9.999999999], [1, 3, 9])
    assert got[2] == pytest.approx((9 - 2) / np.sqrt(2))
    assert np.isnan(scores(Sigma(1, window_s=10, min_rows=2), [0, 1, 10], [1, 3, 9])[2])


def test_a_constant_signal_scores_by_the_resolution() -> None:
    ts, values = list(range(12)), [0.1] * 11 + [0.3]
    assert scores(Sigma(1, window_s=100, min_rows=5, resolution=0.05), ts, values)[
        5:
    ] == pytest.approx([0] * 6 + [4.0])
    assert scores(Sigma(1, window_s=100, min_rows=5), ts, values)[-2:] == [0.0, SCORE_MAX]


def test_an_anomaly_is_judged_before_it_is_learnt() -> None:
    values = [1.0, 2.0] * 10 + [50.0, 50.0]
    got = scores(Sigma(1, window_s=1000, min_rows=10), list(range(22)), values)
    assert got[20] > 90  # sd is 0.51 without it
    assert got[21] < 5  # and 10.6 with it


def test_refused_samples_do_not_widen_the_baseline_and_a_new_level_is_learnt_in_the_end() -> None:
    values = [1.0, 2.0] * 10 + [50.0] * 40
    sigma = Sigma(1, window_s=1000, min_rows=10, refuse_above=6, refuse_rows_max=5)
    got = scores(sigma, list(range(60)), values)
    assert np.ptp(got[20:26]) == 0  # five refused, and the sixth judged by the same baseline
    assert got[26] < got[25]  # the sixth was learnt
    assert abs(got[-1]) < 3


def test_one_sample_inside_ends_the_run_of_refused_ones() -> None:
    values = [1.0, 2.0] * 10 + [50, 50, 1.5] * 6
    sigma = Sigma(1, window_s=1000, min_rows=10, refuse_above=6, refuse_rows_max=2)
    got = scores(sigma, list(range(38)), values)
    assert all(score > 90 for score, x in zip(got[20:], values[20:], strict=True) if x == 50)


def test_late_samples_are_scored_and_not_learnt() -> None:
    sigma = Sigma(1, window_s=1000, min_rows=4)
    before = scores(sigma, [10, 11, 12, 13, 14], [1, 2, 1, 2, 1])
    late = scores(sigma, [12.5, 13.5], [100, 100])
    after = scores(sigma, [15], [2])
    assert np.isnan(before[:4]).all()
    assert late[0] == late[1] > 100
    assert after[0] == pytest.approx((2 - 1.4) / np.std([1, 2, 1, 2, 1], ddof=1))


def test_a_clock_set_back_starts_the_baseline_over() -> None:
    sigma = Sigma(1, window_s=100, min_rows=4)
    scores(sigma, [1000 + i for i in range(10)], [1, 2] * 5)
    got = scores(sigma, list(range(20)), [7, 8] * 10)
    assert np.isfinite(got[:4]).all()  # four in a row may be late
    assert np.isnan(got[4:8]).all()  # then the clock was set back
    assert np.isfinite(got[8:]).all()
    assert max(np.abs(got[8:])) < 3


def test_unused_tags_cost_nothing_to_save() -> None:
    sigma = Sigma(10_000, window_s=300)
    sigma.score(np.array([9999], np.uint16), np.array([S]), np.array([1.0]))
    assert sum(array.nbytes for array in sigma.save().values()) < 200


def test_a_thousand_tags_score_like_each_alone() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(80, 1000))
    many = Sigma(1000, window_s=30, min_rows=5)
    tag = np.arange(1000, dtype=np.uint16)
    got = np.array([many.score(tag, np.full(1000, i * S), row) for i, row in enumerate(values)])
    for column in (0, 500, 999):
        one = scores(Sigma(1, window_s=30, min_rows=5), list(range(80)), values[:, column].tolist())
        np.testing.assert_array_equal(got[:, column], one)


def test_wrong_settings_say_so() -> None:
    with pytest.raises(ValueError, match="min_rows is 1"):
        Sigma(1, window_s=1, min_rows=1)
    with pytest.raises(ValueError, match="limit is 0"):
        Sigma(0, window_s=1)
