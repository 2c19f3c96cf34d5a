"""Judge: two texts on the same facts, compared without knowing who wrote which.

The rubric was fixed before any model was judged. A text with a sentence that does not follow from
the facts, or without something that must be said, loses to one that has neither fault. Between
sound texts counts what an operator gets out of them for the time they take to read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from models.explainer import phrases
from models.explainer.text import Language

Vote = Literal["first", "second", "tie"]

# What a text can tell, by slots of which one must be there, and what it is worth.
_FACTS: Final[tuple[tuple[tuple[str, ...], float], ...]] = (
    (("value", "tag", "quantity"), 1.0),
    (("cause",), 2.0),
    (("check",), 2.0),
    (("a",), 1.5),
    (("a_lead", "a_onset"), 0.5),
    (("b",), 0.7),
    (("c",), 0.3),
    (("change",), 1.5),
    (("change_what",), 0.5),
    (("change_at", "change_ago"), 0.3),
    (("before", "befores"), 1.0),
    (("cause_b",), 0.8),
    (("check_b",), 0.5),
    (("case_at", "cases"), 0.8),
    (("case_cause",), 0.5),
    (("onset", "since"), 0.8),
    (("size", "sigmas", "mean"), 0.6),
    (("to_limit", "next_limit"), 0.8),
    (("yesterday",), 0.5),
    (("steady", "steadies"), 0.6),
    (("hole", "bad"), 0.6),
)
_SENTENCE: Final = 0.5
"""What the time to read a sentence costs."""
_LETTER: Final[dict[Language, float]] = {"en": 0.004, "ja": 0.01}
"""What the time to read a letter or sign costs: a Japanese one holds more."""
_REPEAT: Final = 0.4
"""What it costs to name the same thing once more."""
_NAMES: Final = frozenset(("tag", "cause", "a", "b", "limit", "value", "onset", "raised"))
_EVEN: Final = 0.25
"""Scores nearer than this are a tie."""


@dataclass(slots=True)
class Tally:
    """Votes for the one author, for the other, and for neither."""

    model: int = 0
    template: int = 0
    tie: int = 0

    @property
    def chance(self) -> float:
        """How likely so uneven a result is when both are equally good (sign test, two-sided)."""
        count, least = self.model + self.template, min(self.model, self.template)
        tail = sum(math.comb(count, k) for k in range(least + 1))
        return min(1.0, 2 * tail / (1 << count))


def compare(words: Sequence[str], first: str, second: str) -> Vote:
    """Which of two texts is better for the facts in these words."""
    language: Language = "ja" if "lang.ja" in words else "en"
    sound = [phrases.is_valid(words, text) for text in (first, second)]
    if sound[0] != sound[1]:
        return "first" if sound[0] else "second"
    if not sound[0]:
        return "tie"
    one, other = (score(language, text) for text in (first, second))
    if abs(one - other) < _EVEN:
        return "tie"
    return "first" if one > other else "second"


def score(language: Language, text: str) -> float:
    """What a sound text is worth: what it tells, less what it costs to read."""
    named = phrases.SLOT.findall(text)
    told = sum(worth for slots, worth in _FACTS if any(slot in named for slot in slots))
    plain = phrases.SLOT.sub("", text)
    cost = _SENTENCE * len(text.splitlines()) + _LETTER[language] * len(plain)
    repeats = sum(named.count(slot) - 1 for slot in set(named) & _NAMES)
    return told - cost - _REPEAT * repeats


def blind(
    cases: Sequence[tuple[Sequence[str], str, str]],
    seed: int = 0,
    vote: Callable[[Sequence[str], str, str], Vote] = compare,
) -> Tally:
    """The votes on many pairs.

    Args:
        cases: Words, the model's text, the template's.
        seed: Of the order in which the two are shown.
        vote: The judge; it sees words and two texts, never whose they are.
    """
    rng, tally = Random(seed), Tally()
    for words, model, template in cases:
        is_model_first = rng.random() < 0.5
        shown = (model, template) if is_model_first else (template, model)
        said = vote(words, *shown)
        if said == "tie":
            tally.tie += 1
        elif (said == "first") == is_model_first:
            tally.model += 1
        else:
            tally.template += 1
    return tally
