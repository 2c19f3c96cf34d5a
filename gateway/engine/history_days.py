"""The folder of history: which days are kept, and what goes first when there is no room.

History gives way before anything else: with the disk nearly full its oldest days go, then it
stops, while the journal still has all the room that history kept free.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from gateway.data.batch import Batch
from gateway.data.downsample import DAY_NS, in_order
from gateway.engine.store_history import DayFile
from gateway.errors import Disconnected, StateError

_EPOCH: Final = date(1970, 1, 1).toordinal()
_OPEN_MAX: Final = 4
_DAMAGED_MAX: Final = 2
ROOM_BYTES_MIN: Final = 256 * 1024 * 1024
"""Room on the disk that history leaves to others: four times the ballast of the state file."""
_ROOM_SHARE: Final = 10  # On a small disk it is a tenth.
_AGAIN: Final = 1.5  # Times that room must be free before history goes on.


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """How much history may be kept.

    Args:
        history_days_max: Days, the newest that hold something; 0 keeps none.
        history_bytes_max: Bytes of all days together.
        waiting_rows_max: Rows that may wait in memory for the disk; then the oldest are dropped.
        memory_rows_max: Rows that may wait to be cut into blocks.
    """

    history_days_max: int = 40
    history_bytes_max: int = 8 * 1024**3
    waiting_rows_max: int = 200_000
    memory_rows_max: int = 600_000


def name_of_day(day: int) -> str:
    """A day counted from 1970-01-01, in UTC, as its file is called.

    >>> name_of_day(0), name_of_day(20783)
    ('1970-01-01', '2026-11-26')
    """
    return date.fromordinal(_EPOCH + day).isoformat()


def room_of(folder: Path) -> tuple[int, int]:
    """Bytes that are free on the disk of a folder, and bytes that it has in all."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


