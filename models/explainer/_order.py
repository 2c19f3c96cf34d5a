"""Order: what a sentence says came before what, held against the onsets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from models.explainer._facts import Facts
from models.explainer._mentions import CLAUSE, MENTION, clause_at, subject_at
from models.explainer._scene import LETTERS
from models.explainer.causes import LEAD_S

_BEFORE: Final = r"before|ahead of|prior to|precede\w*|preceding|led|leads|leading|followed by"
_AFTER: Final = r"after|behind|followed|follows|following|later than|lagg\w+|lags"
_ORDER_EN: Final = re.compile(rf"\b(?:(?P<before>{_BEFORE}|earlier than)|(?P<after>{_AFTER}))\b")
_LONE_EN: Final = re.compile(
    r"\b(?:(?P<before>earlier|beforehand)|(?P<after>later|afterwards|then))\b"
)
_FIRST: Final = re.compile(r"\bfirst\b|最初|初めに|先頭")
_SAME: Final = re.compile(
    r"\b(?:same (?:time|moment)|simultaneous\w*|together|at once)\b|同時|同じ時|一緒に"
)
_LAST: Final = re.compile(r"\b(?:last|finally|lastly|latest|meanwhile)\b|最後")
_ORDER_JA: Final = re.compile(
    r"(?P<before>より(?:も)?(?:\{\w+\})?(?:先|前|早)|に先立|に先行)|(?P<after>より(?:も)?(?:\{\w+\})?(?:後|遅))"
    r"|(?P<follow>に続[いき]|の後[にで、]|のあと|した後|してから)|(?P<ahead>の前に|する前)"
)
_LONE_JA: Final = re.compile(
    r"(?P<before>先に|先行|これに先立)|(?P<after>その後|続いて|次に|のちに|遅れて)"
)
_LEAD_BEFORE: Final = re.compile(r"\{[abc]_lead\} ?(?:earlier|before|ahead|prior|前|先|早)")
_LEAD_AFTER: Final = re.compile(r"\{[abc]_lead\} ?(?:later|after|behind|後|遅)")


def order_holds(facts: Facts, text: str) -> bool:
    """Whether every earlier and later, first and together is so."""
    text = text[:1].lower() + text[1:]
    if _LAST.search(text):
        return False
    mentions = MENTION.findall(text)
    is_advice = not mentions and ("{check" in text or "{cause" in text)
    if not is_advice and (first := _FIRST.search(text)):
        subject = subject_at(text, first.start())
        if not _is_first(facts, subject):
            return False
    for same in _SAME.finditer(text):
        together = MENTION.findall(clause_at(text, same.start()))
        if together == ["tag"] or not all(abs(_lead(facts, m)) <= LEAD_S for m in together):
            return False
    if any(not _is_lead(facts, m[0], earlier=True) for m in _LEAD_BEFORE.finditer(text)):
        return False
    if any(not _is_lead(facts, m[0], earlier=False) for m in _LEAD_AFTER.finditer(text)):
        return False
    if is_advice:
        return True
    pairs = _pairs_ja(text) if facts.slots.language == "ja" else _pairs_en(text)
    return all(_is_before(facts, earlier, later) for earlier, later in pairs)


def _is_lead(facts: Facts, found: str, *, earlier: bool) -> bool:
    lead = facts.leads.get(found[1], float("nan"))
    return lead < -LEAD_S if earlier else lead > LEAD_S


def _lead(facts: Facts, mention: str) -> float:
    if mention == "prior" and "before" in facts.names:
        return -facts.scene.before_s
    return facts.leads.get(mention, float("nan"))


def _is_first(facts: Facts, subject: str) -> bool:
    if subject == "prior":
        return True  # The first of the alarms before is the one that is named.
    if subject == "tag":
        return "first.self" in facts.words
    return subject == "a" and "first.a" in facts.words


def _is_before(facts: Facts, earlier: str, later: str) -> bool:
    """Whether the onsets are in this order and further apart than sampling can make them."""
    if "prior" in (earlier, later) and {earlier, later} & set(LETTERS):
        return False  # An alarm and an onset are no two onsets.
    return _lead(facts, later) - _lead(facts, earlier) > LEAD_S


def _pairs_en(text: str) -> Iterator[tuple[str, str]]:
    """What is said to be earlier than what; the alarmed signal is `tag`."""
    taken: list[tuple[int, int]] = []
    for match in _ORDER_EN.finditer(text):
        taken.append(match.span())
        lefts, right = _beside(text, match.start(), match.end())
        is_it = bool(_IT.match(text, match.end()))
        right = "tag" if is_it else right
        if not lefts:
            # "Before it, X fell": who did it comes after the comma.
            comma = text.find(",", match.end())
            is_far = bool(right) and not is_it and comma >= 0
            following = MENTION.search(text, comma if is_far else match.end())
            lefts = [following[1]] if following else ["tag"]
        right = right or "tag"
        for left in lefts:
            if left != right:
                yield (left, right) if match["before"] else (right, left)
            elif left != "tag" or not _AGO.search(text[: match.start()]):
                yield left, left  # Nothing comes before itself.
    for match in _LONE_EN.finditer(text):
        if any(start <= match.start() < end for start, end in taken):
            continue
        lefts, right = _beside(text, match.start(), match.end())
        left = lefts[-1] if lefts else ""
        if match[0].lower() == "then":
            earlier = MENTION.findall(text[: match.start()])
            if earlier and right:
                yield str(earlier[-1]), right
            continue
        others = [one for one in MENTION.findall(text) if one != left]
        mate = "tag" if left != "tag" else (others[0] if others else "tag")
        if left and left != mate:
            yield (left, mate) if match["before"] else (mate, left)


_AGO: Final = re.compile(r"\{(?:since|change_ago|before_lead)\} $")
_IT: Final = re.compile(r" (?:it\b|this|that|the alarm|the limit)|,|\.|$|:")


def _beside(text: str, start: int, end: int) -> tuple[list[str], str]:
    """The mentions before a place, in its clause or else the nearest; and the nearest after it."""
    clause_start = max((found.end() for found in CLAUSE.finditer(text, 0, start)), default=0)
    near = MENTION.findall(text[clause_start:start]) or MENTION.findall(text[:start])[-1:]
    clause = CLAUSE.search(text, end)
    after = MENTION.search(text, end, clause.start() if clause else len(text))
    return [str(one) for one in near], (after[1] if after else "")


def _pairs_ja(text: str) -> Iterator[tuple[str, str]]:
    taken: list[tuple[int, int]] = []
    for match in _ORDER_JA.finditer(text):
        taken.append(match.span())
        mentions = MENTION.findall(text[: match.start()])
        following = MENTION.search(text, match.end())
        mate = str(mentions[-1]) if mentions else "tag"
        other = str(mentions[-2]) if len(mentions) > 1 and not match["follow"] else "tag"
        subject = following[1] if following else other
        is_mate_first = bool(match["follow"] or match["after"])
        yield (mate, subject) if is_mate_first else (subject, mate)
    for match in _LONE_JA.finditer(text):
        if any(start < match.end() and match.start() < end for start, end in taken):
            continue
        before = MENTION.findall(text[: match.start()])
        following = MENTION.search(text, match.end())
        if match["after"]:
            left = str(before[-1]) if before else "tag"
            if following and following[1] != left:
                yield left, following[1]
            elif before and left != "tag":
                yield "tag", left
        else:
            subjects = MENTION.findall(clause_at(text, match.start()))
            subjects = [str(one) for one in subjects] or [subject_at(text, match.start())]
            rest = [one for one in MENTION.findall(text) if one not in subjects]
            for subject in subjects:
                mate = "tag" if subject != "tag" else (rest[0] if rest else "")
                if mate:
                    yield subject, mate
