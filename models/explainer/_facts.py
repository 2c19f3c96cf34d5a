"""Facts: the numbers, names and times of a sheet, to compare with what a text says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from models.explainer import amounts
from models.explainer._scene import LETTERS, Scene
from models.explainer.sheet import FactSheet
from models.explainer.slots import Slots

FactKind = Literal["amount", "duration", "time", "count", "times", "percent"]
_RELATIVE_MAX: Final = 0.03
"""A number may be rounded by this share of it, where its digits say no more."""
_DURATION_MAX: Final = 0.1

# Other ways to write a unit. Source: ISO 80000-1:2022; JIS Z 8000-1.
_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "°C": ("°C", "℃", "degrees Celsius", "degrees C", "deg C", "degC", "Cel", "度"),
    "°F": ("°F", "℉", "degrees Fahrenheit", "degF"),
    "%": ("%", "％", "percent", "パーセント"),
    "bar": ("bar", "バール"),
    "A": ("amperes", "ampere", "amps", "アンペア", "A"),
    "V": ("volts", "ボルト", "V"),
    "rpm": ("rpm", "min⁻¹", "/min", "revolutions per minute"),
    "L/min": ("L/min", "l/min", "litres per minute", "liters per minute", "リットル毎分"),
    "mm/s": ("mm/s", "millimetres per second", "millimeters per second"),
    "kW": ("kW", "kilowatts", "キロワット"),
}
# Units that differ by a factor only.
_FACTORS: Final[tuple[Mapping[str, float], ...]] = (
    {"Pa": 1.0, "hPa": 1e2, "mbar": 1e2, "kPa": 1e3, "bar": 1e5, "MPa": 1e6},
    {"µm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3},
    {"mW": 1e-3, "W": 1.0, "kW": 1e3, "MW": 1e6},
    {"mV": 1e-3, "V": 1.0, "kV": 1e3},
    {"mA": 1e-3, "A": 1.0, "kA": 1e3},
    {"g": 1e-3, "kg": 1.0, "t": 1e3},
    {"N": 1.0, "kN": 1e3, "MN": 1e6},
    {"mm/s": 1e-3, "cm/s": 1e-2, "m/s": 1.0},
    {"Wh": 1.0, "kWh": 1e3, "MWh": 1e6},
    {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6},
)
_GENERAL: Final = (
    *(unit for group in _FACTORS for unit in group),
    *(alias for group in _ALIASES.values() for alias in group),
    *("mm/min", "m/min", "m³/h", "L/h", "L/s", "l", "L", "m³", "K", "N·m", "Nm", "dB", "psi"),
    *("ppm", "ppb", "pH", "µS/cm", "mS/cm", "S/m", "Ω", "kΩ", "var", "VA", "kVA", "mm²", "m²"),
    *("m/s²", "mm/s²", "g/L", "mg/L", "USD", "EUR", "JPY", "円", "ドル"),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A number of the sheet.

    Args:
        slot: The slot that shows it.
        kind: What sort of number.
        number: In `unit`; seconds for a duration, ns for a time.
        unit: As people write it.
    """

    slot: str
    kind: FactKind
    number: float
    unit: str = ""


class Facts:
    """What a text about a sheet may say.

    Args:
        sheet: The facts.
        slots_: The same as words and slots.
        zone: IANA name of the time zone.
    """

    def __init__(self, sheet: FactSheet, slots_: Slots, zone: str) -> None:
        self.sheet = sheet
        self.slots = slots_
        self.words = frozenset(slots_.words)
        self.scene = Scene(sheet, slots_.causes, slots_.language, zone)
        self.zone = zone
        known = slots_.values
        self.numbers = tuple(fact for fact in _numbers(self.scene) if fact.slot in known)
        names = (*LETTERS, "tag", "steady", "before", "hole")
        self.names = {name: known[name].text for name in names if name in known}
        codes = ("condition", "before_condition")
        self.codes = {name: known[name].text for name in codes if name in known}
        self.leads = {"tag": 0.0} | {
            letter: move.lead_s for letter, move in zip(LETTERS, self.scene.others, strict=False)
        }
        self.shapes = {"tag": sheet.move.shape} | {
            letter: move.shape for letter, move in zip(LETTERS, self.scene.others, strict=False)
        }
        self.ways = {"tag": sheet.move.direction} | {
            letter: move.direction for letter, move in zip(LETTERS, self.scene.others, strict=False)
        }

    def matching(self, number: float, places: int, unit: str, kinds: tuple[str, ...]) -> list[str]:
        """The slots whose number this is, as far as its digits tell; `unit` as it was written."""
        return [
            fact.slot
            for fact in self.numbers
            if fact.kind in kinds and _is_same(fact, number, places, unit)
        ]


def units_of(unit: str) -> tuple[str, ...]:
    """How a unit may be written."""
    return _ALIASES.get(unit, (unit,)) if unit else ()


