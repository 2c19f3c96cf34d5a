"""EWMA: a control chart of the weighted moving average; finds small shifts."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from models.baseline import BaselineOptions, Chart


class Ewma(Chart):
    """Score [σ of the average]: (EWMA - mean) ÷ its own sd; a usual limit is 3.

    EWMA(t) = λ·x(t) + (1-λ)·EWMA(t-1) with EWMA(0) = mean, and its variance is exact from
    the first sample on: σ²·λ/(2-λ)·(1-(1-λ)^2t). The chart counts samples, not seconds;
    it is for evenly sampled tags and window features.

    Source: Roberts (1959), Technometrics 1(3) 239; NIST/SEMATECH e-Handbook of Statistical
    Methods, 6.3.2.4; the limits that vary with time, Montgomery (2012), 7th ed., §9.2.1.

    Args:
        limit: Number of tag codes.
        weight: λ, the weight of the newest sample, above 0 and at most 1; 0.05 to 0.3 is usual.
        relearn_above: |score| beyond which the process is out of control [σ].
        baseline: What `Baseline` takes; the limit that it speaks of is `relearn_above`.

    >>> ewma = Ewma(1, weight=0.3, mean=50.0, sd=2.0539)  # the handbook's example
    >>> tag, ts = np.zeros(1, np.uint16), np.zeros(1, np.int64)
    >>> [round(float(ewma.score(tag, ts, np.array([x]))[0]), 3) for x in (52.0, 47.0, 53.0)]
    [0.974, -0.638, 0.696]
    """

    def __init__(
        self,
        limit: int,
        *,
        weight: float = 0.2,
        relearn_above: float = 3.0,
        **baseline: Unpack[BaselineOptions],
    ) -> None:
        super().__init__(limit, **baseline)
        if not 0 < weight <= 1:
            raise ValueError(f"weight is {weight}; it lies above 0 and is at most 1.")
        self._weight = weight
        self._relearn_above = relearn_above
        # Both in units of σ from the mean, so that a start at zero is a start at the mean.
        self._average = self.per_tag("average", 0.0)
        # 1 - (1-λ)^2t, advanced by multiplication: powers differ between processors.
        self._settled = self.per_tag("settled", 0.0)

    def _chart(self, tag: NDArray[np.intp], value: NDArray[np.float64]) -> NDArray[np.float64]:
        weight, keep = self._weight, 1 - self._weight
        z = self._baseline.standardised(tag, value)
        average = weight * z + keep * self._average[tag]
        settled = 1 - keep * keep * (1 - self._settled[tag])
        self._average[tag] = average
        self._settled[tag] = settled
        score: NDArray[np.float64] = average / np.sqrt(weight / (2 - weight) * settled)
        dropped = self._baseline.outlived(tag, np.abs(score) > self._relearn_above)
        self._average[dropped] = 0.0
        self._settled[dropped] = 0.0
        return score
