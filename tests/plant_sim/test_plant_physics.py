"""The physics: closed forms against stepped ones, random access, and a calm normal life."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from gateway.plant import child, lag, noise, physics
from gateway.plant.faults import Script
from gateway.plant.signals import SIGNALS, of_device
from gateway.plant.view import STEP_S, PlantView

QUIET = Script(5, ())


def _stepped(inputs: list[float], tau: float, dt: float, start: float) -> list[float]:
    y, out = start, []
    for x in inputs:
        y += (x - y) * -math.expm1(-dt / tau)
        out.append(y)
    return out


def test_pulses_equal_the_stepped_lag() -> None:
    dt, tau = 0.001, 5.0
    times = [i * dt for i in range(60_000)]
    load = [1.0 if 1.2 <= t % 6.0 < 3.2 else 0.0 for t in times]
    stepped = _stepped(load, tau, dt, lag.pulses(0.0, 1.2, 3.2, 6.0, tau))
    closed = [lag.pulses((t + dt) % 6.0, 1.2, 3.2, 6.0, tau) for t in times]
    assert np.allclose(stepped, closed, atol=1e-3)


def test_sine_equals_the_stepped_lag() -> None:
    dt, tau, period = 0.01, 7.0, 30.0
    times = [i * dt for i in range(12_000)]
    wave = [math.sin(2 * math.pi * (t + dt / 2) / period) for t in times]
    stepped = _stepped(wave, tau, dt, lag.sine(0.0, period, tau))
    assert np.allclose(stepped, [lag.sine(t + dt, period, tau) for t in times], atol=1e-4)


def test_damage_behind_a_lag_equals_the_stepped_one() -> None:
    course = lag.Course(start=2.0, rise=3.0, end=12.0)
    dt, tau = 0.001, 4.0
    times = [i * dt for i in range(40_000)]
    stepped = _stepped([course.now(t + dt / 2) for t in times], tau, dt, 0.0)
    closed = [course.lagged(t + dt, tau) for t in times]
    assert max(closed) > 0.8
    assert closed[-1] < 0.01
    assert np.allclose(stepped, closed, atol=1e-3)


def test_speed_is_the_slope_of_the_position() -> None:
    for i in range(1, 600):
        t = i * 0.02 + 0.003
        slope = (
            physics.ram("press1", t + 1e-5).position - physics.ram("press1", t).position
        ) / 1e-5
        assert physics.ram("press1", t).speed == pytest.approx(slope, abs=1.0)


def test_any_order_of_steps_gives_the_same_plant() -> None:
    signals = list(SIGNALS.values())
    forward = PlantView(5)
    steps = list(range(300, 2000, 17))
    stepped = {(s.name, k): forward.read(s, k) for k in steps for s in signals}
    jumping = PlantView(5)
    for k in reversed(steps):
        for signal in reversed(signals):
            reading = jumping.read(signal, k)
            assert repr(reading) == repr(stepped[signal.name, k]), signal.name


def test_another_process_sees_the_same_plant() -> None:
    code = (
        "from gateway.plant.view import *; from gateway.plant.signals import SIGNALS;"
        "v=PlantView(9);print([repr(v.read(s, 400_000_000)) for s in SIGNALS.values()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=child.environment(), capture_output=True, check=True
    )
    view = PlantView(9)
    here = [repr(view.read(s, 400_000_000)) for s in SIGNALS.values()]
    assert done.stdout.decode().strip() == str(here)


def test_seeds_make_different_plants() -> None:
    vibration = SIGNALS["plant/press1/bearing/vibration"]
    assert PlantView(1).read(vibration, 50) != PlantView(2).read(vibration, 50)


def test_noise_is_centred_bounded_and_unrelated() -> None:
    a = np.array([noise.bell(3, noise.stream("a"), k) for k in range(20_000)])
    b = np.array([noise.bell(3, noise.stream("b"), k) for k in range(20_000)])
    assert abs(a.mean()) < 0.03
    assert a.std() == pytest.approx(1.0, abs=0.03)
    assert np.abs(a).max() < 3.47
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03
    assert abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.03


@pytest.mark.parametrize("seed", [1, 2])
def test_a_healthy_plant_stays_in_its_normal_range(seed: int) -> None:
    """From its very first step, so there is no transient of the start."""
    view = PlantView(seed, Script(seed, ()))
    for k in [*range(600), *range(600, 40_000, 41)]:
        for signal in SIGNALS.values():
            value = view.read(signal, k).value
            low, high = signal.normal
            assert low <= value <= high, f"{signal.name} is {value} at step {k}"
            assert signal.low <= value <= signal.high


def test_a_healthy_measurement_is_neither_flat_nor_far_from_its_last_minute() -> None:
    view = PlantView(4, Script(4, ()))
    for signal in SIGNALS.values():
        if signal.kind != "measurement" or signal.line == "press2":
            continue
        x = np.array([view.read(signal, k).value for k in range(0, 3000, 5)])
        for i in range(120, len(x)):
            before = x[i - 120 : i]
            assert abs(x[i] - before.mean()) < 4.5 * before.std(), signal.name
        assert np.abs(np.diff(x)).min() > 0 or np.unique(x).size > x.size * 0.9, signal.name


def test_motor_current_follows_the_force() -> None:
    view = PlantView(5, QUIET)
    force, current = (
        [view.read(SIGNALS[f"plant/press1/{m}"], k).value for k in range(600)]
        for m in ("ram/force", "motor/current")
    )
    assert np.corrcoef(force, current)[0, 1] > 0.9


def test_pieces_and_energy_never_count_down() -> None:
    view = PlantView(5)
    for measure in ("counter/pieces", "energy/total", "drive/energy"):
        counted = [
            view.read(SIGNALS[f"plant/press2/{measure}"], k).value for k in range(0, 3000, 7)
        ]
        assert min(np.diff(counted)) >= 0
        assert counted[-1] > counted[0]
    pieces = SIGNALS["plant/press1/counter/pieces"]
    made = view.read(pieces, 6000).value - view.read(pieces, 0).value
    assert made == 6000 * STEP_S / physics.STROKE_S


def test_the_opcua_server_has_forty_variables() -> None:
    assert len(of_device("opcua")) == 40
