"""Silence: when a tag had nothing to say, or nothing new: dropouts and values that stand still."""

from __future__ import annotations

import math

import numpy as np

from models.explainer.column import Column
from models.explainer.course import longest

LOST = ("COMM", "STALE", "BAD")
"""Conditions of alarms that say themselves that samples are missing."""

_SURE = 1e-6
_RUN_MIN = 8


def dropout(
    column: Column, condition: str, now_s: float, least: float | None = None
) -> tuple[float, float] | None:
    """From when until when good samples were missing at the alarm [s after it]; None if not.

    A hole is longer than four usual steps, and than three times the steps that 95 of 100 stay
    below: a sensor that reports by exception is silent by nature. Bad samples without a good one
    between them are a hole however short. Where the alarm itself says that samples are missing,
    the last hole before it counts.
    """
    is_told = condition in LOST
    if not len(column.t):
        return (float(column.bad[0]), now_s) if len(column.bad) else None
    t = np.append(column.t, now_s)
    gaps = np.diff(t)
    bad = np.diff(np.searchsorted(column.bad, t))
    least = least_gap(column, is_told) if least is None else least
    hits = np.flatnonzero((gaps > least) | (bad >= 2 - is_told))
    hits = hits[t[hits] <= 0.0]
    covers = hits[t[hits + 1] >= 0.0] if len(hits) else hits
    if len(covers):
        at = int(covers[-1])
    elif is_told and len(hits):
        at = int(hits[-1])
    else:
        return None
    # What was lost is the sample that should have come next.
    step = 0.0 if math.isnan(column.every) else min(column.every, float(gaps[at]))
    after = column.bad[np.searchsorted(column.bad, t[at], "right") :]
    begin = min(float(after[0]), float(t[at]) + step) if len(after) else float(t[at]) + step
    return begin, float(t[at + 1])


def least_gap(column: Column, is_told: bool = False) -> float:
    """How long samples must be missing to be a hole [s]; `is_told`: the alarm says they are."""
    if math.isnan(column.every):
        return math.inf
    before = column.t[column.t <= 0.0]
    usual = np.diff(before) if len(before) > _RUN_MIN else np.diff(column.t)
    share = float(np.percentile(usual, 95.0)) if len(usual) else column.every
    return 1.5 * column.every if is_told else max(4.0 * column.every, 3.0 * share)


def standstill(column: Column) -> tuple[int, int] | None:
    """First and last sample of equal values at the alarm, where that is far from chance.

    With a share p of samples that repeat the one before, n repeats have the chance p to the n.
    A setpoint or a state stands still by nature and is never found.
    """
    at = column.index(0.0)
    if at < _RUN_MIN:
        return None
    same = column.x[1:] == column.x[:-1]
    changes = np.flatnonzero(~same)
    first = int(changes[np.searchsorted(changes, at) - 1]) + 1 if np.any(changes < at) else 0
    later = changes[changes >= at]
    last = int(later[0]) if len(later) else len(column.x) - 1
    length = at - first + 1
    if first < _RUN_MIN or length < _RUN_MIN:
        return None
    before = same[: first - 1]
    share = max(float(np.mean(before)), 0.01)
    is_sure = share < 1.0 and (length - 1) * math.log(share) < math.log(_SURE)
    return (first, last) if is_sure and length > 2 * (longest(before) + 1) else None
