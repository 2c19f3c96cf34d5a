"""Mentions: where a sentence with slots speaks of which signal."""

from __future__ import annotations

import re
from typing import Final

MENTION: Final = re.compile(r"\{(tag|a|b|c|steady|prior|hole)\}")
CLAUSE: Final = re.compile(
    r"[;:、。；：]|,(?! \{?\d)|(?<=[a-z]) (?:while|whereas|but|and then|then)\b"
)


def subject_at(text: str, at: int) -> str:
    """The signal that is spoken of at a place: the nearest before, else the next in the clause."""
    before = MENTION.findall(text[:at])
    if before:
        return str(before[-1])
    clause_end = CLAUSE.search(text, at)
    following = MENTION.search(text, at, clause_end.start() if clause_end else len(text))
    return following[1] if following else "tag"


def clause_at(text: str, at: int) -> str:
    """The clause around a place."""
    start = max((found.end() for found in CLAUSE.finditer(text, 0, at)), default=0)
    end = CLAUSE.search(text, at)
    return text[start : end.start() if end else len(text)]
