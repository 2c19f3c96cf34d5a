"""Robust z: the distance from a sliding median, in robust sd."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.kernel import deviation, nanoseconds
from models.recent import Recent

MAD_TO_SD = 1.4826
"""1 ÷ Φ⁻¹(3/4): makes the median absolute deviation estimate the sd of a normal signal.

Source: Rousseeuw and Croux (1993), JASA 88(424) 1273, eq. 1.1.
"""

_CELLS_MAX = 1 << 18
"""Cells sorted at once: bounds the working memory to a few megabytes."""


class RobustZ(Recent):
    """Score [σ]: (value - median) ÷ (1.4826 · MAD) of the last `window_s` seconds.

    Up to half of the baseline may be anomalies and the score still holds, so it needs no
    rule for what not to learn. A signal that mostly stands still has a MAD of zero:
    `resolution` then says what counts.

    Cost: sorts each tag's rows twice a sample, about 5 µs for 300 rows.
    Source: Iglewicz and Hoaglin (1993), How to Detect and Handle Outliers, ASQC, §3.3;
    they suggest a limit of 3.5.

    Args:
        limit: Number of tag codes.
        window_s: Length of the baseline [s]; a sample exactly this old is no longer in it.
        rows_max: Rows kept per tag; with more in the window the oldest are forgotten early.
        min_rows: Samples in the baseline before there is a score, at least 2.
        resolution: Least robust sd that counts, in the tag's unit.

    >>> detector = RobustZ(1, window_s=60, min_rows=5)
    >>> tag = np.zeros(1, np.uint16)
    >>> at = lambda s, x: float(detector.score(tag, np.array([s * 10**9]), np.array([x]))[0])
    >>> _ = [at(s, x) for s, x in enumerate([1.0, 2.0, 3.0, 4.0, 1000.0])]
    >>> round(at(5, 6.0), 4)  # median 3, MAD 1
    2.0235
    """

    def __init__(
        self,
        limit: int,
        *,
        window_s: float,
        rows_max: int = 300,
        min_rows: int = 10,
        resolution: float = 0.0,
    ) -> None:
        if not 2 <= min_rows <= rows_max:
            raise ValueError(f"min_rows is {min_rows}; it lies between 2 and rows_max {rows_max}.")
        super().__init__(
            limit,
            span_ns=nanoseconds(window_s),
            rows_max=rows_max,
            columns={"value": float},
            late_rows_max=min_rows,
        )
        self._min_rows = min_rows
        self._resolution = resolution

    def _round(
        self, tag: NDArray[np.intp], ts: NDArray[np.int64], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        late = self._advance(tag, ts)
        score = np.full(len(tag), np.nan)
        ready = np.flatnonzero(self._ring.count[tag] >= self._min_rows)
        step = max(1, _CELLS_MAX // self._ring.rows_max)
        for start in range(0, len(ready), step):
            part = ready[start : start + step]
            centre, spread = self._baseline(tag[part])
            score[part] = deviation(value[part], centre, spread, self._resolution)
        timely = ~late
        self._append(tag[timely], ts[timely], value=value[timely])
        return score

    def _baseline(self, tag: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(median, 1.4826 · MAD) of the rows held by each tag, both (n,)."""
        count = self._ring.count[tag]
        slot, held = self._ring.slots(tag)
        rows = np.where(held, self._ring["value"][slot], np.inf)
        rows.sort(axis=1)
        median = _middle(rows, count)
        rows -= median[:, None]
        np.abs(rows, out=rows)
        rows.sort(axis=1)
        return median, MAD_TO_SD * _middle(rows, count)


def _middle(rows: NDArray[np.float64], count: NDArray[np.intp]) -> NDArray[np.float64]:
    """The median of the first `count` cells of each sorted row, (n,)."""
    line = np.arange(len(rows))
    low, high = rows[line, (count - 1) // 2], rows[line, count // 2]
    middle: NDArray[np.float64] = low + (high - low) / 2
    return middle
