"""Likeness: how alike two alarms are, so that what was said of the one helps with the other."""

from __future__ import annotations

import re
from typing import Final

from models.explainer.evidence import Past
from models.explainer.sheet import Case, FactSheet

CASES_MAX = 5
LIKE = 0.5
"""Least likeness that counts as a similar case."""

_SHOWN = 0.4
_WEIGHTS: Final = {
    "tag": 0.15,
    "twin": 0.1,
    "asset": 0.15,
    "quantity": 0.15,
    "shape": 0.2,
    "direction": 0.1,
    "first": 0.1,
    "condition": 0.05,
}


def cases(sheet: FactSheet, past: tuple[Past, ...]) -> tuple[Case, ...]:
    """The most alike of the cases from before, the most alike first; later ones break ties."""
    found = [
        Case(
            one.sheet.alarm,
            one.sheet.ts,
            round(of(sheet, one.sheet), 3),
            one.verdict,
            one.cause,
            one.said,
            one.named,
        )
        for one in past
        if (one.sheet.alarm, one.sheet.occurrence) != (sheet.alarm, sheet.occurrence)
    ]
    found = [case for case in found if case.likeness >= _SHOWN]
    found.sort(key=lambda case: (-case.likeness, -case.ts, case.alarm))
    return tuple(found[:CASES_MAX])


def of(one: FactSheet, other: FactSheet) -> float:
    """Likeness of two alarms, 0 to 1: the weighted share of what they have in common.

    Source: Gower (1971), "A general coefficient of similarity", Biometrics 27(4) 857, eq. 2.
    """
    ours, theirs = one.signal, other.signal
    same = {
        "tag": ours.tag == theirs.tag,
        "twin": _unnumbered(ours.tag) == _unnumbered(theirs.tag),
        "asset": ours.asset == theirs.asset,
        "quantity": ours.quantity == theirs.quantity,
        "shape": one.move.shape == other.move.shape,
        "direction": one.move.direction == other.move.direction,
        "first": _first(one) == _first(other),
        "condition": one.condition == other.condition,
    }
    return sum(_WEIGHTS[name] for name, is_same in same.items() if is_same)


def _first(sheet: FactSheet) -> tuple[str, str, str]:
    """What moved first, in kinds; the alarmed signal itself counts as such."""
    move = sheet.first_mover
    if move is sheet.move:
        return ("", "", "")
    return (move.signal.asset, move.signal.quantity, move.direction)


def _unnumbered(tag: str) -> str:
    return re.sub(r"\d+", "0", tag)
