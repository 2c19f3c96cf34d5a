"""Check: what a model wrote, kept only where every claim in it follows from the facts.

A line that is a sentence of our grammar and true for these words is taken as it is; of our own
model nothing else is. Any other text is cut into sentences, and `_claims` verifies each one: its
slots or literal facts, directions, order. A sentence that fails is dropped. What must be said and
is not is said by the template's sentence. When more was dropped than kept, nothing is left of it:
the caller takes the template.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from models.explainer import phrases, slots, template
from models.explainer._claims import hold
from models.explainer._facts import Facts
from models.explainer._inventory import SLOT
from models.explainer._reading import readings
from models.explainer._sure import is_in, is_plain
from models.explainer.causes import Cause
from models.explainer.sheet import FactSheet
from models.explainer.text import Explanation, Language, Role, Sentence, tame

RAW_CHARS_MAX: Final = 4000
"""More than this from a model is no explanation [characters]."""
_SENTENCES_MAX: Final = 9
_SENTENCE_CHARS_MAX: Final = 400
_MARKS: Final = re.compile(r"^(?:(?:[-*•>#]+|\d{1,2}[.)])\s+)+|\*\*|__|`")
_ENDS: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z{])|(?<=[。！？])")
# What a sentence with this slot is about; the first that fits.
_ABOUT: Final[tuple[tuple[str, Role], ...]] = (
    (r"check(_b)?", "check"),
    (r"cause(_b)?", "cause"),
    (r"case.*", "case"),
    (r"change.*", "change"),
    (r"before.*|incident", "before"),
    (r"hole.*|bad", "data"),
    (r"[abc](_.*)?|others", "also"),
    (r"stead.*", "steady"),
    (r"yesterday", "usual"),
    (r"to_limit|next_limit", "ahead"),
    (r"value|limit", "what"),
    (r"mean|size|sd|sigmas", "compare"),
    (r"onset|since|rate|period", "since"),
    (r"tag|raised|condition", "what"),
)


_SUBJECT: Final = frozenset(("tag", "value", "limit", "onset"))
"""A text with none of these says nothing of the alarm."""


@dataclass(frozen=True, slots=True)
class _Kept:
    roles: tuple[Role, ...]
    sentence: Sentence
    is_free: bool = False


def read(
    sheet: FactSheet,
    language: Language,
    raw_text: str,
    *,
    is_own_model: bool = True,
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
        is_own_model: As in `prompt.ask`: of our own model only sentences of our grammar stand.
            False lets free sentences through that hold, checked or marked as unchecked.
        causes: The same as in the question; None ranks them here.
        zone: IANA name of the time zone in which times are written.
        by: The model's name.
        reason: Why this model, in words for people.
    """
    found = slots.of(sheet, causes, language, zone=zone)
    words = frozenset(found.words)
    facts = Facts(sheet, found, zone)
    kept: list[_Kept] = []
    dropped = 0
    for line in raw_text[:RAW_CHARS_MAX].splitlines():
        text = _MARKS.sub("", line.strip()).strip()
        ones = _by_grammar(words, text, found) if text else []
        if text and not ones and is_own_model:
            dropped += 1
        elif text and not ones:
            parts = [part for part in _ENDS.split(text) if part.strip()]
            judged = [_judged(facts, part.strip()) for part in parts]
            ones = [one for one in judged if one is not None]
            dropped += len(judged) - len(ones)
        kept += ones
    kept, repeated = _once(kept)
    dropped += repeated
    is_about = any(piece.slot in _SUBJECT for one in kept for piece in one.sentence.pieces)
    if not is_about or dropped > len(kept) or len(kept) > _SENTENCES_MAX:
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


def _judged(facts: Facts, text: str) -> _Kept | None:
    """A sentence of free text, verified claim by claim; None when one of them does not hold."""
    language = facts.slots.language
    if len(text) > _SENTENCE_CHARS_MAX or text != tame(text, _SENTENCE_CHARS_MAX):
        return None
    for reading in readings(facts, text):
        if is_in(reading, language) and hold(facts, reading):
            roles = _about(reading)
            is_checked = is_plain(reading, language)
            pieces = template.filled(reading, facts.slots.values)
            return _Kept(roles, Sentence(roles[0], pieces, is_checked), is_free=True)
    return None


def _about(text: str) -> tuple[Role, ...]:
    names = SLOT.findall(text)
    found = [role for pattern, role in _ABOUT if any(re.fullmatch(pattern, n) for n in names)]
    return tuple(dict.fromkeys(found)) or ("other",)


def _once(kept: list[_Kept]) -> tuple[list[_Kept], int]:
    """Without sentences that say again what was said; how many that were."""
    seen: set[Role] = set()
    found: list[_Kept] = []
    texts: set[str] = set()
    for one in kept:
        is_new = one.is_free or seen.isdisjoint(one.roles)
        if is_new and one.sentence.text not in texts:
            found.append(one)
            seen.update(one.roles)
            texts.add(one.sentence.text)
    return found, len(kept) - len(found)


def _completed(kept: list[_Kept], words: frozenset[str], found: slots.Slots) -> list[_Kept]:
    """With the template's sentence for each thing that must be said and was not."""
    said = {role for one in kept for role in one.roles}
    missing = [role for role in phrases.must(words) if role not in said]
    for phrase in template.firsts(words, missing):
        sentence = Sentence(phrase.roles[0], template.filled(phrase.text, found.values))
        place = phrases.group(phrase.roles[0])
        at = next(
            (
                i
                for i, one in enumerate(kept)
                if one.roles[0] != "other" and phrases.group(one.roles[0]) > place
            ),
            len(kept),
        )
        kept = [*kept[:at], _Kept(phrase.roles, sentence), *kept[at:]]
    return kept
