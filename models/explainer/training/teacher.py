"""Teacher: the text we would like to read for a prompt, composed from the sentences that are true.

It says what must be said and the most useful of the rest, joins sentences where the inventory has
one for both, does not name twice what "it" can stand for, and does not begin two sentences alike.
Where several wordings are equally good, chance decides; a model trained on many of them
settles on one for each situation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, TypeAlias

from models.explainer import phrases
from models.explainer.phrases import Phrase
from models.explainer.text import Role

Plan: TypeAlias = list[tuple[Role, ...]]
_JOINTS: Final[tuple[tuple[tuple[Role, Role], float], ...]] = (
    (("also", "cause"), 0.8),
    (("cause", "check"), 0.6),
)
"""Roles that one sentence can say together, and how often it should."""
_WANTED: Final = 5
"""Sentences of a text: what an operator reads in a quarter of a minute."""
_SWAP: Final = 0.1
"""How often two neighbours of the same place change places."""


def write(words: Sequence[str], rng: Random) -> str:
    """A valid text for a prompt, one sentence a line."""
    said = frozenset(words)
    known: dict[tuple[Role, ...], list[Phrase]] = {}
    for phrase in phrases.true_ones(words):
        known.setdefault(phrase.roles, []).append(phrase)
    lines: list[Phrase] = []
    for roles in _planned(said, known, rng):
        lines.append(_worded(known[roles], lines, rng))
    text = "\n".join(phrase.text for phrase in lines)
    assert phrases.is_valid(said, text), text
    return text


def _planned(said: frozenset[str], known: Mapping[tuple[Role, ...], object], rng: Random) -> Plan:
    """What to say, in order."""
    needed = list(phrases.must(said))
    extra = [role for role in phrases.worth(said) if (role,) in known]
    joints = _joints(said, needed, known, rng)
    room = _WANTED - (len(needed) - len(joints))
    count = max(phrases.SENTENCES_MIN - len(needed) + len(joints), room, 0)
    roles = [*needed, *extra[:count]]
    plan: Plan = [(role,) for role in phrases.ORDER if role in roles]
    for pair in joints:
        first = plan.index((pair[0],))
        plan = [one for one in plan if one[0] not in pair]
        plan.insert(first, pair)
    plan = plan if phrases.in_order(plan) else [(r,) for r in phrases.ORDER if r in roles]
    for at in range(1, len(plan) - 1):
        if rng.random() < _SWAP:
            swapped = [*plan[:at], plan[at + 1], plan[at], *plan[at + 2 :]]
            plan = swapped if phrases.in_order(swapped) else plan
    return plan


def _joints(
    said: frozenset[str],
    needed: Sequence[Role],
    known: Mapping[tuple[Role, ...], object],
    rng: Random,
) -> list[tuple[Role, Role]]:
    """At most one pair of roles to say in one sentence.

    A second cause has sentences of its own, which say more than a joined one.
    """
    for pair, share in _JOINTS:
        if pair not in known or not set(pair) <= set(needed):
            continue
        if "second.known" in said and "cause.clear" not in said:
            continue
        if rng.random() < share:
            return [pair]
    return []


def _worded(found: Sequence[Phrase], before: Sequence[Phrase], rng: Random) -> Phrase:
    """One of the sentences for the same roles.

    Of several blocks the first is the most specific, so it is taken; within it those that repeat
    nothing.
    """
    best = [one for one in found if one.block == found[0].block]
    fresh = [one for one in best if not _repeats(one, before)] or best
    variants = sorted({one.variant for one in fresh})
    variant = rng.choice(variants)
    return rng.choice([one for one in fresh if one.variant == variant])


def _repeats(phrase: Phrase, before: Sequence[Phrase]) -> bool:
    """Whether a sentence names again what was named, or begins as the last one did."""
    named = {slot for one in before for slot in one.slots}
    if named & set(phrase.slots) & _ONCE:
        return True
    return bool(before) and _start(before[-1].text) == _start(phrase.text)


def _start(text: str) -> str:
    return text[:3]


_ONCE: Final = frozenset(
    ("tag", "raised", "onset", "quantity", "cause", "change_at", "a_lead", "before_lead", "asset")
)
