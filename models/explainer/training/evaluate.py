"""Evaluate: the shipped file on imagined alarms it has never seen, beside the template.

Two sets: new facts of the kinds it was trained on, and combinations of facts and families of names
that were kept back from training. Nothing here needs torch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final

from models.explainer import check, phrases, slots, template
from models.explainer.sheet import FactSheet
from models.explainer.text import LANGUAGES
from models.explainer.training import corpus, judge
from models.explainer.training.author import Author, Written
from models.explainer.training.corpus import Case, Part

_PARTS: Final[tuple[Part, ...]] = ("test", "kept")


@dataclass(slots=True)
class Score:
    """What was found in the texts of one author.

    Args:
        texts: How many there are.
        valid: Every sentence true, nothing missing, nothing twice, in order.
        true_lines: Sentences that are of the inventory and true for the facts.
        lines: All sentences.
        digits: Texts with a digit: there must be none.
        strangers: Texts with a slot that has no value, or with a brace that is no slot.
        first_mover: Texts that name the signal that moved first, where another one did.
        first_mover_of: Where another one did.
        causes: Texts that name the likeliest cause.
        checks: Texts that name its first check.
        right: Texts that name the cause that was at work, first or second.
        right_of: Where one of ours was at work.
        kept: Texts that passed the check with no sentence dropped.
        shown: Texts that passed the check at all; for the rest the template is shown.
        told: What the judge finds a text to be worth, summed up.
        wordings: The different texts.
    """

    texts: int = 0
    valid: int = 0
    true_lines: int = 0
    lines: int = 0
    digits: int = 0
    strangers: int = 0
    first_mover: int = 0
    first_mover_of: int = 0
    causes: int = 0
    checks: int = 0
    right: int = 0
    right_of: int = 0
    kept: int = 0
    shown: int = 0
    told: float = 0.0
    wordings: Counter[str] = field(default_factory=Counter)

    def add(self, case: Case, text: str) -> None:
        """Count one text."""
        words, found = frozenset(case.words), slots.of(case.sheet, None, case.language)
        named = set(phrases.SLOT.findall(text))
        self.texts += 1
        self.wordings[text] += 1
        self.valid += phrases.is_valid(words, text)
        lines = text.splitlines()
        self.lines += len(lines)
        self.true_lines += sum(phrases.read(words, line) is not None for line in lines)
        self.digits += any(char.isdigit() for char in text)
        rest = phrases.SLOT.sub("", text)
        self.strangers += bool(named - found.values.keys()) or "{" in rest or "}" in rest
        if "first.a" in words:
            self.first_mover_of += 1
            self.first_mover += "a" in named
        self.causes += "cause" in named
        self.checks += "check" in named
        if case.cause:
            ids = [cause.id for cause in found.causes[: 2 if "cause_b" in named else 1]]
            self.right_of += 1
            self.right += case.cause in ids
        shown = check.read(case.sheet, case.language, text)
        self.shown += shown is not None
        self.kept += shown is not None and not shown.dropped
        self.told += judge.score(case.language, text)

    def to_json(self) -> dict[str, Any]:
        """Shares, and how many texts they are of."""
        return {
            "texts": self.texts,
            "valid": self.valid / self.texts,
            "true sentences": self.true_lines / max(1, self.lines),
            "sentences a text": self.lines / self.texts,
            "texts with a digit": self.digits,
            "texts with a strange slot": self.strangers,
            "first mover": self.first_mover / max(1, self.first_mover_of),
            "cause": self.causes / self.texts,
            "check": self.checks / self.texts,
            "right cause": self.right / max(1, self.right_of),
            "shown": self.shown / self.texts,
            "nothing dropped": self.kept / self.texts,
            "worth": self.told / self.texts,
            "different texts": len(self.wordings) / self.texts,
        }


def run(path: Path, count: int, plant: Path | None = None) -> dict[str, Any]:
    """Everything the card tells, on `count` cases of each of the two sets.

    Args:
        path: The model.
        count: How many cases.
        plant: A file with a JSON list of fact sheets, such as those of a simulated plant: a third
            set, in both languages.
    """
    author = Author(path)
    found: dict[str, Any] = {}
    cost: list[Written] = []
    sets = {part: list(islice(corpus.cases(part, 11), count)) for part in _PARTS}
    for part, cases in (sets | ({"plant": _of_plant(plant)} if plant else {})).items():
        written = [author.write(case.words) for case in cases]
        cost += written
        found[part] = dict(_scores(cases, [one.text for one in written]))
    found["cpu ms"] = median(one.cpu_s for one in cost) * 1e3
    found["cpu ms p95"] = sorted(one.cpu_s for one in cost)[int(0.95 * len(cost))] * 1e3
    found["tokens"] = median(one.tokens for one in cost)
    found["cut off"] = sum(not one.is_ended for one in cost)
    return found


def _of_plant(path: Path) -> list[Case]:
    """Each sheet once in each language; of like prompts one is enough."""
    found: dict[tuple[str, ...], Case] = {}
    for plain in json.loads(path.read_text("utf-8")):
        sheet = FactSheet.from_json(plain)
        for language in LANGUAGES:
            words = slots.of(sheet, None, language).words
            found.setdefault(words, Case(sheet, "", language, words))
    return list(found.values())


def _scores(cases: Sequence[Case], texts: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """By author and language, and the blind comparison."""
    rows = [
        (case, text, template_text(case.words)) for case, text in zip(cases, texts, strict=True)
    ]
    for language in ("en", "ja"):
        ours, theirs = Score(), Score()
        for case, text, other in rows:
            if case.language == language:
                ours.add(case, text)
                theirs.add(case, other)
        yield f"model {language}", ours.to_json()
        yield f"template {language}", theirs.to_json()
    tally = judge.blind([(case.words, text, other) for case, text, other in rows])
    yield "blind", {**asdict(tally), "chance": tally.chance}


def template_text(words: Sequence[str]) -> str:
    """The template's text with slots, one sentence a line."""
    return "\n".join(phrase.text for phrase in template.chosen(frozenset(words)))
