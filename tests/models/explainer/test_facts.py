"""The fact sheet of made signals whose shape is known, one at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.explainer import facts, likeness, template
from models.explainer.evidence import Evidence, Limit, Past, Raised, Rows, Track
from models.explainer.sheet import Change, FactSheet, Hole

ZERO_NS = 1_800_000_000 * 10**9
EVERY_S = 0.5
N = 1200
RNG_SEED = 11
TAG = "hall/press1/bearing/vibration"


def rows(x: np.ndarray, every_s: float = EVERY_S) -> Rows:
    ts = ZERO_NS + (np.arange(len(x)) * every_s * 1e9).astype(np.int64)
    return Rows(ts, np.asarray(x, float), np.zeros(len(x), np.uint32))


def calm(name: int = 0) -> np.ndarray:
    return np.random.default_rng([RNG_SEED, name]).normal(50.0, 0.5, N)


def evidence(
    x: np.ndarray,
    *others: np.ndarray,
    condition: str = "HI",
    low: float = np.nan,
    high: float = np.nan,
) -> Evidence:
    tracks = [Track(TAG, rows(x), "mm/s", low=low, high=high)]
    tracks += [Track(f"hall/press1/part{i}/value", rows(y)) for i, y in enumerate(others)]
    at = ZERO_NS + round((N - 1) * EVERY_S * 1e9)
    return Evidence(Raised(f"f/n:{TAG}:{condition}", TAG, at, condition), tracks=tuple(tracks))


def made(shape: str) -> np.ndarray:
    x = calm()
    since = np.arange(N) - 1000
    later = since >= 0
    match shape:
        case "spike":
            x[1180:1184] += 9.0
        case "step":
            x[later] += 6.0
        case "drift":
            x[later] += 0.05 * since[later]
        case "oscillation":
            x[later] += 4.0 * np.sin(2 * np.pi * since[later] / 20.0)
        case "noise":
            x[later] += np.random.default_rng(7).normal(0.0, 3.0, int(later.sum()))
        case "stuck":
            x[later] = x[1000]
        case "saturation":
            x[later] = 100.0
        case "dropout":
            x = x[:1000]
    return x


@pytest.mark.parametrize(
    "shape",
    ["spike", "step", "drift", "oscillation", "noise", "stuck", "saturation", "dropout"],
)
def test_the_shape_is_what_a_person_would_call_it(shape: str) -> None:
    move = facts.sheet(evidence(made(shape), low=0.0, high=100.0)).move
    assert move.shape == shape
    begin = 1180 if shape == "spike" else 1000
    assert (move.onset_ns - ZERO_NS) * 1e-9 == pytest.approx(begin * EVERY_S, abs=8 * EVERY_S)


def test_nothing_unusual_is_unclear_and_neighbours_are_steady() -> None:
    sheet = facts.sheet(evidence(calm(), calm(1), calm(2)))
    assert sheet.move.shape == "unclear"
    assert sheet.move.onset_ns == 0
    assert not sheet.others
    assert len(sheet.steady) == 2


def test_who_moved_first_is_known_from_the_onsets() -> None:
    cause, effect = calm(1), calm()
    cause[900:] -= 5.0
    effect[1000:] += 6.0
    sheet = facts.sheet(evidence(effect, cause, calm(2)))
    (other,) = sheet.others
    assert sheet.first_mover is other
    assert other.direction == "down"
    assert other.lead_s == pytest.approx(-50.0, abs=1.0)


AT_NS = ZERO_NS + round((N - 1) * EVERY_S * 1e9)
S = 10**9


def test_a_drift_says_when_it_will_reach_the_next_limit_on_its_way() -> None:
    x = made("drift")
    limits = (Limit("HI", 55.0), Limit("HIHI", 70.0), Limit("LO", 20.0), Limit("HIHIHI", 90.0))
    given = evidence(x)
    sheet = facts.sheet(replace(given, tracks=(replace(given.tracks[0], limits=limits),)))
    assert sheet.move.rate_per_min == pytest.approx(6.0, rel=0.05)
    assert sheet.next_limit == 70.0
    assert sheet.to_limit_s == pytest.approx(10.0 / 0.1, rel=0.1)


def test_the_baseline_is_from_before_and_knows_the_same_hour_of_yesterday() -> None:
    given = evidence(made("step"))
    track = replace(given.tracks[0], yesterday=rows(np.full(100, 42.0)))
    baseline = facts.sheet(replace(given, tracks=(track,))).baseline
    assert baseline is not None
    assert baseline.mean == pytest.approx(50.0, abs=0.1)
    assert baseline.sd == pytest.approx(0.5, abs=0.1)
    assert baseline.to_ns <= ZERO_NS + round(1000 * EVERY_S * 1e9)
    assert (baseline.yesterday, baseline.yesterday_rows) == (42.0, 100)


def test_a_cycle_is_part_of_what_is_normal() -> None:
    wave = 40.0 * np.maximum(0.0, np.sin(2 * np.pi * np.arange(N) / 24.0))
    x = calm() + wave
    x[1100:] += 4.0
    sheet = facts.sheet(evidence(x))
    assert sheet.baseline is not None
    assert sheet.baseline.cycle_s == pytest.approx(12.0, abs=0.01)
    assert sheet.baseline.sd == pytest.approx(0.5, abs=0.15)
    assert (sheet.move.shape, sheet.move.direction) == ("step", "up")
    assert sheet.move.size == pytest.approx(4.0, abs=2.0)


def test_alarms_before_changes_and_holes_are_those_of_the_event_in_their_order() -> None:
    def raised(name: str, before_s: int) -> Raised:
        return Raised(name, "t", AT_NS - before_s * S, "HI", "low")

    given = replace(
        evidence(made("step")),
        before=(raised("late", 5), raised("first", 60), raised("old", 3600), raised("next", -1)),
        changes=(
            Change("deploy", AT_NS - 7200 * S),
            Change("maintenance", AT_NS - 60 * S),
            Change("setpoint", AT_NS - 9 * 3600 * S),
            Change("setpoint", AT_NS + S),
        ),
        holes=(Hole("src", "away", AT_NS - 40 * S, AT_NS - 30 * S), Hole("src", "away", 1, 2)),
        incident=("z", "a"),
    )
    sheet = facts.sheet(given)
    assert [(one.alarm, one.lead_s) for one in sheet.before] == [("first", -60.0), ("late", -5.0)]
    assert [one.kind for one in sheet.changes] == ["maintenance", "deploy"]
    assert len(sheet.holes) == 1
    assert sheet.incident == tuple(sorted(("z", "a", sheet.alarm)))
    assert {"gap", "maintenance", "alone", "unlike"} <= set(sheet.doubts)


def test_a_young_gateway_and_a_clock_that_was_set_are_doubts() -> None:
    given = evidence(made("step")[980:1005])
    at = ZERO_NS + 24 * round(EVERY_S * 1e9)
    given = replace(given, raised=replace(given.raised, ts=at))
    sheet = facts.sheet(replace(given, started_ns=at - 60 * S, clock_set_ns=at - 60 * S))
    assert {"short_baseline", "restart", "clock"} <= set(sheet.doubts)
    empty = facts.sheet(replace(given, tracks=()))
    assert "no_baseline" in empty.doubts
    assert (empty.baseline, empty.move.shape) == (None, "unclear")


def test_the_same_fault_on_the_twin_is_a_similar_case_and_another_kind_of_fault_is_not() -> None:
    now = facts.sheet(evidence(made("drift")))
    twin_tag = TAG.replace("press1", "press2")
    twin = replace(
        now,
        alarm="twin",
        move=replace(now.move, signal=replace(now.signal, tag=twin_tag)),
    )
    strange = facts.sheet(evidence(made("stuck"), condition="SCORE"))
    strange = replace(
        strange,
        alarm="other",
        move=replace(strange.move, signal=replace(now.signal, tag="x/y/flow", quantity="flow")),
    )
    past = (
        Past(strange, "wrong"),
        Past(twin, "right", "wear", "It was the bearing."),
        Past(now, "right"),
    )
    cases = facts.sheet(replace(evidence(made("drift")), past=past)).cases
    assert [(one.alarm, one.cause) for one in cases] == [("twin", "wear")]
    assert cases[0].likeness >= 0.8
    assert likeness.of(now, now) == pytest.approx(1.0)
    assert likeness.of(now, strange) < likeness.LIKE


def test_an_alarm_of_a_lost_source_is_a_dropout_of_all_its_tags() -> None:
    tags = [
        Track(f"hall/press1/part{i}/value", rows(calm(i)[:1100]), source="rtu") for i in range(3)
    ]
    other = Track("hall/press1/rest/value", rows(calm(9)), source="opc")
    moved = calm(8)
    moved[900:] += 9.0
    strange = Track("hall/press1/far/value", rows(moved), source="opc")
    given = Evidence(Raised("f/n:rtu:COMM", "rtu", AT_NS, "COMM"), tracks=(*tags, other, strange))
    sheet = facts.sheet(given)
    assert (sheet.move.shape, sheet.signal.asset) == ("dropout", "network")
    assert (sheet.move.onset_ns - ZERO_NS) * 1e-9 == pytest.approx(1100 * EVERY_S, abs=EVERY_S)
    assert {one.signal.tag for one in sheet.others} == {track.tag for track in tags}
    assert sheet.first_mover is sheet.move


def test_an_alarm_on_a_mean_shows_the_measured_tag_behind_it() -> None:
    given = evidence(made("drift"))
    tag = f"{TAG}#mean"
    means = Track(tag, rows(made("drift").reshape(-1, 20).mean(axis=1), 20 * EVERY_S), "mm/s")
    sheet = facts.sheet(
        replace(given, raised=replace(given.raised, tag=tag), tracks=(means, *given.tracks))
    )
    assert (sheet.move.shape, sheet.signal.tag) == ("drift", tag)
    assert sheet.baseline is not None
    assert sheet.baseline.rows > 800
    assert not sheet.others


def test_another_machine_of_the_same_kind_explains_nothing_unless_both_are_hit_at_once() -> None:
    early, same = calm(3), calm(4)
    early[950:] += 9.0
    same[1000:] += 9.0
    given = evidence(made("step"))
    tracks = (
        *given.tracks,
        Track("hall/press2/motor/current", rows(early)),
        Track("hall/press2/motor/power", rows(same)),
    )
    sheet = facts.sheet(replace(given, tracks=tracks))
    assert [one.signal.tag for one in sheet.others] == ["hall/press2/motor/power"]


def _since(x: np.ndarray, age_rows: int) -> tuple[FactSheet, str]:
    """The sheet of a jump that was alarmed so many samples after it, and what is said of it."""
    sheet = facts.sheet(_until(x, N - 200 + age_rows))
    text = template.explain(sheet, "en")
    return sheet, next(one.text for one in text.sentences if one.role == "since")


def _until(x: np.ndarray, count: int) -> Evidence:
    at = ZERO_NS + round((count - 1) * EVERY_S * 1e9)
    return Evidence(Raised(f"f/n:{TAG}:HI", TAG, at, "HI"), tracks=(Track(TAG, rows(x[:count])),))


@pytest.mark.parametrize("shape", ["spike", "step"])
def test_a_jump_of_which_nobody_can_know_whether_it_stays_is_told_as_such(shape: str) -> None:
    """At its first samples a spike and a step are the same: the text claims neither."""
    x = calm()
    x[1000 : 1006 if shape == "spike" else N] += 9.0
    for age in (1, 2, 4):
        sheet, text = _since(x, age)
        assert (sheet.move.shape, sheet.move.is_new) == ("step", True), age
        assert "stayed" not in text
        assert "whether it stays" in text
    sheet, text = _since(x, 40)
    assert (sheet.move.shape, sheet.move.is_new) == (shape, False)
    assert ("stayed" in text) == (shape == "step")
