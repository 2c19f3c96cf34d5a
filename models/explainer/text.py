"""Text: an explanation as pieces, so that a screen can link every number to its trend.

What comes from people or devices (tag names, units, notes) is a piece of its own and has been
made harmless by `tame`: no control character, no change of writing direction, one line, bounded.
Nothing here is markup. Who writes HTML or Markdown calls `Explanation.html` or `.markdown`.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, Self, get_args

Language = Literal["en", "ja"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

Role = Literal[
    "what",
    "since",
    "compare",
    "usual",
    "ahead",
    "also",
    "steady",
    "before",
    "change",
    "data",
    "case",
    "cause",
    "check",
    "doubt",
    "other",
]
"""What a sentence says: what happened; since when; compared with what; how it was at this hour
yesterday; what comes next; what else moved; what did not; which alarms came before; what people
changed; what data is missing; similar cases; the likely cause; what to check first; what is
uncertain; anything else (only in texts of larger models)."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)

TEXT_CHARS_MAX: Final = 120
"""The longest text of one piece that people or devices wrote [characters]."""

_SPACES: Final = re.compile(r"\s+")
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&:])")
# Format characters (bidi controls, zero-width), controls, surrogates, private use, unassigned.
_BANNED: Final = frozenset(("Cf", "Cc", "Cs", "Co", "Cn"))


def tame(text: str, chars_max: int = TEXT_CHARS_MAX) -> str:
    """What people wrote, as harmless text on one line.

    >>> tame("a\\x1b[31m red\\u202e\\n line ")
    'a[31m red line'
    """
    kept = "".join(
        " " if char.isspace() else char
        for char in text[: 8 * chars_max]
        if char.isspace() or unicodedata.category(char) not in _BANNED
    )
    kept = _SPACES.sub(" ", kept).strip()
    return kept if len(kept) <= chars_max else kept[: chars_max - 1] + "…"


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text; one with a slot is a fact.

    Args:
        text: What is shown.
        slot: Which fact it is, such as ``value``; empty for words of ours.
        tag: The tag whose trend shows it; empty when there is none.
        ts: The time to show there [ns since 1970-01-01 UTC]; 0 when there is none.
    """

    text: str
    slot: str = ""
    tag: str = ""
    ts: int = 0


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence.

    Args:
        role: What it says.
        pieces: Its text in order.
        is_checked: Whether all that it claims was verified against the facts. False is a
            sentence of a larger model that has no wrong number but says something we cannot
            verify, such as a cause that our knowledge base does not have.
    """

    role: Role
    pieces: tuple[Piece, ...]
    is_checked: bool = True

    @property
    def text(self) -> str:
        """As one string."""
        return "".join(piece.text for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Explanation:
    """An explanation in one language.

    Args:
        language: ``en`` or ``ja``.
        sentences: In order.
        by: Who wrote it: ``template`` or the name of a model.
        reason: Why that one, or why not a model, in words for people.
        causes: Ids of the causes it names, the likeliest first; what an operator says of the
            explanation is about them.
        dropped: How many sentences of a model failed the check.
    """

    language: Language
    sentences: tuple[Sentence, ...]
    by: str = "template"
    reason: str = ""
    causes: tuple[str, ...] = ()
    dropped: int = 0

    @property
    def is_checked(self) -> bool:
        """Whether every sentence was verified."""
        return all(sentence.is_checked for sentence in self.sentences)

    def plain(self) -> str:
        """One paragraph.

        >>> one = Explanation("en", (Sentence("what", (Piece("<b> is high."),)),))
        >>> one.plain(), one.html()
        ('<b> is high.', '&lt;b&gt; is high.')
        """
        joint = "" if self.language == "ja" else " "
        return joint.join(sentence.text for sentence in self.sentences)

    def html(self) -> str:
        """The paragraph for a place that reads HTML: nothing in it is markup."""
        return html.escape(self.plain())

    def markdown(self) -> str:
        """The paragraph for a place that reads Markdown: nothing in it is markup."""
        return _MARKDOWN.sub(r"\\\1", self.plain())

    def to_json(self) -> dict[str, Any]:
        """Plain values.

        >>> pieces = (Piece("t", "tag", "t", 1),)
        >>> one = Explanation("ja", (Sentence("what", pieces),), causes=("a",))
        >>> Explanation.from_json(one.to_json()) == one
        True
        """
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """An explanation that `to_json` wrote.

        Raises:
            ValueError: It is none.
        """
        try:
            found = dict(data)
            found["sentences"] = tuple(
                Sentence(one["role"], tuple(Piece(**p) for p in one["pieces"]), one["is_checked"])
                for one in data["sentences"]
            )
            found["causes"] = tuple(data["causes"])
            return cls(**found)
        except (KeyError, TypeError) as error:
            raise ValueError(f"This is no explanation: {error!r}.") from error
