"""Sheets: fact sheets of imagined alarms from a seed, as different as a plant can make them.

They follow the rules that `facts` follows (a dropout has no direction, a doubt has its reason),
but no plant: every class of asset meets every shape it can have, so that the model has seen what
the one simulated plant never does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from models.explainer.knowledge import Entry
from models.explainer.sheet import Baseline, Before, Case, Change, FactSheet, Hole, Move, Signal
from models.explainer.training import past
from models.explainer.training.signals import (
    ASSETS,
    QUANTITIES_OF,
    SCALE,
    any_signal,
    company,
    drawn,
    signal_of,
)
from models.explainer.vocabulary import (
    Asset,
    Direction,
    Doubt,
    Quantity,
    Shape,
)

_SECOND: Final = 1_000_000_000
_T0: Final = 1_790_000_000 * _SECOND

_SHAPES: Final[Mapping[Shape, int]] = {
    "step": 20,
    "drift": 22,
    "spike": 14,
    "oscillation": 10,
    "noise": 10,
    "stuck": 7,
    "dropout": 7,
    "saturation": 6,
    "unclear": 4,
}
"""How often each comes, where no cause says it."""
_STEADY_RATE: Final = ("stuck", "dropout")
_AREAS: Final = ("press1", "press2", "line3", "mixer", "oven", "utility", "hall2/packer")
_AREAS_KEPT_BACK: Final = ("kiln7", "extruder", "レーザー1", "turbine/b", "<b>x</b>", "42")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sheet is to be; chance does the rest.

    Args:
        entry: The cause that is at work; None for an alarm that no cause of ours explains.
        is_known_name: Whether names come from the families that training uses.
    """

    entry: Entry | None = None
    is_known_name: bool = True


def sheet(rng: Random, plan: Plan) -> FactSheet:
    """One sheet."""
    area = rng.choice(_AREAS if plan.is_known_name else _AREAS_KEPT_BACK)
    asset, quantity, shape, way = _subject(rng, plan.entry)
    ts = _T0 + rng.randrange(0, 40_000_000) * _SECOND
    move, baseline = _alarmed(rng, signal_of(rng, area, asset, quantity), shape, way, ts)
    others, steady = _neighbours(rng, area, plan.entry, move)
    before = tuple(_before(one, ts) for one in others if one.lead_s < -1 and rng.random() < 0.4)
    changes = past.changes(rng, ts, plan.entry)
    holes = (Hole(area, "COMM", ts - 300 * _SECOND, ts - 60 * _SECOND),) * (rng.random() < 0.1)
    cases = past.cases(rng, ts, plan.entry)
    bad = rng.choice((0.0, 0.0, 0.0, 0.0, rng.uniform(3, 60)))
    condition, value, limit, following, to_limit = _limits(rng, move, baseline)
    if plan.entry and plan.entry.conditions:
        condition = rng.choice(plan.entry.conditions).upper()
    if rng.random() < 0.2:
        value, limit, to_limit = rng.choice(
            ((math.nan, limit, math.nan), (value, math.nan, math.nan))
        )
    alarm = f"plant/limits:{move.signal.tag}:{condition}"
    return FactSheet(
        alarm=alarm,
        occurrence=rng.randrange(1, 40),
        ts=ts,
        condition=condition,
        priority=rng.choice(("low", "medium", "high", "urgent")),
        value=value,
        limit=limit,
        move=move,
        baseline=baseline,
        to_limit_s=to_limit,
        next_limit=following,
        others=others,
        steady=steady,
        before=before,
        incident=(alarm, *(one.alarm for one in before)),
        bad_percent=bad,
        holes=holes,
        changes=changes,
        cases=cases,
        doubts=_doubts(rng, baseline, others, changes, holes, cases, bad),
    )


