"""Said: what the gateway says in English, told in another language when somebody reads it.

Records, logs and the API hold finished English sentences, so that the same input gives the same
bytes whoever reads them. A catalogue holds the sentences of the source code as templates, such
as ``{device} has been away for {away}: {why}``. A sentence is held against them and its values
are put into the translation as they stand: no number, unit or name is ever written anew. What
fits no template, or fits one in two ways, stays English.

The browser does the same in ``ui/frontend/src/lib/said.js``; decision record 0041 says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, Final

from babel.messages.pofile import read_po

LOCALE: Final = Path(__file__).resolve().parent.parent / "locale"
SAID_CHARS_MAX: Final = 4_000
"""A longer text is no sentence of ours, and is not looked at."""
_SENTENCES_MAX: Final = 12
_DEPTH_MAX: Final = 4
_KEPT_MAX: Final = 2_000
FIELD: Final = re.compile(r"\{(\w+)\}")
_AMOUNT: Final = r"(?:[-+]?[0-9][0-9.]*(?:e[-+]?[0-9]+)?|-?inf|nan)(?: [^ ,:;]+)?"
KINDS: Final = {
    **dict.fromkeys(("tag", "device", "source", "condition", "feature"), "[^ ]+"),
    **dict.fromkeys(("host", "flow", "node"), "[^ ]+"),
    "address": "[^ ]*[0-9./:][^ ]*",
    **dict.fromkeys(("bound", "number"), "[-+0-9.e]+"),
    "amount": _AMOUNT,
    **dict.fromkeys(("whole", "sort"), ""),
}
"""What may stand for a field of this name: where empty only what is known itself, and for any
other name any text."""
_BETWEEN: Final = re.compile(r"(?<=[.?!]) ")
_PLACE: Final = re.compile(r"([^ ]+:[0-9]+(?: [^ ]+)?: )([^\n]+)")
_PROSE: Final = re.compile(
    "(There|It|Its|This|That|These|The|An?|No|None|Nothing|Nobody|Not|Another|What|When|Only)( |$)"
)
"""A name that begins so is the begin of some other sentence, which is not known."""


@dataclass(frozen=True, slots=True)
class _Template:
    fields: tuple[str, ...]
    literals: tuple[str, ...]
    other: str
    weight: int
    key: str
    """Its longest literal part, which a text must hold to be looked at any closer."""

    @property
    def is_tight(self) -> bool:
        """True when a text can be read as it in one way only, by the kinds of its fields."""
        return all(_kind(name) is not None for name in self.fields[:-1])

    def may_be(self, text: str) -> bool:
        """False for what cannot be it, which is nearly always so and found at once."""
        if self.key not in text or not text.startswith(self.literals[0]):
            return False
        return text.endswith(self.literals[-1])

    def pattern(self, lazy: str) -> re.Pattern[str]:
        parts = [re.escape(self.literals[0])]
        for name, literal in zip(self.fields, self.literals[1:], strict=True):
            kind = _kind(name)
            parts.append(f"({kind or f'.+{lazy}'}){re.escape(literal)}")
        return re.compile("".join(parts), re.DOTALL)


def _kind(name: str) -> str | None:
    return KINDS.get(name.rstrip("0123456789"))


class Sayings:
    """What one language says for the sentences of the gateway.

    Args:
        pairs: English sentences and templates, and what stands for them.
    """

    def __init__(self, pairs: Mapping[str, str]) -> None:
        self._pairs = pairs
        self._templates = [_template(text, other) for text, other in pairs.items() if other]
        self._templates = [one for one in self._templates if one.fields]
        # Where two fit as well, what was said last is told last: it stands outside.
        self._templates.sort(key=lambda one: "whole" not in one.fields)
        self._patterns: dict[tuple[int, str], re.Pattern[str]] = {}
        self._kept: dict[str, str] = {}
        self._lock = Lock()
        self._parts: dict[tuple[str, int], tuple[str, int]] = {}

    def of(self, text: str) -> str:
        """A text as this language says it; as it is, where nothing is known for it.

        >>> Sayings({"{tag} is {value} bar.": "{value} bar です({tag})。"}).of("P1 is 3.50 bar.")
        '3.50 bar です(P1)。'
        """
        if not text or len(text) > SAID_CHARS_MAX:
            return text
        with self._lock:  # Answers of the API are told in threads.
            if text not in self._kept:
                if len(self._kept) >= _KEPT_MAX:
                    self._kept.clear()
                self._kept[text] = self._said(text, 0)[0]
                self._parts.clear()
            return self._kept[text]

    def _said(self, text: str, depth: int) -> tuple[str, int]:
        """The text, and how many characters of it are of templates; 0 when it stays English."""
        one = self._one(text, depth)
        spots = [m.start() for m in _BETWEEN.finditer(text)]
        if 0 < len(spots) < _SENTENCES_MAX:
            several = self._several(text, [-1, *spots, len(text)], depth)
            one = several if several[1] >= one[1] else one
        if depth < _DEPTH_MAX and (found := _PLACE.fullmatch(text)):
            inner, weight = self._said(found[2], depth + 1)
            one = (found[1] + inner, weight) if weight >= one[1] else one
        return one

    def _several(self, text: str, cuts: list[int], depth: int) -> tuple[str, int]:
        """Sentence by sentence, cut where most of it is known, and rather cut than not.

        Or the last value of a sentence would swallow the sentence behind it.
        """
        best: list[tuple[int, list[tuple[str, bool]]]] = [(0, [])]
        for end in range(1, len(cuts)):
            options = []
            for begin in range(end):
                part = text[cuts[begin] + 1 : cuts[end]]
                said, weight = self._one(part, depth)
                before, parts = best[begin]
                options.append((before + weight, [*parts, (said, weight > 0)]))
            best.append(max(options, key=lambda option: (option[0], len(option[1]))))
        weight, parts = best[-1]
        joined = parts[0][0]
        for (_, was), (said, known) in pairwise(parts):
            joined += said if was and known else f" {said}"
        return joined, weight

    def _one(self, text: str, depth: int) -> tuple[str, int]:
        """The text as one saying, or as it is; each part of a text is looked at once."""
        if (text, depth) not in self._parts:
            self._parts[text, depth] = self._looked_up(text, depth)
        return self._parts[text, depth]

    def _looked_up(self, text: str, depth: int) -> tuple[str, int]:
        if other := self._pairs.get(text):
            return other, len(text)
        best = (text, 0)
        if depth < _DEPTH_MAX:
            for number, template in enumerate(self._templates):
                if template.may_be(text):
                    found = self._filled(number, template, text, depth)
                    if found is not None and found[1] > best[1]:
                        best = found
        return best

    def _filled(
        self, number: int, template: _Template, text: str, depth: int
    ) -> tuple[str, int] | None:
        match = self._pattern(number, "?").fullmatch(text)
        if match is None:
            return None
        if not template.is_tight:
            again = self._pattern(number, "").fullmatch(text)
            if again is None or again.groups() != match.groups():
                return None  # It could be read in another way, too.
        values: dict[str, str] = {}
        weight = template.weight
        for name, value in zip(template.fields, match.groups(), strict=True):
            kind = _kind(name)
            if not kind:
                value, more = self._value(value, depth + 1)
                weight += more
                is_prose = not values and not template.literals[0] and _PROSE.match(value)
                if not more and (kind == "" or is_prose):
                    return None
            values[name] = value
        return FIELD.sub(lambda m: values.get(m[1], m[0]), template.other), weight

    def _value(self, value: str, depth: int) -> tuple[str, int]:
        """What stands inside a sentence: often one itself, without its full stop."""
        if " " not in value:
            return value, 0  # A name, which is never told in other words.
        found = self._said(value, depth)
        if found[1] == 0 and value[-1:] not in ".?!":
            said, weight = self._said(f"{value[:1].upper()}{value[1:]}.", depth)
            if weight:
                return said.removesuffix("。"), weight
        return found

    def _pattern(self, number: int, lazy: str) -> re.Pattern[str]:
        if (number, lazy) not in self._patterns:
            self._patterns[number, lazy] = self._templates[number].pattern(lazy)
        return self._patterns[number, lazy]


def _template(text: str, other: str) -> _Template:
    parts = FIELD.split(text)
    literals = tuple(parts[::2])
    weight, key = sum(map(len, literals)), max(literals, key=len)
    return _Template(tuple(parts[1::2]), literals, other, weight, key)


@cache
def pairs(language: str) -> Mapping[str, str]:
    """The sentences of the gateway in a language, by their English; none for English."""
    path = LOCALE / f"{language}.po"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        found = read_po(file, locale=language)
    return {str(m.id): str(m.string) for m in found if m.id and m.string}


@cache
def sayings(language: str) -> Sayings:
    """What a language says for the sentences of the gateway."""
    return Sayings(pairs(language))


_SENTENCES: Final = frozenset(("text", "reason", "hint", "error", "why"))


def in_language(value: Any, language: str) -> Any:
    """JSON values in which the sentences are of a language; all else is as it was.

    Args:
        value: What the API answers; it is not changed.
        language: ``en`` gives `value` itself.
    """
    return value if language == "en" else _walked(value, sayings(language), "")


def _walked(value: Any, known: Sayings, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _walked(inner, known, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_walked(inner, known, key) for inner in value]
    return known.of(value) if key in _SENTENCES and isinstance(value, str) else value


def fields_of(text: str) -> Iterator[str]:
    """The names of the fields of a template, in their order."""
    return (match[1] for match in FIELD.finditer(text))


__all__ = ["FIELD", "KINDS", "LOCALE", "Sayings", "fields_of", "in_language", "pairs", "sayings"]
