"""The plant without its processes: what its devices would say, and the truth about each fault.

Samples come as the flows in flows/ scan them (rates, rounding of registers and text, bad quality,
silence of a device without power), so a sheet can be held against the script that made them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.data import quality
from gateway.plant.faults import Fault, Script, schedule
from gateway.plant.signals import SIGNALS, Register, Signal, Topic
from gateway.plant.view import STEP_S, PlantView
from models.explainer.evidence import Evidence, Limit, Raised, Rows, Track
from models.flatline import Flatline
from models.sigma import Sigma

ZERO_NS = 1_800_000_000 * 10**9
_RESTART_S = 1.0  # A device that gets its power back takes about this long to answer.
_SCAN_STEPS = {"opcua": 2, "modbus": 5, "rtu": 5, "sensors": 5, "scale1": 2, "scale2": 2}
_STATE_STEPS = {"opcua": 5, "modbus": 10, "rtu": 10}
# The limits of the flows in flows/: on the pressure, and on the mean of five seconds.
PRESSURE_LOW = 80.0
WORN = {"bearing/vibration": 3.6, "gearbox/vibration": 3.8, "guide/vibration": 2.4}


@dataclass(frozen=True)
class Samples:
    """One tag's samples: steps, values and StatusCodes."""

    step: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint32]

    @property
    def t(self) -> NDArray[np.float64]:
        return self.step * STEP_S

    def rows(self, from_s: float, until_s: float) -> Rows:
        part = (self.t > from_s) & (self.t <= until_s)
        ts = ZERO_NS + self.step[part] * round(STEP_S * 1e9)
        return Rows(ts, self.value[part], self.quality[part])


@dataclass(frozen=True)
class Alarmed:
    """A fault and the alarm a good gateway raises for it."""

    fault: Fault
    at_s: float
    tag: str
    condition: str
    limit: float = math.nan


class Played:
    """A plant of one seed played for a while, with the alarms it would have raised."""

    def __init__(self, seed: int, seconds: float) -> None:
        self.seed = seed
        self.seconds = seconds
        self.faults = list(schedule(seed, seconds - 60.0))
        self.samples = _play(seed, seconds, self.faults)
        self.alarms = [alarm for f in self.faults if (alarm := self._alarm(f)) is not None]

    def evidence(
        self, alarm: Alarmed, *, after_s: float = 0.0, before_s: float = 240.0, tag: str = ""
    ) -> Evidence:
        """What the gateway would hand over `after_s` seconds after the alarm.

        The tags of the alarm's line, of the lost device and of the hall, and of the other line
        those that are called like the alarmed ones. Alarmed is `tag`, if it is given.
        """
        at, now, fault = alarm.at_s, alarm.at_s + after_s, alarm.fault
        own = tag or alarm.tag
        measure = own.partition("#")[0].split("/", 2)[-1]
        tracks = tuple(
            _track(SIGNALS[name], samples.rows(at - before_s, now))
            for name, samples in self.samples.items()
            if SIGNALS[name].line in (fault.line, "hall")
            or SIGNALS[name].device == fault.device == alarm.tag
            or SIGNALS[name].measure.split("/")[0] == measure.split("/")[0]
        )
        name = f"flow/node:{own}:{alarm.condition}"
        raised = Raised(name, own, _ns(at), alarm.condition, limit=alarm.limit)
        return Evidence(raised, _ns(now), tracks)

    def _alarm(self, fault: Fault) -> Alarmed | None:
        if fault.kind == "power_off":
            return Alarmed(fault, fault.start_s + 5.0, fault.device, "COMM")
        found = [
            hit for tag in fault.expect_tags for hit in self._hits(tag, fault) if hit is not None
        ]
        return min(found, key=lambda hit: hit.at_s) if found else None

    def _hits(self, tag: str, fault: Fault) -> Iterator[Alarmed | None]:
        one, signal = self.samples[tag], SIGNALS[tag]
        since, until = fault.start_s, fault.start_s + fault.detect_within_s + 1.0
        bad = (one.quality >> 30) >= 2
        yield _held(fault, tag, one.t, bad, since, until, 1.0, "BAD")
        window = (one.t > since - 90.0) & (one.t <= until) & ~bad
        t, x = one.t[window], one.value[window]
        min_rows = 75 if signal.device in ("opcua", "scale1", "scale2") else 30
        unusual = Sigma(1, window_s=60, min_rows=min_rows, refuse_above=8.0, refuse_rows_max=600)
        flat = Flatline(1, band=0.0, gap_s=5)
        code = np.zeros(1, np.uint16)
        sigma, still = np.full(len(t), np.nan), np.zeros(len(t))
        for i, (at, value) in enumerate(zip(t, x, strict=True)):
            row = np.array([round(at * 1e9)]), np.array([value])
            sigma[i], still[i] = unusual.score(code, *row)[0], flat.score(code, *row)[0]
        yield _held(fault, tag, t, np.abs(sigma) > 8.0, since, until, 0.6, "SCORE", 8.0)
        yield _held(fault, tag, t, still > 14.0, since, until, 0.0, "SCORE", 14.0)
        if signal.measure == "hydraulics/pressure":
            yield _held(fault, tag, t, x < PRESSURE_LOW, since, until, 0.5, "LO", PRESSURE_LOW)
        if signal.measure in WORN:
            limit = WORN[signal.measure]
            for end in np.arange(math.ceil(since / 5.0) * 5.0, until, 5.0):
                part = x[(t > end - 5.0) & (t <= end)]
                if len(part) and float(np.mean(part)) > limit:
                    yield Alarmed(fault, float(end), f"{tag}#mean", "HI", limit)
                    break


