"""The script of faults: what is promised of it, and that each fault shows where it says."""

from __future__ import annotations

import itertools

import pytest

from gateway.plant import faults
from gateway.plant.faults import FIRST_S, KINDS, Fault, Script, schedule
from gateway.plant.signals import SIGNALS
from gateway.plant.view import STEP_S, PlantView

SEEDS = (1, 2, 3, 77)


@pytest.mark.parametrize("seed", SEEDS)
def test_all_kinds_begin_within_two_minutes_on_all_protocols(seed: int) -> None:
    early = schedule(seed, 120.0)
    assert early[0].start_s == FIRST_S
    assert sorted(f.kind for f in early) == sorted(KINDS)
    assert {f.protocol for f in early} == {"opcua", "modbus_tcp", "modbus_rtu", "mqtt", "serial"}


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_of_one_line_never_overlap(seed: int) -> None:
    script = schedule(seed, 3600.0)
    for line in ("press1", "press2"):
        here = [f for f in script if f.line in (line, "plant")]
        for before, after in itertools.pairwise(here):
            assert before.end_s + 3.9 < after.start_s, (before.id, after.id)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_script_is_a_function_of_the_seed_and_moves_on(seed: int) -> None:
    script = schedule(seed, 3600.0)
    assert script == [f for f in schedule(seed, 7200.0) if f.start_s < 3600.0]
    assert [f.start_s for f in script] == sorted(f.start_s for f in script)
    assert len({f.id for f in script}) == len(script)
    cycles = [[(f.kind, f.tag or f.device) for f in faults.cycle(seed, n)] for n in range(4)]
    assert all(not set(a) & set(b) for a, b in itertools.pairwise(cycles))
    assert schedule(seed, 3600.0) != schedule(seed + 1000, 3600.0)


def test_the_truth_names_tags_of_the_plant_and_is_reachable() -> None:
    for fault in schedule(3, 3600.0):
        assert fault.expect_tags
        assert set(fault.expect_tags + fault.related_tags) <= set(SIGNALS)
        assert not set(fault.expect_tags) & set(fault.related_tags)
        assert fault.detect_within_s <= fault.duration_s + fault.settle_s
        assert (fault.tag is None) == (fault.kind == "power_off")


def _differences(fault: Fault, k: int, broken: PlantView, healthy: PlantView) -> dict[str, float]:
    """By how much each tag differs from the twin without faults; infinite when it is not good."""
    found = {}
    for name, signal in SIGNALS.items():
        a, b = broken.read(signal, k), healthy.read(signal, k)
        if not a.good:
            found[name] = float("inf")
        elif a.value != b.value:
            found[name] = abs(a.value - b.value)
    return found


@pytest.mark.parametrize("n", range(5))
def test_each_fault_shows_on_its_tags_and_nowhere_else(n: int) -> None:
    for fault in faults.cycle(3, n):
        broken, healthy = PlantView(3, Script(3, (fault,))), PlantView(3, Script(3, ()))
        first, last = (round(t / STEP_S) for t in (fault.start_s, fault.end_s))
        trace = round(fault.settle_s / STEP_S)
        assert not _differences(fault, first - 1, broken, healthy)
        shown: set[str] = set()
        for k in range(first, last + trace, 5):
            shown |= set(_differences(fault, k, broken, healthy))
        if fault.kind == "power_off":
            assert not shown  # The sensors are well; their server is off.
            continue
        assert fault.tag in shown
        assert shown <= set(fault.expect_tags + fault.related_tags), fault.id
        for k in range(last + trace, last + trace + 100, 10):
            for name, size in _differences(fault, k, broken, healthy).items():
                assert size <= 2.0 * SIGNALS[name].noise, (fault.id, name)


@pytest.mark.parametrize("n", range(5))
def test_each_fault_is_plain_enough_to_be_found_in_time(n: int) -> None:
    """Out of the normal range for two seconds, not good, or flat, well before its deadline."""
    for fault in faults.cycle(3, n):
        if fault.tag is None:
            continue
        signal = SIGNALS[fault.tag]
        view = PlantView(3, Script(3, (fault,)))
        first = round(fault.start_s / STEP_S)
        end = first + round((min(fault.detect_within_s, fault.duration_s) - 2.0) / STEP_S)
        readings = [view.read(signal, k) for k in range(first, max(end, first + 25))]
        if fault.kind == "unplugged":
            assert not any(r.good for r in readings)
        elif fault.kind == "stuck":
            assert len({r.value for r in readings}) == 1
        else:
            low, high = signal.normal
            out = [r for r in readings if not low <= r.value <= high]
            assert len(out) * STEP_S >= 2.0, (fault.id, fault.tag)
            worst = view.read(signal, round(fault.end_s / STEP_S) - 5).value
            assert signal.low <= worst <= signal.high, "a broken sensor stays in its range"


def test_a_plant_at_any_hour_knows_its_faults() -> None:
    fault = schedule(3, 7200.0)[-3]
    assert fault in Script(3).near(fault.start_s)
    assert Script(3).near(0.0) == ()
