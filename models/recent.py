"""Recent: detectors that keep the rows of each tag's last seconds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike, NDArray

from models.admission import Admission
from models.kernel import Detector


class Recent(Detector):
    """A detector over the rows of the last seconds; a subclass says what it makes of them.

    Args:
        limit: Number of tag codes.
        span_ns: Rows this old or older are dropped [ns].
        rows_max: Rows kept per tag; with more the oldest are forgotten early.
        columns: Type of each column by name; ``ts`` is always there.
        late_rows_max: After so many late samples in a row the source's clock was set back.
        rows_kept: Rows that stay however old they are.
        refuse_above: Samples that score beyond this are not learnt.
        refuse_rows_max: Refused samples in a row after which they are learnt all the same.
    """

    def __init__(
        self,
        limit: int,
        *,
        span_ns: int,
        rows_max: int,
        columns: Mapping[str, DTypeLike],
        late_rows_max: int,
        rows_kept: int = 0,
        refuse_above: float = np.inf,
        refuse_rows_max: int = 0,
    ) -> None:
        super().__init__(limit)
        self._span_ns = span_ns
        self._rows_kept = rows_kept
        self._admission = Admission(
            self,
            refuse_above=refuse_above,
            refuse_rows_max=refuse_rows_max,
            late_rows_max=late_rows_max,
        )
        self._ring = self.ring("rows", rows_max, {"ts": np.int64, **columns})

    def _advance(self, tag: NDArray[np.intp], ts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which samples are late, (n,); what is too old now, or of a clock set back, is gone."""
        late, set_back = self._admission.clock(tag, ts)
        if np.count_nonzero(set_back):
            self._forget(tag[set_back])
        horizon = ts - self._span_ns
        while True:  # One row a tag and turn.
            old = self._ring.count[tag] > self._rows_kept
            old &= self._ring.oldest(tag, "ts") <= horizon
            if not np.count_nonzero(old):
                return late
            tag, horizon = tag[old], horizon[old]
            self._drop(tag)

    def _append(
        self, tag: NDArray[np.intp], ts: NDArray[np.int64], **cells: NDArray[np.float64]
    ) -> None:
        """Add a row to each tag (n,); a full one forgets its oldest."""
        full = self._ring.count[tag] >= self._ring.rows_max
        if np.count_nonzero(full):
            self._drop(tag[full])
        self._ring.append(tag, ts=ts, **cells)

    def _drop(self, tag: NDArray[np.intp]) -> None:
        """Forget the oldest row of each tag (n,), which has one."""
        self._ring.drop(tag)

    def _forget(self, tag: NDArray[np.intp]) -> None:
        """Forget all rows of each tag (n,)."""
        self._ring.clear(tag)
