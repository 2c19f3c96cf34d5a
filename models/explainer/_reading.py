"""Reading: a sentence of a model, with the facts it writes out turned into slots.

The result may be more than one reading: 2.1 mm/s can be the mean or yesterday's value. A sentence
with a number, a name or a time that no fact backs has none.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from models.explainer import _numerals, amounts
from models.explainer._facts import Facts, unit_after, units_of
from models.explainer._inventory import SLOT
from models.explainer.knowledge import entries

READINGS_MAX: Final = 32
_NAME_CHARS_MIN: Final = 3
_EDGE: Final = r"[A-Za-z0-9_/#\-]"
_TIME: Final = re.compile(
    r"(?:(?P<day>\d{1,2}) (?P<name>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
    r"(?: (?P<year>\d{4}))?,? (?:at )?"
    r"|(?:(?P<jyear>\d{4})年)?(?P<jmonth>\d{1,2})月(?P<jday>\d{1,2})日 ?)?"
    r"(?:(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2}))?(?: ?(?P<half>[ap])\.?m\b\.?)?"
    r"|(?P<jh>\d{1,2})時(?!間)(?:(?P<jm>\d{1,2})分)?(?:(?P<js>\d{1,2})秒)?)"
)
_STEP: Final = re.compile(
    r"(?P<n>\d+(?:\.(?P<frac>\d+))?)[ \u00a0-]?"
    r"(?P<unit>seconds?|secs?|s|minutes?|mins?|min|hours?|hrs?|h|days?|d|秒間?|分間?|時間|日間?)"
    r"(?![A-Za-z/²³·])"
)
_AND: Final = re.compile(r"(?: and |, | )?(?=\d)")
_NUMBER: Final = re.compile(
    r"(?P<sign>[-−–+]?)(?P<n>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<frac>\d+))?(?:e[-+]?\d+)?"
)
_TIMES: Final = re.compile(r" ?(?:times|x\b|×|倍|σ|sigma|standard deviations)")
_COUNTS: Final = re.compile(
    r" ?(?:other |similar |earlier |open )?(?:signals?|tags?|alarms?|cases?|個|件|つ|本)"
)
_CODE: Final = re.compile(r"\b(?:HIHI|HI|LOLO|LO|DEV|RATE|SCORE|STALE|COMM)\b")
_LOOKS_LIKE_NAME: Final = re.compile(r"[A-Za-z0-9]+[/_#\\.:@][A-Za-z0-9]+|[A-Za-z]+\d|[A-Z]{2,}-")


def readings(facts: Facts, text: str) -> list[str]:
    """The sentence with slots only, in every way it can be read; none when a claim has no fact."""
    parts: list[list[str]] = []
    for at, part in enumerate(SLOT.split(text)):
        if at % 2:
            if part not in facts.slots.values:
                return []
            parts.append(["{" + part + "}"])
            continue
        found = _literal(facts, part, after=parts[-1][0] if parts else "")
        if found is None:
            return []
        parts += found
    product = itertools.islice(itertools.product(*parts), READINGS_MAX)
    return ["".join(chosen) for chosen in product]


def _literal(facts: Facts, text: str, after: str) -> list[list[str]] | None:
    """Pieces of words without a slot: each with its readings; None when one has no fact."""
    own = {fact.unit for fact in facts.numbers if fact.unit}
    if after.strip("{}") in {fact.slot for fact in facts.numbers}:
        text = _without_unit(facts, text, after.strip("{}"), own)
    if "{" in text or "}" in text:
        return None
    found: list[list[str]] = []
    for is_name, part in _split_names(facts, text):
        if is_name:
            found.append(part.split("|"))
            continue
        ones = _numbers(facts, _numerals.with_digits(part, facts.slots.language), own)
        if ones is None:
            return None
        found += ones
    return found


def _without_unit(facts: Facts, text: str, slot: str, own: set[str]) -> str:
    """The words after an amount, without its unit when a model wrote that again."""
    unit, end = unit_after(text, own)
    fact = next(one for one in facts.numbers if one.slot == slot)
    is_same = bool(unit) and unit in units_of(fact.unit)
    return text[end:] if is_same else text


def _split_names(facts: Facts, text: str) -> Iterator[tuple[bool, str]]:
    """The text in order: names as `{a}|{before}`, and what is between them."""
    known: dict[str, list[str]] = {}
    for slot, name in facts.names.items():
        if len(name) >= _NAME_CHARS_MIN:
            known.setdefault(name, []).append("{" + slot + "}")
    if "change" in facts.slots.values:
        known[facts.slots.values["change"].text] = ["{change}"]
    for slot, code in facts.codes.items():
        known.setdefault(code, []).append("{" + slot + "}")
    table = entries()
    for end, cause in zip(("", "_b"), facts.slots.causes, strict=False):
        if f"cause{end}" in facts.slots.values:
            entry, language = table[cause.id], facts.slots.language
            known.setdefault(entry.names[language], []).append("{cause" + end + "}")
            known.setdefault(entry.checks[language], []).append("{check" + end + "}")
    names = sorted(known, key=len, reverse=True)
    if not names:
        yield False, text
        return
    any_name = "|".join(re.escape(name) for name in names)
    pattern = re.compile(rf"(?<!{_EDGE})(?:{any_name})(?!{_EDGE}|\.[A-Za-z0-9])", re.IGNORECASE)
    folded = {name.casefold(): slots for name, slots in known.items()}
    last = 0
    for match in pattern.finditer(text):
        slots = folded.get(match[0].casefold())
        if slots is None or (match[0] not in known and "{cause" not in slots[0][:6]):
            continue
        yield False, text[last : match.start()]
        yield True, "|".join(slots)
        last = match.end()
    yield False, text[last:]


def _numbers(facts: Facts, text: str, own: set[str]) -> list[list[str]] | None:
    found: list[list[str]] = []
    words: list[str] = []
    at = last = 0
    while at < len(text):
        if not text[at].isdigit() and not (text[at] in "-−–+" and text[at + 1 : at + 2].isdigit()):
            at += 1
            continue
        if at and re.match(r"[A-Za-z._]", text[at - 1]):
            return None
        slots, end = _one(facts, text, at, own)
        if not slots:
            return None
        words.append(text[last:at])
        found += [[text[last:at]], ["{" + slot + "}" for slot in slots]]
        at = last = end
    words.append(text[last:])
    found.append([text[last:]])
    rest = " … ".join(word.removeprefix("倍") for word in words)  # `_claims` sees to what it is of.
    if _numerals.is_left(rest, facts.slots.language) or _not_ours(rest):
        return None
    return found


def _not_ours(text: str) -> bool:
    """Whether words are left that look like a name or the code of an alarm."""
    return bool(_LOOKS_LIKE_NAME.search(text) or _CODE.search(text))


def _one(facts: Facts, text: str, at: int, own: set[str]) -> tuple[list[str], int]:
    """The facts that the number at a place may be, and where it ends."""
    if match := _TIME.match(text, at):
        return _of_time(facts, match), match.end()
    if match := _STEP.match(text, at):
        return _of_duration(facts, text, match)
    match = _NUMBER.match(text, at)
    if match is None:
        return [], at
    sign = -1.0 if match["sign"] in ("-", "−", "–") else 1.0
    plain = match[0].lstrip("-−–+").replace(",", "")
    number, places = sign * float(plain), len(match["frac"] or "")
    end = match.end()
    if times := _TIMES.match(text, end):
        is_word = times[0].strip() in ("times", "倍", "x", "×")
        return facts.matching(number, places, "", ("times",)), end if is_word else times.end()
    unit, length = unit_after(text[end:], own)
    if unit == "%" or unit in units_of("%"):
        slots = facts.matching(number, places, "%", ("percent", "amount"))
        return slots, end + length
    if unit:
        return facts.matching(number, places, unit, ("amount",)), end + length
    if _COUNTS.match(text, end):
        return facts.matching(number, places, "", ("count",)), end
    return facts.matching(number, places, "", ("amount",)), end


def _of_duration(facts: Facts, text: str, match: re.Match[str]) -> tuple[list[str], int]:
    first = match
    seconds, unit, places = 0.0, "s", 0
    while True:
        unit, places = _seconds_unit(match["unit"]), len(match["frac"] or "")
        seconds += float(match["n"]) * {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}[unit]
        end = match.end()
        joint = _AND.match(text, end)
        following = _STEP.match(text, joint.end()) if joint else None
        if following is None:
            break
        match = following
    slots = facts.matching(seconds, places, unit, ("duration",))
    if match is first:
        # The signal itself may be a time, such as that of a cycle.
        slots += facts.matching(float(match["n"]), places, match["unit"], ("amount",))
    return slots, end


def _seconds_unit(word: str) -> str:
    if word.startswith("時") or word[0] == "h":
        return "h"
    if word.startswith(("分", "m")):
        return "min"
    return "d" if word.startswith(("日", "d")) else "s"


def _of_time(facts: Facts, match: re.Match[str]) -> list[str]:
    hour, minute = int(match["h"] or match["jh"]), int(match["m"] or match["jm"] or 0)
    second = match["s"] or match["js"]
    if match["half"]:
        hour = hour % 12 + (12 if match["half"] == "p" else 0)
    found = []
    for fact in facts.numbers:
        if fact.kind == "time":
            moment = amounts.moment(int(fact.number), facts.zone)
            is_same = (moment.hour, moment.minute) == (hour, minute)
            if is_same and (second is None or int(second) == moment.second):
                found += [fact.slot] if _is_day(match, moment) else []
    return found


def _is_day(match: re.Match[str], moment: datetime) -> bool:
    day, year = match["day"] or match["jday"], match["year"] or match["jyear"]
    if day is None:
        return True
    month = match["jmonth"] or str(amounts.MONTHS.index(match["name"]) // 3 + 1)
    is_year = year is None or int(year) == moment.year
    return (int(month), int(day)) == (moment.month, moment.day) and is_year
