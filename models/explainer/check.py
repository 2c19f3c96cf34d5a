"""Check: what a model wrote, kept only where every claim in it follows from the facts.

A line that is a sentence of our grammar and true for these words is taken as it is. Any other
text is cut into sentences, and `claims` verifies each one: its slots or literal facts, directions,
order. A sentence that fails is dropped. What must be said and is not is said by the template's
sentence. When more was dropped than kept, nothing is left of it: the caller takes the template.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from models.explainer import phrases, slots, template
from models.explainer.causes import Cause
from models.explainer.sheet import FactSheet
from models.explainer.text import Explanation, Language, Role, Sentence

RAW_CHARS_MAX: Final = 4000
"""More than this from a model is no explanation [characters]."""
_SENTENCES_MAX: Final = 9
_MARKS: Final = re.compile(r"^(?:[-*•>#]+\s+)+|\*\*|__|`")


@dataclass(frozen=True, slots=True)
class _Kept:
    roles: tuple[Role, ...]
    sentence: Sentence


def read(
    sheet: FactSheet,
    language: Language,
    raw_text: str,
    *,
    causes: Sequence[Cause] | None = None,
    zone: str = "UTC",
    by: str = "model",
    reason: str = "",
) -> Explanation | None:
    """A model's text with its slots filled and every claim verified; None when little is left.

    Args:
        sheet: The facts.
        language: What it was asked to write.
        raw_text: What it wrote: with slots, or with the facts as we write them.
        causes: The same as in the question; None ranks them here.
        zone: IANA name of the time zone in which times are written.
        by: The model's name.
        reason: Why this model, in words for people.
    """
    found = slots.of(sheet, causes, language, zone=zone)
    words = frozenset(found.words)
    kept: list[_Kept] = []
    dropped = 0
    for line in raw_text[:RAW_CHARS_MAX].splitlines():
        text = _MARKS.sub("", line.strip()).strip()
        if not text:
            continue
        ones = _by_grammar(words, text, found)
        dropped += not ones
        kept += ones
    kept, repeated = _once(kept)
    dropped += repeated
    if not kept or dropped > len(kept) or len(kept) > _SENTENCES_MAX:
        return None
    whole = _completed(kept, words, found)
    ids = tuple(cause.id for cause in found.causes)
    return Explanation(language, tuple(one.sentence for one in whole), by, reason, ids, dropped)


def _by_grammar(words: frozenset[str], text: str, found: slots.Slots) -> list[_Kept]:
    known = phrases.read(words, text)
    return [
        _Kept(one.roles, Sentence(one.roles[0], template.filled(one.text, found.values)))
        for one in known or ()
    ]


def _once(kept: list[_Kept]) -> tuple[list[_Kept], int]:
    """Without sentences that say again what was said; how many that were."""
    seen: set[Role] = set()
    found: list[_Kept] = []
    for one in kept:
        if seen.isdisjoint(one.roles) or one.roles == ("other",):
            found.append(one)
            seen.update(one.roles)
    return found, len(kept) - len(found)


def _completed(kept: list[_Kept], words: frozenset[str], found: slots.Slots) -> list[_Kept]:
    """With the template's sentence for each thing that must be said and was not."""
    said = {role for one in kept for role in one.roles}
    missing = [role for role in phrases.must(words) if role not in said]
    for phrase in template.firsts(words, missing):
        sentence = Sentence(phrase.roles[0], template.filled(phrase.text, found.values))
        place = phrases.group(phrase.roles[0])
        at = next(
            (i for i, one in enumerate(kept) if phrases.group(one.roles[0]) > place), len(kept)
        )
        kept = [*kept[:at], _Kept(phrase.roles, sentence), *kept[at:]]
    return kept
