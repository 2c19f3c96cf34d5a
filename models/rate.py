"""Rate: how fast a value changes, per second, over a short horizon."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.kernel import nanoseconds
from models.recent import Recent

ROWS = 32
"""Rows kept per tag. They are spread over the horizon, whatever the sampling rate."""

_LATE_ROWS_MAX = 10


class Rate(Recent):
    """Score [unit/s]: (value - reference) ÷ time since the reference.

    The reference is the oldest kept sample at most `horizon_s` old, or the sample before
    this one where sampling is slower than that. Samples are kept at distances of at least
    a thirty-second of the horizon, so a fast signal costs no more memory than a slow one.
    Until half the horizon is spanned there is no score: the slope of two samples a
    millisecond apart is noise.

    Args:
        limit: Number of tag codes.
        horizon_s: Time over which the change is measured [s].

    >>> rate = Rate(1, horizon_s=10)
    >>> tag = np.zeros(1, np.uint16)
    >>> at = lambda s, x: float(rate.score(tag, np.array([s * 10**9]), np.array([x]))[0])
    >>> at(0, 0.0), at(4, 8.0), at(5, 10.0), at(10, 20.0)
    (nan, nan, 2.0, 2.0)
    """

    def __init__(self, limit: int, *, horizon_s: float) -> None:
        horizon_ns = nanoseconds(horizon_s)
        if horizon_ns < ROWS:
            raise ValueError(f"horizon_s is {horizon_s}; it is at least {ROWS} ns.")
        super().__init__(
            limit,
            span_ns=horizon_ns + 1,  # a sample exactly as old as the horizon is in it
            rows_max=ROWS,
            columns={"value": float},
            late_rows_max=_LATE_ROWS_MAX,
            rows_kept=1,
        )
        self._horizon_ns = horizon_ns
        self._spacing_ns = -(-horizon_ns // (ROWS - 1))

    def _round(
        self, tag: NDArray[np.intp], ts: NDArray[np.int64], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        late = self._advance(tag, ts)
        some = self._ring.count[tag] > 0
        span = np.where(some, ts - self._ring.oldest(tag, "ts"), 0)
        enough = (2 * span >= self._horizon_ns) & ~late
        change = value - self._ring.oldest(tag, "value")
        score = np.full(len(tag), np.nan)
        score[enough] = change[enough] / (span[enough] / 1e9)
        last = self._ring.newest(tag, "ts")
        keep = ~late & (~some | (ts - last >= self._spacing_ns))
        self._append(tag[keep], ts[keep], value=value[keep])
        return score
