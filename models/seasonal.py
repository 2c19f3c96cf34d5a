"""Seasonal: compares with the same phase of earlier periods, such as the hour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.kernel import Detector, deviation, nanoseconds

_NEVER = np.iinfo(np.int64).min


class Seasonal(Detector):
    """Score [σ]: (value - mean) ÷ sd of earlier samples in the same bin of a period.

    The period is cut into equal bins: 24 hours of a day, 20 phases of a press cycle. Each
    bin learns its own mean and sd; beyond `memory_rows` samples old ones fade
    exponentially. A bin scores once it holds `min_rows` samples from `min_periods`
    different periods, so nothing is judged by its own first visit.

    Source: mean and variance with weights, Finch (2009), "Incremental calculation of
    weighted mean and variance", University of Cambridge, §9, with α = 1/min(n, memory).

    Args:
        limit: Number of tag codes.
        period_s: Length of the period [s].
        bins: Parts of the period.
        offset_s: When a period begins, after 1970-01-01 00:00 UTC [s].
        min_rows: Samples in a bin before it scores, at least 2.
        min_periods: Different periods a bin has seen before it scores.
        memory_rows: Samples over which a bin remembers.
        resolution: Least sd that counts, in the tag's unit.
        refuse_above: Samples that score beyond this are not learnt [σ].
        refuse_rows_max: Refused samples in a row in a bin after which they are learnt all
            the same.

    >>> seasonal = Seasonal(1, period_s=10, bins=2, min_rows=2, min_periods=2)
    >>> tag = np.zeros(1, np.uint16)
    >>> at = lambda s, x: float(seasonal.score(tag, np.array([s * 10**9]), np.array([x]))[0])
    >>> [at(s, x) for s, x in [(0, 1.0), (5, 70.0), (10, 3.0), (15, 90.0)]]
    [nan, nan, nan, nan]
    >>> round(at(20, 6.0), 3), round(at(25, 80.0), 3)  # 2 ± √2 and 80 ± √200
    (2.828, 0.0)
    """

    def __init__(
        self,
        limit: int,
        *,
        period_s: float,
        bins: int = 24,
        offset_s: float = 0.0,
        min_rows: int = 10,
        min_periods: int = 3,
        memory_rows: int = 10_000,
        resolution: float = 0.0,
        refuse_above: float = np.inf,
        refuse_rows_max: int = 0,
    ) -> None:
        super().__init__(limit)
        self._period_ns = nanoseconds(period_s)
        if bins < 1 or self._period_ns < bins:
            raise ValueError(f"A period of {period_s} s cannot be cut into {bins} bins.")
        if not 2 <= min_rows <= memory_rows:
            raise ValueError(f"min_rows is {min_rows}; it is 2 to memory_rows {memory_rows}.")
        self._bins = bins
        self._offset_ns = round(offset_s * 1e9)
        self._min_rows = min_rows
        self._min_periods = min_periods
        self._memory_rows = memory_rows
        self._resolution = resolution
        self._refuse_above = refuse_above
        self._refuse_rows_max = refuse_rows_max
        self._count = self.per_tag("count", 0, np.int32, width=bins)
        self._periods = self.per_tag("periods", 0, np.int32, width=bins)
        self._period = self.per_tag("period", 0, np.int64, width=bins)
        self._refused = self.per_tag("refused", 0, np.int32, width=bins)
        self._mean = self.per_tag("mean", 0.0, width=bins)
        self._variance = self.per_tag("variance", 0.0, width=bins)

    def _round(
        self, tag: NDArray[np.intp], ts: NDArray[np.int64], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        period, phase = np.divmod(ts - self._offset_ns, self._period_ns)
        # A whole number of nanoseconds a bin: phase · bins could leave int64. The last bin
        # takes the few nanoseconds that are left over.
        cell = (tag, np.minimum(phase // (self._period_ns // self._bins), self._bins - 1))
        count = self._count[cell]
        # The weighted variance is that of a population; a sample's is n/(n-1) times it.
        sd = np.sqrt(self._variance[cell] * (count / np.maximum(count - 1, 1)))
        score = deviation(value, self._mean[cell], sd, self._resolution)
        known = (count >= self._min_rows) & (self._periods[cell] >= self._min_periods)
        score[~known] = np.nan
        learn = self._learns(cell, score)
        self._learn((tag[learn], cell[1][learn]), period[learn], value[learn])
        return score

    def _learns(
        self, cell: tuple[NDArray[np.intp], NDArray[np.int64]], score: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        beyond = np.abs(score) > self._refuse_above
        run = np.where(beyond, self._refused[cell] + 1, 0)
        self._refused[cell] = np.minimum(run, self._refuse_rows_max)
        learns: NDArray[np.bool_] = ~beyond | (run > self._refuse_rows_max)
        return learns

    def _learn(
        self,
        cell: tuple[NDArray[np.intp], NDArray[np.int64]],
        period: NDArray[np.int64],
        value: NDArray[np.float64],
    ) -> None:
        count = np.minimum(self._count[cell] + 1, self._memory_rows)
        delta = value - self._mean[cell]
        step = delta / count
        self._mean[cell] += step
        self._variance[cell] = (1 - 1 / count) * (self._variance[cell] + delta * step)
        another = (self._count[cell] == 0) | (period != self._period[cell])
        periods = self._periods[cell] + another
        self._periods[cell] = np.minimum(periods, self._min_periods)
        self._period[cell] = period
        self._count[cell] = count
