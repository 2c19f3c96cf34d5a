"""Numerals: numbers that a text spells out, turned into digits so that they can be compared.

A number word that is none of a quantity we can compare ("twice", "a dozen", 半分) is told by
`is_left`: a sentence with one of them claims a number that no fact backs.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from models.explainer.text import Language

_ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    " fifteen sixteen seventeen eighteen nineteen"
)
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL: Final = {
    **{word: at for at, word in enumerate(_ONES.split())},
    **{word: 10 * (at + 2) for at, word in enumerate(_TENS.split())},
}
_BIG: Final = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_WORD: Final = "|".join(sorted([*_SMALL, *_BIG], key=len, reverse=True))
_ENGLISH: Final = re.compile(rf"\b(?:{_WORD})(?:(?:[\s-]+|\s+and\s+)(?:{_WORD}))*\b", re.IGNORECASE)
# "one" is mostly a pronoun; before one of these it is a number.
_COUNTED: Final = re.compile(
    r"\s+(?:seconds?|minutes?|min|hours?|h|days?|degrees?|percent|times?|bar|volts?|amps?"
    r"|millimet|metres?|alarms?|signals?|cases?|tags?|others?)\b",
    re.IGNORECASE,
)
_LEFT_EN: Final = re.compile(
    r"\b(?:twice|thrice|double[ds]?|doubling|triple[ds]?|tripling|quadrupl\w+|half|halv\w+"
    r"|quarter|third|fourth|fifth|tenth|hundredth|\w+fold|dozens?|couple|several|hundreds"
    r"|thousands|millions?|billions?|trillions?|second(?!\w)|minus|plus|percent|per cent"
    r"|seconds|minutes|hours|days|weeks|months|years)\b",
    re.IGNORECASE,
)
_DIGITS: Final = "〇一二三四五六七八九"
_KANJI: Final = re.compile(r"[〇零一二三四五六七八九十百千万億兆]+")
_COUNTER: Final = re.compile(
    r"(?:秒|分|時間|時|日|月|年|倍|度|件|回|個|本|台|つ|番|割|点|％|%|パーセント|ミリ|バール|ボルト"
    r"|アンペア|キロ|メートル|リットル|[A-Za-z°℃µ])"
)
_IDIOMS: Final = re.compile(
    r"一部|一時的|一般|一定|一方|一致|一緒|一因|一連|一斉|一旦|一様|一応|一見|一層|一切|一気|一瞬"
    r"|一段|万一|万が一|万全|唯一|統一|同一|兆候|前兆|予兆|割合|役割|時間帯|時間とともに|[長短]時間"
    r"|十分(?=[にでなだとは。、]|$)"
)
_LEFT_JA: Final = re.compile(
    r"半分|半減|半数|過半|倍|数(?:秒|分|時間|日|回|件|個|十|百|千|本|台|倍)|[〇零一二三四五六七八九十百千万億兆]"
    r"|マイナス|プラス|パーセント|割"
)
_FULL: Final = {ord("０") + at: str(at) for at in range(10)} | {
    ord(one): other for one, other in zip("．：％－＋　", ".:%-+ ", strict=True)
}


def with_digits(text: str, language: Language) -> str:
    """The text with its spelled numbers as digits, full-width ones as plain ones.

    >>> with_digits("after twenty-five minutes, one of them", "en")
    'after 25 minutes, one of them'
    >>> with_digits("三十五分前に９．５ barで、十分に", "ja")
    '35分前に9.5 barで、十分に'
    """
    text = text.translate(_FULL)
    if language == "en":
        return _ENGLISH.sub(lambda found: _english(found, text), text)
    idioms = [found.span() for found in _IDIOMS.finditer(text)]

    def digits(found: re.Match[str]) -> str:
        inside = any(start <= found.start() < end for start, end in idioms)
        is_counted = _COUNTER.match(text, found.end())
        return found[0] if inside or not is_counted else str(_kanji(found[0]))

    return _KANJI.sub(digits, text)


def is_left(text: str, language: Language) -> bool:
    """Whether a number is in a text, as digits or words, after all known ones were taken out."""
    if any(unicodedata.category(char) in ("Nd", "Nl", "No") for char in text):
        return True
    if language == "en":
        return bool(_ENGLISH.search(_PRONOUN.sub("", text)) or _LEFT_EN.search(text))
    return bool(_LEFT_JA.search(_IDIOMS.sub("", text)))


_PRONOUN: Final = re.compile(r"\bone\b", re.IGNORECASE)


def _english(found: re.Match[str], text: str) -> str:
    words = re.split(r"[\s-]+", found[0].lower())
    if words == ["one"] and not _COUNTED.match(text, found.end()):
        return found[0]
    total = current = 0
    for word in words:
        if word in _SMALL:
            current += _SMALL[word]
        elif word == "hundred":
            current = max(current, 1) * 100
        elif word in _BIG:
            total, current = total + max(current, 1) * _BIG[word], 0
    return str(total + current)


def _kanji(text: str) -> int:
    total = current = digit = 0
    if not re.search("[十百千万億兆]", text):
        return int("".join(str(max(_DIGITS.find(char), 0)) for char in text))
    for char in text:
        if char in _DIGITS:
            digit = _DIGITS.find(char)
        elif char in "十百千":
            current += max(digit, 1) * {"十": 10, "百": 100, "千": 1000}[char]
            digit = 0
        elif char in "万億兆":
            big = {"万": 10**4, "億": 10**8, "兆": 10**12}[char]
            total, current, digit = total + max(current + digit, 1) * big, 0, 0
    return total + current + digit
