"""What the sensors say: the truth of the physics, plus noise, plus the faults of sensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.plant import noise, physics
from gateway.plant.faults import Fault, Script
from gateway.plant.signals import HALL, SIGNALS, Signal

STEP_S = 0.1
DRIFT_FULL = 0.75  # The share of its time in which a drift reaches its size.


@dataclass(frozen=True, slots=True)
class Reading:
    """What a sensor says; an unplugged one says NaN and is not good."""

    value: float
    good: bool = True


class PlantView:
    """The plant at any step, for one seed. Random access: no step needs the one before.

    `controls` is what a person or a gateway has set (setpoints, lamps); the server that owns a
    control keeps it here.
    """

    def __init__(self, seed: int, script: Script | None = None) -> None:
        self.seed = seed
        self.script = script or Script(seed)
        self.controls: dict[str, float] = {}
        for line in physics.LINES:
            self.controls[f"{line}/ram/force_setpoint"] = 1600.0
            self.controls[f"{line}/water/valve_setpoint"] = 60.0
        self._cached: dict[str, tuple[int, dict[str, float]]] = {}

    def changed(self) -> None:
        """Forget what was computed with the controls of before."""
        self._cached.clear()

    def read(self, signal: Signal, k: int) -> Reading:
        """What the sensor of a signal says at step k."""
        t = k * STEP_S
        fault = self._fault_of(signal.name, t)
        if fault is None:
            return Reading(self._measured(signal, k))
        if fault.kind == "unplugged":
            return Reading(math.nan, good=False)
        if fault.kind == "stuck":
            return Reading(self._measured(signal, math.ceil(fault.start_s / STEP_S)))
        value = self._measured(signal, k)
        if fault.kind == "spike":
            return Reading(value + fault.size)
        grown = min(1.0, (t - fault.start_s) / (fault.duration_s * DRIFT_FULL))
        return Reading(value + fault.size * grown)

    def _fault_of(self, name: str, t: float) -> Fault | None:
        """The fault of this very sensor, if it has one now."""
        for fault in self.script.near(t):
            if fault.tag == name and fault.part is None and fault.on(t):
                return fault
        return None

    def _measured(self, signal: Signal, k: int) -> float:
        name = noise.stream(_sensor(signal))
        return self._truth(signal.line, k)[_quantity(signal)] + (
            signal.noise * noise.bell(self.seed, name, k) if signal.noise else 0.0
        )

    def _truth(self, line: str, k: int) -> dict[str, float]:
        kept = self._cached.get(line)
        if kept is not None and kept[0] == k:
            return kept[1]
        t = k * STEP_S
        if line == HALL:
            values = physics.hall_values(self.seed, t)
        else:
            courses = {
                fault.part: fault.course()
                for fault in self.script.near(t)
                if fault.part is not None and fault.line == line and fault.start_s <= t
            }
            harm = physics.Harm(t, courses)
            values = physics.line_values(self.seed, line, t, harm, self.controls)
        self._cached[line] = (k, values)
        return values


def _quantity(signal: Signal) -> str:
    """The name of the quantity in the physics; the hall's meter shows one in many forms."""
    if signal.line != HALL:
        return signal.measure
    measure = signal.measure.removeprefix("meter/")
    for order in ("_abcd", "_badc", "_cdab", "_dcba"):
        measure = measure.removesuffix(order)
    return measure


def _sensor(signal: Signal) -> str:
    """The name of the sensor's noise: all forms of one quantity share one sensor."""
    return f"{signal.line}/{_quantity(signal)}"


def signals_of(line: str) -> tuple[Signal, ...]:
    """The signals of one line."""
    return tuple(signal for signal in SIGNALS.values() if signal.line == line)
