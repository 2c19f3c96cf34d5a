"""Prompt: what a model is asked. Nothing in it was written by people or devices of the plant.

Our own model gets the words of `slots`, nothing else. A larger model that follows instructions
gets the same facts as sentences with slots, made from the words alone; so it never sees a name, a
unit or a number either, and what is private stays here even when the model does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from models.explainer import knowledge, phrases, slots
from models.explainer.causes import Cause
from models.explainer.sheet import FactSheet
from models.explainer.text import Language, Role

Speaker = Literal["system", "user", "assistant"]

_SYSTEM: Final[Mapping[Language, str]] = {
    "en": (
        "You explain an alarm of a factory to the operator on shift. You get sentences that are"
        " true. Words in braces such as {value} are slots that stand for names, numbers, times and"
        " directions; copy them as they are. Write three to six short sentences in plain English:"
        " what happened, since when, what else moved and in which order, what was changed before,"
        " the likely cause, the first check, and what is uncertain. Choose what helps most and"
        " leave out the rest. Write no digit and no number word; use only slots from the list."
        " For the cause write {cause}, for the check {check}. No list, no heading, no markup."
    ),
    "ja": (
        "あなたは工場の警報を当直の運転員に説明します。与えられる文はすべて事実です。{value}の"
        "ような波かっこの語は、名前・数値・時刻・方向を表すスロットなので、そのまま写してくださ"
        "い。何が起きたか、いつからか、ほかに何がどの順で動いたか、直前に何が変更されたか、考え"
        "られる原因、最初に確認すること、不確かな点から、役に立つものを選び、短い日本語の文を"
        "三つから六つ書いてください。数字や数を表す言葉は書かず、一覧にあるスロットだけを使って"
        "ください。原因は{cause}、確認は{check}と書きます。箇条書き、見出し、記号は使いません。"
    ),
}
_LABELS: Final[Mapping[Language, tuple[str, str, str, str]]] = {
    "en": ("True sentences:", "Slots:", "{cause} stands for:", "{check} stands for:"),
    "ja": ("事実の文:", "スロット:", "{cause}の内容:", "{check}の内容:"),
}
_LATIN: Final = "a-zA-Z"
_SIGNS: Final = r" \n.,;:!?'" + '"' + "()/&+*#_=–—‘’“”…-"
_LETTERS: Final[Mapping[Language, str]] = {
    "en": _LATIN + _SIGNS,
    # Kana, the ideographs of everyday and of names, and the full-width signs between them.
    "ja": _LATIN + "ぁ-ゖァ-ヺー・々〆一-鿿、。「」『』（）：；！？／～〜" + _SIGNS,
}
"""What sentences of a language are written in, as the inside of a class of GBNF."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked.

    Args:
        messages: Pairs of speaker and text, for `Ask.messages`.
        grammar: GBNF of texts with no digit, and with braces only around slots (decisions/0047).
        words: The closed words it was made from.
    """

    messages: tuple[tuple[Speaker, str], ...]
    grammar: str
    words: tuple[str, ...]


def ask(
    sheet: FactSheet,
    language: Language,
    *,
    is_own_model: bool,
    causes: Sequence[Cause] | None = None,
) -> Question:
    """The question about a sheet.

    Args:
        sheet: The facts.
        language: Of the answer.
        is_own_model: For the model that ships with the gateway, which was trained on words; any
            other model gets sentences.
        causes: From `causes.rank(sheet)`; None ranks them here.
    """
    found = slots.of(sheet, causes, language)
    if is_own_model:
        grammar = free_grammar(slots.NAMES, language)
        return Question((("user", own_text(found.words)),), grammar, found.words)
    ids = [cause.id for cause in found.causes]
    text = _facts(found.words, ids, tuple(found.values), language)
    messages: tuple[tuple[Speaker, str], ...] = (("system", _SYSTEM[language]), ("user", text))
    return Question(messages, free_grammar(found.values, language), found.words)


def own_text(words: Iterable[str]) -> str:
    """The prompt of our own model."""
    return " ".join(words)


def _facts(
    words: tuple[str, ...], ids: Sequence[str], known: Sequence[str], language: Language
) -> str:
    """Every role's first true sentence, the slots there are, and what the causes are."""
    said = frozenset(words)
    lines: dict[str, str] = {}
    for phrase in phrases.true_ones(said):
        if phrase.variant == 0 and len(phrase.roles) == 1 and phrase.roles[0] != "check":
            lines.setdefault(phrase.roles[0], phrase.text)
    entries = knowledge.entries()
    first, second, third, fourth = _LABELS[language]
    return "\n".join(
        (
            first,
            *(lines[role] for role in phrases.ORDER if role in lines),
            f"{second} " + " ".join("{" + name + "}" for name in known),
            f"{third} {entries[ids[0]].names[language]}",
            f"{fourth} {entries[ids[0]].checks[language]}",
        )
    )


def free_grammar(names_: Iterable[str], language: Language) -> str:
    r"""GBNF of any text of a language in which slots of these names are all that has braces.

    What may stand is listed, not what may not: beside slots only the characters that sentences of
    the language are written in, and no digit of any script, no sign that is a number, no control
    character and none that turns the direction of writing is among them.

    >>> print(free_grammar(["value"], "en"))
    root ::= (slot | [a-zA-Z \n.,;:!?'"()/&+*#_=–—‘’“”…-])+
    slot ::= "{" name "}"
    name ::= "value"
    """
    choices = " | ".join(f'"{name}"' for name in names_)
    return "\n".join(
        (
            f"root ::= (slot | [{_LETTERS[language]}])+",
            'slot ::= "{" name "}"',
            f"name ::= {choices}",
        )
    )


def strict_grammar(words: Iterable[str]) -> str:
    """GBNF of just the sentences that are true for these words, in a good order.

    A model that is held to it can only choose, order and join; it costs more time a token than
    the free one, since every true sentence is an alternative.
    """
    said = frozenset(words)
    by_role: dict[Role, list[str]] = {}
    for phrase in phrases.true_ones(said):
        if len(phrase.roles) == 1:
            by_role.setdefault(phrase.roles[0], []).append(phrase.text)
    needed = phrases.must(said)
    parts: list[str] = []
    rules: list[str] = []
    for role in phrases.ORDER:
        if role in by_role:
            choices = " | ".join(_quoted(text) for text in dict.fromkeys(by_role[role]))
            rules.append(f"{role} ::= {choices}")
            link = role if role == "what" else f'"\\n" {role}'
            parts.append(link if role in needed else f"({link})?")
    return "\n".join((f"root ::= {' '.join(parts)}", *rules))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
