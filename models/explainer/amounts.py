"""Amounts: numbers, units, times and durations as people write them, in English and Japanese.

All of it is a pure function of the number, so that the check can compare what a text says with
what we would have written.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from models.explainer.text import Language, tame

DIGITS: Final = 3
"""Significant digits of a number, at least those before the point."""
UNIT_CHARS_MAX: Final = 16

# UCUM code: how people write it. Source: The Unified Code for Units of Measure 2.1 and
# ISO 80000-1:2022 (symbols of units).
_UNITS: Final[dict[str, str]] = {
    "": "",
    "1": "",
    "{1}": "",
    "Cel": "°C",
    "[degF]": "°F",
    "deg": "°",
    "[psi]": "psi",
    "[ppm]": "ppm",
    "[ppb]": "ppb",
    "[pH]": "pH",
    "Ohm": "Ω",
    "N.m": "N·m",
    "W.h": "Wh",
    "kW.h": "kWh",
    "MW.h": "MWh",
    "V.A": "VA",
    "VA": "VA",
    "m[H2O]": "mH2O",
    "m[Hg]": "mHg",
    "m2": "m²",
    "m3": "m³",
    "m3/h": "m³/h",
    "m3/s": "m³/s",
    "m3/min": "m³/min",
    "m/s2": "m/s²",
    "mm/s2": "mm/s²",
    "[g]": "g",
    "m[g]": "mg",
}
_WORDS: Final = re.compile(r"\{([^{}]*)\}")
_MICRO: Final = re.compile(r"\bu(?=[A-Za-z])")


def unit_text(code: str, *, is_turning: bool = False) -> str:
    """A UCUM code as people write it; `is_turning` for a speed in turns.

    >>> unit_text("Cel"), unit_text("uS/cm"), unit_text("/min", is_turning=True), unit_text("bar")
    ('°C', 'µS/cm', 'rpm', 'bar')
    """
    if code in ("/min", "1/min", "{rpm}", "{turns}/min", "{rev}/min") and is_turning:
        return "rpm"
    if code in _UNITS:
        return _UNITS[code]
    shown = _MICRO.sub("µ", _WORDS.sub(r"\1", code)).replace(".", "·")
    # A brace would read as a slot, and what follows it as its name.
    return tame(shown.replace("{", "(").replace("}", ")"), UNIT_CHARS_MAX)


def decimals(number: float, digits: int = DIGITS) -> int:
    """How many digits after the point show `digits` significant ones, 0 to 6."""
    if number == 0 or not math.isfinite(number):
        return 0
    return min(6, max(0, digits - 1 - math.floor(math.log10(abs(number)))))


def number_text(number: float, places: int | None = None) -> str:
    """A finite number with three significant digits, or with the given places.

    >>> number_text(87.351), number_text(1480.2), number_text(0.04), number_text(12480.0)
    ('87.4', '1480', '0.04', '12,480')
    >>> number_text(-0.001, 2), number_text(3e-7), number_text(6.0)
    ('0.00', '3e-07', '6')
    """
    size = abs(number)
    if size and (size < 1e-4 or size >= 1e12):
        return f"{number:.3g}"
    fixed = f"{number:,.{decimals(number) if places is None else places}f}"
    if size < 10_000:
        fixed = fixed.replace(",", "")
    if places is None and "." in fixed:
        fixed = fixed.rstrip("0").rstrip(".")
    return fixed.removeprefix("-") if not fixed.strip("-0.,") else fixed


def places_apart(one: float, other: float) -> int:
    """The places that show two different numbers as different: 9.04 and 9 are no 9.0 and 9.0."""
    places = max(decimals(one), decimals(other)) if min(abs(one), abs(other)) < 1e4 else 0
    places = min(places, 6)
    while places < 6 and one != other and f"{one:.{places}f}" == f"{other:.{places}f}":
        places += 1
    return places


def amount_text(number: float, unit: str, places: int | None = None) -> str:
    """A number with a shown unit; degrees of an angle and percent stand close to it.

    >>> amount_text(87.351, "°C"), amount_text(76.0, "%"), amount_text(5.0, "")
    ('87.4 °C', '76%', '5')
    """
    shown = number_text(number, places)
    if not unit:
        return shown
    return f"{shown}{unit}" if unit in ("%", "°") else f"{shown} {unit}"


def duration_text(seconds: float, language: Language) -> str:
    """A length of time.

    >>> duration_text(0.4, "en"), duration_text(95, "en"), duration_text(200, "en")
    ('0.4 s', '95 s', '3 min 20 s')
    >>> duration_text(4000, "ja"), duration_text(9000, "ja"), duration_text(3 * 86400, "ja")
    ('67分', '2時間30分', '3日')
    """
    parts = _duration(abs(seconds))
    if language == "ja":
        return "".join(f"{amount}{_JA[unit]}" for amount, unit in parts)
    return " ".join(f"{amount} {_plural(amount, unit)}" for amount, unit in parts)


_JA: Final = {"s": "秒", "min": "分", "h": "時間", "day": "日"}


def _plural(amount: str, unit: str) -> str:
    return f"{unit}s" if unit == "day" and amount != "1" else unit


def _duration(seconds: float) -> list[tuple[str, str]]:
    if seconds < 9.95:
        return [(number_text(seconds, 1).removesuffix(".0"), "s")]
    whole = round(seconds)
    if whole < 120:
        return [(str(whole), "s")]
    if whole < 600:
        whole = round(whole / 10) * 10
        found = [(whole // 60, "min"), (whole % 60, "s")]
    elif whole < 7200:
        found = [(round(whole / 60), "min")]
    elif whole < 172_800:
        minutes = round(whole / 600) * 10
        found = [(minutes // 60, "h"), (minutes % 60, "min")]
    else:
        found = [(round(whole / 86400), "day")]
    return [(str(amount), unit) for amount, unit in found if amount]


@cache
def zone_of(name: str) -> tzinfo:
    """The time zone with this IANA name; UTC when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def time_text(ts: int, now: int, language: Language, zone: str = "UTC") -> str:
    """A time of day, with the date when it is another day than `now` [both ns].

    >>> time_text(0, 5 * 10**9, "en"), time_text(0, 86400 * 10**9, "en")
    ('00:00:00', '1 Jan 00:00')
    >>> time_text(0, 400 * 86400 * 10**9, "ja")
    '1970年1月1日 00:00'
    """
    then, today = (moment(one, zone) for one in (ts, now))
    if then.date() == today.date():
        return then.strftime("%H:%M:%S")
    clock = then.strftime("%H:%M")
    if language == "ja":
        year = "" if then.year == today.year else f"{then.year}年"
        return f"{year}{then.month}月{then.day}日 {clock}"
    year = "" if then.year == today.year else f" {then.year}"
    return f"{then.day} {MONTHS[3 * then.month - 3 : 3 * then.month]}{year} {clock}"


MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"


def moment(ts: int, zone: str) -> datetime:
    """The date and time of an event time [ns] in a zone."""
    # Bounded, because a device may send any time: years 1 to 9998 have a date in every zone.
    seconds = min(max(ts // 1_000_000_000, -62_000_000_000), 253_300_000_000)
    return datetime.fromtimestamp(seconds, zone_of(zone))
