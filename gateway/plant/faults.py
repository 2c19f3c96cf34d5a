"""Scripted faults as data: what breaks, when, and which alarm a good gateway raises.

The script is a function of the seed. Every CYCLE_S seconds all seven kinds happen once; the
first cycle names the same signals for every seed (so that all protocols have a part in it),
later cycles move to other signals and other lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from gateway.plant import lag, noise
from gateway.plant.physics import LINES
from gateway.plant.signals import SIGNALS, SITE, of_device

FaultKind = Literal["spike", "unplugged", "stuck", "leak", "drift", "bearing_wear", "power_off"]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

FIRST_S = 25.0
CYCLE_S = 150.0
_JITTER_S = 2.0
LEAK_RISE_S = 3.0
# kind: seconds after the cycle's start, which of the two lines (-1: the whole plant), length,
# time in which it should be found, time until its last traces are gone [s].
_SLOTS: dict[FaultKind, tuple[float, int, float, float, float]] = {
    "spike": (0.0, 0, 3.0, 10.0, 8.0),
    "unplugged": (8.0, 1, 12.0, 10.0, 3.0),
    "stuck": (16.0, 0, 24.0, 22.0, 3.0),
    "leak": (30.0, 1, 22.0, 15.0, 30.0),
    "drift": (48.0, 0, 24.0, 24.0, 3.0),
    "bearing_wear": (58.0, 1, 28.0, 28.0, 50.0),
    "power_off": (92.0, -1, 12.0, 20.0, 15.0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and the truth about it. Times are seconds since the plant's start.

    `expect_tags`: an alarm on any one of them finds the fault. `related_tags`: alarms there are
    its consequences, not false alarms. Both hold until `end_s + settle_s`. `size` is in the
    tag's unit at its worst; for a leak and for wear it is the harm, 1. Of `power_off` the `tag`
    is None and every tag of the device is expected (one communication alarm is enough).
    """

    id: str
    kind: FaultKind
    line: str
    tag: str | None
    device: str
    protocol: str
    start_s: float
    duration_s: float
    size: float
    expect_tags: tuple[str, ...]
    related_tags: tuple[str, ...]
    detect_within_s: float
    settle_s: float
    part: str | None = None

    @property
    def end_s(self) -> float:
        """When it is mended [s]."""
        return self.start_s + self.duration_s

    def on(self, t: float) -> bool:
        """Whether it lasts at the moment t [s]."""
        return self.start_s <= t < self.end_s

    def course(self) -> lag.Course:
        """How the harm of a leak or of wear grows."""
        rise = LEAK_RISE_S if self.kind == "leak" else self.duration_s
        return lag.Course(self.start_s, rise, self.end_s)

    def text(self) -> str:
        """One line for people."""
        return f"{self.kind.replace('_', ' ')} of {self.tag or 'device ' + self.device}"


@dataclass(frozen=True, slots=True)
class _Choice:
    """A place where a kind of fault can happen; names are `unit/measure`, or a device's."""

    where: str
    size: float = 1.0
    part: str | None = None
    also: tuple[str, ...] = ()
    related: tuple[str, ...] = ()


