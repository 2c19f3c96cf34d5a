"""Random fact sheets from a seed: plausible ones and odd ones, for the tests of the explainer."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from models.explainer import knowledge
from models.explainer.sheet import Baseline, Before, Case, Change, FactSheet, Hole, Move, Signal
from models.explainer.vocabulary import ASSETS, DOUBTS, QUANTITIES, SHAPES

NOW = 1_795_660_000 * 10**9
S = 10**9
CONDITIONS = ("HIHI", "HI", "LO", "LOLO", "DEV", "RATE", "SCORE", "STALE", "COMM", "QUALITY")
UNITS = ("Cel", "bar", "mm/s", "A", "L/min", "/min", "%", "kW", "N.m", "uS/cm", "1", "", "m3/h")
MOVERS = ("step", "drift", "spike", "saturation", "unclear")


def sheet(seed: int, *, rename: Callable[[str], str] = str) -> FactSheet:
    """One sheet. `rename` changes every text that people or devices wrote, none twice alike."""
    chance = random.Random(seed)

    def name(plain: str) -> str:
        return rename(plain) if plain else plain

    main = _move(chance, name, "alarmed")
    condition = chance.choice(CONDITIONS)
    mean = chance.choice((0.0, 1.0, -1.0)) * 10 ** chance.uniform(-3, 5)
    sd = chance.choice((0.0, 1e-3, 0.02, 0.2)) * abs(mean)
    value, limit = _numbers(chance, condition, mean)
    others = tuple(
        _move(chance, name, f"other{i}", NOW) for i in range(chance.choice((0, 0, 1, 1, 2, 3, 6)))
    )
    others = tuple(sorted(others, key=lambda one: one.lead_s if math.isfinite(one.lead_s) else 1e9))
    maybe = chance.random
    base = Baseline(
        mean,
        sd,
        chance.randrange(2, 10_000),
        NOW - 9000 * S,
        NOW - 600 * S,
        chance.choice((math.nan, mean, mean + 1.5 * sd, value, mean * 1.4 + 1)),
        chance.randrange(0, 4000),
    )
    cases = tuple(
        Case(
            name(f"f/n:old{i}:HI"),
            NOW - chance.randrange(3600, 10**7) * S,
            maybe(),
            chance.choice(("right", "wrong", "other")),
            chance.choice(("", "nonsense", *knowledge.entries())),
            name("it was the belt 42"),
        )
        for i in range(chance.choice((0, 0, 1, 3)))
    )
    return FactSheet(
        alarm=name("f/n:alarmed:HI"),
        occurrence=chance.randrange(1, 99),
        ts=NOW,
        condition=condition,
        priority=chance.choice(("low", "medium", "high", "urgent")),
        value=value,
        limit=limit,
        move=main,
        baseline=base if maybe() < 0.85 else None,
        to_limit_s=10 ** chance.uniform(0, 7) if maybe() < 0.3 else math.nan,
        next_limit=limit * 1.3 if maybe() < 0.9 else math.nan,
        others=others,
        steady=tuple(
            Signal(name(f"plant/line1/steady{i}"), "bar") for i in range(chance.choice((0, 1, 4)))
        ),
        before=tuple(
            Before(
                name(f"f/n:b{i}:HI"),
                main.signal.tag if maybe() < 0.3 else name(f"plant/b{i}"),
                chance.choice(CONDITIONS),
                NOW - (90 - 20 * i) * S,
                "high",
                -(90.0 - 20 * i) if maybe() < 0.8 else math.nan,
            )
            for i in range(chance.choice((0, 0, 1, 3)))
        ),
        incident=tuple(f"f/n:i{i}:HI" for i in range(chance.choice((1, 1, 3)))),
        bad_percent=chance.choice((0.0, 0.0, 0.4, 12.5, 100.0)),
        holes=tuple(
            Hole(name("plc7"), "disconnected", NOW - 400 * S, NOW - chance.randrange(1, 399) * S)
            for _ in range(chance.choice((0, 0, 1, 2)))
        ),
        changes=tuple(
            Change(
                chance.choice(("deploy", "setpoint", "maintenance", "restart", "settings")),
                NOW - chance.randrange(60, 40_000) * S,
                name(chance.choice(("", "new pump"))),
                name("user:kim"),
            )
            for _ in range(chance.choice((0, 0, 1, 2)))
        ),
        cases=cases,
        doubts=tuple(one for one in DOUBTS if maybe() < 0.12),
    )


def _numbers(chance: random.Random, condition: str, mean: float) -> tuple[float, float]:
    off = (abs(mean) + 0.01) * chance.choice((1e-6, 0.01, 0.5, 3.0))
    if condition in ("STALE", "COMM"):
        return chance.uniform(1, 10_000), chance.uniform(1, 60)
    if condition in ("DEV", "RATE", "SCORE"):
        return chance.choice((-1, 1)) * (off + 1), off
    sign = 1 if condition in ("HI", "HIHI", "QUALITY") else -1
    if chance.random() < 0.05:
        return math.nan, mean
    return mean + sign * off, mean + sign * off * chance.choice((0.5, 0.999, 1.0))


def _move(chance: random.Random, name, plain: str, alarmed_at: int = 0) -> Move:
    shape = chance.choice(SHAPES)
    way = chance.choice(("up", "down")) if shape in MOVERS else "none"
    if chance.random() < 0.1:
        way = "none"
    onset = 0 if chance.random() < 0.1 else NOW - int(10 ** chance.uniform(-1, 5.5) * S)
    lead = math.nan
    if alarmed_at:
        far = 10 ** chance.uniform(0.1, 3)
        lead = chance.choice((chance.uniform(-0.9, 0.9), -far, far, math.nan))
        onset = 0 if math.isnan(lead) else NOW - 300 * S + int(lead * S)
    return Move(
        Signal(
            name(f"plant/line1/{plain}"),
            name(chance.choice(UNITS)),
            chance.choice(ASSETS),
            chance.choice(QUANTITIES),
            name("what it is"),
        ),
        shape,
        way,
        onset,
        chance.choice((math.nan, 10 ** chance.uniform(-3, 4), -4.0)),
        chance.choice((math.nan, chance.uniform(0.2, 60), -7.0, 1e7)),
        chance.choice((math.nan, chance.uniform(-5, 5))),
        lead if alarmed_at else math.nan,
        chance.uniform(-1, 1) if alarmed_at else math.nan,
        chance.uniform(1, 400) if shape == "oscillation" else math.nan,
    )
