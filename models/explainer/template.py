"""Template: the explanation that needs no model; always at hand, always the same, always true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from models.explainer import phrases, slots
from models.explainer.causes import Cause
from models.explainer.phrases import SLOT, Phrase
from models.explainer.sheet import FactSheet
from models.explainer.text import Explanation, Language, Piece, Role, Sentence

SENTENCES_MAX: Final = 6


def explain(
    sheet: FactSheet,
    language: Language,
    *,
    causes: Sequence[Cause] | None = None,
    zone: str = "UTC",
    reason: str = "",
) -> Explanation:
    """Three to six sentences on a sheet, the same ones in both languages.

    Args:
        sheet: The facts.
        language: ``en`` or ``ja``.
        causes: From `causes.rank(sheet)`; None ranks them here.
        zone: IANA name of the time zone in which times are written.
        reason: Why no model wrote it, in words for people.
    """
    found = slots.of(sheet, causes, language, zone=zone)
    sentences = tuple(
        Sentence(phrase.roles[0], filled(phrase.text, found.values))
        for phrase in chosen(frozenset(found.words))
    )
    ids = tuple(cause.id for cause in found.causes)
    return Explanation(language, sentences, "template", reason, ids)


def chosen(words: frozenset[str]) -> list[Phrase]:
    """The template's sentences for these words."""
    first = _first(words)
    needed = phrases.must(words)
    extra = [role for role in phrases.worth(words) if (role,) in first]
    roles: list[tuple[Role, ...]] = [(role,) for role in needed]
    if len(roles) > SENTENCES_MAX:
        roles = [one for one in roles if one not in (("cause",), ("check",))]
        roles.append(("cause", "check"))
    roles += [(role,) for role in extra[: max(0, SENTENCES_MAX - len(roles))]]
    order = list(phrases.ORDER)
    return [first[one] for one in sorted(roles, key=lambda one: order.index(one[0]))]


def firsts(words: frozenset[str], roles: Sequence[Role]) -> list[Phrase]:
    """The template's sentence for each of these roles that has one."""
    first = _first(words)
    return [first[(role,)] for role in roles if (role,) in first]


def _first(words: frozenset[str]) -> dict[tuple[Role, ...], Phrase]:
    found: dict[tuple[Role, ...], Phrase] = {}
    for phrase in phrases.true_ones(words):
        if phrase.variant == 0:
            found.setdefault(phrase.roles, phrase)
    return found


def filled(text: str, values: Mapping[str, Piece]) -> tuple[Piece, ...]:
    """A sentence with its slots filled; what fills a slot is never read again.

    Raises:
        KeyError: A slot has no value.
    """
    found: list[Piece] = []
    for at, part in enumerate(SLOT.split(text)):
        if at % 2:
            found.append(values[part])
        elif part:
            found.append(Piece(part))
    first = found[0] if found else None
    if first is not None and first.slot in _WORDS_OF_OURS:
        found[0] = Piece(first.text[:1].upper() + first.text[1:], first.slot, first.tag, first.ts)
    return tuple(found)


_WORDS_OF_OURS: Final = frozenset(("change", "cause", "cause_b", "check", "check_b"))
"""Slots whose text is ours, so that a sentence which begins with one may begin with a capital."""
