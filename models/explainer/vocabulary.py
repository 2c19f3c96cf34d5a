"""Vocabulary: the closed sets of words in which the explainer thinks."""

from __future__ import annotations

from typing import Final, Literal, get_args

Shape = Literal[
    "spike",
    "step",
    "drift",
    "oscillation",
    "stuck",
    "noise",
    "dropout",
    "saturation",
    "unclear",
]
"""What the signal did: one short peak; a jump that stays; a slow way off; a swing that comes
again and again; no change at all; a wider scatter; no samples; the end of its range."""
SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)

Direction = Literal["up", "down", "none"]

Quantity = Literal[
    "temperature",
    "pressure",
    "flow",
    "level",
    "vibration",
    "current",
    "voltage",
    "power",
    "speed",
    "torque",
    "force",
    "position",
    "weight",
    "humidity",
    "concentration",
    "count",
    "state",
    "price",
    "rate",
    "other",
]
QUANTITIES: Final[tuple[Quantity, ...]] = get_args(Quantity)

Asset = Literal[
    "bearing",
    "motor",
    "gearbox",
    "drive",
    "pump",
    "fan",
    "compressor",
    "hydraulics",
    "lubrication",
    "cooling",
    "pneumatics",
    "vacuum",
    "valve",
    "tank",
    "heater",
    "conveyor",
    "press",
    "tool",
    "scale",
    "robot",
    "electrical",
    "ambient",
    "sensor",
    "network",
    "feed",
    "other",
]
"""The class of the thing that is measured; `feed` is a stream that is no machine, such as prices,
log lines or messages; `sensor` and `network` are where nothing better is known of a lost device."""
ASSETS: Final[tuple[Asset, ...]] = get_args(Asset)

ChangeKind = Literal["deploy", "setpoint", "maintenance", "restart", "settings"]
Verdict = Literal["right", "wrong", "other"]

Doubt = Literal[
    "short_baseline",
    "no_baseline",
    "gap",
    "bad_quality",
    "clock",
    "alone",
    "maintenance",
    "restart",
    "unlike",
]
"""Why the explanation may be wrong: little or nothing to compare with; a hole in the data; samples
of bad quality; a clock that was set; no other signal to confirm it; someone works at the machine;
the gateway had just started; no similar case is known."""
DOUBTS: Final[tuple[Doubt, ...]] = get_args(Doubt)
