"""Others: what other signals did at the time of the alarm, and which of them were first."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from models.explainer import look
from models.explainer.column import Column
from models.explainer.evidence import Track
from models.explainer.excursion import Courses, Found
from models.explainer.look import Look
from models.explainer.shape import Form

OTHERS_MAX = 8
STEADY_MAX = 6
LEAD_MAX_S = 3600.0
_SIGMAS_MIN = 6.0
_SIGMAS_SURE = 9.0  # To say that something came first, or of a single sample, takes more.
_OVERLAP_S = 2.0
_TOGETHER_S = 3.0
_GRID = 256
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, eq=False)
class Other:
    """Another signal that moved: its form, and its onset and likeness relative to the alarmed."""

    track: Track
    form: Form
    lead_s: float
    correlation: float


def base(tag: str) -> str:
    """The measured tag behind a computed one.

    >>> base("press1/bearing/vibration#mean")
    'press1/bearing/vibration'
    """
    return tag.partition("#")[0]


def nearness(tag: str, other: str) -> int:
    """How many parts two names have in common from the left; more is nearer.

    >>> nearness("a/b/c/d", "a/b/x/y")
    2
    """
    ours, theirs = base(tag).split("/"), base(other).split("/")
    same = [mine == its for mine, its in zip(ours, theirs, strict=False)]
    return same.index(False) if False in same else len(same)


def is_twin(tag: str, other: str) -> bool:
    """Whether the other belongs to another machine of the same kind, told by a number.

    What happens on press 2 does not explain press 1, unless both are hit at the same moment.

    >>> is_twin("hall/press1/pump/flow", "hall/press2/oil/level")
    True
    >>> is_twin("hall/press1/pump1/flow", "hall/press1/pump2/flow")
    False
    """
    ours, theirs = base(tag).split("/"), base(other).split("/")
    at = nearness(tag, other)
    if at >= len(ours) - 1 or at >= len(theirs) - 1:
        return False
    if at == len(ours) - 2 and at > 0 and len(ours) > 2:
        return False
    mine, its = _DIGITS.sub("0", ours[at]), _DIGITS.sub("0", theirs[at])
    return mine == its


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Another tag: what it did until the alarm, and where samples go on, until now."""

    track: Track
    looks: tuple[Look, ...]
    every: float


def see(track: Track, column: Column, now_s: float) -> Seen:
    """Look at another tag, once from the alarm and once from now [s after the alarm]."""
    starts, courses = dict.fromkeys((0.0, now_s)), Courses(column)
    looks = tuple(
        look.at(column, "", now_s, low=track.low, high=track.high, start_s=start, courses=courses)
        for start in starts
    )
    return Seen(track, looks, column.every)


def moved(main: Look, tag: str, seen: Iterable[Seen], now_s: float) -> list[Other]:
    """All signals that moved with the alarmed one, the earliest onset first.

    Args:
        main: What the alarmed signal did.
        tag: Its name.
        seen: The other tags.
        now_s: Until when there could be samples [s after the alarm].
    """
    onset = main.form.onset_s if math.isfinite(main.form.onset_s) else 0.0
    if main.form.shape == "dropout" and main.found is None and main.course is None:
        seen = [replace(one, looks=tuple(filter(_is_silent, one.looks))) for one in seen]
    found = [other for one in seen if (other := _other(main, onset, tag, one, now_s)) is not None]
    found.sort(key=lambda one: (one.form.onset_s, one.track.tag))
    return found


def strongest(found: list[Other]) -> list[Other]:
    """The first of those that moved and the strongest of the rest, at most OTHERS_MAX."""
    if len(found) <= OTHERS_MAX:
        return found
    strength = [math.inf if one.form.shape == "dropout" else abs(one.form.sigmas) for one in found]
    rest = sorted(range(1, len(found)), key=lambda at: (-strength[at], at))[: OTHERS_MAX - 1]
    return [found[0], *(found[at] for at in sorted(rest))]


