"""Statistics of windows: ragged reductions, each over its own rows only.

n rows, of which g are good, in k windows. A window's result has the same bits whichever
windows are computed beside it: sums run over the window's own rows in their order
(`np.add.reduceat`), and everything is made of operations that numpy computes alike on
every processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class _once:  # noqa: N801 - reads as a decorator
    """`functools.cached_property` without its lock, which costs as much as a short statistic."""

    def __init__(self, compute: Callable[[Any], Floats]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, of: Any, owner: type) -> Floats:
        result = of.__dict__[self._name] = self._compute(of)
        return result


class Statistics:
    """k windows over n rows; each statistic is (k,), NaN where it does not exist.

    Only good rows count as values. What several statistics share is computed once.

    Args:
        value: Samples, (n,); rows that are not good may hold anything.
        ts: Timestamps [ns], (n,), ascending within a window.
        good: Rows that may be used, (n,).
        offset: Window i holds rows ``offset[i]`` to ``offset[i + 1]``, (k + 1,).
        start: First instant of each window [ns], (k,).
        end: First instant after each window [ns], (k,).

    >>> w = Statistics(
    ...     np.array([1.0, 3.0, 9.0, 5.0]), np.arange(4) * 10**9, np.array([1, 1, 0, 1], bool),
    ...     np.array([0, 3, 3, 4]), np.array([0, 3, 3]) * 10**9, np.array([3, 3, 4]) * 10**9)
    >>> w.mean, w.sd, w.count
    (array([ 2., nan,  5.]), array([1.41421356,        nan,        nan]), array([2., 0., 1.]))
    """

    def __init__(
        self,
        value: Floats,
        ts: NDArray[np.int64],
        good: NDArray[np.bool_],
        offset: NDArray[np.intp],
        start: NDArray[np.int64],
        end: NDArray[np.int64],
    ) -> None:
        first, last = int(offset[0]), int(offset[-1])
        self._rows = offset[1:] - offset[:-1]  # (k,), bad ones too
        self._all_value, self._all_ts = value[first:last], ts[first:last]
        self._all_good = good[first:last]
        self._start, self._end = start, end
        if np.count_nonzero(self._all_good) == len(self._all_good):
            self._value, self._ts, self._count = self._all_value, self._all_ts, self._rows
        else:
            kept = np.concatenate(([0], np.cumsum(self._all_good)))
            self._value = self._all_value[self._all_good]
            self._ts = self._all_ts[self._all_good]
            cuts = kept[offset - first]
            self._count = cuts[1:] - cuts[:-1]
        # reduceat gives nonsense for an empty segment, so only filled windows take part:
        # their starts rise strictly and their rows lie end to end.
        self._filled = self._count > 0
        self._ends, self._some = self._count.cumsum(), self._count
        if np.count_nonzero(self._filled) < len(self._filled):
            self._ends, self._some = self._ends[self._filled], self._count[self._filled]
        self._begins = self._ends - self._some

    @_once
    def count(self) -> Floats:
        """Good rows; 0 in an empty window."""
        return self._count.astype(np.float64)

    @_once
    def percent_good(self) -> Floats:
        """Good rows of all rows [%]; 0 in a window without rows: nothing there is good."""
        percent: Floats = 100.0 * self._count / np.maximum(self._rows, 1)
        return percent

    @_once
    def sum(self) -> Floats:
        """Sum, in the tag's unit."""
        return self._spread_out(self._total(self._value))

    @_once
    def min(self) -> Floats:
        """Lowest value."""
        return self._spread_out(self._min)

    @_once
    def max(self) -> Floats:
        """Highest value."""
        return self._spread_out(self._max)

    @_once
    def range(self) -> Floats:
        """Highest minus lowest value."""
        return self._spread_out(self._max - self._min)

    @_once
    def mean(self) -> Floats:
        """Arithmetic mean."""
        return self._spread_out(self._mean)

    @_once
    def sd(self) -> Floats:
        """Sample standard deviation, n - 1; from two values on."""
        m2 = np.where(self._some > 1, self._m2, np.nan)
        return self._spread_out(np.sqrt(m2 / np.maximum(self._some - 1, 1)))

    @_once
    def rms(self) -> Floats:
        """Root of the mean square; of a vibration, its effective value."""
        return self._spread_out(self._rms)

    @_once
    def crest_factor(self) -> Floats:
        """Greatest magnitude ÷ RMS: 1.41 for a sine, more with shocks; NaN at zero RMS.

        Source: ISO 13373-2:2016, annex on statistical parameters of a vibration signal.
        """
        peak = np.maximum(np.abs(self._min), np.abs(self._max))
        return self._spread_out(_ratio(peak, self._rms))

    @_once
    def skew(self) -> Floats:
        """Skewness g1 = m3 ÷ m2^1.5: 0 for a symmetric distribution; NaN for a constant.

        Source: Joanes and Gill (1998), The Statistician 47(1) 183, §2.
        """
        m2 = self._m2 / self._some
        m3 = self._total(self._centred * self._squared) / self._some
        return self._spread_out(_ratio(m3, m2 * np.sqrt(m2)))

    @_once
    def kurtosis(self) -> Floats:
        """Excess kurtosis g2 = m4 ÷ m2² - 3: 0 for a normal signal; NaN for a constant.

        Source: Joanes and Gill (1998), The Statistician 47(1) 183, §2.
        """
        m2 = self._m2 / self._some
        m4 = self._total(self._squared * self._squared) / self._some
        return self._spread_out(_ratio(m4, m2 * m2) - 3.0)

    @_once
    def rate(self) -> Floats:
        """Last minus first value ÷ time between them, per second; NaN when it is none."""
        last, first = self._ends - 1, self._begins
        elapsed = (self._ts[last] - self._ts[first]) / 1e9
        return self._spread_out(_ratio(self._value[last] - self._value[first], elapsed))

    @_once
    def slope(self) -> Floats:
        """Slope of the least-squares line, per second; NaN if all rows share one time.

        Source: Draper and Smith (1998), Applied Regression Analysis, 3rd ed., eq. 1.2.9.
        """
        seconds = (self._ts - np.repeat(self._ts[self._begins], self._some)) / 1e9
        seconds -= np.repeat(self._total(seconds) / self._some, self._some)
        return self._spread_out(
            _ratio(self._total(seconds * self._centred), self._total(seconds * seconds))
        )

    @_once
    def median(self) -> Floats:
        """The middle value, or the mean of the middle two."""
        return self.percentile(50.0)

    @_once
    def zero_crossings(self) -> Floats:
        """How often the sign changes from one row to the next; zero counts as positive."""
        positive = self._value >= 0
        change = np.zeros(len(positive))
        change[1:] = positive[1:] != positive[:-1]
        change[self._begins] = 0.0
        return self._spread_out(self._total(change))

    def percentile(self, percent: float) -> Floats:
        """Linear between the neighbouring order statistics; percent is 0 to 100.

        Source: Hyndman and Fan (1996), The American Statistician 50(4) 361, definition 7.
        """
        position = percent / 100.0 * (self._some - 1)
        below = np.floor(position).astype(np.intp)
        low = self._sorted[self._begins + below]
        high = self._sorted[self._begins + np.minimum(below + 1, self._some - 1)]
        return self._spread_out(low + (high - low) * (position - below))

    def time_above(self, limit: float) -> Floats:
        """Seconds for which the value is above `limit`; each holds until the next row.

        The last one holds until the window ends; a row that is not good ends the hold,
        for nobody knows the value then. NaN in a window without good rows.
        """
        n, k = len(self._all_ts), len(self._rows)
        window = np.repeat(np.arange(k), self._rows)
        until = np.append(self._all_ts[1:], 0)
        ends_window = np.append(window[1:] != window[:-1], True)[:n]
        until = np.where(ends_window, self._end[window], until[:n])
        held = np.maximum(until - np.maximum(self._all_ts, self._start[window]), 0)
        above = self._all_good & (np.where(self._all_good, self._all_value, limit) > limit)
        seconds = np.where(above, held, 0)[self._all_good]
        return self._spread_out(np.add.reduceat(seconds, self._begins) / 1e9)

    def _spread_out(self, some: Floats) -> Floats:
        """Results of the filled windows (f,) as results of all (k,), NaN elsewhere."""
        if len(some) == len(self._count):
            return some
        out = np.full(len(self._count), np.nan)
        out[self._filled] = some
        return out

    def _total(self, values: Floats) -> Floats:
        if len(self._begins) == 0:
            return np.zeros(0)
        total: Floats = np.add.reduceat(values, self._begins)
        return total

    @_once
    def _min(self) -> Floats:
        return np.minimum.reduceat(self._value, self._begins) if len(self._begins) else np.zeros(0)

    @_once
    def _max(self) -> Floats:
        return np.maximum.reduceat(self._value, self._begins) if len(self._begins) else np.zeros(0)

    @_once
    def _mean(self) -> Floats:
        """(f,); within [min, max], so that ten times 0.1 has the mean 0.1 and no spread."""
        mean = self._total(self._value) / self._some
        return np.minimum(np.maximum(mean, self._min), self._max)

    @_once
    def _centred(self) -> Floats:
        return self._value - self._mean.repeat(self._some)

    @_once
    def _squared(self) -> Floats:
        return self._centred * self._centred

    @_once
    def _m2(self) -> Floats:
        return self._total(self._squared)

    @_once
    def _rms(self) -> Floats:
        return np.sqrt(self._total(self._value * self._value) / self._some)

    @_once
    def _sorted(self) -> Floats:
        """Good values in ascending order within each window, (g,).

        Windows of like length are sorted together as the rows of a matrix that is at most
        half padding.
        """
        out = np.empty_like(self._value)
        bits = np.frexp(self._some)[1]  # length 2^(bits-1) to 2^bits - 1
        for size in np.unique(bits):
            alike = bits == size
            count = self._some[alike]
            held = np.arange(count.max()) < count[:, None]
            matrix = np.full(held.shape, np.inf)
            rows = np.repeat(alike, self._some)
            matrix[held] = self._value[rows]
            matrix.sort(axis=1)
            out[rows] = matrix[held]
        return out


def _ratio(above: Floats, below: Floats) -> Floats:
    """above ÷ below, NaN where below is zero."""
    ratio: Floats = np.divide(above, below, out=np.full(len(above), np.nan), where=below != 0)
    return ratio
