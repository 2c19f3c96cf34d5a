"""Roles: each number of a sentence in the role that the words close to it give it."""

from __future__ import annotations

import re
from typing import Final

from models.explainer._facts import Facts
from models.explainer._inventory import SLOT

_NEAR: Final = (
    r"(?: of| is| was|:|=|値|は|の|が|（|\(|約| about| approximately| around| roughly|\s)*"
)
_MEANS: Final = "mean|sd|sigmas"
# What stands close before a number, and the slots that may stand there.
_ROLES: Final[tuple[tuple[str, str], ...]] = (
    (rf"(?:\blimit|\bthreshold|\balarm level|限界|しきい|閾|許容){_NEAR}", "limit|next_limit"),
    (
        r"(?:\busual|\bnormal(?:ly)?|\busually|\baverage|\bbaseline|\btypical(?:ly)?"
        rf"|普段|通常|平均|平常)(?: value| level| scatter)?{_NEAR}",
        f"{_MEANS}|size",
    ),
    (
        rf"(?:\byesterday|昨日|前日)(?: (?:at|around) this (?:hour|time))?{_NEAR}(?:it was )?",
        "yesterday",
    ),
    (
        r"(?:\breads?|\breading|\bstands at|\bis(?: now| currently)? at|現在(?:の)?(?:値)?は?)"
        r"\s*(?:about )?",
        "value|limit_reached",
    ),
    (r"\bby (?:about |around |some )?", r"size|rate|\w_size|\w_lead|since|sigmas|value_rate"),
    (r"\b(?:every|period of|once every|cycle of|周期|周期は)\s*", "period"),
    (r"\b(?:rate of|毎分)\s*", "rate"),
    (r"\bsince ", r"onset|\w_onset|hole_from|change_at"),
    (
        r"\b(?:began|started|begun|starting|beginning) (?:at |around |about )?",
        r"onset|\w_onset|hole_from",
    ),
    (r"\braised(?: \S+){0,3} at ", "raised"),
    (
        r"\b(?:rose|risen|rising|fell|fallen|falling|climbed|dropped|increased|decreased|moved"
        r"|jumped)(?: up| down)? to ",
        "value",
    ),
)
_AFTER_ROLES: Final[tuple[tuple[str, str], ...]] = (
    (r" ?(?:limit\b|の限界|の上限|の下限)", "limit|next_limit"),
    (r"(?:上昇|低下|変化(?!し(?:て)?いな)|増加|減少|離れ)", r"size|\w_size|\w_did|rose|rate"),
    (r"(?:まで(?:上昇|低下|増加|減少|上が|下が)|を示し)", "value"),
    (r"(?:周期| period\b|ごと|おき)", "period"),
    (r"から(?:始|上昇|低下|緩)|以降|に始ま", r"onset|\w_onset|hole_from"),
    (r"に(?:警報|アラーム)", "raised"),
    (r"(?:σ| ?times\b|倍)", "sigmas"),
    (r"個|件| (?:other )?(?:signals|alarms|cases)\b", "others|steadies|befores|incident|cases"),
)
_MUST_SAY: Final[tuple[tuple[str, str], ...]] = (
    ("period", r"every|period|cycle|周期|ごと|おき"),
    ("yesterday", r"yesterday|昨日|前日"),
    ("rate", r"rate|per|毎分|rising|falling|drift|changes?\b|速さ|割合|変化|上昇|低下"),
    ("to_limit", r"until|reach|\bin\b|left|remain|within|後|残り|達|到達|まで"),
    (
        "next_limit",
        r"\bwill\b|next|until|comes to|\bif\b|at this|次|後に|残り|このまま|この速さ|続けば",
    ),
    ("mean|sd", r"usual|normal|average|baseline|typical|before|from|普段|通常|平均|平常|から|以前"),
    (
        "limit",
        r"limit|threshold|allowed|permitted|above|below|exceed|限界|許容|しきい|閾|上限|下限|回",
    ),
    ("sigmas", r"times|σ|sigma|scatter|standard|倍|ばらつき"),
    ("bad", r"quality|bad|品質|不良"),
    ("hole_length|hole_from", r"«hole»|gap|missing|欠"),
    ("change_at|change_ago", r"«change»"),
    ("before_lead|before_condition|befores", r"«prior»|alarm|警報"),
    ("case_at|cases|case_cause", r"case|事例|以前|過去"),
    ("steadies", r"not|unchanged|steady|usual|変化し|普段|安定"),
    ("others", r"other|ほか|他"),
    ("incident", r"alarm|警報"),
    ("raised", r"\bat\b|alarm|に|警報|時点"),
    ("onset", r"since|at\b|began|begin|start|from|から|以降|に|始"),
    ("since", r"\bfor\b|before|ago|over|within|in\b|since|前|かけて|間|わた|続|経"),
    ("size", r"\bby\b|moved|departure|off\b|away|chang|differ|変化|差|離れ|上昇|低下|ずれ|増|減"),
    ("sd", r"scatter|deviation|spread|ばらつき|偏差"),
)


def roles_hold(facts: Facts, text: str) -> bool:
    """Whether each number is what the words close to it say it is."""
    known = {fact.slot for fact in facts.numbers}
    bare = _bare(text)
    used = [name for name in SLOT.findall(text) if name in known]
    if len(used) != len(set(used)) or ("to_limit" in used and "next_limit" not in used):
        return False
    if facts.sheet.condition == "RATE" and {"size", "limit"} <= set(used):
        return False
    for match in SLOT.finditer(text):
        slot = match[1]
        if slot not in known:
            continue
        names_ = [slot]
        if slot == "value" and facts.sheet.condition == "RATE":
            names_.append("value_rate")
        if slot == "limit" and "val.at" in facts.words:
            names_.append("limit_reached")
        if not _role_holds(names_, _bare(text[: match.start()]), _bare(text[match.end() :]), bare):
            return False
    return True