def _held(
    fault: Fault,
    tag: str,
    t: NDArray[np.float64],
    flags: NDArray[np.bool_],
    since: float,
    until: float,
    delay_s: float,
    condition: str,
    limit: float = math.nan,
) -> Alarmed | None:
    """The alarm of a condition that has held for its on-delay."""
    begin = math.nan
    for at, flag in zip(t, flags, strict=True):
        if at < since or not flag:
            begin = math.nan
        else:
            begin = at if math.isnan(begin) else begin
            if at - begin >= delay_s - 1e-6 and at <= until:
                return Alarmed(fault, float(at), tag, condition, limit)
    return None


def _ns(t: float) -> int:
    return ZERO_NS + round(t * 1e9)


def _track(signal: Signal, rows: Rows) -> Track:
    limits = (Limit("LO", PRESSURE_LOW),) if signal.measure == "hydraulics/pressure" else ()
    return Track(
        signal.name,
        rows,
        signal.unit,
        signal.about,
        signal.low,
        signal.high,
        signal.device,
        limits=limits,
    )


def _play(seed: int, seconds: float, faults: list[Fault]) -> dict[str, Samples]:
    view = PlantView(seed, Script(seed))
    scans = {signal: _every(signal) for signal in SIGNALS.values() if _is_wanted(signal)}
    found: dict[str, list[tuple[int, float, int]]] = {signal.name: [] for signal in scans}
    off = [(f.device, f.start_s, f.end_s + _RESTART_S) for f in faults if f.kind == "power_off"]
    for k in range(round(seconds / STEP_S)):
        t = k * STEP_S
        dark = {device for device, start, end in off if start <= t < end}
        for signal, every in scans.items():
            if k % every == 0 and signal.device not in dark:
                reading = view.read(signal, k)
                code = quality.GOOD if reading.good else quality.BAD_SENSOR_FAILURE
                found[signal.name].append((k, _rounded(signal, reading.value), code))
    return {
        name: Samples(
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.float64),
            np.array([row[2] for row in rows], np.uint32),
        )
        for name, rows in found.items()
    }


def _is_wanted(signal: Signal) -> bool:
    """One form of each quantity of the hall's meter is enough."""
    return signal.line != "hall" or not signal.name.endswith(("_badc", "_cdab", "_dcba"))


def _every(signal: Signal) -> int:
    if signal.kind == "measurement":
        return _SCAN_STEPS[signal.device]
    return _STATE_STEPS[signal.device]


def _rounded(signal: Signal, value: float) -> float:
    at = signal.address
    if math.isnan(value):
        return value
    if isinstance(at, Register) and not at.type.startswith("float") and at.type != "bool":
        return round(value / at.scale) * at.scale
    if isinstance(at, Register) and at.type == "float32":
        return float(np.float32(value))
    if isinstance(at, Topic):
        return round(value, 4 if at.format == "json" else 3)
    return round(value, 2) if at is None else value
