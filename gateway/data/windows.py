"""Windows: closed windows of samples, ragged over one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.data.batch import EMPTY, Batch


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """k closed windows; window i holds ``rows.where(slice(offset[i], offset[i + 1]))``.

    Within a window the rows are sorted by (ts, arrival), so that a reduction gives the same
    bits wherever it runs.

    Args:
        tag: Codes in the TagTable, uint16 (k,).
        start: First instant of each window [ns], int64 (k,).
        end: First instant no longer in it [ns], int64 (k,); for count, session and state
            windows the last sample's time.
        offset: Cuts into `rows`, (k + 1,).
        rows: The samples of all windows, a copy.
    """

    tag: NDArray[np.uint16]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    offset: NDArray[np.intp]
    rows: Batch

    def __len__(self) -> int:
        return len(self.tag)

    @property
    def count(self) -> NDArray[np.intp]:
        """Rows in each window, (k,)."""
        return np.diff(self.offset)

    @property
    def good_share(self) -> NDArray[np.float64]:
        """Share of good rows in each window, 0 to 1, (k,); 0 where a window is empty."""
        good = np.concatenate(([0], np.cumsum(self.rows.good)))
        filled = np.maximum(self.count, 1)
        return (good[self.offset[1:]] - good[self.offset[:-1]]) / filled

    @classmethod
    def concat(cls, parts: Sequence[Windows]) -> Windows:
        """One object with the windows of all, in order."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return NO_WINDOWS
        ends = np.cumsum([len(p.rows) for p in parts])
        shifts = np.concatenate(([0], ends[:-1]))
        offsets = [p.offset[:-1] + shift for p, shift in zip(parts, shifts, strict=True)]
        return cls(
            np.concatenate([p.tag for p in parts]),
            np.concatenate([p.start for p in parts]),
            np.concatenate([p.end for p in parts]),
            np.concatenate([*offsets, ends[-1:]]).astype(np.intp),
            Batch.concat([p.rows for p in parts]),
        )

    def freeze(self) -> Windows:
        """Make the columns read-only, as every test does; returns itself."""
        for column in (self.tag, self.start, self.end, self.offset):
            column.flags.writeable = False
        self.rows.freeze()
        return self


NO_WINDOWS = Windows(
    np.zeros(0, np.uint16),
    np.zeros(0, np.int64),
    np.zeros(0, np.int64),
    np.zeros(1, np.intp),
    EMPTY,
)
