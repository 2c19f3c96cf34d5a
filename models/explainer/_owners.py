"""Owners: each number, direction and quantity of a sentence with the signal it belongs to."""

from __future__ import annotations

import re
from typing import Final

from models.explainer import names
from models.explainer._facts import Facts
from models.explainer._inventory import SLOT
from models.explainer._mentions import MENTION, subject_at
from models.explainer._scene import LETTERS


def _owner(slot: str) -> str:
    letter, _, rest = slot.partition("_")
    if letter in LETTERS and rest:
        return letter
    if slot in _OF_ALARM:
        return "tag"
    return _OWNERS.get(slot, "")


_OWNERS: Final = {
    "before_lead": "prior",
    "before_condition": "prior",
    "hole_length": "hole",
    "hole_from": "hole",
}


_OF_ALARM: Final = frozenset(
    (
        *names.WAY,
        *("value", "limit", "next_limit", "to_limit", "mean", "sd", "size", "sigmas"),
        *("rate", "period", "yesterday", "onset", "since", "raised", "condition", "bad"),
    )
)


def owners_hold(facts: Facts, text: str) -> bool:
    """Whether each number and each word of direction stands with the signal it is of."""
    letters = set(MENTION.findall(text)) & set(LETTERS)
    if "{cause}" in text and any(f"fits.{letter}" not in facts.words for letter in letters):
        return False
    for match in SLOT.finditer(text):
        owner = _owner(match[1])
        if not owner:
            continue
        if match[1].endswith("_lead"):
            is_prior = owner == "prior" and _is_prior_same(facts, text)
            if not is_prior and not _is_lead_of(owner, text, match.start(), match.end()):
                return False
            continue
        subject = subject_at(text, match.start())
        if owner == "prior" and _is_prior_same(facts, text):
            continue
        if subject != owner and not _is_one(facts, subject, owner):
            return False
    return True


def _is_lead_of(owner: str, text: str, start: int, end: int) -> bool:
    """Whether a lead stands with its signal: said just before it, or right after the lead."""
    mentions = MENTION.findall(text)
    following = MENTION.search(text, end)
    if following and following[1] == owner and following.start() - end < _LEAD_CHARS_MAX:
        return True
    return owner in mentions and subject_at(text, start) in (owner, "tag")


_LEAD_CHARS_MAX: Final = 12


def _is_prior_same(facts: Facts, text: str) -> bool:
    """Whether the alarm before was of the same signal, which then need not be named again."""
    return "prior.same" in facts.words and set(MENTION.findall(text)) <= {"tag"}


def _is_one(facts: Facts, one: str, other: str) -> bool:
    """Whether two mentions are the same tag."""
    names_ = facts.names | {"prior": facts.names.get("before", "")}
    return one in names_ and names_[one] == names_.get(other)


def quantities_hold(facts: Facts, text: str) -> bool:
    """Whether a quantity beside a name is what that signal measures, and no name stands twice."""
    if _TWICE.search(text) or (_OTHERS.search(text) and "{tag}" in text):
        return False
    of = {"tag": facts.sheet.signal.quantity}
    of |= {
        letter: move.signal.quantity
        for letter, move in zip(LETTERS, facts.scene.others, strict=False)
    }
    for quantity, pair in names.QUANTITY.items():
        if quantity in ("other", "state", "rate", "count", "level"):
            continue
        word = re.escape(names.word(pair, facts.slots.language))
        for pattern in (rf"\b{word} \{{(tag|a|b|c)\}}", rf"\{{(tag|a|b|c)\}} {word}\b",
                        rf"{word}\{{(tag|a|b|c)\}}", rf"\{{(tag|a|b|c)\}}の{word}"):  # fmt: skip
            if any(of.get(one) != quantity for one in re.findall(pattern, text, re.IGNORECASE)):
                return False
    return True


_TWICE: Final = re.compile(r"\{(\w+)\}(?: and |, |と|や|、)\{\1\}")
_OTHERS: Final = re.compile(r"\bother signals?\b|ほかに|ほかの信号が")
