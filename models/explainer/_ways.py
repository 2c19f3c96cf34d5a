"""Ways: the words of direction in a sentence, held against what each signal did."""

from __future__ import annotations

import re
from typing import Final

from models.explainer._facts import Facts
from models.explainer._inventory import SLOT
from models.explainer._mentions import CLAUSE, MENTION, clause_at, subject_at

_WORDS_EN: Final = {
    "up": r"\b(?:rises?|rising|risen|rose|increas\w*|climb\w*|grew|grow\w*|upwards?|up(?! to)"
    r"|ramp\w*|surg\w*|soar\w*|escalat\w*|went up|gain\w*)\b",
    "down": r"\b(?:falls?|falling|fallen|fell|drop(?:s|ped|ping)?(?! ?out)|decreas\w*|declin\w*"
    r"|sank|sink\w*|downwards?|down(?!stream|time)|reduc\w*|lessen\w*|plung\w*|lost|losing)\b",
    "high": r"\b(?:above|exceed\w*|high|higher|highest|over(?= (?:its|the|\{))|greater|upper"
    r"|more than|too much|elevated|surpass\w*)\b",
    "low": r"\b(?:below|under(?= (?:its|the|\{))|low|lower|lowest|less than|too little)\b",
}
_WORDS_JA: Final = {
    "up": r"上昇|増加|増大|上が|高ま|高くな|急増|増え|上向|伸び|上振れ",
    "down": r"低下|減少|下降|下が|急減|減っ|減り|落ち|下向|低くな|下振れ|降下",
    "high": r"上回|超え|超過|高い|高く(?!な)|高め|以上|上限|上側|過大",
    "low": r"下回|低い|低く(?!な)|低め|未満|以下|下限|下側|不足",
}
_NEGATED: Final = re.compile(
    r"\b(?:not|no longer|never|nor|stopped|ceased|without|cannot|\w+n't)\b"
    r"|ていない|ておらず|ません|なかった|せず|ではな|なくなっ"
)


def ways_hold(facts: Facts, text: str) -> bool:
    """Whether every word of direction is true of the signals it is said of."""
    table = _WORDS_JA if facts.slots.language == "ja" else _WORDS_EN
    bare = SLOT.sub(lambda found: found[0] if MENTION.fullmatch(found[0]) else "□", text)
    bare = _NO_WAY.sub("□", bare)
    found = sorted(
        (match.start(), match.end(), "past" if _PAST.match(match[0]) else way)
        for way, pattern in table.items()
        for match in re.finditer(pattern, bare, re.IGNORECASE)
    )
    if not (_shapes_hold(facts, bare) and _rests_hold(facts, bare)):
        return False
    last = 0
    for start, end, way in found:
        if _NEGATED.search(clause_at(bare, start)):
            return False
        subjects = _subjects(bare, last, start)
        if not all(_is_way(facts, subject, way, bare) for subject in subjects):
            return False
        last = end
    return True


def _subjects(text: str, last: int, at: int) -> list[str]:
    """The signals of which a word of direction is said."""
    clause_start = max((found.end() for found in CLAUSE.finditer(text, 0, at)), default=0)
    part = text[max(clause_start, last) : at]
    mentions = MENTION.findall(_COMPARED.sub("", part)) or MENTION.findall(part)
    return [str(one) for one in mentions] or [subject_at(text, at)]


def _is_way(facts: Facts, subject: str, way: str, text: str) -> bool:
    wanted = "up" if way in ("up", "high", "past") else "down"
    moved = facts.ways.get(subject, "none")
    if subject != "tag" or way in ("up", "down"):
        return moved == wanted
    if way == "past" and (facts.scene.side or facts.scene.is_in_seconds):
        return True  # Of a deviation, a rate, a score or a silence the size is past its limit.
    side = facts.scene.beyond or facts.scene.side
    by_limit = {1: "up", -1: "down"}.get(side, "none")
    if _LIMIT.search(text) and not _RANGE.search(text):
        return by_limit == wanted
    return wanted in (moved, by_limit) and {moved, by_limit} != {"up", "down"}


# A signal that another one is compared with.
_COMPARED: Final = re.compile(r"\{\w+\}(?=より|の後|の前|に続|に先)|(?<=than )\{\w+\}")
# Words of direction that say none.
_NO_WAY: Final = re.compile(r"\bup and down\b|上下動?|可能性が高|高い可能性|可能性は高")
_PAST: Final = re.compile(r"exceed|surpass|over|超", re.IGNORECASE)
_LIMIT: Final = re.compile(r"limit|threshold|限界|上限|下限|許容|しきい|閾", re.IGNORECASE)
_RANGE: Final = re.compile(r"range|測定範囲|レンジ", re.IGNORECASE)


# ---- Forms, and what did not move ----

_SHAPES: Final[tuple[tuple[str, str], ...]] = (
    ("stuck", r"\bfroze\b|\bfrozen\b|\bstuck\b|固着"),
    ("oscillation", r"\bswing\w*|\boscillat\w*|変動し|周期的|振れ続け"),
    ("noise", r"\bnois[ye]\w*|\bscatter(?:s|ed)\b|不安定|ばらつい"),
    ("spike", r"\bpeak(?:s|ed)?\b|\bspike\w*|急変動|瞬間的|スパイク|ピーク"),
    ("step", r"\bjump\w*|\bin one step\b|急変(?!動)|段階的"),
    ("drift", r"\bdrift\w*|\bslow(?:ly)?\b|\bsteadily\b|緩やか|徐々|ドリフト"),
    ("dropout", r"\bdropped out\b|\bstopped sending\b|途絶(?!え)"),
    ("saturation", r"\bend of its range\b|\bsaturat\w*|張り付|飽和|振り切"),
)
_RESTS: Final = re.compile(
    r"\bnot (?:move|moved|change|changed)\b|\bas usual\b|\bunchanged\b|\bstayed (?:on|as)\b"
    r"|\b(?:is|are|was|remained) (?:steady|stable)\b"
    r"|変化していません|変化しておらず|変化はありません|普段どおり|動いていません|動いておらず"
    r"|動いていない|変化がありません|変化していない|安定して"
)
_NOTHING_ELSE: Final = re.compile(
    r"\bnothing else\b|\bno other\b|\bonly this\b|\balone\b|ほかに変化|ほかの信号|この信号だけ"
    r"|のみ変化",
    re.IGNORECASE,
)


def _shapes_hold(facts: Facts, text: str) -> bool:
    """Whether each form that is named is the one of the signals it is said of."""
    for shape, pattern in _SHAPES:
        for match in re.finditer(pattern, text, re.IGNORECASE):
            subjects = _subjects(text, 0, match.start())
            if any(facts.shapes.get(one) != shape for one in subjects[-1:]):
                return False
    return True


def _rests_hold(facts: Facts, text: str) -> bool:
    """Whether what is said to be at rest is, and whether nothing else moved where that is said."""
    if _NOTHING_ELSE.search(text) and "others.none" not in facts.words:
        return False
    for match in _RESTS.finditer(text):
        mentions = MENTION.findall(text[: match.start()])
        is_stuck = facts.shapes["tag"] == "stuck" and bool(re.search("chang|変化", match[0]))
        if mentions and mentions[-1] != "steady" and not (mentions[-1] == "tag" and is_stuck):
            return False
        if not mentions and not is_stuck and not re.search(r"yesterday|昨日", text):
            return False
    return True