def _subject(rng: Random, entry: Entry | None) -> tuple[Asset, Quantity, Shape, Direction]:
    """What is alarmed and how it moves, as typical of the cause as the knowledge base says."""
    assets = entry.assets if entry and entry.assets else dict.fromkeys(ASSETS, 1)
    asset: Asset = drawn(rng, assets)
    usual = {one: len(QUANTITIES_OF[asset]) - at for at, one in enumerate(QUANTITIES_OF[asset])}
    known = entry.quantities if entry and entry.quantities else usual
    quantity: Quantity = drawn(rng, {one: known[one] for one in known if one in usual} or known)
    shape: Shape = drawn(rng, entry.shapes if entry and entry.shapes else _SHAPES)
    way = _direction(rng, shape)
    if entry and entry.way and way != "none":
        way = "up" if entry.way == "up" else "down"
    return asset, quantity, shape, way


def _alarmed(
    rng: Random, signal: Signal, shape: Shape, way: Direction, ts: int
) -> tuple[Move, Baseline | None]:
    ago = rng.choice((0, 2, 5, 12, 40, 90, 300, 900, 3600, 14_000))
    onset = 0 if shape == "unclear" and rng.random() < 0.5 else ts - ago * _SECOND
    move = _move(rng, signal, shape, way, onset)
    move = replace(move, is_new=shape == "step" and ago <= 5)
    if rng.random() < 0.07:
        return move, None
    _, usual, spread = SCALE[signal.quantity]
    mean, sd = usual * rng.uniform(0.7, 1.3), spread * rng.uniform(0.6, 1.6)
    rows = rng.choice((40, 600, 3600, 3600))
    first, last = (onset or ts) - rows * _SECOND, (onset or ts) - _SECOND
    yesterday, yesterday_rows = math.nan, 0
    if rng.random() < 0.5:
        yesterday = mean + sd * rng.choice((0.1, -0.2, 0.3, rng.uniform(-9, 9)))
        yesterday_rows = 3600
    return move, Baseline(mean, sd, rows, first, last, yesterday, yesterday_rows)


def _move(
    rng: Random, signal: Signal, shape: Shape, direction: Direction, onset: int, lead: float = 0.0
) -> Move:
    sign = {"up": 1, "down": -1, "none": rng.choice((1, -1))}[direction]
    sigmas = sign * rng.choice((rng.uniform(3, 6), rng.uniform(6, 15), rng.uniform(15, 60)))
    spread = SCALE[signal.quantity][2]
    is_flat = shape in _STEADY_RATE
    return Move(
        signal=signal,
        shape=shape,
        direction=direction,
        onset_ns=onset,
        size=math.nan if shape == "dropout" else 0.0 if is_flat else sigmas * spread,
        sigmas=math.nan if shape == "dropout" else 0.0 if is_flat else sigmas,
        rate_per_min=0.0 if is_flat else sigmas * spread / rng.choice((3, 20, math.inf)),
        lead_s=lead,
        correlation=math.nan if is_flat else rng.uniform(0.5, 0.98) * rng.choice((1, 1, -1)),
        period_s=rng.choice((3.0, 12.0, 45.0, 180.0)) if shape == "oscillation" else math.nan,
    )


def _direction(rng: Random, shape: Shape) -> Direction:
    if shape in ("stuck", "dropout", "oscillation", "noise"):
        return "none"
    if shape == "unclear":
        return rng.choice(("up", "down", "none"))
    return rng.choice(("up", "up", "down"))


