"""Phrases: every sentence we can say, what must be true for it, and how sentences make a text.

The inventory is `phrases.txt`. A text is sentences with a line feed between them, each an expanded
variant. From this one grammar come the template, the training corpus (`sample`) and the strictest
check of what our own model wrote (`is_valid`): a text of it is true of every sheet with the words
it was checked against, because each sentence stands only where its needs hold and every number,
name and direction in it is a slot.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from models.explainer._inventory import SLOT as SLOT
from models.explainer._inventory import Phrase as Phrase
from models.explainer._inventory import by_text
from models.explainer._inventory import inventory as inventory
from models.explainer.slots import holds
from models.explainer.text import Language, Role

SENTENCES_MIN: Final = 3
SENTENCES_MAX: Final = 7
# Roles in the order of a text; within one group any order is right. A sentence about the alarmed
# signal may say "it", so these stand before all that speaks of others.
_GROUP: Final[Mapping[Role, int]] = {
    "what": 0,
    "since": 1,
    "compare": 1,
    "usual": 1,
    "ahead": 1,
    "also": 2,
    "steady": 2,
    "before": 3,
    "change": 3,
    "data": 3,
    "case": 4,
    "cause": 4,
    "check": 5,
    "doubt": 5,
}
ORDER: Final[tuple[Role, ...]] = tuple(_GROUP)
"""The order in which the template says them."""
# What a text must not leave out when these words are there. Each role: any one of the words.
_MUST: Final[tuple[tuple[Role, str], ...]] = (
    ("what", ""),
    ("also", "first.a"),
    ("change", "change.just"),
    ("before", "prior.other|prior.comm"),
    ("cause", ""),
    ("check", ""),
    (
        "doubt",
        "doubt.clock|doubt.bad_quality|doubt.gap|doubt.maintenance|doubt.restart|doubt.no_baseline",
    ),
)
# What is worth a sentence, the most useful first.
_WORTH: Final[tuple[tuple[Role, str], ...]] = (
    ("since", "onset.known"),
    ("usual", "yesterday.now"),
    ("case", "case.named"),
    ("ahead", "ahead.soon"),
    ("also", "a.same|a.after|a.unsure"),
    ("steady", "kind.sensor others.none"),
    ("compare", "base.known"),
    ("since", ""),
    ("before", "prior.same|incident.many"),
    ("data", "hole.one|hole.many|bad.some"),
    ("doubt", "doubt.short_baseline|doubt.alone|cause.open"),
    ("steady", "others.none"),
    ("case", "case.one|case.many"),
    ("change", "!change.none"),
    ("usual", "yesterday.same|yesterday.other"),
    ("ahead", "ahead.later"),
    ("doubt", "doubt.unlike"),
)


def true_ones(words: Iterable[str], roles: Iterable[Role] | None = None) -> list[Phrase]:
    """The sentences that hold where these words do; the first of them is the language.

    Args:
        words: A prompt, `Slots.words`.
        roles: Only sentences with just these roles; None for all.
    """
    said = frozenset(words)
    wanted = None if roles is None else tuple(roles)
    language: Language = "ja" if "lang.ja" in said else "en"
    return [
        phrase
        for phrase in inventory(language)
        if (wanted is None or phrase.roles == wanted) and holds(phrase.needs, said)
    ]


def must(words: Iterable[str]) -> tuple[Role, ...]:
    """What a text for these words must say."""
    said = frozenset(words)
    return tuple(role for role, needs in _MUST if holds(needs, said))


def worth(words: Iterable[str]) -> tuple[Role, ...]:
    """What else is worth saying, the most useful first."""
    said = frozenset(words)
    found = (role for role, needs in _WORTH if holds(needs, said))
    needed = must(said)
    return tuple(role for role in dict.fromkeys(found) if role not in needed)


def read(words: Iterable[str], text: str) -> list[Phrase] | None:
    """The sentences of a text, one a line; None when one of them is unknown or not true here."""
    said = frozenset(words)
    known = by_text("ja" if "lang.ja" in said else "en")
    found: list[Phrase] = []
    for line in text.splitlines():
        ones = [one for one in known.get(line.strip(), ()) if holds(one.needs, said)]
        if not ones:
            return None
        found.append(ones[0])
    return found


def is_valid(words: Iterable[str], text: str) -> bool:
    """Whether a text with slots is one of this grammar: true here, complete, and in a good order.

    Args:
        words: The prompt, `Slots.words`.
        text: Sentences with a line feed between them.
    """
    said = frozenset(words)
    found = read(said, text)
    return found is not None and is_whole(said, [phrase.roles for phrase in found])


def is_whole(words: Iterable[str], sentences: Sequence[Sequence[Role]]) -> bool:
    """Whether sentences with these roles say what must be said, nothing twice, in a good order."""
    roles = [role for sentence in sentences for role in sentence]
    if len(roles) != len(set(roles)) or not set(must(words)) <= set(roles):
        return False
    return SENTENCES_MIN <= len(sentences) <= SENTENCES_MAX and in_order(sentences)


def group(role: Role) -> int:
    """The place of a role in a text: roles of the same place may come in any order."""
    return _GROUP[role]


def in_order(sentences: Sequence[Sequence[Role]]) -> bool:
    """Whether the roles of sentences come in the order of a text."""
    groups = [[_GROUP[role] for role in sentence] for sentence in sentences]
    return all(max(one) <= min(next_) for one, next_ in itertools.pairwise(groups))


def sample(words: Iterable[str], chance: random.Random) -> str:
    """A valid text for these words, drawn evenly from choices of content, order and wording.

    Args:
        words: The prompt, `Slots.words`.
        chance: A seeded generator.
    """
    said = frozenset(words)
    needed = list(must(said))
    extra = [role for role in worth(said) if true_ones(said, (role,))]
    room = max(0, min(SENTENCES_MAX, 6) - len(needed))
    least = max(0, SENTENCES_MIN - len(needed))
    most = max(least, room)
    count = min(len(extra), max(chance.randint(least, most), chance.randint(least, most)))
    # The most useful come first in `extra`; one in five times a less useful one is taken instead.
    while len(extra) > count:
        extra.pop(-1 if chance.random() < 0.8 else chance.randrange(len(extra)))
    roles = needed + extra
    chance.shuffle(roles)
    plan: list[tuple[Role, ...]] = [(role,) for role in sorted(roles, key=lambda r: _GROUP[r])]
    plan = _joined(said, plan, chance)
    lines = [_drawn(true_ones(said, roles), chance).text for roles in plan]
    text = "\n".join(lines)
    assert is_valid(said, text), text
    return text


def _drawn(found: list[Phrase], chance: random.Random) -> Phrase:
    """One of the sentences: mostly of the first block, which says most, with any wording of it."""
    blocks = list(dict.fromkeys(phrase.block for phrase in found))
    while len(blocks) > 1 and chance.random() < 0.15:
        blocks.pop(0)
    lines = sorted({phrase.variant for phrase in found if phrase.block == blocks[0]})
    variant = chance.choice(lines)
    return chance.choice([one for one in found if (one.block, one.variant) == (blocks[0], variant)])


def _joined(
    words: frozenset[str], plan: list[tuple[Role, ...]], chance: random.Random
) -> list[tuple[Role, ...]]:
    """The plan, where chance wants it with two roles said in one sentence."""
    pairs: tuple[tuple[Role, Role], ...] = (("also", "cause"), ("cause", "check"))
    for pair in pairs:
        if all((role,) in plan for role in pair) and chance.random() < 0.35:
            at = plan.index((pair[0],))
            joined = [one for one in plan if one[0] not in pair]
            joined.insert(at, pair)
            if len(joined) >= SENTENCES_MIN and true_ones(words, pair) and in_order(joined):
                return joined
    return plan
