"""Corpus: pairs of what the model is told and what it should write.

A prompt is the words of an imagined sheet; its text is composed by `teacher` from the sentences
that are true for these words. Some combinations of words are kept back: they occur in no training
pair, so that `evaluate` can tell whether the model has learned rules or pairs.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from models.explainer import prompt, slots
from models.explainer.knowledge import entries
from models.explainer.sheet import FactSheet
from models.explainer.text import Language
from models.explainer.training import sheets, teacher

Part = Literal["train", "valid", "test", "kept"]
"""What a pair is for: to learn from, to watch the loss with, to judge with; `kept` is to judge
with too, on combinations and names that occur nowhere else."""
_SEEDS: Final[dict[Part, int]] = {"train": 1, "valid": 2, "test": 3, "kept": 4}
_ONE_IN: Final = 12
"""One combination in so many is kept back, of each of the groups below."""
_COMBINED: Final[tuple[tuple[str, ...], ...]] = (
    ("shape.", "asset.", "q."),
    ("shape.", "a.before", "a.after", "a.same", "b.", "order."),
    ("change.", "case.", "doubt.", "cause."),
)
"""Words that make a combination, by how they start."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One example.

    Args:
        prompt: Words of the closed vocabulary with a space between.
        text: With slots, one sentence a line.
    """

    prompt: str
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """An imagined alarm to write about.

    Args:
        sheet: Its facts.
        cause: Id of the cause that was at work; empty when none of ours was.
        language: Of the text.
        words: The prompt.
    """

    sheet: FactSheet
    cause: str
    language: Language
    words: tuple[str, ...]


def cases(part: Part, seed: int = 0) -> Iterator[Case]:
    """Imagined alarms without end; the same for the same seed."""
    rng = Random(f"{_SEEDS[part]}:{seed}")
    known = list(entries().values())
    while True:
        entry = None if rng.random() < 0.25 else rng.choice(known)
        plan = sheets.Plan(entry, is_known_name=part != "kept")
        sheet = sheets.sheet(rng, plan)
        language: Language = rng.choice(("en", "ja"))
        words = slots.of(sheet, None, language).words
        if is_kept_back(words) == (part == "kept"):
            yield Case(sheet, entry.id if entry else "", language, words)


def pairs(part: Part, count: int, seed: int = 0) -> Iterator[Pair]:
    """Examples with the teacher's texts."""
    rng = Random(f"{_SEEDS[part]}:{seed}:text")
    for _, case in zip(range(count), cases(part, seed), strict=False):
        yield Pair(prompt.own_text(case.words), teacher.write(case.words, rng))


def is_kept_back(words: Iterable[str]) -> bool:
    """Whether one of the combinations in a prompt is kept back from training."""
    said = tuple(words)
    for at, starts in enumerate(_COMBINED):
        found = [word for word in said if word.startswith(starts)]
        if zlib.crc32(f"{at} {' '.join(found)}".encode()) % _ONE_IN == 0:
            return True
    return False
