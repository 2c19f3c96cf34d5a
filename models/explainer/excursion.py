"""Excursion: from when until when a signal was away from its usual course."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from models.explainer import silence
from models.explainer.column import Column, Floats
from models.explainer.course import Course, learn

_REFERENCE_SHARE = 0.2
_FEW = 8
CAP = 6.0
"""Departures beyond it count as it, so that one stray sample is not an event [sd]."""

_DRIFT = 1.6  # Half of the least shift that is looked for [sd].
_PATIENCE = 8.0
OUTSIDE = 4.0
"""Departure that counts as being away [sd]: of normal noise one sample in 16,000."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a signal did, against its usual course.

    Args:
        course: The usual course, learnt before the onset.
        column: The samples.
        departure: Their departures from the course, (n,).
        sigmas: The same in standard deviations, (n,).
        first: The first sample of the excursion; -1 when there is none.
        last: The last sample of it.
        sign: 1 when it went up, -1 when it went down.
        is_over: Whether the signal has come back since.
    """

    course: Course
    column: Column
    departure: Floats
    sigmas: Floats
    first: int = -1
    last: int = -1
    sign: float = 1.0
    is_over: bool = False


class Courses:
    """What is usual for one column, each thing of it learnt once."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self._kept: dict[int, Course | None] = {}
        self._against: dict[int, Found | None] = {}
        self._gap = math.nan

    @property
    def least_gap(self) -> float:
        """How long samples must be missing to be a hole, where no alarm says that they are [s]."""
        if math.isnan(self._gap):
            self._gap = silence.least_gap(self.column)
        return self._gap

    def until(self, count: int) -> Course | None:
        """Learnt from the first `count` samples; None of fewer than two."""
        if count not in self._kept:
            self._kept[count] = learn(self.column.t[:count], self.column.x[:count])
        return self._kept[count]

    def against(self, count: int) -> Found | None:
        """All samples against the course of the first `count`, without a search."""
        if count not in self._against:
            self._against[count] = against(self.column, self.until(count))
        return self._against[count]


def find(courses: Courses, start_s: float = 0.0) -> Found | None:
    """The excursion a signal is or was in at `start_s` [s after the alarm], looking backward.

    The usual course is learnt twice: from the older samples, and then, once it is known when the
    excursion began, from all before that.

    Returns:
        None when there are not two samples from before.
    """
    column, t = courses.column, courses.column.t
    before = column.index(min(start_s, 0.0)) + 1
    if before < 2:
        return None
    span = float(t[before - 1] - t[0])
    count = int(np.searchsorted(t, t[before - 1] - _REFERENCE_SHARE * span, "right"))
    count = before if count < _FEW else count
    found = _searched(courses.against(count), start_s)
    if found is None or found.first < 0:
        return found
    until = found.first if found.first >= _FEW else before
    if until == count or until < max(_FEW, count // 2):
        return _known(found)
    again = _searched(courses.against(until), start_s)
    is_lost = again is None or (again.first < 0 and found.first >= _FEW)
    return _known(found if is_lost else again)


def _known(found: Found | None) -> Found | None:
    """Without an excursion that began before all samples: then its usual course is not known."""
    if found is None or found.first < 0 or found.first >= _FEW:
        return found
    return replace(found, first=-1, last=-1)


def against(column: Column, course: Course | None) -> Found | None:
    """The samples against a course, without a search for an excursion."""
    if course is None:
        return None
    departure = column.x - course.expected(column.t)
    return Found(course, column, departure, course.sigmas(column.t, departure))


def _searched(found: Found | None, start_s: float) -> Found | None:
    at = -1 if found is None else _outside(found, found.column.index(start_s))
    if found is None or at < 0:
        return found
    sign = 1.0 if found.sigmas[at] > 0.0 else -1.0
    first, last, is_over = extent(np.clip(sign * found.sigmas, -CAP, CAP) - _DRIFT, at)
    return replace(found, first=first, last=last, sign=sign, is_over=is_over)


def _outside(found: Found, at: int) -> int:
    """The newest sample up to `at` that is away for sure; -1 when there is none."""
    course, departure = found.course, found.departure[: at + 1]
    room = 0.25 * (course.high - course.low)
    far = (departure > course.high + room) | (departure < course.low - room)
    hits = np.flatnonzero(far & (np.abs(found.sigmas[: at + 1]) > OUTSIDE))
    return int(hits[-1]) if len(hits) else -1


def extent(weight: Floats, at: int, patience: float = _PATIENCE) -> tuple[int, int, bool]:
    """First and last sample of the excursion around `at`, and whether usual samples follow.

    The sum of the weights is greatest where the change most likely was; the search ends where it
    has fallen by `patience` from its top, since what lies beyond is another event.
    Source: Page (1954), "Continuous inspection schemes", Biometrika 41, 100, run backward, with the
    estimate of the change point of Hinkley (1971), Biometrika 58, 509.
    """
    back = at - _reach(weight[at::-1], patience)[0]
    steps, is_over = _reach(weight[at:], patience)
    return back, at + steps, is_over


def _reach(weight: Floats, patience: float) -> tuple[int, bool]:
    total = np.cumsum(weight)
    top = np.maximum.accumulate(total)
    fallen = np.flatnonzero(top - total > patience)
    end = int(fallen[0]) if len(fallen) else len(total)
    steps = int(np.argmax(total[:end]))
    return steps, bool(len(fallen)) or float(top[-1] - total[-1]) > 0.5 * patience
