"""Sigma: the distance from a sliding mean, in standard deviations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.kernel import deviation, nanoseconds
from models.recent import Recent

_FLIP_TAGS = 1024
"""Tags turned over at once: bounds the working memory to a few tens of megabytes."""


class Sigma(Recent):
    """Score [σ]: (value - mean) ÷ sd of the samples in the last `window_s` seconds.

    The baseline slides with every sample and nothing is ever subtracted from a sum: old
    rows lie in a stack of suffix aggregates, new ones in one running aggregate, and both
    are merged. So a spike that has left the window leaves no rounding error behind, and a
    sample costs constant time on average.

    Source: mean and M2 by Welford (1962), Technometrics 4(3) 419; merged after Chan, Golub
    and LeVeque (1983), The American Statistician 37(3) 242; two stacks after Tangwongsan,
    Hirzel and Schneider (2017), "Low-latency sliding-window aggregation", DEBS, §2.

    Args:
        limit: Number of tag codes.
        window_s: Length of the baseline [s]; a sample exactly this old is no longer in it.
        rows_max: Rows kept per tag; with more in the window the oldest are forgotten early.
        min_rows: Samples in the baseline before there is a score, at least 2.
        resolution: Least sd that counts, in the tag's unit.
        refuse_above: Samples that score beyond this are not learnt [σ].
        refuse_rows_max: Refused samples in a row after which they are learnt all the same.

    >>> sigma = Sigma(1, window_s=10, min_rows=4)
    >>> tag = np.zeros(1, np.uint16)
    >>> at = lambda s, x: float(sigma.score(tag, np.array([s * 10**9]), np.array([x]))[0])
    >>> [at(s, x) for s, x in enumerate([1.0, 3.0, 1.0, 3.0])]
    [nan, nan, nan, nan]
    >>> round(at(4, 5.0), 3)  # mean 2, sd √(4/3)
    2.598
    """

    def __init__(
        self,
        limit: int,
        *,
        window_s: float,
        rows_max: int = 1000,
        min_rows: int = 10,
        resolution: float = 0.0,
        refuse_above: float = np.inf,
        refuse_rows_max: int = 0,
    ) -> None:
        if not 2 <= min_rows <= rows_max:
            raise ValueError(f"min_rows is {min_rows}; it lies between 2 and rows_max {rows_max}.")
        super().__init__(
            limit,
            span_ns=nanoseconds(window_s),
            rows_max=rows_max,
            # A row not yet turned over has its value in `mean`; a turned one has the mean
            # and M2 of itself and all rows turned with it that are younger.
            columns={"mean": float, "m2": float},
            late_rows_max=min_rows,
            refuse_above=refuse_above,
            refuse_rows_max=refuse_rows_max,
        )
        self._min_rows = min_rows
        self._resolution = resolution
        self._turned = self.per_tag("turned", 0, np.intp)
        self._mean = self.per_tag("mean", 0.0)
        self._m2 = self.per_tag("m2", 0.0)

    def _round(
        self, tag: NDArray[np.intp], ts: NDArray[np.int64], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        late = self._advance(tag, ts)
        count, mean, m2 = self._baseline(tag)
        sd = np.sqrt(m2 / np.maximum(count - 1, 1))
        score = deviation(value, mean, sd, self._resolution)
        score[count < self._min_rows] = np.nan
        learn = self._admission.learns(tag, score, late)
        if np.count_nonzero(learn) < len(learn):
            tag, ts, value = tag[learn], ts[learn], value[learn]
        self._learn(tag, ts, value)
        return score

    def _baseline(
        self, tag: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
        """(count, mean, M2) of all rows held, each (n,)."""
        count, turned, mean = self._ring.count[tag], self._turned[tag], self._mean[tag]
        fresh = count - turned
        slot = self._ring.first(tag)
        old_mean, old_m2 = self._ring["mean"][slot], self._ring["m2"][slot]
        if np.count_nonzero(turned) < len(tag):
            old_mean = np.where(turned > 0, old_mean, mean)
            old_m2 = np.where(turned > 0, old_m2, 0.0)
        delta = mean - old_mean
        if np.count_nonzero(fresh) < len(tag):
            delta = np.where(fresh > 0, delta, 0.0)
        share = fresh / np.maximum(count, 1)
        return (
            count,
            old_mean + delta * share,
            old_m2 + self._m2[tag] + delta * delta * share * turned,
        )

    def _learn(
        self, tag: NDArray[np.intp], ts: NDArray[np.int64], value: NDArray[np.float64]
    ) -> None:
        self._append(tag, ts, mean=value)
        fresh = self._ring.count[tag] - self._turned[tag]
        mean = self._mean[tag]
        delta = value - mean
        mean = mean + delta / fresh
        self._mean[tag] = mean
        self._m2[tag] += delta * (value - mean)

    def _drop(self, tag: NDArray[np.intp]) -> None:
        bare = tag[self._turned[tag] == 0]
        for start in range(0, len(bare), _FLIP_TAGS):
            self._turn(bare[start : start + _FLIP_TAGS])
        self._turned[tag] -= 1
        super()._drop(tag)

    def _turn(self, tag: NDArray[np.intp]) -> None:
        """Replace values by suffix aggregates, from the youngest row to the oldest."""
        count = self._ring.count[tag]
        most = int(count.max())
        row = count[:, None] - 1 - np.arange(most)  # (t, m), youngest first
        held = row >= 0
        slot = self._ring.slot(tag[:, None], np.maximum(row, 0))
        # Across, so that each step of the loop works on cells that lie side by side.
        value = np.ascontiguousarray(self._ring["mean"][slot].T)
        means, m2s = np.empty_like(value), np.empty_like(value)
        mean, m2 = np.zeros(len(tag)), np.zeros(len(tag))
        for i in range(most):  # of the rows of a window, all tags at once
            delta = value[i] - mean
            mean = mean + delta / (i + 1)
            m2 = m2 + delta * (value[i] - mean)
            means[i], m2s[i] = mean, m2
        where = slot[held]
        self._ring["mean"][where] = means.T[held]
        self._ring["m2"][where] = m2s.T[held]
        self._turned[tag] = count
        self._mean[tag] = 0.0
        self._m2[tag] = 0.0

    def _forget(self, tag: NDArray[np.intp]) -> None:
        super()._forget(tag)
        self._turned[tag] = 0
        self._mean[tag] = 0.0
        self._m2[tag] = 0.0
