"""Two presses as formulas: what is true in the plant at a moment.

A stroke takes six seconds. The ram's way gives the oil flow, the blank's hardness gives force,
pressure and motor current together, and work becomes heat that lags behind. Nothing here knows
a clock, a file or a server; everything is a pure function of the seed and the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.plant import lag, noise

STROKE_S = 6.0
# Within a stroke [s]: the ram comes down until APPROACH, presses until PRESS, holds until HOLD,
# goes up until RETURN, and waits while the piece is changed between OUT and IN.
APPROACH, PRESS, HOLD, RETURN, OUT, IN = 1.2, 2.4, 3.2, 4.4, 4.6, 5.4
TOP_MM, TOUCH_MM, BOTTOM_MM = 400.0, 60.0, 10.0
RELIEF_BAR = 250.0
DAY_S = 1800.0  # A "day" of the hall's air is half an hour, to have it within a demonstration.
LINES = ("press1", "press2")
_SHIFT_S = {"press1": 0.0, "press2": 2.3}

# Lags of heat and oil [s].
TAU_OIL, TAU_WINDING, TAU_BEARING, TAU_DIE, TAU_TANK = 600.0, 300.0, 10.0, 60.0, 6.0


@dataclass(frozen=True, slots=True)
class Ram:
    """Where a press is in its stroke."""

    stroke: int
    u: float
    position: float
    speed: float
    load: float
    state: int


@dataclass(frozen=True, slots=True)
class Harm:
    """What is damaged on one line at a moment; `now` and `lagged(tau)` by part, 0 to 1."""

    t: float
    courses: Mapping[str, lag.Course] = field(default_factory=dict)

    def now(self, part: str) -> float:
        course = self.courses.get(part)
        return course.now(self.t) if course else 0.0

    def lagged(self, part: str, tau: float) -> float:
        course = self.courses.get(part)
        return course.lagged(self.t, tau) if course else 0.0


def ram(line: str, t: float) -> Ram:
    """The ram at a moment: it moves along half cosines, so its speed never jumps."""
    shifted = t + _SHIFT_S[line]
    stroke = math.floor(shifted / STROKE_S)
    u = shifted - stroke * STROKE_S
    if u < APPROACH:
        x = u / APPROACH
        return Ram(stroke, u, *_way(TOP_MM, TOUCH_MM, x, APPROACH), 0.0, 0)
    if u < PRESS:
        x = (u - APPROACH) / (PRESS - APPROACH)
        load = 0.5 - 0.5 * math.cos(math.pi * x)
        return Ram(stroke, u, *_way(TOUCH_MM, BOTTOM_MM, x, PRESS - APPROACH), load, 1)
    if u < HOLD:
        return Ram(stroke, u, BOTTOM_MM, 0.0, 1.0, 2)
    if u < RETURN:
        x = (u - HOLD) / (RETURN - HOLD)
        load = max(0.0, 1.0 - x / 0.1)
        return Ram(stroke, u, *_way(BOTTOM_MM, TOP_MM, x, RETURN - HOLD), load, 3)
    return Ram(stroke, u, TOP_MM, 0.0, 0.0, 4)


def _way(start: float, end: float, x: float, seconds: float) -> tuple[float, float]:
    way = end - start
    position = start + way * (0.5 - 0.5 * math.cos(math.pi * x))
    return position, way * 0.5 * math.pi * math.sin(math.pi * x) / seconds


def line_values(
    seed: int, line: str, t: float, harm: Harm, controls: Mapping[str, float]
) -> dict[str, float]:
    """Every true value of one press line, by `unit/measure`."""
    r = ram(line, t)
    hard = 1.0 + 0.012 * noise.bell(seed, noise.stream(f"{line}/blank"), r.stroke)
    work = controls[f"{line}/ram/force_setpoint"] / 1600.0 * hard
    values = _hydraulics(r, t, work, harm)
    values |= _drive(r, t, work, harm, values["hydraulics/flow"])
    values |= _bearings(r, t, harm)
    values |= _utilities(r, t, harm, controls[f"{line}/water/valve_setpoint"])
    values |= _surroundings(r, t)
    values |= _counting(seed, line, r, t, controls)
    return values


def _hydraulics(r: Ram, t: float, work: float, harm: Harm) -> dict[str, float]:
    leak = harm.now("hydraulics")
    press = (92.0 + 118.0 * r.load * work) * (1.0 - 0.45 * leak)
    flow = 14.0 + 0.38 * abs(r.speed) + 6.0 * r.load + 45.0 * leak
    heat = lag.pulses(r.u, APPROACH, HOLD, STROKE_S, TAU_OIL)
    return {
        "hydraulics/pressure": min(RELIEF_BAR, press),
        "hydraulics/flow": flow,
        "hydraulics/case_drain": 3.0 + 0.9 * r.load + 14.0 * leak,
        "hydraulics/filter_dp": 0.75 + 0.003 * flow,
        "oil/temperature": 22.0
        + 0.6 * lag.sine(t, DAY_S, TAU_OIL)
        + 84.0 * heat
        + 3.0 * harm.lagged("hydraulics", TAU_TANK),
        "oil/level": 78.0
        - 1.2 * (TOP_MM - r.position) / TOP_MM
        - 10.0 * harm.lagged("hydraulics", TAU_TANK),
        "ram/position": r.position,
        "ram/speed": r.speed,
        "ram/force": 1600.0 * r.load * work * (1.0 - 0.3 * leak),
    }


def _drive(r: Ram, t: float, work: float, harm: Harm, flow: float) -> dict[str, float]:
    leak, wear = harm.now("hydraulics"), harm.now("bearing")
    current = 31.0 + 46.0 * r.load * work + 0.018 * abs(r.speed) + 9.0 * leak + 4.0 * wear
    speed = 1484.0 - 18.0 * r.load * work - 0.006 * abs(r.speed)
    # Active power of a three-phase motor: √3 · U · I · cos φ. Source: IEC 60034-1.
    power = math.sqrt(3.0) * 0.4 * current * 0.86
    return {
        "motor/current": current,
        "motor/speed": speed,
        "motor/power": power,
        "motor/temperature": 22.0
        + 0.6 * lag.sine(t, DAY_S, TAU_WINDING)
        + 132.0 * lag.pulses(r.u, APPROACH, HOLD, STROKE_S, TAU_WINDING),
        # Torque [N·m] = 60,000 · P [kW] / (2π · n [1/min]).
        "drive/torque": 60000.0 * power / (2.0 * math.pi * speed),
    }


def _bearings(r: Ram, t: float, harm: Harm) -> dict[str, float]:
    """Vibration as RMS speed. Source: ISO 20816-1, whose zones end at 4.5 and 7.1 mm/s."""
    moving = _moving(r)
    return {
        "bearing/vibration": 1.9 + 0.5 * r.load + 10.0 * harm.now("bearing"),
        "bearing/temperature": 47.0
        + 0.6 * lag.sine(t, DAY_S, 120.0)
        + 6.0 * harm.lagged("bearing", TAU_BEARING),
        "gearbox/vibration": 2.2 + 0.4 * r.load + 9.0 * harm.now("gearbox"),
        "gearbox/temperature": 58.0
        + 0.6 * lag.sine(t, DAY_S, 240.0)
        + 6.0 * harm.lagged("gearbox", TAU_BEARING),
        "gearbox/oil_pressure": 2.4 + 0.03 * moving,
        "guide/vibration": 1.1 + 0.4 * moving + 8.0 * harm.now("guide"),
        "guide/temperature": 39.0
        + 0.6 * lag.sine(t, DAY_S, 180.0)
        + 6.0 * harm.lagged("guide", TAU_BEARING),
    }


def _utilities(r: Ram, t: float, harm: Harm, valve: float) -> dict[str, float]:
    air, lube = harm.now("air"), harm.now("lube")
    inlet = 18.0 + 0.3 * lag.sine(t, DAY_S, 60.0)
    water = 0.75 * valve
    return {
        "water/flow": water,
        "water/inlet_temperature": inlet,
        # The same heat warms less water more.
        "water/outlet_temperature": inlet + 6.5 * 45.0 / max(water, 5.0),
        # A compressor swings between its two switching points.
        "air/pressure": 6.2 + 0.06 * math.sin(2.0 * math.pi * t / 24.0) - 1.8 * air,
        "air/flow": 120.0 + (22.0 if r.state == 4 else 0.0) + 150.0 * air,
        "lube/pressure": 3.5 + 0.06 * r.load - 1.9 * lube,
        "lube/temperature": 41.0 + 0.6 * lag.sine(t, DAY_S, 200.0),
        "coolant/conductivity": 1450.0 + 6.0 * lag.sine(t, DAY_S, 300.0),
        "fan/speed": 1420.0 - 25.0 * _moving(r),
        "fan/current": 2.6 + 0.1 * _moving(r),
        "die/temperature": 140.0 + 75.0 * lag.pulses(r.u, APPROACH, HOLD, STROKE_S, TAU_DIE),
    }


def _moving(r: Ram) -> float:
    """How fast the ram moves, as a share of its top speed."""
    return min(1.0, abs(r.speed) / 510.0)


def _surroundings(r: Ram, t: float) -> dict[str, float]:
    day = math.sin(2.0 * math.pi * t / DAY_S)
    return {
        "ambient/temperature": 22.0 + 0.6 * day,
        "ambient/humidity": 46.0 - 1.5 * day,
        "ambient/noise_level": 82.0 + 4.0 * r.load,
        "conveyor/speed": 12.0,
        "conveyor/current": 3.2 + (0.3 if OUT <= r.u < IN else 0.0),
        "vacuum/pressure": 320.0 - (8.0 if OUT <= r.u < IN else 0.0),
    }


def _counting(
    seed: int, line: str, r: Ram, t: float, controls: Mapping[str, float]
) -> dict[str, float]:
    pace = noise.bell(seed, noise.stream(f"{line}/pace"), r.stroke - 1)
    piece = noise.bell(seed, noise.stream(f"{line}/piece"), r.stroke - (r.u < IN))
    begun = 12_000 + noise.pick(seed, noise.stream(f"{line}/begun"), 0, 5_000)
    return {
        "counter/pieces": begun + r.stroke - controls.get(f"{line}/counter/offset", 0.0),
        "cycle/time": STROKE_S + 0.004 * pace,
        "cycle/state": float(r.state),
        "energy/total": 48_000.0 + 25.7 * t / 3600.0,
        "drive/energy": math.floor((48_000.0 + 25.7 * t / 3600.0) * 1000.0),
        "scale/weight": 12.34 + 0.006 * piece,
        "ram/force_setpoint": controls[f"{line}/ram/force_setpoint"],
        "water/valve_setpoint": controls[f"{line}/water/valve_setpoint"],
        "door/closed": 1.0,
        "guard/locked": 1.0 if r.state < 4 else 0.0,
        "pump/running": 1.0,
        "stack/red": controls.get(f"{line}/stack/red", 0.0),
        "fan/running": 1.0,
        "filter/clogged": 0.0,
    }


def hall_values(seed: int, t: float) -> dict[str, float]:
    """What the hall's energy meter sees, by measure."""
    day = math.sin(2.0 * math.pi * t / DAY_S)
    return {
        "power": 86.0 + 0.8 * day,
        "reactive_power": -12_500.0 + 90.0 * day,
        "energy": math.floor(3_400_000_000.0 + 86_000.0 * t / 3600.0),
        "frequency": 50.0 + 0.004 * math.sin(2.0 * math.pi * t / 47.0),
        "voltage": 401.0,
        "power_factor": 0.91,
    }