# The first of each is the one of the first cycle.
_CHOICES: dict[FaultKind, tuple[_Choice, ...]] = {
    "spike": (
        _Choice("conveyor/current", 6.0),
        _Choice("die/temperature", 90.0),
        _Choice("hydraulics/filter_dp", 3.0),
        _Choice("water/outlet_temperature", 35.0),
        _Choice("scale/weight", 9.0),
    ),
    "unplugged": (
        _Choice("bearing/temperature"),
        _Choice("guide/temperature"),
        _Choice("motor/temperature"),
        _Choice("ambient/humidity"),
    ),
    "stuck": (
        _Choice("lube/pressure"),
        _Choice("motor/speed"),
        _Choice("gearbox/oil_pressure"),
        _Choice("vacuum/pressure"),
        _Choice("air/flow"),
    ),
    "leak": (
        _Choice(
            "hydraulics/pressure",
            part="hydraulics",
            also=("hydraulics/case_drain",),
            related=(
                "hydraulics/flow",
                "hydraulics/filter_dp",
                "oil/level",
                "oil/temperature",
                "ram/force",
                "motor/current",
                "motor/power",
                "drive/torque",
            ),
        ),
        _Choice("air/pressure", part="air", also=("air/flow",)),
        _Choice("lube/pressure", part="lube"),
    ),
    "drift": (
        _Choice("scale/weight", 2.5),
        _Choice("water/inlet_temperature", 9.0),
        _Choice("ambient/temperature", 12.0),
        _Choice("oil/temperature", 20.0),
        _Choice("gearbox/temperature", 22.0),
    ),
    "bearing_wear": (
        _Choice(
            "bearing/vibration",
            part="bearing",
            related=("bearing/temperature", "motor/current", "motor/power", "drive/torque"),
        ),
        _Choice("gearbox/vibration", part="gearbox", related=("gearbox/temperature",)),
        _Choice("guide/vibration", part="guide", related=("guide/temperature",)),
    ),
    "power_off": (
        _Choice("rtu"),
        _Choice("sensors"),
        _Choice("modbus"),
        _Choice("scale"),
        _Choice("opcua"),
    ),
}


def _order(seed: int, kind: FaultKind) -> list[_Choice]:
    """The choices of a kind: the first stays, the others follow in the seed's order."""
    first, *others = _CHOICES[kind]
    name = noise.stream(f"order/{kind}")
    ranked = sorted(range(len(others)), key=lambda i: noise.bits(seed, name, i))
    return [first, *(others[i] for i in ranked)]


def _fault(seed: int, n: int, kind: FaultKind) -> Fault:
    after, lane, duration, within, settle = _SLOTS[kind]
    choices = _order(seed, kind)
    turn = noise.pick(seed, noise.stream("lines"), 0, 2) + n + n // 4
    line = LINES[(max(lane, 0) + turn) % 2]
    choice = choices[n % len(choices)]
    late = noise.uniform(seed, noise.stream(f"late/{kind}"), n) * _JITTER_S if n else 0.0
    start = round(FIRST_S + n * CYCLE_S + after + late, 1)
    if kind == "power_off":
        device = f"scale{line[-1]}" if choice.where == "scale" else choice.where
        tags = tuple(signal.name for signal in of_device(device))
        where = line if device != choice.where else SITE
        return Fault(
            f"{n}-{kind}",
            kind,
            where,
            None,
            device,
            SIGNALS[tags[0]].protocol,
            start,
            duration,
            1.0,
            tags,
            (),
            within,
            settle,
        )
    tag = f"{SITE}/{line}/{choice.where}"
    signal = SIGNALS[tag]
    return Fault(
        f"{n}-{kind}",
        kind,
        line,
        tag,
        signal.device,
        signal.protocol,
        start,
        duration,
        choice.size,
        (tag, *(f"{SITE}/{line}/{measure}" for measure in choice.also)),
        tuple(f"{SITE}/{line}/{measure}" for measure in choice.related),
        within,
        settle,
        choice.part,
    )


@lru_cache(maxsize=64)
def cycle(seed: int, n: int) -> tuple[Fault, ...]:
    """The seven faults of cycle n, in order of their start."""
    if n < 0:
        return ()
    return tuple(sorted((_fault(seed, n, kind) for kind in KINDS), key=lambda f: f.start_s))


def schedule(seed: int, until_s: float) -> list[Fault]:
    """Every fault that begins before `until_s` seconds after the plant's start."""
    cycles = range(max(0, math.ceil((until_s - FIRST_S) / CYCLE_S)))
    return [f for n in cycles for f in cycle(seed, n) if f.start_s < until_s]


class Script:
    """The faults that matter at a moment: the endless script, or a given list, or none."""

    def __init__(self, seed: int, faults: Sequence[Fault] | None = None) -> None:
        self._seed = seed
        self._given = None if faults is None else tuple(faults)

    def near(self, t: float) -> tuple[Fault, ...]:
        """The faults that may leave a trace at the moment t [s]; some may be over."""
        if self._given is not None:
            return self._given
        n = math.floor((t - FIRST_S) / CYCLE_S)
        return cycle(self._seed, n - 1) + cycle(self._seed, n)