def steady(tag: str, seen: Iterable[Seen]) -> list[Track]:
    """Signals near the alarmed one that are on their usual course, the nearest first."""
    found = [
        one.track
        for one in seen
        if not is_twin(tag, one.track.tag)
        and all(each.course is not None and each.form.shape == "unclear" for each in one.looks)
    ]
    found.sort(key=lambda track: (-nearness(tag, track.tag), track.tag))
    return found[:STEADY_MAX]


def _other(main: Look, onset: float, tag: str, seen: Seen, now_s: float) -> Other | None:
    is_strange = is_twin(tag, seen.track.tag)
    fits = [
        one
        for one in seen.looks
        if _counts(one, onset) and (not is_strange or _is_together(one, onset))
    ]
    if not fits:
        return None
    its = fits[0]
    lead, form = math.nan, its.form
    if math.isfinite(main.form.onset_s):
        lead = form.onset_s - onset
        if abs(lead) <= _blur(main, its, seen.every):
            lead, form = 0.0, replace(form, onset_s=onset)
    alike = _correlation(main.found, its.found, onset, form.onset_s, now_s)
    return Other(seen.track, form, lead, alike)


def _blur(main: Look, seen: Look, every: float) -> float:
    """Onsets nearer than this cannot be put in order [s]."""
    ours = main.found.column.every if main.found is not None else 0.0
    step = max((one for one in (ours, every) if math.isfinite(one)), default=0.0)
    return step + math.hypot(main.form.uncertain_s, seen.form.uncertain_s)


def _is_silent(look: Look) -> bool:
    """Whether a signal has nothing to say: what moves does not explain a device that is away."""
    return look.form.shape in ("dropout", "stuck")


def _is_together(seen: Look, onset: float) -> bool:
    return abs(seen.form.onset_s - onset) <= _TOGETHER_S


def _counts(seen: Look, onset: float) -> bool:
    """Whether it moved for sure, and in the course of the same event."""
    form, found = seen.form, seen.found
    if form.shape == "unclear" or not math.isfinite(form.onset_s):
        return False
    if form.onset_s < onset - LEAD_MAX_S or seen.end_s < onset - _OVERLAP_S:
        return False
    if form.shape in ("dropout", "stuck") or found is None:
        return True
    if abs(form.sigmas) < _SIGMAS_MIN:
        return False
    is_early = form.onset_s < onset - _OVERLAP_S
    if (is_early or found.last == found.first) and abs(form.sigmas) < _SIGMAS_SURE:
        return False
    return form.shape in ("noise", "oscillation") or not _is_receding(found, onset)


def _is_receding(found: Found, onset: float) -> bool:
    """Whether it came back already when the alarmed one left: the trace of another event."""
    part = slice(found.first, found.last + 1)
    size = np.abs(found.departure[part])
    t = found.column.t[part]
    at = int(np.searchsorted(t, onset, "right")) - 1
    top = int(np.argmax(size))
    return 0 <= top < at and float(np.median(size[max(at - 2, 0) : at + 1])) < 0.5 * size[top]


def _correlation(
    main: Found | None, other: Found | None, onset: float, onset_other: float, now_s: float
) -> float:
    """Of the departures at the best lag, -1 to 1; NaN where there is nothing to compare.

    Source: the sample cross-correlation of Box, Jenkins and Reinsel (2008), §12.1.2.
    """
    if main is None or other is None:
        return math.nan
    begin = min(onset, onset_other)
    end = min(now_s, float(main.column.t[-1]), float(other.column.t[-1]))
    span = end - begin
    if span <= 0.0:
        return math.nan
    grid = np.linspace(begin - 0.5 * span, end, _GRID)
    sides = []
    for one in (main, other):
        z = np.clip(np.interp(grid, one.column.t, one.sigmas), -1e3, 1e3)
        z = z - np.mean(z)
        norm = math.sqrt(float(np.sum(z * z)))
        if norm <= 0.0:
            return math.nan
        sides.append(z / norm)
    whole = np.correlate(sides[0], sides[1], "full")
    near = whole[_GRID - 1 - _GRID // 3 : _GRID + _GRID // 3]
    return float(np.clip(near[int(np.argmax(np.abs(near)))], -1.0, 1.0))
