"""Detectors against scipy, handbooks and their own definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from models.cusum import HELD_AT, Cusum
from models.ewma import Ewma
from models.flatline import Flatline
from models.kernel import SCORE_MAX, Detector
from models.rate import ROWS, Rate
from models.robust_z import RobustZ
from models.seasonal import Seasonal

S = 10**9

# NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.4: data, and the averages it prints.
# Averages and MONTGOMERY_UP were typed without the pages at hand; of Montgomery only the data
# were looked up. Both agree with the recursions, which is less than an independent reference.
NIST_EWMA = [52.0, 47.0, 53.0, 49.3, 50.1, 47.0, 51.0, 50.1, 51.2, 50.5,
             49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]  # fmt: skip
NIST_AVERAGES = [50.60, 49.52, 50.56, 50.18, 50.16, 49.21, 49.75, 49.85, 50.26, 50.33,
                 50.11, 49.36, 49.52, 50.05, 49.38, 49.92, 50.73, 51.23, 51.94, 51.99]  # fmt: skip
# Montgomery, Introduction to Statistical Quality Control, tables 9.1 and 9.2.
MONTGOMERY = [9.45, 7.99, 9.29, 11.66, 12.16, 10.18, 8.04, 11.46, 9.20, 10.34,
              9.03, 11.47, 10.51, 9.40, 10.08, 9.37, 10.62, 10.31, 8.52, 10.84,
              10.90, 9.33, 12.29, 11.50, 10.60, 11.08, 10.38, 11.62, 11.31, 10.52]  # fmt: skip
MONTGOMERY_UP = [0, 0, 0, 1.16, 2.82, 2.50, 0.04, 1.00, 0, 0,
                 0, 0.97, 0.98, 0, 0, 0, 0.12, 0, 0, 0.34,
                 0.74, 0, 1.79, 2.79, 2.89, 3.47, 3.35, 4.47, 5.28, 5.30]  # fmt: skip


def scores(detector: Detector, values: list[float], ts: list[float] | None = None) -> list[float]:
    """Scores of one tag, a second between samples unless told."""
    times = ts if ts is not None else [float(i) for i in range(len(values))]
    tag = np.zeros(1, np.uint16)
    return [
        float(detector.score(tag, np.array([round(t * S)]), np.array([float(x)]))[0])
        for t, x in zip(times, values, strict=True)
    ]


class TestRobustZ:
    def test_equals_scipy(self) -> None:
        values = np.random.default_rng(3).standard_t(2, 120).tolist()
        got = scores(RobustZ(1, window_s=25.5, min_rows=4), values)
        assert np.isnan(got[:4]).all()
        for i in range(4, 120):
            rows = np.array(values[max(0, i - 25) : i])
            spread = 1.4826 * stats.median_abs_deviation(rows)
            assert got[i] == pytest.approx((values[i] - np.median(rows)) / spread, rel=1e-12)

    def test_the_factor_is_the_one_of_the_normal_distribution(self) -> None:
        assert 1 / stats.norm.ppf(0.75) == pytest.approx(1.4826, abs=5e-5)

    def test_four_spikes_in_ten_do_not_hide_the_next_one(self) -> None:
        values = [1.0, 1.1, 0.9, 90, 1.0, 95, 1.1, 99, 0.9, 91, 93]
        assert scores(RobustZ(1, window_s=100, min_rows=10), values)[10] > 50

    def test_a_signal_that_stands_still_scores_by_the_resolution(self) -> None:
        values = [2.0] * 10 + [2.5]
        assert scores(RobustZ(1, window_s=100), values)[10] == SCORE_MAX
        assert scores(RobustZ(1, window_s=100, resolution=0.25), values)[10] == 2.0

    def test_a_full_ring_forgets_the_oldest(self) -> None:
        values = [100.0] * 5 + [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
        got = scores(RobustZ(1, window_s=1000, rows_max=5, min_rows=5), values)
        assert got[10] == pytest.approx(3 / 1.4826)


class TestEwma:
    def test_the_example_of_the_handbook(self) -> None:
        got = scores(Ewma(1, weight=0.3, mean=50.0, sd=2.0539), NIST_EWMA)
        t = np.arange(1, 21)
        sd = 2.0539 * np.sqrt(0.3 / 1.7 * (1 - 0.7 ** (2 * t)))
        np.testing.assert_allclose(50 + got * sd, NIST_AVERAGES, atol=0.00501)
        # The handbook's upper limit 52.5884 is that of a settled chart.
        assert 50 + 3 * sd[-1] == pytest.approx(52.5884, abs=2e-4)
        assert max(got) < 3  # in control, as the handbook concludes

    def test_montgomery_signals_at_sample_29(self) -> None:
        got = scores(Ewma(1, weight=0.1, mean=10.0, sd=1.0), MONTGOMERY)
        assert [i + 1 for i, score in enumerate(got) if abs(score) > 2.7] == [29, 30]

    def test_the_baseline_is_learnt_and_then_held(self) -> None:
        rng = np.random.default_rng(8)
        values = rng.normal(5, 2, 200)
        got = scores(Ewma(1, weight=0.2, rows=50), values.tolist())
        known = Ewma(
            1, weight=0.2, mean=float(values[:50].mean()), sd=float(values[:50].std(ddof=1))
        )
        assert np.isnan(got[:50]).all()
        np.testing.assert_allclose(got[50:], scores(known, values[50:].tolist()), rtol=1e-9)

    def test_a_new_normal_is_learnt_when_asked(self) -> None:
        values = [1.0, 2.0] * 10 + [9.0, 10.0] * 40
        held = scores(Ewma(1, rows=20), values)
        learnt = scores(Ewma(1, rows=20, relearn_rows=30), values)
        assert held[-1] > 10
        assert held[:50] == pytest.approx(learnt[:50], nan_ok=True)
        assert np.isnan(learnt[50:70]).all()
        assert max(np.abs(learnt[70:])) < 3
        # The first average after that is the sample itself, λ cancels, as on any new chart.
        assert learnt[70] == pytest.approx(-0.5 / np.std([9, 10] * 10, ddof=1))

    def test_half_a_baseline_may_be_given(self) -> None:
        got = scores(Ewma(1, weight=1.0, rows=3, mean=0.0), [1.0, 2.0, 3.0, 2.0])
        assert got[3] == pytest.approx(2.0)  # sd 1 is learnt, the mean is not


class TestCusum:
    def test_the_table_of_montgomery(self) -> None:
        got = np.array(scores(Cusum(1, k=0.5, h=5, mean=10.0, sd=1.0), MONTGOMERY))
        up = np.array(MONTGOMERY_UP)
        np.testing.assert_allclose(got[got > 0], up[got > 0], atol=1e-9)
        assert (up[got <= 0] <= -got[got <= 0]).all()  # there the lower sum is the greater
        assert np.flatnonzero(np.abs(got) > 5)[0] + 1 == 29

    def test_the_lower_sum_counts_negative(self) -> None:
        mirrored = [20 - x for x in MONTGOMERY]
        up = scores(Cusum(1, mean=10.0, sd=1.0), MONTGOMERY)
        down = scores(Cusum(1, mean=10.0, sd=1.0), mirrored)
        np.testing.assert_allclose(down, np.negative(up), atol=1e-9)

    def test_the_sums_are_held_so_the_signal_ends(self) -> None:
        got = scores(Cusum(1, k=0.5, h=5, mean=0.0, sd=1.0), [3.0] * 1000 + [0.0] * 11)
        assert max(got) == 5 * HELD_AT
        assert got[999 + 9] > 5 >= got[999 + 10]

    def test_a_new_normal_is_learnt_when_asked(self) -> None:
        values = [1.0, 2.0] * 10 + [9.0, 10.0] * 40
        got = scores(Cusum(1, rows=20, relearn_rows=30), values)
        assert got[49] == 10
        assert np.isnan(got[50:70]).all()
        assert max(np.abs(got[70:])) < 5


class TestFlatline:
    def test_exactly_the_band_is_no_movement(self) -> None:
        assert scores(Flatline(1, band=0.5), [1.0, 1.5, 1.0, 1.75]) == [0, 1, 2, 0]

    def test_the_band_is_between_lowest_and_highest(self) -> None:
        assert scores(Flatline(1, band=0.5), [1.0, 1.4, 0.8]) == [0, 1, 0]

    def test_a_hole_starts_over_only_when_asked(self) -> None:
        ts = [0.0, 10.0, 71.0, 80.0]
        assert scores(Flatline(1, band=0), [7.0] * 4, ts) == [0, 10, 71, 80]
        assert scores(Flatline(1, band=0, gap_s=60), [7.0] * 4, ts) == [0, 10, 0, 9]
        assert scores(Flatline(1, band=0, gap_s=61), [7.0] * 4, ts) == [0, 10, 71, 80]

    def test_a_clock_set_back_starts_over(self) -> None:
        assert scores(Flatline(1, band=0), [7.0] * 4, [100, 110, 50, 55]) == [0, 10, 0, 5]

    def test_a_late_sample_inside_the_stretch_does_no_harm(self) -> None:
        assert scores(Flatline(1, band=0), [7.0] * 4, [100, 110, 105, 120]) == [0, 10, 5, 20]


class TestRate:
    def test_a_ramp_has_its_slope_at_any_sampling(self) -> None:
        for step in (0.01, 0.5, 3.0, 25.0):
            ts = [i * step for i in range(200)]
            got = scores(Rate(1, horizon_s=10), [3 * t - 7 for t in ts], ts)
            assert np.isnan(got[0])
            np.testing.assert_allclose(got[1000:] if step < 0.1 else got[-50:], 3.0, rtol=1e-9)

    def test_no_score_before_half_the_horizon(self) -> None:
        got = scores(Rate(1, horizon_s=10), [0, 4, 5, 6], [0.0, 4.999, 5.0, 6.0])
        assert np.isnan(got[:2]).all()
        assert got[2:] == [1.0, 1.0]

    def test_a_fast_signal_keeps_the_whole_horizon_in_few_rows(self) -> None:
        ts = [i * 0.001 for i in range(3000)]
        rate = Rate(1, horizon_s=2)
        got = scores(rate, [t * t for t in ts], ts)
        assert rate.save()["rows.count"][0] <= ROWS
        # The chord of t² over [t-h, t] is 2t - h, with h between 31/32 and 1 horizons.
        assert 2 * 2.999 - 2 <= got[-1] <= 2 * 2.999 - 2 * 30 / 32

    def test_late_samples_get_no_score_and_a_clock_set_back_starts_over(self) -> None:
        rate = Rate(1, horizon_s=4)
        scores(rate, [0, 1, 2, 3], [100, 102, 104, 106])
        assert np.isnan(scores(rate, [9], [105])).all()
        got = scores(rate, [2.0 * i for i in range(20)])
        assert np.isnan(got[:11]).all()
        assert got[-5:] == pytest.approx([2.0] * 5)


class TestSeasonal:
    def test_each_phase_has_its_own_normal(self) -> None:
        rng = np.random.default_rng(2)
        t = np.arange(24 * 30)
        values = 20 + 10 * np.sin(2 * np.pi * t / 24) + rng.normal(0, 0.5, len(t))
        values[24 * 29 + 6] = 20.0  # an ordinary value, at the hour of the highest ones
        got = scores(Seasonal(1, period_s=24, bins=24, min_rows=5), values.tolist())
        assert got[24 * 29 + 6] < -10
        rest = np.delete(got, 24 * 29 + 6)
        assert np.nanmax(np.abs(rest)) < 7  # few rows a bin: heavy tails

    def test_a_bin_is_not_judged_by_its_own_first_visits(self) -> None:
        seasonal = Seasonal(1, period_s=100, bins=2, min_rows=2, min_periods=2)
        ts = [float(t) for t in range(300)]
        got = scores(seasonal, np.random.default_rng(1).normal(size=300).tolist(), ts)
        assert np.isnan(got[:101]).all()
        assert np.isfinite(got[101:150]).all()

    def test_the_moments_of_a_bin_equal_the_plain_ones(self) -> None:
        values = np.random.default_rng(4).normal(3, 2, 100)
        got = scores(Seasonal(1, period_s=1, bins=1, min_rows=2, min_periods=1), values.tolist())
        for i in (2, 10, 99):
            expected = (values[i] - values[:i].mean()) / values[:i].std(ddof=1)
            assert got[i] == pytest.approx(expected, rel=1e-9)

    def test_the_memory_fades(self) -> None:
        values = [0.0, 1.0] * 50 + [10.0, 11.0] * 100
        long = scores(Seasonal(1, period_s=1, bins=1, memory_rows=10_000), values)
        short = scores(Seasonal(1, period_s=1, bins=1, memory_rows=20), values)
        assert short[-1] == pytest.approx(1.0, abs=0.1)
        assert long[-1] < 0.95

    def test_the_offset_moves_the_bins(self) -> None:
        ts = [float(t) for t in range(0, 400, 5)]
        values = [5.0 if 0 <= (t - 3) % 10 < 5 else 1.0 for t in ts]
        got = scores(Seasonal(1, period_s=10, bins=2, offset_s=3, min_rows=3), values, ts)
        assert set(np.array(got)[~np.isnan(got)]) == {0.0}

    def test_times_before_1970_have_a_phase_too(self) -> None:
        ts = [float(t) for t in range(-400, 0, 5)]
        got = scores(Seasonal(1, period_s=10, bins=2, min_rows=3), [1.0, 5.0] * 40, ts)
        assert set(np.array(got)[~np.isnan(got)]) == {0.0}

    def test_anomalies_are_not_learnt_until_they_stay(self) -> None:
        values = [1.0, 2.0] * 10 + [50.0] * 40
        seasonal = Seasonal(
            1, period_s=1, bins=1, memory_rows=50, refuse_above=6, refuse_rows_max=5
        )
        got = scores(seasonal, values)
        assert np.ptp(got[20:26]) == 0
        assert abs(got[-1]) < 3
