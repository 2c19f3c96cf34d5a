"""Flatline: how long a value has not moved; finds stuck sensors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.kernel import Detector, nanoseconds

_NEVER = np.iinfo(np.int64).min


class Flatline(Detector):
    """Score [s]: how long highest minus lowest value has been within `band`.

    The first sample scores 0. A sample that leaves the band starts a new stretch, and so
    does one older than the stretch itself: its source's clock was set back.

    Args:
        limit: Number of tag codes.
        band: Movement that does not count, in the tag's unit; exactly this much is none.
        gap_s: A hole between samples longer than this starts a new stretch [s]; inf never
            does, as with sources that report by exception.

    >>> flat = Flatline(1, band=0.5)
    >>> tag = np.zeros(1, np.uint16)
    >>> at = lambda s, x: float(flat.score(tag, np.array([s * 10**9]), np.array([x]))[0])
    >>> at(0, 1.0), at(10, 1.5), at(20, 1.0), at(30, 0.9)
    (0.0, 10.0, 20.0, 0.0)
    """

    def __init__(self, limit: int, *, band: float, gap_s: float = np.inf) -> None:
        super().__init__(limit)
        if band < 0:
            raise ValueError(f"band is {band}; it is at least 0.")
        self._band = band
        self._gap_ns = nanoseconds(gap_s)
        self._since = self.per_tag("since", _NEVER, np.int64)
        self._newest = self.per_tag("newest", _NEVER, np.int64)
        self._low = self.per_tag("low", np.inf)
        self._high = self.per_tag("high", -np.inf)

    def _round(
        self, tag: NDArray[np.intp], ts: NDArray[np.int64], value: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        newest = self._newest[tag]
        known = newest != _NEVER
        low = np.minimum(self._low[tag], value)
        high = np.maximum(self._high[tag], value)
        since = self._since[tag]
        # The subtraction is safe for an unknown tag too: its `newest` is replaced by ts.
        hole = ts - np.where(known, newest, ts) > self._gap_ns
        anew = ~known | (high - low > self._band) | (ts < since) | hole
        since = np.where(anew, ts, since)
        self._since[tag] = since
        self._newest[tag] = np.where(anew, ts, np.maximum(newest, ts))
        self._low[tag] = np.where(anew, value, low)
        self._high[tag] = np.where(anew, value, high)
        score: NDArray[np.float64] = (ts - since) / 1e9
        return score
