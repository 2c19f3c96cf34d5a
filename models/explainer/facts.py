"""Facts: from the evidence of one alarm to its fact sheet.

Pure and deterministic: the same evidence gives the same sheet, in whatever order tags, samples,
alarms and changes come. Nothing is worded here. The numbers are those a person would read off
the trends: what is usual, when the signal left it, in which form, and what else moved.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from models.explainer import kinds, likeness, look, lost, others
from models.explainer.column import Column, bounded_ns, clean
from models.explainer.course import Course
from models.explainer.evidence import TRACKS_MAX, Evidence, Track
from models.explainer.look import Look
from models.explainer.others import Other
from models.explainer.shape import Form
from models.explainer.sheet import Baseline, Before, Change, FactSheet, Hole, Move, Signal
from models.explainer.vocabulary import Doubt

BEFORE_S: Final = 900.0
"""Alarms this long before belong to the event [s]. Source: a flood lasts and ends within ten
minutes, EEMUA 191 (2013), §6.5; half as long again, so that the first of a flood is seen."""

CHANGES_S: Final = 8 * 3600.0
"""Changes this long before may have to do with it [s]: a shift."""

LISTED_MAX: Final = 8
_RECENT_S: Final = 3600.0
_RESTART_S: Final = 600.0
_LIMIT_S_MAX: Final = 7 * 86_400.0
_BASELINE_ROWS: Final = 30
_OTHER_UNIT: Final = frozenset({"SCORE", "RATE", "STALE", "COMM", "BAD"})
"""Conditions whose value is no reading of the signal, and so has another unit."""
_LEVEL_FEATURES: Final = frozenset({"mean", "median", "min", "max", "rms", "sum", "range"})


def sheet(evidence: Evidence) -> FactSheet:
    """The fact sheet of one alarm; see `look_into`."""
    return look_into(evidence)[0]


def look_into(evidence: Evidence) -> tuple[FactSheet, tuple[str, ...]]:
    """The fact sheet of one alarm, and the tags of all signals that moved with it.

    In a large event more signals move than a sheet names.

    Cost: see decisions/0033; no loop over samples, at most TRACKS_MAX tags of ROWS_MAX samples.
    """
    raised = evidence.raised
    zero = bounded_ns(raised.ts)
    now_s = (max(bounded_ns(evidence.now_ns), zero) - zero) * 1e-9
    tracks = _chosen(evidence)
    columns = {track.tag: clean(track.rows, zero, zero + round(now_s * 1e9)) for track in tracks}
    track = _alarmed(raised.tag, tracks, columns)
    mine = others.base(raised.tag)
    rest = [one for one in tracks if others.base(one.tag) != mine]
    if track.tag in columns:
        column = columns[track.tag]
        seen = look.at(column, raised.condition, now_s, low=track.low, high=track.high)
    else:
        column = clean(track.rows, zero, zero)
        own = [columns[one.tag] for one in rest if one.source in ("", raised.tag)]
        seen = lost.at(own, raised.condition, now_s)
    near = [others.see(one, columns[one.tag], now_s) for one in rest if len(columns[one.tag].t)]
    moves = others.moved(seen, raised.tag, near, now_s)
    signal = _signal(evidence, track)
    limit, to_limit_s = _next_limit(track, seen)
    found = FactSheet(
        alarm=raised.alarm,
        occurrence=raised.occurrence,
        ts=raised.ts,
        condition=raised.condition,
        priority=raised.priority,
        value=raised.value,
        limit=raised.limit,
        move=_move(signal, seen.form, zero),
        baseline=_baseline(seen.course, track, zero),
        to_limit_s=to_limit_s,
        next_limit=limit,
        others=tuple(_moved(one, zero) for one in others.strongest(moves)),
        steady=tuple(
            kinds.signal(one.tag, one.unit, one.about) for one in others.steady(raised.tag, near)
        ),
        before=_before(evidence),
        incident=tuple(sorted({*evidence.incident, raised.alarm})),
        bad_percent=_bad_percent(column, seen.form),
        holes=_holes(evidence, zero),
        changes=_changes(evidence),
    )
    return _judged(found, evidence, column), tuple(one.track.tag for one in moves)


def _chosen(evidence: Evidence) -> list[Track]:
    """One track a tag, the nearest by name first, at most TRACKS_MAX; in an order of its own."""
    alarmed = evidence.raised.tag
    by_name = {track.tag: track for track in evidence.tracks}
    ranked = sorted(
        by_name.values(),
        key=lambda one: (
            others.base(one.tag) != others.base(alarmed) and one.source != alarmed,
            -others.nearness(alarmed, one.tag),
            one.tag,
        ),
    )
    return ranked[:TRACKS_MAX]


def _alarmed(tag: str, tracks: list[Track], columns: dict[str, Column]) -> Track:
    """The samples that show what the alarmed signal did; without any, an empty track.

    Of a mean, a maximum and the like the measured tag behind it shows the same and more often.
    """
    by_name = {track.tag: track for track in tracks}
    own, measured = by_name.get(tag), by_name.get(others.base(tag))
    if own is None:
        return measured or Track(tag)
    is_level = tag.rpartition("#")[2] in _LEVEL_FEATURES
    if measured is None or measured is own or not is_level:
        return own
    return measured if len(columns[measured.tag].t) >= 2 * len(columns[tag].t) else own


def _signal(evidence: Evidence, track: Track) -> Signal:
    raised = evidence.raised
    if not len(track.rows.ts) and raised.condition == "COMM":
        return lost.signal(raised.tag)
    own = next((one for one in evidence.tracks if one.tag == raised.tag), track)
    unit = own.unit or track.unit or ("" if raised.condition in _OTHER_UNIT else raised.unit)
    return kinds.signal(raised.tag, unit, own.about or track.about)


def _ns(seconds: float, zero: int) -> int:
    return zero + round(seconds * 1e9) if math.isfinite(seconds) else 0


def _move(signal: Signal, form: Form, zero: int) -> Move:
    return Move(
        signal,
        form.shape,
        form.direction,
        _ns(form.onset_s, zero),
        form.size,
        form.sigmas,
        form.rate_per_s * 60.0,
        period_s=form.period_s,
        is_new=form.is_new,
    )


def _moved(other: Other, zero: int) -> Move:
    signal = kinds.signal(other.track.tag, other.track.unit, other.track.about)
    form = other.form
    return Move(
        signal,
        form.shape,
        form.direction,
        _ns(form.onset_s, zero),
        form.size,
        form.sigmas,
        form.rate_per_s * 60.0,
        round(other.lead_s, 3),
        round(other.correlation, 3),
        form.period_s,
    )


def _baseline(course: Course | None, track: Track, zero: int) -> Baseline | None:
    if course is None:
        return None
    before = clean(track.yesterday, zero, zero)
    return Baseline(
        course.mean,
        course.sd,
        course.rows,
        _ns(course.from_s, zero),
        _ns(course.to_s, zero),
        float(np.mean(before.x)) if len(before.x) else math.nan,
        len(before.x),
        course.cycle_s,
    )


def _next_limit(track: Track, seen: Look) -> tuple[float, float]:
    """The next limit on the way of a drift, and the time until it is reached [s]; else NaN."""
    rate, found, course = seen.form.rate_per_s, seen.found, seen.course
    if found is None or course is None or not math.isfinite(rate) or rate == 0.0:
        return math.nan, math.nan
    sign = 1.0 if rate > 0.0 else -1.0
    t = found.column.t
    level = float(course.expected(t[-1:])[0] + np.median(found.departure[-5:]))
    if len(course.profile):  # The top of the cycle is what reaches a limit first.
        level = course.mean + float(np.median(found.departure[-5:]))
        level += float(np.max(course.profile) if sign > 0 else np.min(course.profile))
    ahead = [one.value for one in track.limits if sign * (one.value - level) > 0.0]
    if not ahead:
        return math.nan, math.nan
    limit = min(ahead, key=lambda value: sign * value)
    to_limit_s = (limit - level) / rate
    return (limit, to_limit_s) if to_limit_s <= _LIMIT_S_MAX else (math.nan, math.nan)


def _before(evidence: Evidence) -> tuple[Before, ...]:
    raised = evidence.raised
    found = [
        Before(one.alarm, one.tag, one.condition, one.ts, one.priority, round(lead, 3))
        for one in evidence.before
        if -BEFORE_S <= (lead := (one.ts - raised.ts) * 1e-9) <= 0.0
        and (one.alarm, one.occurrence) != (raised.alarm, raised.occurrence)
    ]
    return tuple(sorted(found, key=lambda one: (one.ts, one.alarm))[:LISTED_MAX])


def _holes(evidence: Evidence, zero: int) -> tuple[Hole, ...]:
    now = max(zero, evidence.now_ns)
    near = [
        one
        for one in evidence.holes
        if one.from_ns <= now and (one.to_ns == 0 or one.to_ns >= zero - _RECENT_S * 1e9)
    ]
    newest = sorted(near, key=lambda one: (-one.from_ns, one.source, one.cause))[:LISTED_MAX]
    return tuple(reversed(newest))


def _changes(evidence: Evidence) -> tuple[Change, ...]:
    ts = evidence.raised.ts
    near = [one for one in evidence.changes if 0 <= ts - one.ts <= CHANGES_S * 1e9]
    return tuple(sorted(near, key=lambda one: (-one.ts, one.kind, one.what))[:LISTED_MAX])


def _bad_percent(column: Column, form: Form) -> float:
    since = form.onset_s if math.isfinite(form.onset_s) else -60.0
    bad = int(np.count_nonzero(column.bad >= since))
    total = bad + int(np.count_nonzero(column.t >= since))
    return round(100.0 * bad / total, 2) if total else 0.0


def _judged(found: FactSheet, evidence: Evidence, column: Column) -> FactSheet:
    """The sheet with similar cases, and with what speaks against trusting it."""
    cases = likeness.cases(found, evidence.past)
    doubts = _doubts(replace(found, cases=cases), evidence, column)
    return replace(found, cases=cases, doubts=doubts)


def _doubts(found: FactSheet, evidence: Evidence, column: Column) -> tuple[Doubt, ...]:
    ts, baseline = found.ts, found.baseline
    since = found.move.onset_ns or ts
    age_ns = ts - evidence.started_ns
    reasons: dict[Doubt, bool] = {
        "no_baseline": baseline is None,
        "short_baseline": baseline is not None and baseline.rows < _BASELINE_ROWS,
        "gap": any(one.to_ns == 0 or one.to_ns >= since - 60e9 for one in found.holes),
        "bad_quality": found.bad_percent > 10.0 and found.move.shape != "dropout",
        "clock": evidence.clock_set_ns > 0 and abs(ts - evidence.clock_set_ns) < _RECENT_S * 1e9,
        "alone": not found.others,
        "maintenance": any(
            one.kind == "maintenance" and ts - one.ts < _RECENT_S * 1e9 for one in found.changes
        ),
        "restart": (evidence.started_ns > 0 and 0 <= age_ns < _RESTART_S * 1e9)
        or any(one.kind == "restart" and ts - one.ts < _RESTART_S * 1e9 for one in found.changes),
        "unlike": not any(case.likeness >= likeness.LIKE for case in found.cases),
    }
    return tuple(doubt for doubt, holds in reasons.items() if holds)
