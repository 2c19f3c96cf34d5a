"""Look: what one tag did around the alarm, with what is usual for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from models.explainer import excursion, shape, silence
from models.explainer.column import Column
from models.explainer.course import Course
from models.explainer.excursion import Courses, Found
from models.explainer.shape import Form


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The form of what a signal did; its usual course; and its excursion, where it had one.

    Args:
        form: Shape, direction, onset and size.
        course: What is usual; None where nothing is known from before.
        found: The samples against the course; None for a dropout.
        end_s: When it was over, or the samples end [s after the alarm].
    """

    form: Form
    course: Course | None
    found: Found | None
    end_s: float


def at(
    column: Column,
    condition: str,
    now_s: float,
    *,
    low: float,
    high: float,
    start_s: float = 0.0,
    courses: Courses | None = None,
) -> Look:
    """Look at one tag.

    Args:
        column: Its samples until now.
        condition: That of the alarm, where it is the alarmed tag; else empty.
        now_s: Until when there could be samples [s after the alarm].
        low: Low end of its range; NaN when unknown.
        high: High end of it.
        start_s: From when an excursion is searched for, backward.
        courses: What was learnt of the column before, when it is looked at again.
    """
    courses = courses or Courses(column)
    least = None if condition in silence.LOST else courses.least_gap
    hole = silence.dropout(column, condition, now_s, least)
    if hole is not None and not _is_of_values(condition, courses, hole[0], start_s):
        count = column.index(hole[0])  # The sample at its begin is lost, or bad.
        return Look(Form("dropout", "none", hole[0]), courses.until(count + 1), None, hole[1])
    still = silence.standstill(column)
    found = None
    if still is not None:
        found = excursion.against(column, courses.until(still[0]))
    if found is None:
        found = excursion.find(courses, start_s)
    if found is None:
        return Look(Form(), None, None, start_s)
    form = shape.of(found, low, high, still, start_s)
    form = replace(form, is_new=_is_new(form, found, now_s))
    last = still[1] if still is not None else found.last
    end = float(column.t[last]) if last >= 0 else start_s
    return Look(form, found.course, found, now_s if form.shape in ("noise", "oscillation") else end)


def _is_of_values(condition: str, courses: Courses, begin_s: float, start_s: float) -> bool:
    """Whether the alarm is of values that were away already when samples began to be missing.

    A busy line or machine loses some samples; that is no answer to why a value rose before.
    """
    if condition in ("", *silence.LOST):
        return False
    found = excursion.find(courses, start_s)
    last = courses.column.index(begin_s)
    return found is not None and 0 <= found.first <= last <= found.last


def _is_new(form: Form, found: Found, now_s: float) -> bool:
    """Whether a jump is younger than a spike may last, so that nobody can know which it is."""
    if form.shape != "step" or found.is_over:
        return False
    known = found.course.to_s - found.course.from_s
    short = min(shape.SHORT_S, shape.SHORT_SHARE * known)
    return now_s - form.onset_s <= max(short, shape.SHORT_ROWS * found.column.every)
