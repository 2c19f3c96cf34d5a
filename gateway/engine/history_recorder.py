"""Recorder: samples on their way from the event loop to the files of history.

The loop puts samples into a bounded queue and never waits. A thread writes them down as they
came every few seconds, and cuts them by tag every ten minutes; readers on other threads see what
is in memory at any moment.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from gateway.data.batch import EMPTY, Batch
from gateway.data.downsample import DAY_NS, in_order
from gateway.data.tag import TagTable
from gateway.engine.history_days import Days, HistoryLimits, by_tag, room_of
from gateway.engine.store_history import DayFile

_log = logging.getLogger("genba.history")
_SLICE: Final = 32
"""Tags that are cut in one go (10 ms); then others have a turn."""
_AHEAD_NS: Final = DAY_NS
"""A timestamp that is further ahead is that of a device with a wrong clock."""


class Recorder:
    """Takes samples in, writes them down, and gives those back that are still in memory.

    Args:
        folder: Where the days are kept.
        tags: Names of codes.
        limits: How much may be kept.
        is_short: Whether the reserve of the state file was given up.
        room: How much is free on the disk, and how large it is [bytes].
    """

    def __init__(
        self,
        folder: Path,
        tags: TagTable,
        limits: HistoryLimits | None = None,
        *,
        is_short: Callable[[], bool] = lambda: False,
        room: Callable[[Path], tuple[int, int]] = room_of,
    ) -> None:
        self.limits = limits or HistoryLimits()
        self.tags = tags
        self.days = Days(folder, self.limits, self._say, is_short, room)
        self._said: deque[tuple[str, str]] = deque(maxlen=100)
        self._waiting: deque[Batch] = deque()
        self._came = self._left = 0  # The loop counts the one, the thread the other.
        self._lock = threading.Lock()
        """Held by the thread and by readers, never by the event loop."""
        self._parts: list[Batch] = []
        self._cutting: list[Batch] = []
        self._plan: deque[tuple[int, Batch]] = deque()
        self._marks: dict[int, int] = {}
        self._trouble = ""
        self.broken: set[int] = set()
        """Days in which a reader found damage; they are put aside by the thread."""
        self.damaged = 0
        """Pieces that could not be read."""
        self._damage_told: set[int] = set()
        self.rows = 0
        """Rows that were written down."""
        self._overflowed = self._lost = 0  # Again the one is the loop's, the other the thread's.
        self.outside = 0
        """Rows with a time that is no day of ours, such as those of a device in 1970."""

    # ------------------------------------------------------------------ in

    def take(self, batch: Batch) -> None:
        """Take samples in; called on the event loop with all that leaves a port."""
        self._waiting.append(batch)
        self._came += len(batch.tag)
        if self._came - self._left > self.limits.waiting_rows_max:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        while self._came - self._left > self.limits.waiting_rows_max:
            try:
                rows = len(self._waiting.popleft())
            except IndexError:
                return  # The thread was faster.
            self._came -= rows
            self._overflowed += rows

    @property
    def dropped(self) -> int:
        """Rows that were lost because the disk could not follow or had no room."""
        return self._overflowed + self._lost

    def _say(self, level: str, text: str) -> None:
        _log.log(logging.ERROR if level == "error" else logging.INFO, "%s", text)
        self._said.append((level, text))

    # ------------------------------------------------------------------ the thread's side

    @property
    def waiting_rows(self) -> int:
        """Rows that have not been written down."""
        return max(self._came - self._left, 0)

    @property
    def memory_rows(self) -> int:
        """Rows in memory that wait to be cut."""
        return sum(len(part) for part in self._parts)

    def flush(self, now: int) -> None:
        """Write down what waits, as it came.

        Args:
            now: The time [ns].

        Raises:
            Disconnected: The disk refuses; the rows stay in memory for the next cut.
        """
        for day in sorted(self.broken):
            self.broken.discard(day)
            self.days.put_aside(day, f"{self.days.path(day).name} is damaged.")
        with self._lock:
            came = self._drained()
            if not len(came):
                return
            self._parts.append(came)
        rows = self._of_our_days(came, now)
        self._parts[-1] = rows = in_order(rows)
        if self.days.is_stopped:
            self._give_up(1)
            return
        if self.memory_rows > 2 * self.limits.memory_rows_max:
            self._give_up(len(self._parts) // 2)
        for day, part in by_day(rows):
            if self.days.write(day, partial(_add_tail, part, self.tags.name)):
                self.rows += len(part)
            else:
                self.outside += len(part)
        self._trouble = ""

    def _drained(self) -> Batch:
        """All that waits as one batch, in the order in which it came."""
        taken = []
        while self._waiting:
            try:
                taken.append(self._waiting.popleft())
            except IndexError:
                break  # It was dropped just now.
        rows = Batch.concat(taken) if taken else EMPTY
        self._left += len(rows)
        return rows

    def _of_our_days(self, rows: Batch, now: int) -> Batch:
        """Without what no day of ours can hold: a device whose clock is wrong by years."""
        first = now - self.limits.history_days_max * DAY_NS
        ours = (rows.ts >= first) & (rows.ts < now + _AHEAD_NS)
        if ours.all():
            return rows
        self.outside += len(rows) - int(np.count_nonzero(ours))
        return rows.where(ours)

    def _give_up(self, parts: int) -> None:
        """Drop rows that could not be written, the oldest first, so that memory has a limit."""
        with self._lock:
            lost, self._parts = self._parts[:parts], self._parts[parts:]
        self._lost += sum(len(part) for part in lost)

    def begin_cut(self) -> None:
        """Plan to cut all rows in memory by day and tag, unless a plan is still under way."""
        if self._plan:
            return
        if self.days.is_stopped:
            self._give_up(len(self._parts))
            return
        days = by_day(in_order(Batch.concat(self._parts)))
        for day, _ in days:
            self.days.write(day, partial(self._mark, day))
        with self._lock:
            self._cutting, self._parts = self._parts, []
        for day, part in days:
            self._plan.extend((day, one) for _, one in by_tag(part))
        if not self._plan:
            self._end_cut()

    def _mark(self, day: int, file: DayFile) -> None:
        """Tails up to this one need not stay once all is cut."""
        self._marks[day] = file.last_tail()

    def cut_some(self) -> bool:
        """Cut some tags; True while there are more.

        Raises:
            Disconnected: The disk refuses; they stay in memory and are tried again.
        """
        if not self._plan:
            return False
        day = self._plan[0][0]
        some: list[tuple[str, Batch]] = []
        for at, rows in self._plan:
            if at != day or len(some) == _SLICE:
                break
            some.append((self.tags.name(int(rows.tag[0])), rows))
        if self.days.is_stopped:
            self._lost += sum(len(rows) for _, rows in some)
        else:
            self.days.write(day, lambda file: file.add_blocks(some))
        for _ in some:
            self._plan.popleft()
        if not self._plan:
            self._end_cut()
        return bool(self._plan)

    def _end_cut(self) -> None:
        for day in self._marks.keys() & set(self.days.listed()):
            last = self._marks[day]
            self.days.write(day, partial(_drop_tails, last))
        self._marks = {}
        with self._lock:
            self._cutting = []

    # ------------------------------------------------------------------ out

    def recent(self, code: int, start: int, end: int) -> Batch:
        """Rows of a tag in [start, end) [ns] that are in memory, in the order they came.

        To be called before the files are read: what leaves memory meanwhile is in them.
        """
        return self.recent_of((code,), start, end)

    def recent_of(self, codes: Sequence[int], start: int, end: int) -> Batch:
        """The same of some tags, in one pass over what is in memory."""
        with self._lock:
            parts = [*self._cutting, *self._parts, Batch.concat(list(self._waiting.copy()))]
        wanted = np.zeros(self.tags.limit, np.bool_)
        wanted[list(codes)] = True
        found = []
        for part in parts:
            mine = (part.ts >= start) & (part.ts < end) & wanted[part.tag]
            if mine.any():
                found.append(part.where(mine))
        return Batch.concat(found)

    def found_damage(self, day: int, blocks: int) -> None:
        """A reader could not read some blocks of a day; it is said once a day."""
        self.damaged += blocks
        if day not in self._damage_told:
            self._damage_told.add(day)
            name = self.days.path(day).name
            self._say(
                "error",
                f"{name} is damaged in places ({blocks}): the trends of that day have holes.",
            )


def _add_tail(rows: Batch, name_of: Callable[[int], str], file: DayFile) -> None:
    file.add_tail(rows, name_of)


def _drop_tails(last: int, file: DayFile) -> None:
    file.drop_tails(last)


def by_day(rows: Batch) -> list[tuple[int, Batch]]:
    """Rows cut by the day of their time, in UTC; their order stays within a day."""
    if not len(rows):
        return []
    day = rows.ts // DAY_NS
    if day[0] == day[-1] and (day == day[0]).all():
        return [(int(day[0]), rows)]
    return [(int(one), rows.where(day == one)) for one in np.unique(day)]
