"""Signals: imagined tags of every class of asset: what is measured there and how large it is."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, Final

from models.explainer.sheet import Signal
from models.explainer.vocabulary import Asset, Quantity

# What is measured at what. The first quantities are the usual ones.
QUANTITIES_OF: Final[dict[Asset, tuple[Quantity, ...]]] = {
    "bearing": ("vibration", "temperature"),
    "motor": ("current", "temperature", "speed", "vibration", "torque", "power"),
    "gearbox": ("vibration", "temperature", "torque"),
    "drive": ("speed", "current", "torque", "voltage", "temperature"),
    "pump": ("pressure", "flow", "current", "vibration", "temperature"),
    "fan": ("speed", "vibration", "current", "flow"),
    "compressor": ("pressure", "temperature", "current", "vibration", "flow"),
    "hydraulics": ("pressure", "temperature", "level", "flow"),
    "lubrication": ("pressure", "flow", "temperature", "level"),
    "cooling": ("temperature", "flow", "pressure"),
    "pneumatics": ("pressure", "flow"),
    "vacuum": ("pressure",),
    "valve": ("position", "flow", "pressure"),
    "tank": ("level", "temperature", "pressure", "concentration"),
    "heater": ("temperature", "current", "power"),
    "conveyor": ("speed", "current", "count"),
    "press": ("force", "pressure", "position", "speed", "count"),
    "tool": ("temperature", "force", "vibration"),
    "scale": ("weight",),
    "robot": ("position", "current", "torque", "temperature"),
    "electrical": ("voltage", "current", "power"),
    "ambient": ("temperature", "humidity", "pressure", "concentration"),
    "sensor": ("other", "temperature", "pressure", "level"),
    "network": ("rate", "count"),
    "feed": ("price", "rate", "count"),
    "other": ("other", "state", "rate"),
}
ASSETS: Final = tuple(QUANTITIES_OF)

# Unit [UCUM], a usual value and its standard deviation.
SCALE: Final[dict[Quantity, tuple[str, float, float]]] = {
    "temperature": ("Cel", 58.0, 0.6),
    "pressure": ("bar", 6.2, 0.05),
    "flow": ("L/min", 42.0, 0.5),
    "level": ("%", 63.0, 0.4),
    "vibration": ("mm/s", 2.4, 0.15),
    "current": ("A", 18.5, 0.3),
    "voltage": ("V", 398.0, 1.2),
    "power": ("kW", 11.0, 0.2),
    "speed": ("/min", 1480.0, 3.0),
    "torque": ("N.m", 85.0, 1.5),
    "force": ("kN", 1250.0, 9.0),
    "position": ("mm", 320.0, 0.2),
    "weight": ("kg", 24.0, 0.02),
    "humidity": ("%", 46.0, 0.8),
    "concentration": ("[ppm]", 410.0, 6.0),
    "count": ("1", 120.0, 4.0),
    "state": ("1", 1.0, 0.1),
    "price": ("EUR", 101.0, 0.4),
    "rate": ("/s", 35.0, 2.0),
    "other": ("", 10.0, 0.2),
}


def drawn(rng: Random, weights: Mapping[Any, int]) -> Any:
    """One of the keys, as often as its weight says."""
    return rng.choices(list(weights), list(weights.values()))[0]


def signal_of(rng: Random, area: str, asset: Asset, quantity: Quantity) -> Signal:
    """A tag with this quantity; some plants have two, or a computed one."""
    mark = rng.choice(("", "", "1", "2", "#rms"))
    tag = f"{area}/{asset}/{quantity}{mark}"
    return Signal(tag, SCALE[quantity][0], asset, quantity, f"The {quantity} of the {asset}.")


def any_signal(rng: Random, area: str, asset: Asset) -> Signal:
    """A tag of this asset, rather of what is usually measured there."""
    known = QUANTITIES_OF[asset]
    weights = range(len(known) + 1, 1, -1)
    return signal_of(rng, area, asset, rng.choices(known, weights=weights)[0])


def company(rng: Random, area: str, what: str, asset: Asset) -> Signal:
    """A signal of this asset or quantity; an empty word leaves it to chance."""
    for one in ASSETS:
        if one == what:
            return any_signal(rng, area, one)
    pairs = [(one, q) for one in ASSETS for q in QUANTITIES_OF[one] if q == what]
    if pairs:
        near = [pair for pair in pairs if pair[0] == asset]
        return signal_of(rng, area, *rng.choice(near or pairs))
    return any_signal(rng, area, rng.choice((asset, *rng.sample(ASSETS, 2))))
