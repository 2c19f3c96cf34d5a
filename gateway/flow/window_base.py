"""Window base: the state of a node that cuts windows, what it decides, and how it closes them.

`gateway.flow.windowing` builds on it: rows on their way in, and timers.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.data.batch import Batch
from gateway.data.ragged import Index, Mask, Times, falls_within
from gateway.data.ring import Ring, Rows
from gateway.data.watermark import BEGIN, NEVER, Watermark
from gateway.data.windows import Windows
from gateway.flow.closing import Closed, Pending, Run, nanoseconds, sorted_windows, windows_of
from gateway.flow.config import Config
from gateway.flow.node import Context, Port, Transform
from gateway.flow.select import TagSelect
from gateway.flow.window_config import BoundedConfig, WindowConfig

W = TypeVar("W", bound=BoundedConfig)
_PATIENCE = ("lateness_s", "future_max_s")
_FIRST = np.zeros(1, np.intp)  # Where the rows of the only tag begin.


class WindowBase(Transform[W, Batch]):
    """State and closing of windows by event time; see `windowing.WindowTransform`."""

    Config: ClassVar[type[Config]] = WindowConfig
    by_arrival: ClassVar[bool] = False  # True: `close` sees rows in order of arrival.
    outputs: ClassVar[tuple[Port, ...]] = (
        Port("out", "windows", "Windows that closed."),
        Port("late", "samples", "Rows after their window, from the future, or without room."),
    )

    def __init__(self, config: W, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._select = TagSelect(config.tags, ctx.tags)
        late = config.lateness_s if isinstance(config, WindowConfig) else 0
        self._lateness = nanoseconds(late)
        self._ring = self.keep("rows", Ring(ctx.tags.limit, config.rows_max))
        self._clock = Watermark(
            self.per_tag("watermark", BEGIN, np.int64),
            self.per_tag("seen", 0, np.int64),
            self._lateness,
        )
        # A lower bound of the watermark at which a window of the tag closes; NEVER: no rows.
        self._due = self.per_tag("due", NEVER, np.int64)
        self._future = nanoseconds(config.future_max_s)

    def keeps(self, old: W) -> bool:
        """Rows and watermarks mean the same however long a window waits for late rows."""
        return old == self.config.model_copy(
            update={name: getattr(old, name) for name in _PATIENCE if hasattr(old, name)}
        )

    def judge(self, run: Run) -> tuple[Mask, Mask, Times]:
        """(keep, late, due), (n,) each: rows to store, rows too late, when each is due."""
        raise NotImplementedError

    def close(self, pending: Pending) -> tuple[Closed, Mask, Times]:
        """Windows that close at the marks, rows to keep (n,), and when tags are due (k,)."""
        raise NotImplementedError

    def alone(self, row: Batch, code: int, ts: int, before: int, after: int) -> int | None:
        """When a tag is due once one row came, where that is plain; None: ask `judge`."""
        return None

    def whole(self, first: int, last: int, mark: int) -> tuple[int, int] | None:
        """(start, end) of the window that holds rows from first to last [ns] and no others.

        It closes at its end, which the mark has reached. None: ask `close`.
        """
        return None

    def cut(self, run: Run, keep: Mask) -> int:
        """Rows to work on before the rest, where one call could not tell them apart; 0: all."""
        return 0

    def note_due(self, run: Run, keep: Mask, due: Times) -> None:
        """Remember when the tags of a run are due."""
        least = np.minimum.reduceat(np.where(keep, due, NEVER), run.starts)
        code = run.rows.code
        self._due[code] = np.minimum(self._due[code], least)

    def _waiting(self) -> Index:
        """Codes of the tags with rows; only of tags that exist, which may be few of many."""
        return (self._due[: len(self.ctx.tags)] < NEVER).nonzero()[0]

    def _pending(self, code: NDArray[np.uint16], floor: Times, mark: Times) -> Pending:
        rows = self._ring.gather(code)
        ends = rows.count.cumsum()
        group = np.arange(len(code)).repeat(rows.count)
        arrival = np.full(len(rows.ts), -1, np.intp)
        return Pending(rows, ends - rows.count, group, arrival, floor, mark)

    def _close_whole(self, code: int, mark: int) -> Windows | None:
        """The plain case of `_close_one` in plain numbers: all rows of a tag are one window."""
        tag = np.array([code], np.uint16)
        rows = self._ring.gather(tag)
        n = len(rows.ts)
        if n == 0 or falls_within(rows.ts, _FIRST):
            return None
        span = self.whole(int(rows.ts[0]), int(rows.ts[-1]), mark)
        if span is None:
            return None
        self._ring.clear(code)
        self._due[code] = NEVER
        start, end = span
        batch = Batch(tag.repeat(n), rows.ts, rows.value, rows.quality)
        return Windows(tag, np.array([start]), np.array([end]), np.array([0, n]), batch)

    def _close_one(self, code: int, before: int, after: int, out: list[Windows]) -> None:
        """Close what a tag's last row closes, which is in the ring."""
        pending = self._pending(np.array([code], np.uint16), np.array([before]), np.array([after]))
        pending.arrival[-1] = 0
        closed = self._shut(pending)
        if len(closed.low):
            out.append(self._windows(pending, closed, closed.start.argsort(kind="stable")))

    def _shut(self, pending: Pending) -> Closed:
        """What closes; the ring keeps the rest."""
        if not self.by_arrival:
            pending.sort()
        closed, rest, due = self.close(pending)
        rows = pending.rows
        count = np.add.reduceat(rest, pending.starts, dtype=np.intp)
        self._ring.put(Rows(rows.code, count, rows.ts[rest], rows.value[rest], rows.quality[rest]))
        self._due[rows.code] = due
        return closed

    def _windows(self, pending: Pending, closed: Closed, order: Index) -> Windows:
        windows = windows_of(pending.rows, pending.group[closed.low], closed, order)
        return sorted_windows(windows) if self.by_arrival else windows