def _neighbours(
    rng: Random, area: str, entry: Entry | None, move: Move
) -> tuple[tuple[Move, ...], tuple[Signal, ...]]:
    """What else moved, the earliest first, and what did not; no tag twice."""
    seen = {move.signal.tag}
    others: list[Move] = []
    wanted = [one for one in (entry.along if entry else ()) if rng.random() < 0.6]
    chance = rng.choices((0, 1, 2, 3, 6), (12, 8, 4, 2, 3))[0]
    is_common = rng.random() < 0.25  # One event behind all: they move at once and alike.
    for what, way in [*wanted, *[("", "")] * chance]:
        signal = company(rng, rng.choice((area, area, "utility")), what, move.signal.asset)
        if signal.tag in seen:
            continue
        seen.add(signal.tag)
        lead = rng.choice((rng.uniform(-600, -20), rng.uniform(-20, -1.5), rng.uniform(-1, 1)))
        lead = rng.choice(
            (lead, lead, rng.uniform(2, 60), math.nan if rng.random() < 0.3 else lead)
        )
        lead = rng.uniform(-2, 2) if is_common else lead
        shape: Shape = move.shape if is_common or rng.random() < 0.4 else drawn(rng, _SHAPES)
        its = _direction(rng, shape)
        if way:
            its = "up" if way == "up" else "down"
            shape = shape if shape in ("step", "drift", "spike") else "drift"
        is_timed = move.onset_ns and math.isfinite(lead)
        onset = move.onset_ns + int(lead * _SECOND) if is_timed else 0
        others.append(_move(rng, signal, shape, its, onset, lead))
    steady: list[Signal] = []
    for _ in range(rng.choice((0, 1, 2, 3))):
        signal = any_signal(rng, area, rng.choice((move.signal.asset, rng.choice(ASSETS))))
        if signal.tag not in seen:
            seen.add(signal.tag)
            steady.append(signal)
    return tuple(sorted(others, key=_when)), tuple(steady)


def _when(move: Move) -> float:
    return move.lead_s if math.isfinite(move.lead_s) else math.inf


def _before(move: Move, ts: int) -> Before:
    condition = {"up": "HI", "down": "LO", "none": "DEV"}[move.direction]
    alarm = f"plant/limits:{move.signal.tag}:{condition}"
    then = ts + int(move.lead_s * _SECOND)
    return Before(alarm, move.signal.tag, condition, then, "high", move.lead_s)


def _limits(
    rng: Random, move: Move, baseline: Baseline | None
) -> tuple[str, float, float, float, float]:
    """Condition, value, limit, the next limit and the time to it [s].

    Of a lost signal the value is how long it has been silent [s]; of a deviation, a rate or a
    score it is that, with its sign.
    """
    nan = math.nan
    mean = baseline.mean if baseline else SCALE[move.signal.quantity][1]
    if move.shape == "dropout":
        if rng.random() < 0.4:
            return "BAD", nan, nan, nan, nan
        silence = rng.choice((rng.uniform(31, 90), nan))
        return rng.choice(("STALE", "COMM")), silence, 30.0, nan, nan
    if move.shape == "stuck":
        return rng.choice((("STALE", 95.0, 60.0, nan, nan), ("SCORE", 6.2, 5.0, nan, nan)))
    size = move.size if math.isfinite(move.size) else 1.0
    share = rng.uniform(0.4, 0.95)
    if move.direction == "none" or rng.random() < 0.35:
        condition = rng.choice(("SCORE", "DEV", "RATE"))
        return condition, size, abs(size) * share, nan, nan
    first, second = ("HI", "HIHI") if move.direction == "up" else ("LO", "LOLO")
    value, limit = mean + size, mean + size * share
    if rng.random() < 0.6:
        following = mean + size * rng.uniform(1.05, 2)
        rate = abs(move.rate_per_min) or nan
        return first, value, limit, following, abs(following - value) / rate * 60
    return second, value, limit, nan, nan


def _doubts(
    rng: Random,
    baseline: Baseline | None,
    others: tuple[Move, ...],
    changes: tuple[Change, ...],
    holes: tuple[Hole, ...],
    cases: tuple[Case, ...],
    bad: float,
) -> tuple[Doubt, ...]:
    """Each doubt has its reason, but not every reason raises it: a model must not take the one for
    the other."""
    kinds = {change.kind for change in changes}
    reasons: tuple[tuple[Doubt, bool], ...] = (
        ("no_baseline", baseline is None),
        ("short_baseline", baseline is not None and baseline.rows < 60),
        ("gap", bool(holes)),
        ("bad_quality", bad > 5),
        ("clock", rng.random() < 0.03),
        ("alone", not others),
        ("maintenance", "maintenance" in kinds),
        ("restart", "restart" in kinds),
        ("unlike", not cases and rng.random() < 0.5),
    )
    return tuple(doubt for doubt, is_so in reasons if is_so and rng.random() < 0.75)
