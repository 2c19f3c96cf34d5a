"""Cron: when the clock of a place shows what five fields say. Pure; no clock of its own.

Days of summer time: a moment that the clock skips (02:30 in the night it is put forward) fires at
the first moment after the gap, once. A moment that it shows twice fires the first time only, unless
the hour is ``*``: then each hour that passes has its turn.

Source: POSIX.1-2017, crontab: of day of month and day of week either fits when both are given.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import product
from typing import Final

_NAMES: Final = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "weekday": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_RANGES: Final = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day", 1, 31),
    ("month", 1, 12),
    ("weekday", 0, 7),
)
_SHORT: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_PART: Final = re.compile(r"(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:/([0-9]{1,2}))?\Z")
DAYS_MAX: Final = 366 * 9
"""29 February comes again after eight years at most, over 2100."""


@dataclass(frozen=True, slots=True)
class Cron:
    """Five fields: minute, hour, day of month, month, day of week.

    Args:
        minutes, hours, days, months, weekdays: What fits; Sunday is 0.
        is_every_hour: The hour was ``*``.
        is_any_day: Day of month was ``*``.
        is_any_weekday: Day of week was ``*``.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_every_hour: bool
    is_any_day: bool
    is_any_weekday: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Read ``minute hour day month weekday``, with ``*``, lists, ranges, steps and names.

        Raises:
            ValueError: It is none, or a day that never comes.

        >>> Cron.parse("*/20 6-8 * * mon-fri").minutes
        (0, 20, 40)
        """
        fields = _SHORT.get(text.strip().lower(), text).lower().split()
        if len(fields) != 5:
            raise ValueError(
                f"{text!r} has {len(fields)} fields; write minute hour day month weekday, "
                "such as 30 6 * * mon-fri"
            )
        found = [_field(part, *_RANGES[i]) for i, part in enumerate(fields)]
        made = cls(
            tuple(sorted(found[0])),
            tuple(sorted(found[1])),
            frozenset(found[2]),
            frozenset(found[3]),
            frozenset(day % 7 for day in found[4]),
            fields[1] == "*",
            fields[2] == "*",
            fields[4] == "*",
        )
        if made.is_any_weekday and min(made.days) > max(_days_in(m) for m in made.months):
            raise ValueError(f"{text!r}: that day never comes")
        return made

    def after(self, ts: int, zone: tzinfo) -> int:
        """The first moment later than a time [ns].

        Args:
            ts: The time.
            zone: Of the clock on the wall.
        """
        moment = datetime.fromtimestamp(ts // 10**9, zone)
        day = moment.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        day -= timedelta(days=1)  # A gap may carry what was before midnight behind it.
        for _ in range(DAYS_MAX):
            if self._is_day(day):
                moments = _moments(self, day, zone)
                if (place := bisect_right(moments, ts)) < len(moments):
                    return moments[place]
            day += timedelta(days=1)
        raise ValueError("It never comes.")

    def _is_day(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        is_day, is_weekday = day.day in self.days, (day.isoweekday() % 7) in self.weekdays
        if self.is_any_day or self.is_any_weekday:
            return is_day and is_weekday
        return is_day or is_weekday


@lru_cache(maxsize=8)  # Of one day after the other many moments are asked for.
def _moments(cron: Cron, day: datetime, zone: tzinfo) -> tuple[int, ...]:
    """All moments of a day [ns], in order."""
    found: set[int] = set()
    for hour, minute in product(cron.hours, cron.minutes):
        wall = day.replace(hour=hour, minute=minute)
        for fold in (0, 1) if cron.is_every_hour else (0,):
            if (ts := _moment(wall.replace(tzinfo=zone, fold=fold))) is not None:
                found.add(ts)
            elif not cron.is_every_hour:
                found.add(_end_of_gap(wall, zone))
    return tuple(sorted(found))


def _moment(wall: datetime) -> int | None:
    """When a clock shows this [ns]; None when it never does, because it is put forward."""
    ts = int(wall.timestamp())
    shown = datetime.fromtimestamp(ts, wall.tzinfo).replace(tzinfo=None)
    return ts * 10**9 if shown == wall.replace(tzinfo=None, fold=0) else None


def _end_of_gap(wall: datetime, zone: tzinfo) -> int:
    """The first moment after the hole in which a time of the clock on the wall lies [ns]."""
    low = int((wall - timedelta(hours=26)).replace(tzinfo=UTC).timestamp())
    high = int((wall + timedelta(hours=26)).replace(tzinfo=UTC).timestamp())
    while high - low > 1:  # The clock on the wall never shows a smaller time by more than a gap.
        middle = (low + high) // 2
        shown = datetime.fromtimestamp(middle, zone).replace(tzinfo=None)
        low, high = (middle, high) if shown < wall else (low, middle)
    return high * 10**9


def _field(text: str, name: str, low: int, high: int) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.match(part)
        if match is None:
            raise ValueError(f"{part!r} is no {name}")
        first, last, step = match.groups()
        if first == "*":
            if last:
                raise ValueError(f"{part!r} is no {name}")
            begin, end = low, min(high, 6) if name == "weekday" else high
        else:
            begin = _value(first, name, low, high)
            end = _value(last, name, low, high) if last else (high if step else begin)
        if begin > end or step == "0" or step == "00":
            raise ValueError(f"{part!r} is no {name}: from the smaller to the larger")
        found |= set(range(begin, end + 1, int(step or 1)))
    return found


def _value(text: str, name: str, low: int, high: int) -> int:
    names = _NAMES.get(name, ())
    if text in names:
        return names.index(text) + (1 if name == "month" else 0)
    if not text.isdecimal() or len(text) > 2 or not low <= int(text) <= high:
        raise ValueError(f"{text!r} is no {name}: it goes from {low} to {high}")
    return int(text)


def _days_in(month: int) -> int:
    return 29 if month == 2 else 30 if month in (4, 6, 9, 11) else 31


__all__ = ["Cron"]
