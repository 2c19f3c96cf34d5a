"""CUSUM: cumulative sums of the deviations; finds a small shift that stays."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from models.baseline import BaselineOptions, Chart

HELD_AT = 2.0
"""The sums are held at this multiple of the limit: so an alarm ends when the shift ends."""


class Cusum(Chart):
    """Score [σ]: the greater of the two one-sided sums; the lower one is negative.

    With z = (x - mean) ÷ sd: up = max(0, up + z - k), down = max(0, down - z - k). Beyond
    `h` the mean has shifted. k is half the shift to find, h 4 to 5; with k = 0.5, h = 5 a
    shift of 1 σ is found after about 10 samples, and a false alarm comes every 465.

    Textbooks let the sums grow until someone resets them. Here they are held at 2·h: the
    signal comes at the same sample, and it ends within a bounded time after the shift.

    Source: Page (1954), Biometrika 41, 100; tabular form, Montgomery (2012), 7th ed.,
    §9.1.2, eq. 9.2 and 9.3; NIST/SEMATECH e-Handbook of Statistical Methods, 6.3.2.3.

    Args:
        limit: Number of tag codes.
        k: Slack, half the shift worth finding [σ].
        h: Decision limit [σ].
        baseline: What `Baseline` takes; the limit that it speaks of is `h`.

    >>> cusum = Cusum(1, k=0.5, h=5, mean=10.0, sd=1.0)
    >>> tag, ts = np.zeros(1, np.uint16), np.zeros(1, np.int64)
    >>> [float(cusum.score(tag, ts, np.array([x]))[0].round(6)) for x in (11.0, 12.0, 7.0)]
    [0.5, 2.0, -2.5]
    """

    def __init__(
        self,
        limit: int,
        *,
        k: float = 0.5,
        h: float = 5.0,
        **baseline: Unpack[BaselineOptions],
    ) -> None:
        super().__init__(limit, **baseline)
        if k < 0 or h <= 0:
            raise ValueError(f"k is {k} and h is {h}; k is at least 0, and h is above 0.")
        self._k = k
        self._h = h
        self._up = self.per_tag("up", 0.0)
        self._down = self.per_tag("down", 0.0)

    def _chart(self, tag: NDArray[np.intp], value: NDArray[np.float64]) -> NDArray[np.float64]:
        z = self._baseline.standardised(tag, value)
        held_at = HELD_AT * self._h
        up = np.minimum(np.maximum(self._up[tag] + z - self._k, 0.0), held_at)
        down = np.minimum(np.maximum(self._down[tag] - z - self._k, 0.0), held_at)
        self._up[tag] = up
        self._down[tag] = down
        dropped = self._baseline.outlived(tag, np.maximum(up, down) > self._h)
        self._up[dropped] = 0.0
        self._down[dropped] = 0.0
        return np.where(up >= down, up, -down)
