"""Kinds: what a tag measures and at what, from its name, its unit and its engineer's sentence.

The unit decides where it can mean one quantity only; else the words of the name do, from its end,
and then the words about it. English and Japanese are known. What is not known is `other`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from models.explainer.kinds_words import (
    ASSET_WORDS,
    COMPONENTS,
    JAPANESE_ASSETS,
    JAPANESE_QUANTITIES,
    QUANTITY_WORDS,
    UNITS,
)
from models.explainer.sheet import Signal
from models.explainer.vocabulary import Asset, Quantity

CHARS_MAX = 255
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORDS = re.compile(r"[a-z]+")
_COUNTED = re.compile(r"^\{[^}]*\}$")
_PER_TIME = re.compile(r"^(1|\{[^}]*\})?/(s|min|h|d)$")


def signal(tag: str, unit: str = "", about: str = "") -> Signal:
    """What a tag is.

    >>> signal("plant/press2/bearing/vibration#rms", "mm/s")
    Signal(tag='plant/press2/bearing/vibration#rms', unit='mm/s', asset='bearing', \
quantity='vibration', about='')
    >>> found = signal("工場/ポンプ1/吐出圧力", "MPa")
    >>> found.asset, found.quantity
    ('pump', 'pressure')
    """
    name, unit, about = tag[:CHARS_MAX], unit[:CHARS_MAX], about[:CHARS_MAX]
    base, _, feature = name.partition("#")
    parts = [part for part in re.split(r"[/.\\|:]", base) if part]
    quantity = _quantity(parts, unit, about, feature)
    return Signal(name, unit, _asset(parts, about, quantity), quantity, about)


def words(text: str) -> list[str]:
    """Lower-case words of a name: parted at capitals, digits and signs.

    >>> words("MainPump_OutletPressure2")
    ['main', 'pump', 'outlet', 'pressure']
    """
    return _WORDS.findall(_CAMEL.sub(" ", text).lower())


def _quantity(parts: list[str], unit: str, about: str, feature: str) -> Quantity:
    measure = parts[-1] if parts else ""
    if feature == "count":
        return "count"
    named = _named(reversed(parts[-2:]))
    if named in ("price", "rate", "count") and unit not in UNITS:
        return named
    if unit in UNITS:
        # A speed in mm/s is a vibration only where nothing says that something moves on purpose.
        return named if UNITS[unit] == "vibration" and named != "other" else UNITS[unit]
    if named == "speed" and _words_have(measure, ("wind",)):
        return "speed"
    if named != "other":
        return named
    if _PER_TIME.match(unit):
        return "rate"
    if _COUNTED.match(unit):
        return "count"
    return _named([about])


def _named(texts: Iterable[str]) -> Quantity:
    """The quantity that the last telling word of the first telling text names."""
    for text in texts:
        for word in reversed(words(text)):
            if word in QUANTITY_WORDS:
                return QUANTITY_WORDS[word]
        found = [(text.rfind(word), len(word), kind) for word, kind in JAPANESE_QUANTITIES.items()]
        at, _, kind = max(found)
        if at >= 0:
            return kind
    return "other"


def _words_have(text: str, wanted: tuple[str, ...]) -> bool:
    return any(word in wanted for word in words(text))


def _asset(parts: list[str], about: str, quantity: Quantity) -> Asset:
    """A component before the machine it is in: nearest to the measure first, then what is said."""
    if quantity == "price":
        return "feed"
    texts = [*parts[-2:-1], *parts[-1:], *reversed(parts[:-2]), about]
    hits = [hit for text in texts for hit in _assets(text)]
    best = next((hit for hit in hits if hit in COMPONENTS), None) or next(iter(hits), None)
    if best is None:
        return "feed" if quantity == "rate" else "other"
    return best


def _assets(text: str) -> Iterator[Asset]:
    for word in words(text):
        if word in ASSET_WORDS:
            yield ASSET_WORDS[word]
        elif word.endswith("s") and word[:-1] in ASSET_WORDS:
            yield ASSET_WORDS[word[:-1]]
    found = [(text.find(word), -len(word), kind) for word, kind in JAPANESE_ASSETS.items()]
    yield from (kind for at, _, kind in sorted(found) if at >= 0)