def _role_holds(names_: list[str], before: str, after: str, whole: str) -> bool:
    slot = names_[0]
    for pattern, allowed in _ROLES:
        is_there = re.search(rf"(?:{pattern})$", before, re.IGNORECASE)
        is_usual = _is_reading_of_usual(pattern, slot, whole)
        if is_there and not is_usual and not _any(allowed, names_):
            return False
    for pattern, allowed in _AFTER_ROLES:
        if re.match(pattern, after, re.IGNORECASE) and not _any(allowed, names_):
            return False
    left, right = _PIECE.split(before)[-1], _PIECE.split(after)[0]
    if slot == "size":
        left = _PART.split(before)[-1]
    if any(re.fullmatch(s, slot) and re.search(not_, whole, re.I) for s, not_ in _NOT_WITH):
        return False
    for slots, left_needed, right_needed in _CLOSE:
        if re.fullmatch(slots, slot):
            is_left = re.search(left_needed, left, re.IGNORECASE)
            if not is_left and not re.search(right_needed, right, re.IGNORECASE):
                return False
    if slot == "value" and not _is_value(names_, left, right):
        return False
    return all(
        re.search(needed, whole, re.IGNORECASE)
        for slots, needed in _MUST_SAY
        if re.fullmatch(slots, slot)
    )


def _is_value(names_: list[str], left: str, right: str) -> bool:
    """Whether the words around a value give it no other role."""
    left = left if "value_rate" not in names_ else re.sub(r"chang\w+ by|変化(?:速度)?", "", left)
    return not re.search(_NO_VALUE_LEFT, left, re.I) and not re.match(_NO_VALUE_RIGHT, right, re.I)


# A number's own words: up to the next number or the next clause.
_PIECE: Final = re.compile(r"□|[;:。；：]|[,、](?! ?\d)")
_PART: Final = re.compile(r"[;:。；：]")
# Slots that cannot be in a sentence with these words.
_NOT_WITH: Final[tuple[tuple[str, str], ...]] = (
    ("value", r"departure|quality|品質|変化量|差は|届き|割合"),
    ("since", r"reach|until|is left|達します|届き|残り|«change»|«prior»|already|にも|quality|品質"),
    ("size", r"rate|speed|速度|quality|品質|割合|届き|達します"),
    ("mean", r"score|異常度"),
    ("limit|mean|sd|yesterday|next_limit|sigmas", r"quality|品質"),
)
# Slots that must have one of these words close on their left, or on their right.
_CLOSE: Final[tuple[tuple[str, str, str], ...]] = (
    (
        "mean",
        r"usual|normal|average|baseline|typical|\bfrom\b|before|普段|通常|平均|平常|以前",
        r"usual|normal|average|baseline|から",
    ),
    (
        "yesterday",
        r"yesterday|昨日|前日|at this hour|この時間|同じ?時刻",
        r"yesterday|昨日|at this hour",
    ),
    (
        "size",
        r"\bby\b|moved|departure|differ|差|変化|より|に対して|から",
        r"^ ?(?:off|away|from)|変化|離れ|上昇|低下|ずれ|増|減|差",
    ),
    ("sd", r"scatter|deviation|spread|ばらつき|偏差", r"scatter|ばらつき"),
    (
        "limit",
        r"limit|threshold|allowed|permitted|above|below|exceed\w*|past|限界|許容|しきい|閾|上限|下限",
        r"limit|allowed|permitted|^を(?:上回|下回|超)|許容|限界",
    ),
    ("others", r"ほか|\ball\b", r"^ ?other"),
    ("steadies", r"近く", r"signals near|other signals|signals (?:did|are|stayed)|個"),
    ("befores", r"これより前|先に", r"came before|alarms (?:came )?before|件"),
    ("incident", r"関連|一連", r"are open|belong|open alarms|件"),
    ("cases", r"類似|以前", r"similar|cases|件"),
)
_NO_VALUE_LEFT: Final = (
    r"usual|normal|average|baseline|yesterday|at this hour|moved|departure|differ|\bby\b|scatter"
    r"|threshold|limit (?:of|is|was)|allowed|普段|通常|平均|昨日|同じ?時刻|変化|差"
    r"|限界値?[はのが]?$|許容|ばらつき"
)
_NO_VALUE_RIGHT: Final = (
    r" ?(?:off\b|other\b|signals|alarms|similar|cases|is (?:allowed|permitted|the limit))"
    r"| (?:above|below|over|under|higher|lower|more|less)(?: than)? (?:its |the )?(?:usual|normal)"
    r"|個|件|から変化"
)


def _bare(text: str) -> str:
    """The words without the names of slots, which are words too; three of them are kept."""
    return SLOT.sub(lambda found: _KEPT.get(found[1], "□"), text)


_KEPT: Final = {
    "hole": "«hole»",
    "change": "«change»",
    "prior": "«prior»",
    "before_condition": "«prior»",
}


def _is_reading_of_usual(pattern: str, slot: str, text: str) -> bool:
    """Whether "it is at" is said of the mean or of yesterday, in words that say so."""
    if "reads" not in pattern:
        return False
    wanted = {"mean": r"usual|normal|普段|通常", "yesterday": r"yesterday|昨日"}.get(slot)
    return bool(wanted and re.search(wanted, text, re.IGNORECASE))


def _any(allowed: str, names_: list[str]) -> bool:
    return any(re.fullmatch(allowed, one) for one in names_)