def unit_after(text: str, own: Iterable[str]) -> tuple[str, int]:
    """The unit that a text begins with, one of the sheet's own or a common one, and its end.

    >>> unit_after(" mm/s, above", ["bar"]), unit_after("°Cです", []), unit_after(" above", [])
    (('mm/s', 5), ('°C', 2), ('', 0))
    """
    rest = text.lstrip(" \u00a0")
    known = {alias for unit in own for alias in units_of(unit)} | set(_GENERAL)
    for unit in sorted(known, key=len, reverse=True):
        if rest.startswith(unit) and not _goes_on(unit, rest[len(unit) :]):
            return unit, len(text) - len(rest) + len(unit)
    return "", 0


def _goes_on(unit: str, rest: str) -> bool:
    """Whether the token goes on after what looks like a unit: mm of mm/s is none."""
    after = rest[:1]
    if after in ("/", "·", "²", "³", "⁻"):
        return True
    return unit[-1].isascii() and unit[-1].isalpha() and after.isascii() and after.isalnum()


def _is_same(fact: Fact, number: float, places: int, unit: str) -> bool:
    if fact.kind == "duration":
        finest = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}[unit] * 10.0**-places
        true = abs(fact.number)
        near = abs(true - number)
        # We ourselves write minutes in steps of ten seconds, and hours in steps of ten minutes.
        step = 10.0 if 119 < true < 601 else 600.0 if 7199 < true < 172_801 else finest
        return near <= max(finest, step) / 2 and near <= _DURATION_MAX * true + 0.05
    factor = _factor(unit, fact.unit)
    if factor is None:
        return False
    near = abs(fact.number - number * factor)
    half = 0.5 * 10.0**-places * factor * (1 + 1e-9)
    if fact.kind in ("count", "percent"):
        return near <= 0.5 if fact.kind == "percent" else near == 0
    exact = float(amounts.number_text(fact.number).replace(",", ""))
    return (near <= half and near <= _RELATIVE_MAX * abs(fact.number)) or exact == number * factor


def _factor(written: str, unit: str) -> float | None:
    """What to multiply a number with for it to be in `unit`; None when it is no such unit."""
    if written == unit or written in units_of(unit):
        return 1.0
    for group in _FACTORS:
        if written in group and unit in group:
            return group[written] / group[unit]
    return None


def _numbers(scene: Scene) -> Iterator[Fact]:
    sheet = scene.sheet
    unit = scene.unit(sheet.move)
    value, limit = scene.signed
    for slot, number in (("value", value), ("limit", limit)):
        if scene.is_in_seconds:
            yield Fact(slot, "duration", number)
        elif sheet.condition == "RATE":
            yield Fact(slot, "amount", number, f"{unit}/s")
        else:
            yield Fact(slot, "amount", number, "" if sheet.condition == "SCORE" else unit)
    move, base = sheet.move, sheet.baseline
    yield Fact("next_limit", "amount", sheet.next_limit, unit)
    yield Fact("size", "amount", abs(move.size), unit)
    yield Fact("sigmas", "times", abs(move.sigmas))
    if base is not None:
        for slot, number in (("mean", base.mean), ("sd", base.sd), ("yesterday", base.yesterday)):
            yield Fact(slot, "amount", number, unit)
    for letter, other in zip(LETTERS, scene.others, strict=False):
        yield Fact(f"{letter}_size", "amount", abs(other.size), scene.unit(other))
        yield Fact(f"{letter}_lead", "duration", abs(other.lead_s))
        yield Fact(f"{letter}_onset", "time", other.onset_ns)
    yield from _durations(scene)
    yield from _times(scene)
    yield from _counts(sheet)


def _durations(scene: Scene) -> Iterator[Fact]:
    sheet = scene.sheet
    yield Fact("since", "duration", scene.since_s)
    yield Fact("to_limit", "duration", sheet.to_limit_s)
    yield Fact("period", "duration", sheet.move.period_s)
    if scene.changes:
        yield Fact("change_ago", "duration", (sheet.ts - scene.changes[0].ts) / 1e9)
    if scene.hole is not None:
        yield Fact("hole_length", "duration", (scene.hole.to_ns - scene.hole.from_ns) / 1e9)
    if sheet.before:
        yield Fact("before_lead", "duration", abs(scene.before_s))


def _times(scene: Scene) -> Iterator[Fact]:
    sheet = scene.sheet
    yield Fact("raised", "time", sheet.ts)
    yield Fact("onset", "time", scene.onset)
    if scene.changes:
        yield Fact("change_at", "time", scene.changes[0].ts)
    if scene.hole is not None:
        yield Fact("hole_from", "time", scene.hole.from_ns)
    if sheet.cases:
        yield Fact("case_at", "time", sheet.cases[0].ts)


def _counts(sheet: FactSheet) -> Iterator[Fact]:
    yield Fact("others", "count", len(sheet.others))
    yield Fact("steadies", "count", len(sheet.steady))
    yield Fact("befores", "count", len(sheet.before))
    yield Fact("incident", "count", len(sheet.incident))
    yield Fact("cases", "count", len(sheet.cases))
    yield Fact("bad", "percent", sheet.bad_percent, "%")
