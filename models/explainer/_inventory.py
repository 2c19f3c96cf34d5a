"""Inventory: the sentences of `phrases.txt`, read and expanded. `phrases` makes texts of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from models.explainer.slots import NEEDS, VOCABULARY
from models.explainer.text import LANGUAGES, ROLES, Language, Role

SLOT: Final = re.compile(r"\{([a-z_]+)\}")
_CHOICE: Final = re.compile(r"\(([^()|]*\|[^()]*)\)")


@dataclass(frozen=True, slots=True)
class Phrase:
    """One sentence with slots.

    Args:
        text: Such as ``{tag} is at {value}.``
        language: ``en`` or ``ja``.
        roles: What it says; most have one.
        needs: What the prompt must have for it to be true, in the notation of `slots.holds`.
        block: The number of its block in the file.
        variant: The number of its line in the block, 0 for the template's.
    """

    text: str
    language: Language
    roles: tuple[Role, ...]
    needs: str
    block: int
    variant: int

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots in it, in order."""
        return tuple(SLOT.findall(self.text))


@cache
def inventory(language: Language) -> tuple[Phrase, ...]:
    """Every sentence of a language, in the order of the file."""
    text = Path(__file__).with_name("phrases.txt").read_text("utf-8")
    return tuple(one for one in parse(text) if one.language == language)


@cache
def by_text(language: Language) -> Mapping[str, tuple[Phrase, ...]]:
    found: dict[str, tuple[Phrase, ...]] = {}
    for phrase in inventory(language):
        found[phrase.text] = (*found.get(phrase.text, ()), phrase)
    return MappingProxyType(found)


def parse(text: str) -> Iterator[Phrase]:
    """The sentences of a text in the format of `phrases.txt`.

    Raises:
        ValueError: It breaks the format.
    """
    roles: tuple[Role, ...] = ()
    needs, block, variant = "", -1, 0
    language: Language = "en"
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("== "):
            names, _, needs = line[3:].partition(" :")
            roles = tuple(_role(name.strip()) for name in names.split("+"))
            needs, block = needs.strip(), block + 1
            _check_words(needs)
        elif line in LANGUAGES:
            language, variant = ("ja" if line == "ja" else "en"), 0
        else:
            for one in _expanded(line):
                extra = " ".join(dict.fromkeys(_slot_needs(one)))
                yield Phrase(one, language, roles, f"{needs} {extra}".strip(), block, variant)
            variant += 1


def _role(name: str) -> Role:
    for role in ROLES:
        if role == name:
            return role
    raise ValueError(f"{name!r} is no role of a sentence.")


def _check_words(needs: str) -> None:
    for word in re.split(r"[ |]", needs):
        if word and word.removeprefix("!") not in VOCABULARY:
            raise ValueError(f"{word!r} is no word of the vocabulary.")


def _slot_needs(text: str) -> Iterator[str]:
    for slot in SLOT.findall(text):
        if slot not in NEEDS:
            raise ValueError(f"{slot!r} in {text!r} is no slot.")
        yield from NEEDS[slot].split()


def _expanded(line: str) -> Iterator[str]:
    parts = _CHOICE.split(line)
    choices = [part.split("|") if at % 2 else [part] for at, part in enumerate(parts)]
    for chosen in itertools.product(*choices):
        yield "".join(chosen)
