"""Column: the samples of one tag, cleaned, on a time axis that ends near zero at the alarm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.explainer.evidence import ROWS_MAX, Rows

Floats = NDArray[np.float64]

TS_MAX = 1 << 61
"""Latest time that is believed [ns], the year 2043: differences of two never overflow int64."""

VALUE_MAX = 1e100
"""Greatest magnitude that is believed: sums of squares of anything up to it are finite."""

_BAD_SEVERITY = 2  # The two highest bits of a StatusCode. Source: OPC 10000-4 v1.05, 7.38.


@dataclass(frozen=True, slots=True)
class Column:
    """Good samples and the times of bad ones.

    Args:
        t: Times of the good samples [s after the alarm], ascending, no two alike, (n,).
        x: Their values, (n,).
        bad: Times of the bad samples [s after the alarm], ascending, (m,).
        every: Usual time from one sample to the next [s]; NaN with fewer than two.
    """

    t: Floats
    x: Floats
    bad: Floats
    every: float

    def index(self, t: float) -> int:
        """The last good sample at or before t; -1 when there is none."""
        return int(np.searchsorted(self.t, t, "right")) - 1


def clean(rows: Rows, zero_ns: int, until_ns: int) -> Column:
    """Sort, drop what no one can use, and part good from bad.

    Of samples with one timestamp the last counts, as on the screens: a tag that passes several
    nodes under its name comes several times. Uncertain samples are used, as alarms use them.

    Args:
        rows: As they came.
        zero_ns: The alarm [ns].
        until_ns: Samples after it are left out [ns].
    """
    ts = np.asarray(rows.ts, np.int64)
    usable = np.flatnonzero((ts > 0) & (ts <= min(until_ns, TS_MAX)))
    order = usable[np.argsort(ts[usable], kind="stable")][-ROWS_MAX:]
    ts = ts[order]
    x = np.asarray(rows.value, np.float64)[order]
    quality = np.asarray(rows.quality, np.uint32)[order]
    last = np.ones(len(ts), np.bool_)
    last[:-1] = ts[1:] != ts[:-1]
    good = ((quality >> 30) < _BAD_SEVERITY) & (np.abs(x) <= VALUE_MAX)
    t: Floats = (ts - zero_ns).astype(np.float64) * 1e-9
    found = t[last & good]
    every = float(np.median(np.diff(found))) if len(found) > 1 else float("nan")
    return Column(found, x[last & good], t[last & ~good], every)


def bounded_ns(ts: int) -> int:
    """A time as it may be subtracted from any other [ns].

    >>> bounded_ns(-5), bounded_ns(7)
    (0, 7)
    """
    return min(max(int(ts), 0), TS_MAX)
