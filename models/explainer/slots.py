"""Slots: a fact sheet as words of a closed vocabulary, and as the facts that fill the slots.

A model sees the words only: no digit, no name, no unit, so what people and devices wrote cannot
reach it. What it writes has slots such as ``{value}``, which are filled afterwards.

A word is ``group.member``, such as ``shape.drift`` or ``a.before``. `VOCABULARY` has all of them,
`NAMES` all slots. What a word promises holds for the values: `NEEDS` says which words a slot needs,
and where they are there is a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, get_args

from models.explainer import causes as ranking
from models.explainer._scene import LETTERS, Scene
from models.explainer._values import values as values_of
from models.explainer._words import words as words_of
from models.explainer.knowledge import KINDS
from models.explainer.sheet import FactSheet
from models.explainer.text import LANGUAGES, Language, Piece
from models.explainer.vocabulary import ASSETS, DOUBTS, QUANTITIES, SHAPES, ChangeKind

_WAYS: Final = ("up", "down", "none")
GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "lang": LANGUAGES,
    "prio": ("low", "medium", "high", "urgent", "other"),
    "cond": (
        "hihi",
        "hi",
        "lo",
        "lolo",
        "dev",
        "rate",
        "score",
        "stale",
        "comm",
        "other",
    ),
    "shape": SHAPES,
    "dir": _WAYS,
    "asset": ASSETS,
    "q": QUANTITIES,
    "val": ("known", "beyond", "at"),
    "lim": ("known",),
    "side": ("plus", "minus"),
    "size": ("known",),
    "far": ("little", "clear", "far"),
    "onset": ("known", "now"),
    "since": ("seconds", "minutes", "hours", "days"),
    "rate": ("known",),
    "period": ("known",),
    "base": ("known", "none"),
    "scatter": ("known",),
    "yesterday": ("same", "now", "other", "none"),
    "ahead": ("soon", "later", "none"),
    "others": ("none", "one", "two", "three", "many"),
    "first": ("self", "a"),
    "order": ("clear",),
    **{
        letter: (
            "before",
            "after",
            "same",
            "unsure",
            *_WAYS,
            "sized",
            "onset",
            "close",
            "counter",
            *SHAPES,
            *(f"q_{name}" for name in QUANTITIES),
        )
        for letter in LETTERS
    },
    "steady": ("none", "one", "many"),
    "before": ("none", "one", "many"),
    "prior": ("same", "comm", "other"),
    "incident": ("one", "many"),
    "change": ("none", *get_args(ChangeKind), "just", "earlier", "named", "many"),
    "hole": ("none", "one", "many", "here"),
    "bad": ("some",),
    "case": ("none", "one", "many", "named", "agrees", "differs", "right", "wrong"),
    "cause": ("clear", "likely", "open"),
    "kind": KINDS,
    "second": ("known", "same_kind", "other_kind"),
    "fits": LETTERS,
    "doubt": DOUBTS,
}
VOCABULARY: Final[tuple[str, ...]] = tuple(
    f"{group}.{member}" for group, members in GROUPS.items() for member in members
)
"""Every word a prompt can have."""


def _needs() -> dict[str, str]:
    moved = "dir.up|dir.down"
    found = {
        "tag": "",
        "quantity": "",
        "asset": "",
        "condition": "",
        "raised": "",
        "value": "val.known",
        "limit": "lim.known",
        "above": "val.beyond|side.plus|side.minus",
        "mean": "base.known",
        "sd": "scatter.known",
        "size": "size.known",
        "sigmas": "far.little|far.clear|far.far",
        "onset": "onset.known",
        "since": "since.seconds|since.minutes|since.hours|since.days",
        "rate": "rate.known",
        "period": "period.known",
        "yesterday": "yesterday.same|yesterday.now|yesterday.other",
        "next_limit": "ahead.soon|ahead.later",
        "to_limit": "ahead.soon|ahead.later",
        "others": "others.one|others.two|others.three|others.many",
        "steady": "steady.one|steady.many",
        "steadies": "steady.one|steady.many",
        "before": "before.one|before.many",
        "before_condition": "before.one|before.many",
        "before_lead": "before.one|before.many",
        "befores": "before.one|before.many",
        "incident": "incident.many",
        "change": "!change.none",
        "change_at": "!change.none",
        "change_ago": "!change.none",
        "change_what": "change.named",
        "hole": "hole.one|hole.many",
        "hole_length": "hole.one|hole.many",
        "hole_from": "hole.one|hole.many",
        "bad": "bad.some",
        "cases": "case.one|case.many",
        "case_at": "case.one|case.many",
        "case_cause": "case.named",
        "cause": "",
        "check": "",
        "cause_b": "second.known",
        "check_b": "second.known",
    }
    ways = ("up", "upward", "rose", "risen", "rising", "high", "higher", "upper")
    found |= dict.fromkeys(ways, moved)
    known = ("others.one", "others.two", "others.three", "others.many")
    for at, letter in enumerate(LETTERS):
        there = "|".join(known[at:])
        found |= {letter: there, f"{letter}_quantity": there, f"{letter}_did": there}
        found[f"{letter}_size"] = f"{letter}.sized"
        found[f"{letter}_lead"] = f"{letter}.before|{letter}.after"
        found[f"{letter}_onset"] = f"{letter}.onset"
    return found


NEEDS: Final[Mapping[str, str]] = MappingProxyType(_needs())
"""Slot: what its prompt must have, in the notation of `holds`."""
NAMES: Final[tuple[str, ...]] = tuple(NEEDS)
"""Every slot, without braces."""


@dataclass(frozen=True, slots=True)
class Slots:
    """What a model is told, and what its words are filled with.

    Args:
        words: The prompt, from `VOCABULARY`, in its order; the first is the language.
        values: Slot: its text, with the tag and the time to link it to.
        causes: The ranked causes, the likeliest first.
        language: Of the values.
    """

    words: tuple[str, ...]
    values: Mapping[str, Piece]
    causes: tuple[ranking.Cause, ...]
    language: Language


def of(
    sheet: FactSheet,
    causes: Sequence[ranking.Cause] | None = None,
    language: Language = "en",
    *,
    zone: str = "UTC",
) -> Slots:
    """The words and the values of a sheet.

    Args:
        sheet: The facts.
        causes: From `causes.rank(sheet)`; None ranks them here.
        language: ``en`` or ``ja``.
        zone: IANA name of the time zone in which times are written.
    """
    ranked = tuple(ranking.rank(sheet) if causes is None else causes)
    scene = Scene(sheet, ranked, language, zone)
    said = {f"lang.{language}", *words_of(scene)}
    unknown = said - _KNOWN
    assert not unknown, f"no word of the vocabulary: {sorted(unknown)}"
    words = tuple(word for word in VOCABULARY if word in said)
    values = {
        name: piece
        for name, piece in values_of(scene).items()
        if name in NEEDS and holds(NEEDS[name], said)
    }
    return Slots(words, MappingProxyType(values), ranked, language)


_KNOWN: Final = frozenset(VOCABULARY)


def holds(needs: str, words: set[str] | frozenset[str]) -> bool:
    """Whether words satisfy needs: terms with spaces between must all hold; `|` is or, `!` not.

    >>> holds("shape.drift|shape.step !first.a", {"shape.step", "first.self"})
    True
    """
    return all(
        any(
            (one[1:] not in words) if one.startswith("!") else one in words
            for one in term.split("|")
        )
        for term in needs.split()
    )
