"""Watermark: how far the time of each tag has come, by what its samples say.

Pure: rows move it by their timestamps only, so that any cut of the same rows gives the same
windows. A silent tag is moved by `idle`, which only a timer may ask for.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.data.ragged import Index, Times, lengths, running_max

BEGIN: Final = -(2**63)
"""Before any time: a tag that was never seen."""
NEVER: Final = 2**63 - 1
"""After any time."""
TS_MIN: Final = -(2**61)
"""The earliest timestamp that is taken for one (1896): below, sums with it may overflow."""
TS_MAX: Final = 2**62
"""The latest timestamp that is taken for one (2116)."""


class Watermark:
    """Per tag the greatest timestamp seen less the lateness; it never goes back.

    Args:
        at: Where the watermarks are kept, int64 (tags,), filled with BEGIN.
        seen: Where the step times of the last rows are kept, int64 (tags,).
        lateness_ns: How long to wait for rows that are out of order [ns].

    Source: Akidau et al., The Dataflow Model, VLDB 2015, 2.3; Bytewax `EventClock`.
    """

    def __init__(self, at: Times, seen: Times, lateness_ns: int) -> None:
        self.at = at
        self.seen = seen
        self._lateness = lateness_ns

    def look(self, code: NDArray[np.uint16], starts: Index, ts: Times) -> tuple[Times, Times]:
        """Where the marks stand before and after each row, (n,) and (n,); nothing moves yet.

        Args:
            code: The k tags of the rows, which are grouped by tag.
            starts: Where the rows of each begin, (k,).
            ts: Their timestamps in order of arrival, (n,), within TS_MIN and TS_MAX.
        """
        own = ts - self._lateness if self._lateness else ts
        known = self.at[code]
        if len(code) == len(ts):
            return known, np.maximum(known, own)
        own = running_max(own, starts)
        after = np.maximum(own, np.repeat(known, lengths(starts, len(ts))))
        before = np.empty_like(after)
        before[1:] = after[:-1]
        before[starts] = known
        return before, after

    def move(self, code: NDArray[np.uint16], at: Times, now: int) -> None:
        """Rows came: their tags (k,) stand at `at` and were seen in the step at `now`."""
        self.at[code] = at
        self.seen[code] = now

    def idle(self, code: Index, now: int) -> Times:
        """Where the marks of silent tags (k,) may be moved to by now."""
        return self.at[code] + np.maximum(now - self.seen[code], 0)

    def idle_move(self, code: Index | int, at: Times | int) -> None:
        """Move the marks of silent tags to `at` (k,), no further than `idle` says; or of one.

        What silence remains is kept, so that moving in two steps is moving in one.
        """
        self.seen[code] += at - self.at[code]
        self.at[code] = at

    def reaches(self, code: Index, due: Times) -> Times:
        """The step times at which silence brings the marks to `due`, (k,)."""
        return self.seen[code] + (due - self.at[code])
