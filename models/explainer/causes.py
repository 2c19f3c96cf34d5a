"""Causes: which causes of the knowledge base fit a fact sheet, the likeliest first.

A cause's weight is a product, as of likelihood ratios taken as independent (naive Bayes): how
typical the cause is for the asset, the quantity and the shape, times a factor for each piece of
evidence for or against it. The factors are ours, set by judgement and held by tests on cases whose
cause is known; what operators say of similar cases moves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from models.explainer.knowledge import Entry, entries
from models.explainer.sheet import FactSheet, Move

CAUSES_MAX: Final = 5
LEAD_S: Final = 1.0
"""An onset that is earlier by less than this is no lead: sampling may have made it [s]."""
JUST_S: Final = 900.0
"""A change by people within this time before the onset may have brought it on [s]."""

_WRONG_WAY: Final = 0.05
_ANY: Final = 0.5  # What holds for anything says little about this.
_OUTSIDE: Final = 0.02  # A quantity or asset that the cause does not name.
_WITH: Final = 2.5
_WITH_FIRST: Final = 1.6
_AFTER: Final = 3.0
_STEADY: Final = 0.7  # What should have moved with it stayed where it was.
_HEAT_ALONE: Final = 0.3  # Heat has a source or a sink; where nothing else moved there is none.
_JUMP_OF_HEAT: Final = 0.3  # What has a mass does not change its temperature at once.
_UNKNOWN: Final = (0.04, 0.3, 0.3)  # An asset, quantity or form of no known class may be any.
_CASE: Final = 6.0
_LATE_S: Final = 10.0
_UNLIKE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Cause:
    """A cause and how likely it is among those we know, 0 to 1."""

    id: str
    weight: float


def rank(sheet: FactSheet) -> tuple[Cause, ...]:
    """The likeliest causes, at most `CAUSES_MAX`, at least one; their weights add up to 1."""
    scored = [(_score(entry, sheet), entry.id) for entry in entries().values()]
    best = sorted((one for one in scored if one[0] > 0), key=lambda one: (-one[0], one[1]))
    top = best[:CAUSES_MAX]
    total = sum(score for score, _ in top)
    return tuple(Cause(name, score / total) for score, name in top)


def supports(entry: Entry, move: Move) -> bool:
    """Whether another signal did what goes with this cause."""
    return any(
        what in (move.signal.quantity, move.signal.asset) and way in ("", move.direction)
        for what, way in entry.along
    )


def _score(entry: Entry, sheet: FactSheet) -> float:
    move = sheet.move
    if entry.conditions and sheet.condition.lower() not in entry.conditions:
        return 0.0
    score = 1.0
    known_ones = (entry.assets, entry.quantities)
    given_ones = (move.signal.asset, move.signal.quantity)
    for known, given, unknown in zip(known_ones, given_ones, _UNKNOWN, strict=False):
        score *= _fit(known, given, unknown)
    # A jump that may come back yet is half a step and half a spike.
    may_be = ("step", "spike") if move.is_new else (move.shape,)
    score *= sum(_fit(entry.shapes, one, _UNKNOWN[2]) for one in may_be) / len(may_be)
    if entry.conditions:
        score *= 6.0  # It is about just this kind of alarm.
    elif sheet.condition == "COMM" and entry.kind != "network":
        score *= 0.3  # A device that is away says nothing of what it measures.
    if entry.way:
        score *= {entry.way: 1.3, "none": 0.6}.get(move.direction, _WRONG_WAY)
    return score * _company(entry, sheet) * _history(entry, sheet)


def _fit(known: Mapping[Any, float], given: str, unknown: float) -> float:
    """How typical an asset, a quantity or a form is for a cause."""
    other = unknown if given in ("other", "unclear") else _OUTSIDE
    return known.get(given, other) if known else _ANY


def _is_stranger(entry: Entry, move: Move) -> bool:
    """Whether another signal moved later, in a form of its own, and nothing expects it to.

    What is looked at long after an alarm shows also what the plant did then for other reasons.
    """
    is_unlike = abs(move.correlation) < _UNLIKE  # Not where that is not known.
    return move.lead_s > _LATE_S and is_unlike and not supports(entry, move)


def _company(entry: Entry, sheet: FactSheet) -> float:
    """The factor of what other signals did and did not do."""
    factor = 1.0
    others = [one for one in sheet.others if not _is_stranger(entry, one)]
    is_jump = sheet.move.shape == "step" and sheet.signal.quantity == "temperature"
    if is_jump and entry.kind not in ("sensor", "network"):
        factor *= _JUMP_OF_HEAT
    for other in others:
        if supports(entry, other):
            factor *= _WITH
            if other.lead_s < -LEAD_S:
                factor *= _WITH_FIRST
    still = {name for one in sheet.steady for name in (one.quantity, one.asset)}
    if not any(supports(entry, one) for one in others) and any(
        what in still for what, _ in entry.along
    ):
        factor *= _STEADY
    if entry.kind == "sensor":
        # One sensor that errs does not move its neighbours; they stay where they were.
        factor *= 0.35 if others else 1.3
        factor *= 1.8 if sheet.steady and not others else 1.0
    elif entry.kind == "network":
        lost = sum(other.shape in ("dropout", "stuck") for other in others)
        factor *= 1.0 + min(lost, 3)
        factor *= 2.0 if sheet.holes else 1.0
    elif not others and sheet.steady:
        factor *= _HEAT_ALONE if entry.kind == "thermal" else 0.8
    if sheet.bad_percent >= 1.0 and entry.kind in ("sensor", "network"):
        factor *= 2.0
    return factor


def _history(entry: Entry, sheet: FactSheet) -> float:
    """The factor of what people changed before, and of what they said of similar cases."""
    factor = 1.0
    onset = sheet.move.onset_ns or sheet.ts
    for change in sheet.changes:
        if change.kind in entry.after and -60.0 <= (onset - change.ts) / 1e9 <= JUST_S:
            factor *= _AFTER
            break
    for case in sheet.cases:
        likeness = min(max(case.likeness, 0.0), 1.0)
        if case.cause == entry.id:
            factor *= 1.0 + (_CASE - 1.0) * likeness
        elif case.verdict != "right" and case.named == entry.id:
            factor /= 1.0 + (_CASE - 1.0) * likeness
    return min(factor, 100.0)
