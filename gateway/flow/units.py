"""Units: UCUM codes, such as ``Cel`` or ``mm/s``, compared and converted by pint.

Importing pint takes a third of a second, so it waits until a unit is asked for.
Source: The Unified Code for Units of Measure 2.1, tables 1 to 3 and the annex of C/S codes.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from gateway.errors import ConfigError

_ATOMS: Final[dict[str, str]] = {
    "Cel": "degree_Celsius",
    "[degF]": "degree_Fahrenheit",
    "[degRe]": "degree_Reaumur",
    "K": "kelvin",
    "m": "meter",
    "g": "gram",
    "t": "metric_ton",
    "s": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "wk": "week",
    "a": "julian_year",
    "A": "ampere",
    "V": "volt",
    "W": "watt",
    "VA": "volt_ampere",
    "var": "volt_ampere",
    "J": "joule",
    "eV": "electron_volt",
    "cal": "calorie",
    "[Btu]": "british_thermal_unit",
    "N": "newton",
    "Pa": "pascal",
    "bar": "bar",
    "atm": "standard_atmosphere",
    "[psi]": "pound_force_per_square_inch",
    "m[H2O]": "meter_H2O",
    "m[Hg]": "meter_Hg",
    "Hz": "hertz",
    "Ohm": "ohm",
    "S": "siemens",
    "F": "farad",
    "H": "henry",
    "C": "coulomb",
    "T": "tesla",
    "G": "gauss",
    "Wb": "weber",
    "mol": "mole",
    "cd": "candela",
    "lm": "lumen",
    "lx": "lux",
    "L": "liter",
    "l": "liter",
    "ar": "are",
    "rad": "radian",
    "sr": "steradian",
    "deg": "degree",
    "circ": "turn",
    "[in_i]": "inch",
    "[ft_i]": "foot",
    "[yd_i]": "yard",
    "[mi_i]": "mile",
    "[gal_us]": "US_liquid_gallon",
    "[lb_av]": "pound",
    "[oz_av]": "ounce",
    "[lbf_av]": "force_pound",
    "[HP]": "horsepower",
    "gf": "force_gram",
    "P": "poise",
    "St": "stokes",
    "Bq": "becquerel",
    "Gy": "gray",
    "Sv": "sievert",
    "[g]": "standard_gravity",
    "[pH]": "dimensionless",
    "%": "percent",
    "[ppth]": "permille",
    "[ppm]": "ppm",
    "[ppb]": "ppb",
    "B": "decibel",
    "dB": "decibel",
    "By": "byte",
    "bit": "bit",
    "u": "dalton",
}
_PREFIXES: Final[dict[str, str]] = {
    "da": "deca",
    "Y": "yotta",
    "Z": "zetta",
    "E": "exa",
    "P": "peta",
    "T": "tera",
    "G": "giga",
    "M": "mega",
    "k": "kilo",
    "h": "hecto",
    "d": "deci",
    "c": "centi",
    "m": "milli",
    "u": "micro",
    "n": "nano",
    "p": "pico",
    "f": "femto",
}
_TERM: Final = re.compile(r"(?P<atom>(?:[A-Za-z%]|\[[A-Za-z0-9_]+\])+)(?P<power>[+-]?[0-9]+)?\Z")
_PARTS: Final = re.compile(r"([./])")


def known(code: str) -> bool:
    """True for a UCUM code that is understood here.

    >>> known("mm/s"), known("Cel"), known("furlong"), known("1"), known("{parts}/min")
    (True, True, False, True, True)
    """
    return _translated(code) is not None


def comparable(left: str, right: str) -> bool:
    """True when both measure the same kind of thing, so that one converts into the other.

    >>> comparable("bar", "kPa"), comparable("Cel", "[degF]"), comparable("bar", "Cel")
    (True, True, False)
    """
    a, b = _translated(left), _translated(right)
    if a is None or b is None:
        return left == right
    registry = _registry()
    return bool(registry.Unit(a).dimensionality == registry.Unit(b).dimensionality)


def same(left: str, right: str) -> bool:
    """True when a number means the same in both.

    >>> same("L", "l"), same("kPa", "Pa"), same("{parts}/min", "/min")
    (True, False, True)
    """
    if left == right:
        return True
    a, b = _translated(left), _translated(right)
    return a is not None and b is not None and bool(_registry().Unit(a) == _registry().Unit(b))


def convert(value: Any, source: str, target: str) -> Any:
    """A number or an array (n,) in another unit; offsets count, so 0 Cel is 32 [degF].

    Raises:
        ValueError: A code is not known, or the two are not comparable.

    >>> round(convert(100.0, "Cel", "[degF]"), 6), round(convert(1.0, "bar", "kPa"), 6)
    (212.0, 100.0)
    """
    a, b = _translated(source), _translated(target)
    if a is None or b is None or not comparable(source, target):
        raise ValueError(f"{source!r} cannot be converted to {target!r}.")
    return _registry().Quantity(value, a).to(b).magnitude


def converter(source: str, target: str) -> tuple[float, float]:
    """(gain, offset) of the straight line that converts one unit into another.

    Raises:
        ConfigError: A code is not known, or the two are not comparable.

    >>> converter("bar", "kPa")
    (100.0, 0.0)
    """
    try:
        offset = float(convert(0.0, source, target))
        gain = (float(convert(1e9, source, target)) - offset) / 1e9
    except ValueError as error:
        raise ConfigError(
            str(error), hint="Use UCUM codes, like Cel, [degF], bar, mm/s."
        ) from error
    return float(f"{gain:.14g}"), offset


@cache
def _registry() -> Any:
    import pint

    registry: Any = pint.UnitRegistry()
    registry.define("ppb = 1e-9")
    return registry


@cache
def _translated(code: str) -> str | None:
    """The name pint knows, or None. An annotation like ``{parts}`` counts as 1."""
    text = re.sub(r"\{[^{}]*\}", "", code.strip())
    if text in ("", "1"):
        return "dimensionless"
    sign, terms = 1, []
    for part in _PARTS.split(text):
        if part in ("", "1"):
            continue
        if part in "./":
            sign = -1 if part == "/" else 1
            continue
        found = _TERM.match(part)
        name = _atom(found["atom"]) if found is not None else None
        if found is None or name is None:
            return None
        terms.append(f"{name}**{sign * int(found['power'] or 1)}")
        sign = 1
    if len(terms) == 1 and terms[0].endswith("**1"):
        return terms[0][:-3]
    return " * ".join(terms) or "dimensionless"


def _atom(atom: str) -> str | None:
    if atom in _ATOMS:
        return _ATOMS[atom]
    for prefix, name in _PREFIXES.items():
        rest = atom[len(prefix) :]
        if atom.startswith(prefix) and rest in _ATOMS and rest != "%":
            return f"{name}{_ATOMS[rest]}"
    return None


__all__ = ["comparable", "convert", "converter", "known", "same"]
