"""Admission: from which samples a baseline may learn.

Two kinds stay out for a while and never for ever: samples that arrive late, and samples
that are themselves anomalies. Without an end, a clock set back or a new level of the
process would freeze a detector for good.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.kernel import Kernel

_NEVER = np.iinfo(np.int64).min


class Admission:
    """Decides per tag what is learnt.

    Args:
        kernel: Where the state is declared.
        refuse_above: A sample whose score is beyond this is not learnt; inf learns all.
        refuse_rows_max: After so many refused in a row the next are learnt: the process
            has a new level, and the baseline has to follow.
        late_rows_max: After so many late samples in a row the source's clock was set back.
    """

    def __init__(
        self, kernel: Kernel, *, refuse_above: float, refuse_rows_max: int, late_rows_max: int
    ) -> None:
        self._refuse_above = refuse_above
        self._refuse_rows_max = refuse_rows_max
        self._late_rows_max = late_rows_max
        self._newest = kernel.per_tag("newest", _NEVER, np.int64)
        self._late = kernel.per_tag("late", 0, np.int32)
        self._refused = kernel.per_tag("refused", 0, np.int32)

    def clock(
        self, tag: NDArray[np.intp], ts: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(late, set_back), both (n,): samples older than the newest; clocks set back.

        A late sample may be scored and is not learnt. Where the clock was set back the
        baseline starts over with this sample, which is no longer late.
        """
        late = ts < self._newest[tag]
        if not np.count_nonzero(late):  # the common case, and a third of the price
            self._newest[tag] = ts
            self._late[tag] = 0
            return late, late
        run = np.where(late, self._late[tag] + 1, 0)
        set_back = run > self._late_rows_max
        late &= ~set_back
        self._late[tag] = np.where(set_back, 0, run)
        self._newest[tag] = np.where(late, self._newest[tag], ts)
        return late, set_back

    def learns(
        self, tag: NDArray[np.intp], score: NDArray[np.float64], late: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Which samples to learn, (n,): not late, not an anomaly unless that goes on."""
        timely = ~late
        beyond = np.abs(score) > self._refuse_above  # False for NaN: nothing is known yet
        if not np.count_nonzero(beyond):
            self._refused[tag[timely]] = 0
            return timely
        run = np.where(beyond, self._refused[tag] + 1, 0)
        refuse = beyond & (run <= self._refuse_rows_max)
        # The run stops counting at the limit: it cannot overflow however long it lasts.
        run = np.minimum(run, self._refuse_rows_max)
        self._refused[tag[timely]] = run[timely]
        return timely & ~refuse
