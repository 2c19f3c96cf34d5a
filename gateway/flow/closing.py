"""Closing: rows on their way into windows, as arrays; parts of `gateway.flow.windowing`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.data.batch import Batch
from gateway.data.ragged import Index, Mask, Times, falls_within, lengths, ranges
from gateway.data.ring import Rows
from gateway.data.watermark import NEVER
from gateway.data.windows import Windows
from gateway.flow.node import Message, Outputs


@dataclass(slots=True)
class Run:
    """The n rows of one call that count, grouped by their k tags."""

    order: Index
    """Place of each row in the message, (n,)."""
    rows: Rows
    starts: Index
    """Where each tag's rows begin, (k,)."""
    before: Times
    """The watermark of the tag when the row arrived, (n,)."""
    after: Times

    @property
    def tag(self) -> NDArray[np.uint16]:
        """The tag of each row, (n,)."""
        return np.repeat(self.rows.code, self.rows.count)

    @property
    def last(self) -> Times:
        """The watermark of each tag after all its rows, (k,)."""
        last: Times = self.after[self.starts + self.rows.count - 1]
        return last


@dataclass(slots=True)
class Pending:
    """All waiting rows of k tags, sorted by (tag, ts, arrival)."""

    rows: Rows
    starts: Index
    group: Index
    """Which of the k tags each row belongs to, (n,)."""
    arrival: Index
    """Place in the message, or -1 for rows from earlier, (n,)."""
    floor: Times
    """Watermark up to which windows were closed before, (k,)."""
    mark: Times
    """Watermark up to which they are to be closed now, (k,)."""

    def sort(self) -> None:
        """Bring the rows of each tag into the order of (ts, arrival)."""
        rows = self.rows
        if not falls_within(rows.ts, self.starts):
            return
        order = np.lexsort((rows.ts, self.group))  # Stable, so ties stay as they arrived.
        self.rows = Rows(
            rows.code, rows.count, rows.ts[order], rows.value[order], rows.quality[order]
        )
        self.arrival = self.arrival[order]

    def least(self, values: Times, mask: Mask) -> Times:
        """The least value of each tag where the mask holds, else NEVER; (k,)."""
        return np.minimum.reduceat(np.where(mask, values, NEVER), self.starts)


@dataclass(slots=True)
class Closed:
    """w windows that close: rows ``low[i]`` to ``high[i]`` of the Pending they come from."""

    low: Index
    high: Index
    start: Times
    end: Times
    at: Times
    """The watermark that closes each."""
    own: Index | None = None
    """Arrival of the row that made each, where a window cannot close before it came."""


def whole_runs(head: Mask, done: Mask) -> tuple[Index, Index]:
    """(low, high) of the windows that are done; each begins at a head and is done as a whole."""
    rows = done.nonzero()[0]
    first = head[rows].nonzero()[0]
    return rows[first], rows[first + lengths(first, len(rows)) - 1] + 1


def windows_of(rows: Rows, group: Index, closed: Closed, order: Index) -> Windows:
    """The closed windows in a given order, with copies of their rows."""
    low = closed.low[order]
    count = closed.high[order] - low
    tag = rows.code[group[order]]
    offset = np.zeros(len(low) + 1, np.intp)
    count.cumsum(out=offset[1:])
    at: Index | slice
    at = slice(int(low[0]), int(low[0] + count[0])) if len(low) == 1 else ranges(low, count)
    batch = Batch(tag.repeat(count), rows.ts[at], rows.value[at], rows.quality[at])
    return Windows(tag, closed.start[order], closed.end[order], offset, batch)


def sorted_windows(windows: Windows) -> Windows:
    """Windows cut by arrival, with rows by (ts, arrival) and from the first to the last."""
    rows, starts = windows.rows, windows.offset[:-1]
    if falls_within(rows.ts, starts):
        of = np.repeat(np.arange(len(windows)), windows.count)
        rows = rows.where(np.lexsort((rows.ts, of)))
    return Windows(
        windows.tag, rows.ts[starts], rows.ts[windows.offset[1:] - 1], windows.offset, rows
    )


def outputs(out: list[Windows], late: list[Batch]) -> Outputs:
    """What a window node sends; an empty message is never sent."""
    found: dict[str, Message] = {}
    if out:
        found["out"] = Windows.concat(out)
    if late:
        found["late"] = Batch.concat(late)
    return found


def nanoseconds(seconds: float) -> int:
    """Seconds as whole nanoseconds.

    >>> nanoseconds(1.5)
    1500000000
    """
    return round(seconds * 1e9)
