"""The judge: found, missed, false, consequence and still to come, each told from the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.plant.faults import Fault, schedule
from gateway.plant.judge import SLACK_S, Raised, Verdict, judge

LEAK = Fault(
    id="0-leak",
    kind="leak",
    line="press1",
    tag="plant/press1/hydraulics/pressure",
    device="opcua",
    protocol="opcua",
    start_s=50.0,
    duration_s=20.0,
    size=1.0,
    expect_tags=("plant/press1/hydraulics/pressure", "plant/press1/hydraulics/case_drain"),
    related_tags=("plant/press1/oil/level",),
    detect_within_s=15.0,
    settle_s=30.0,
)
OFF = replace(
    LEAK,
    id="0-power_off",
    kind="power_off",
    tag=None,
    device="rtu",
    expect_tags=("plant/press1/fan/speed", "plant/press2/fan/speed"),
    related_tags=(),
    start_s=60.0,
    duration_s=12.0,
    detect_within_s=20.0,
    settle_s=15.0,
)


def _judge(*alarms: Raised, ran_s: float = 200.0, faults: tuple[Fault, ...] = (LEAK,)) -> Verdict:
    devices = {"rtu_line": "rtu", "opcua_plc": "opcua"}
    return judge(faults, alarms, ran_s, {a.tag: devices.get(a.tag, "") for a in alarms})


def _at(at_s: float, tag: str = "plant/press1/hydraulics/pressure") -> Raised:
    return Raised(at_s, tag, f"{tag} is odd")


def test_an_alarm_in_time_on_any_expected_tag_finds_the_fault() -> None:
    for tag in LEAK.expect_tags:
        verdict = _judge(_at(53.5, tag))
        assert verdict.good
        assert [one.by for one in verdict.found] == [_at(53.5, tag)]
        assert verdict.found[0].after_s == pytest.approx(3.5)
        assert (verdict.missed, list(verdict.false), verdict.consequences) == ([], [], 0)


def test_an_alarm_on_what_was_computed_from_the_tag_counts_for_the_tag() -> None:
    assert _judge(_at(55, "plant/press1/hydraulics/pressure#mean")).good


def test_no_alarm_is_a_miss_and_not_good() -> None:
    verdict = _judge()
    assert verdict.missed == [LEAK]
    assert verdict.found[0].by is None
    assert verdict.found[0].after_s is None
    assert not verdict.good


@pytest.mark.parametrize(
    ("at_s", "is_found"),
    [(49.5, True), (48.9, False), (65.9, True), (66.1, False), (50.0, True)],
)
def test_the_time_to_find_it_has_two_ends_with_a_second_of_slack(
    at_s: float, is_found: bool
) -> None:
    assert SLACK_S == 1.0
    assert _judge(_at(at_s)).missed == ([] if is_found else [LEAK])


def test_a_late_alarm_misses_the_fault_but_is_not_false() -> None:
    verdict = _judge(_at(75))
    assert verdict.missed == [LEAK]
    assert not verdict.false
    assert verdict.consequences == 1


def test_an_alarm_without_a_fault_is_false_whatever_else_was_found() -> None:
    stray = _at(53, "plant/press2/hydraulics/pressure")
    verdict = _judge(_at(52), stray)
    assert list(verdict.false) == [stray]
    assert not verdict.missed
    assert not verdict.good


def test_before_the_fault_and_after_its_last_traces_an_alarm_is_false() -> None:
    early, traces, late = _at(40), _at(99.9), _at(100.1)
    verdict = _judge(early, _at(52), traces, late)
    assert list(verdict.false) == [early, late]
    assert verdict.consequences == 1


def test_related_tags_are_consequences_but_do_not_find_the_fault() -> None:
    related = _at(53, "plant/press1/oil/level")
    assert _judge(related).missed == [LEAK]
    assert not _judge(related).false
    both = _judge(related, _at(54))
    assert both.good
    assert both.consequences == 1


def test_a_device_switched_off_is_found_by_its_communication_alarm_only_of_that_device() -> None:
    ours, other = Raised(66, "rtu_line", "away"), Raised(66, "opcua_plc", "away")
    assert _judge(ours, faults=(OFF,)).good
    verdict = _judge(other, faults=(OFF,))
    assert verdict.missed == [OFF]
    assert list(verdict.false) == [other]


def test_a_communication_alarm_does_not_explain_a_leak_on_that_device() -> None:
    away = Raised(55, "opcua_plc", "away")
    assert list(_judge(_at(52), away).false) == [away]


def test_alarms_for_every_tag_of_a_device_that_is_off_are_a_flood_and_false() -> None:
    comm = Raised(66, "rtu_line", "away")
    flood = [Raised(67, tag, "bad") for tag in OFF.expect_tags]
    verdict = _judge(comm, *flood, faults=(OFF,))
    assert list(verdict.false) == flood
    assert not verdict.good
    assert _judge(*flood, faults=(OFF,)).missed == [OFF]


def test_a_fault_whose_time_is_not_over_is_open_until_it_is_found() -> None:
    verdict = _judge(ran_s=60.0)
    assert list(verdict.pending) == [LEAK]
    assert not verdict.missed
    assert not verdict.good, "nothing was found, so nothing was shown"
    assert _judge(_at(53), ran_s=60.0).good


def test_a_fault_that_had_not_begun_is_no_part_of_the_verdict() -> None:
    verdict = _judge(ran_s=50.0)
    assert not verdict.found
    assert not verdict.pending


def test_one_alarm_may_belong_to_two_faults_that_overlap() -> None:
    twin = replace(LEAK, id="0-drift", start_s=55.0)
    verdict = _judge(_at(56), faults=(LEAK, twin))
    assert verdict.good
    assert len(verdict.found) == 2


def test_nothing_at_all_is_not_good() -> None:
    assert not judge((), (), 90.0, {}).good


def test_every_scripted_fault_can_be_found_and_missed() -> None:
    """Over several cycles and seeds: the perfect gateway is good, the deaf one misses all."""
    for seed in (1, 2, 3):
        script = schedule(seed, 600.0)
        perfect = [Raised(f.start_s + 2.0, f.tag or f"{f.device}_line", "found") for f in script]
        devices = {f"{f.device}_line": f.device for f in script if f.tag is None}
        ran_s = script[-1].start_s + 60.0
        verdict = judge(script, perfect, ran_s, devices)
        assert verdict.good, verdict
        assert len(verdict.found) == len(script)
        deaf = judge(script, (), ran_s, devices)
        assert deaf.missed == script