class Days:
    """The files of all days, for the thread that writes them.

    Args:
        folder: Where they are; made when absent.
        limits: How much may be kept.
        say: Called with (level, sentence) for people.
        is_short: Whether the reserve of the state file was given up.
        room: How much is free on the disk, and how large it is [bytes].
    """

    def __init__(
        self,
        folder: Path,
        limits: HistoryLimits,
        say: Callable[[str, str], None],
        is_short: Callable[[], bool],
        room: Callable[[Path], tuple[int, int]] = room_of,
    ) -> None:
        self.folder = folder
        self._limits = limits
        self._say = say
        self._is_short = is_short
        self._room = room
        self._open: dict[int, DayFile] = {}
        self.is_stopped = False
        """True while there is no room: nothing is written."""
        self._is_giving_way = False

    def listed(self) -> list[int]:
        """The days there are, oldest first."""
        return sorted(d for path in self.folder.glob("*.db") if (d := _day_of(path)) is not None)

    def path(self, day: int) -> Path:
        """The file of a day."""
        return self.folder / f"{name_of_day(day)}.db"

    def bytes_of(self, day: int) -> int:
        """Bytes of a day on the disk, with its log."""
        return sum(_size(path) for path in _files(self.path(day)))

    def bytes(self) -> int:
        """Bytes of all days."""
        return sum(self.bytes_of(day) for day in self.listed())

    def write(self, day: int, work: Callable[[DayFile], None]) -> bool:
        """Do something with the file of a day; one that is damaged is put aside first.

        Returns:
            False when the day is older than all that are kept, and there is no place for more.

        Raises:
            Disconnected: The disk is away or full.
        """
        try:
            file = self._at(day)
            if file is None:
                return False
            work(file)
        except StateError as error:
            self.put_aside(day, str(error))
            file = self._at(day)
            if file is None:
                return False
            try:
                work(file)
            except StateError as again:  # An empty file is damaged at once: so is the disk.
                raise Disconnected(str(again)) from again
        return True

    def _at(self, day: int) -> DayFile | None:
        file = self._open.pop(day, None)
        if file is None:
            known = self.listed()
            is_new = day not in known
            if is_new and len(known) >= self._limits.history_days_max and day < known[0]:
                return None
            while len(self._open) >= _OPEN_MAX:
                self._open.pop(next(iter(self._open))).close()
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise Disconnected(f"{self.folder} cannot be made: {error}.") from error
            file = DayFile(self.path(day))
            self._cut_tails(file)
        self._open[day] = file  # The newest is last.
        return file

    def _cut_tails(self, file: DayFile) -> None:
        """What a process before this one left as it came is cut by tag."""
        try:
            last = file.last_tail()
            if not last:
                return
            tails, lost = file.tails()
            if tails:
                file.add_numbered(by_tag(in_order(Batch.concat(tails))))
            file.drop_tails(last)
        except BaseException:
            file.close()
            raise
        if lost:
            self._say(
                "error", f"{file.path.name} is damaged in places ({lost}): its trends have holes."
            )

    def cut_all_tails(self) -> None:
        """Cut what processes before this one left; a day that cannot be opened is passed over."""
        for day in self.listed():
            try:
                self.write(day, lambda file: None)
            except Disconnected as error:
                self._say("error", f"A day of history cannot be opened: {error}")

    # ------------------------------------------------------------------ what goes

    def put_aside(self, day: int, why: str) -> None:
        """Give a damaged file another name, and say so; of such files the newest two stay."""
        self.close(day)
        path = self.path(day)
        number = 1
        while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
            number += 1
        try:
            path.rename(aside)
            for log in _files(path)[1:]:
                log.unlink(missing_ok=True)
            damaged = sorted(self.folder.glob("*.damaged-*"), key=lambda p: p.stat().st_mtime)
            for old in damaged[:-_DAMAGED_MAX]:
                old.unlink(missing_ok=True)
        except FileNotFoundError:
            pass  # It is gone, which is as well.
        except OSError as error:
            raise Disconnected(f"{path} cannot be put aside: {error}.") from error
        self._say(
            "error",
            f"{why} It was put aside as {aside.name}; the trends of that day begin anew. "
            "Nothing else is kept in it.",
        )

    def drop(self, day: int) -> None:
        """Delete a day."""
        self.close(day)
        for path in _files(self.path(day)):
            path.unlink(missing_ok=True)

    def tidy(self, now: int) -> None:
        """Drop the oldest days while there are too many or there is too little room.

        Which days are the newest is told by their names, not by the clock: one that is set to
        another year must not cost all history.

        Args:
            now: The time [ns]; a day that is over goes also when it is the only one.

        Raises:
            OSError: The disk is away.
        """
        limits, today = self._limits, now // DAY_NS
        for day in [day for day in self._open if day < today - 1]:
            self.close(day)  # Its log is folded and goes.
        days = self.listed()
        sizes = {day: self.bytes_of(day) for day in days}
        while len(days) > limits.history_days_max or (
            sum(sizes.values()) > limits.history_bytes_max and (len(days) > 1 or days[0] < today)
        ):
            sizes.pop(days[0])
            self.drop(days.pop(0))
        is_large = sum(sizes.values()) > limits.history_bytes_max
        if not self.folder.exists():
            return
        free, whole = self._room(self.folder)
        wanted = min(ROOM_BYTES_MIN, whole // _ROOM_SHARE)
        dropped = 0
        while free < wanted and (len(days) > 1 or (days and self._is_short())):
            dropped += 1
            self.drop(days.pop(0))
            free, _ = self._room(self.folder)
        self._tell_room(dropped, free, wanted, is_large=is_large)

    def _tell_room(self, dropped: int, free: int, wanted: int, *, is_large: bool) -> None:
        """Stop or go on, and say so once each way."""
        if dropped and not self._is_giving_way:
            self._is_giving_way = True
            self._say(
                "error",
                "The disk is short: the oldest days of history are dropped, so that the journal "
                "has room. Look at what else lies on it.",
            )
        elif free >= _AGAIN * wanted:
            self._is_giving_way = False
        is_short = free < wanted or self._is_short()
        if not self.is_stopped and (is_short or is_large):
            self.is_stopped = True
            why = "the disk is short" if is_short else "one day alone is as large as is allowed"
            self._say(
                "error",
                f"Trends are not recorded any more: {why}. All else goes on. "
                "It begins again by itself once there is room.",
            )
        elif self.is_stopped and not is_large and not is_short and free >= _AGAIN * wanted:
            self.is_stopped = False
            self._say("info", "There is room again: trends are recorded.")

    def close(self, day: int) -> None:
        """Let go of the file of a day."""
        file = self._open.pop(day, None)
        if file is not None:
            file.close()

    def close_all(self) -> None:
        """Let go of all files."""
        for day in list(self._open):
            self.close(day)


def _day_of(path: Path) -> int | None:
    try:
        return date.fromisoformat(path.stem).toordinal() - _EPOCH
    except ValueError:
        return None  # A file of somebody else.


def by_tag(rows: Batch) -> list[tuple[int, Batch]]:
    """Rows that are in order, cut where the tag changes."""
    return [(tag, rows.where(slice(index[0], index[-1] + 1))) for tag, index in rows.by_tag()]


def _files(path: Path) -> list[Path]:
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
