"""Draft: what a model has written so far, for a screen; nobody has checked it yet.

Slots that are whole are filled. A slot that is still being written waits, one that is not known
and every digit that the model wrote itself are left out: a number that nobody has checked is
never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from models.explainer.text import Explanation, Language, Piece, Sentence

CHARS_MAX: Final = 4_000
_SLOT: Final = re.compile(r"\{(\w+)\}")
_DIGITS: Final = re.compile(r"\d[\d.,:]*")


def draft(raw: str, language: Language, values: Mapping[str, Piece], by: str = "") -> Explanation:
    """An unchecked text as far as it is written.

    Args:
        raw: What came from the model.
        language: Of the text.
        values: What fills the slots.
        by: The model's name.

    >>> one = draft("{tag} is at 99 {val", "en", {"tag": Piece("a<b>", "tag")})
    >>> one.plain(), one.is_checked
    ('a<b> is at … ', False)
    """
    text = raw[:CHARS_MAX]
    opened = text.rfind("{")
    if opened > text.rfind("}"):
        text = text[:opened]
    sentences = [
        Sentence("other", tuple(_pieces(line, values)), is_checked=False)
        for line in text.splitlines()
        if line.strip()
    ]
    return Explanation(language, tuple(sentences), by)


def _pieces(line: str, values: Mapping[str, Piece]) -> Iterator[Piece]:
    for at, part in enumerate(_SLOT.split(line)):
        if at % 2:
            yield values.get(part, Piece("…"))
        elif part:
            yield Piece(_DIGITS.sub("…", part.replace("{", "").replace("}", "")))


__all__ = ["draft"]
