"""Past: imagined changes by people and similar cases, before an imagined alarm."""

from __future__ import annotations

from random import Random
from typing import Final

from models.explainer.knowledge import Entry, entries
from models.explainer.sheet import Case, Change
from models.explainer.training.signals import drawn
from models.explainer.vocabulary import ChangeKind, Verdict

_SECOND: Final = 1_000_000_000
_CHANGES: Final[tuple[ChangeKind, ...]] = (
    "deploy",
    "setpoint",
    "maintenance",
    "restart",
    "settings",
)


def changes(rng: Random, ts: int, entry: Entry | None) -> tuple[Change, ...]:
    """What people changed before `ts` [ns]; rather what brings the cause on."""
    kinds = rng.sample(_CHANGES, rng.choices((0, 1, 2), (14, 4, 1))[0])
    for kind in _CHANGES:
        if entry and kind in entry.after and kind not in kinds and rng.random() < 0.6:
            kinds.append(kind)
    ago = sorted(rng.choice((20, 120, 700, 3000, 12_000)) for _ in kinds)
    return tuple(
        Change(kind, ts - one * _SECOND, rng.choice(("Recipe <b>17</b>", "")), "Ueda")
        for kind, one in zip(kinds, ago, strict=True)
    )


def cases(rng: Random, ts: int, entry: Entry | None) -> tuple[Case, ...]:
    """Similar cases; rather of the same cause."""
    found = []
    for _ in range(rng.choices((0, 1, 2), (8, 3, 1))[0]):
        verdict: Verdict = drawn(rng, {"right": 2, "wrong": 1, "other": 1})
        cause = rng.choice(list(entries()))
        if entry and rng.random() < 0.7:
            cause = entry.id
        then = ts - rng.randrange(1, 60) * 86_400 * _SECOND
        likeness = rng.uniform(0.6, 0.99)
        said = "" if verdict == "wrong" else cause
        found.append(Case("plant/limits:x:HI", then, likeness, verdict, said, "It was the pump."))
    return tuple(sorted(found, key=lambda one: -one.likeness))
