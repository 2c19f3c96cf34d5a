"""The alarm nodes: operators' actions, timers of people, setpoints, silence, lost devices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway import AlarmEvent, Batch, Event, TagTable, Transform, quality
from gateway.flow.harness import Bench, BenchContext, make
from nodes.alarm.communication import Communication
from nodes.alarm.deviation import Deviation
from nodes.alarm.limit import Limit
from nodes.alarm.quality import Quality
from nodes.alarm.rate import Rate
from nodes.alarm.score import Score
from nodes.alarm.stale import Stale

S = 10**9
NAME = "press/high:oil/temperature:HI"


def bench(cls: type[Transform[Any, Any]], config: dict[str, Any], *tags: str) -> Bench:
    ctx = BenchContext(tags=TagTable(16), flow="press", node_id="high")
    for tag in tags:
        ctx.tags.code(tag)
    return Bench(make(cls, config, ctx))


def hot(value: float = 76.2, **config: Any) -> Bench:
    """A limit node whose one alarm is raised at 0 s."""
    found = bench(Limit, {"hi": 75, **config}, "oil/temperature")
    sample(found, 0, value)
    return found


def sample(found: Bench, second: float, value: float, tag: int = 0, status: int = 0) -> None:
    batch = Batch.of([(tag, int(second * S), value, status)])
    found.send(batch, "in", int(second * S))


def act(found: Bench, second: int, action: str, **data: Any) -> None:
    event = Event(second * S, f"alarm/{action}", {"alarm": NAME, "actor": "user:anna", **data})
    found.send((event,), "operator", second * S)


def events(found: Bench) -> list[AlarmEvent]:
    return [
        e
        for alarms in found.out["alarms"]
        if isinstance(alarms, tuple)
        for e in alarms
        if isinstance(e, AlarmEvent)
    ]


def short(found: Bench) -> list[str]:
    return [
        f"{e.ts // S} {e.change} {e.state.value}/{e.overlay.value} {e.occurrence}"
        for e in events(found)
    ]


def ctx_of(found: Bench) -> BenchContext:
    assert isinstance(found.node.ctx, BenchContext)
    return found.node.ctx


def test_the_text_says_it_in_words_and_numbers() -> None:
    found = bench(Limit, {"hi": 75, "on_delay_s": 10, "deadband": 2})
    found.node.ctx.tags.code("press1/oil/temperature")
    from gateway import Tag

    found.node.ctx.tags.add(Tag("press1/oil/temperature", unit="Cel"))
    sample(found, 0, 76.2)
    sample(found, 12, 72.9)
    assert [e.text for e in events(found)] == [
        "press1/oil/temperature 76.2 Cel is above the HI limit 75 Cel for 10 s",
        "press1/oil/temperature 72.9 Cel is no longer above the HI limit 75 Cel "
        "with deadband 2 Cel",
    ]
    assert events(found)[0].alarm == "press/high:press1/oil/temperature:HI"


def test_a_late_acknowledgement_does_not_acknowledge_the_next_occurrence() -> None:
    found = hot()
    sample(found, 1, 70)
    sample(found, 2, 80)
    act(found, 3, "ack", occurrence=1)
    act(found, 4, "ack", occurrence=2)
    assert short(found) == [
        "0 raised UNACK/NONE 1",
        "1 returned RTNUN/NONE 1",
        "2 raised UNACK/NONE 2",
        "4 acked ACKED/NONE 2",
    ]
    assert ctx_of(found).counts == {"actions_refused": 1}
    assert "Occurrence 1 is not the current one, which is 2" in ctx_of(found).said[0][1]
    assert events(found)[-1].actor == "user:anna"


def test_latch_needs_acknowledge_and_reset() -> None:
    found = hot(latch=True)
    sample(found, 1, 70)
    act(found, 2, "reset")
    act(found, 3, "ack", occurrence=1)
    act(found, 4, "reset")
    assert short(found)[1:] == [
        "1 returned LATUN/NONE 1",
        "3 acked LATACK/NONE 1",
        "4 reset NORM/NONE 1",
    ]


def test_shelving_ends_by_itself_and_announces_what_still_holds() -> None:
    found = hot()
    act(found, 5, "ack", occurrence=1)
    act(found, 10, "shelve", for_s=60, reason="pump in repair")
    sample(found, 20, 80)
    found.run_until(1000 * S)
    assert short(found)[1:] == [
        "5 acked ACKED/NONE 1",
        "10 shelved ACKED/SHLVD 1",
        "70 unshelved UNACK/NONE 2",
    ]
    assert events(found)[2].text == (
        "user:anna shelved the HI alarm of oil/temperature for 60 s: pump in repair"
    )
    assert [e.until // S for e in events(found)] == [0, 0, 70, 0]


def test_an_acknowledgement_keeps_its_note() -> None:
    found = hot()
    act(found, 5, "ack", occurrence=1, reason=" seen by the shift ")
    assert events(found)[-1].text == (
        "user:anna acknowledged occurrence 1 of the HI alarm of oil/temperature: seen by the shift"
    )


def test_overlays_do_not_end_each_other_and_the_process_runs_on() -> None:
    found = hot()
    act(found, 1, "shelve", for_s=10, reason="repair")
    act(found, 2, "remove_from_service", reason="ticket 7")
    act(found, 3, "suppress", actor="rule:start")
    sample(found, 5, 70)
    sample(found, 6, 90)
    found.run_until(20 * S)
    act(found, 30, "return_to_service")
    act(found, 31, "unsuppress", actor="rule:start")
    assert short(found)[1:] == [
        "1 shelved UNACK/SHLVD 1",
        "2 removed_from_service UNACK/OOSRV 1",
        "3 suppressed UNACK/OOSRV 1",
        "5 returned RTNUN/OOSRV 1",
        "6 raised UNACK/OOSRV 2",
        "11 unshelved UNACK/OOSRV 2",
        "30 returned_to_service UNACK/DSUPR 2",
        "31 unsuppressed UNACK/NONE 3",
    ]


def test_realarm_until_somebody_acknowledges() -> None:
    found = hot(realarm_s=60)
    found.run_until(150 * S)
    act(found, 150, "ack")
    found.run_until(1000 * S)
    assert short(found)[1:] == [
        "60 realarmed UNACK/NONE 1",
        "120 realarmed UNACK/NONE 1",
        "150 acked ACKED/NONE 1",
    ]


@pytest.mark.parametrize(
    ("action", "data", "why"),
    [
        ("shelve", {"for_s": 60}, "needs a reason"),
        ("shelve", {"reason": "x"}, "needs `for_s` or `until_s`"),
        ("shelve", {"reason": "x", "for_s": 9 * 3600}, "at most 8 h"),
        ("shelve", {"reason": "x", "for_s": "soon"}, "needs `for_s`"),
        ("ack", {"occurrence": "first"}, "whole number"),
        ("explode", {}, "There is no action 'explode'"),
        ("ack", {"alarm": "press/high:oil/temperature:HIHI"}, "no such alarm"),
        ("ack", {"alarm": "press/high:nobody:HI"}, "no such alarm"),
        ("unshelve", {}, "not shelved"),
    ],
)
def test_a_refused_action_is_counted_and_said(action: str, data: dict[str, Any], why: str) -> None:
    found = hot()
    act(found, 1, action, **data)
    assert len(events(found)) == 1
    assert ctx_of(found).counts == {"actions_refused": 1}
    assert why in ctx_of(found).said[0][1]


def test_alarms_of_others_are_passed_over_and_all_means_all() -> None:
    found = bench(Limit, {"hi": 75}, "a", "b")
    sample(found, 0, 80, tag=1)
    sample(found, 0, 80, tag=0)
    act(found, 1, "ack", alarm="press/other:a:HI")
    act(found, 2, "ack", alarm="*")
    act(found, 3, "ack", alarm="*")
    assert ctx_of(found).counts == {}
    assert [(e.tag, e.change) for e in events(found)][2:] == [("a", "acked"), ("b", "acked")]


def test_an_alarm_can_be_shelved_before_it_is_ever_raised() -> None:
    found = bench(Limit, {"hi": 75}, "oil/temperature")
    act(found, 1, "shelve", for_s=60, reason="start-up")
    sample(found, 2, 80)
    again = bench(Limit, {"hi": 75}, "oil/temperature")
    again.node.restore(found.node.snapshot())
    again.run_until(100 * S)
    assert short(found) == ["1 shelved NORM/SHLVD 0", "2 raised UNACK/SHLVD 1"]
    assert short(again) == ["61 unshelved UNACK/NONE 2"]


def test_a_level_that_is_added_or_moved_keeps_the_alarms() -> None:
    found = hot(80)
    again = bench(Limit, {"hi": 70, "hihi": 90}, "oil/temperature")
    again.node.restore(found.node.snapshot())
    sample(again, 1, 95)
    sample(again, 2, 60)
    assert [(e.condition, e.change, e.occurrence) for e in events(again)] == [
        ("HIHI", "raised", 1),
        ("HIHI", "returned", 1),
        ("HI", "returned", 1),
    ]


def test_many_quiet_tags_cost_no_python_each() -> None:
    found = bench(Limit, {"hi": 75, "lo": 1})
    for i in range(16):
        found.node.ctx.tags.code(f"t{i}")
    node: Any = found.node
    calls: list[int] = []
    scan = node._watch._scan

    def counted(*args: Any) -> Any:
        calls.append(args[0])
        return scan(*args)

    node._watch._scan = counted
    tags = np.arange(16, dtype=np.uint16)
    for second in range(50):
        batch = Batch.columns(tags, np.full(16, second * S), np.full(16, 20.0 + second))
        found.send(batch, "in", second * S)
    bad = Batch.columns(tags, np.full(16, 60 * S), np.full(16, np.nan))
    found.send(bad, "in", 60 * S)
    assert calls == []


def test_a_setpoint_ahead_of_time_delays_by_one_sample_only() -> None:
    found = bench(Deviation, {"setpoint": "sp", "limit": 5, "on_delay_s": 10}, "sp", "pv")
    sample(found, 0, 70, tag=0)
    sample(found, 1, 70, tag=1)
    ahead = Batch.of([(0, 3600 * S, 90.0, 0)])
    found.send(ahead, "in", 2 * S)
    sample(found, 3, 70, tag=1)
    sample(found, 13, 70, tag=1)
    assert [(e.tag, e.ts // S, e.change, e.value) for e in events(found)] == [
        ("pv", 13, "raised", -20.0)
    ]


def test_rate_keeps_its_unit_and_its_sign() -> None:
    from gateway import Tag

    found = bench(Rate, {"limit": 1, "horizon_s": 2})
    found.node.ctx.tags.add(Tag("level", unit="m"))
    for second, value in enumerate((50.0, 50.0, 46.0)):
        sample(found, second, value)
    assert [(e.value, e.unit, e.text) for e in events(found)] == [
        (-2.0, "m/s", "level changes by -2 m/s, faster than the RATE limit 1 m/s")
    ]


def test_a_score_alarm_is_about_the_tag_and_answers_to_its_name() -> None:
    found = bench(Score, {"limit": 6}, "oil#score", "oil")
    sample(found, 0, -7)
    act(found, 1, "ack", alarm="press/high:oil:SCORE", occurrence=1)
    assert [(e.alarm, e.change) for e in events(found)] == [
        ("press/high:oil:SCORE", "raised"),
        ("press/high:oil:SCORE", "acked"),
    ]


@pytest.mark.parametrize("seconds", [[0, 10, 100, 101, 135, 500], [0, 29.5, 59, 89, 200]])
def test_stale_is_the_same_by_timer_and_by_sample(seconds: list[float]) -> None:
    live = bench(Stale, {"after_s": 30}, "a")
    for second in seconds:
        sample(live, second, 1.0)
    once = bench(Stale, {"after_s": 30}, "a")
    batch = Batch.of([(0, int(s * S), 1.0, 0) for s in seconds])
    once.send(batch, "in", int(seconds[-1] * S))
    assert events(once) == events(live)
    assert {e.change for e in events(live)} == {"raised", "returned"}


def test_stale_holds_while_the_device_is_known_to_be_away() -> None:
    found = bench(Stale, {"after_s": 30}, *(f"t{i}" for i in range(10)))
    for tag in range(10):
        sample(found, 0, 1.0, tag)
    for tag in range(10):
        sample(found, 5, float("nan"), tag, quality.BAD_NO_COMMUNICATION)
    found.run_until(1000 * S)
    assert events(found) == []


def test_one_alarm_a_lost_source_whatever_its_tags() -> None:
    found = bench(Communication, {"on_delay_s": 5})
    lost = {"source": "plc", "text": "No answer from 10.0.0.5:4840."}

    def status(second: int, topic: str, data: dict[str, Any]) -> None:
        found.send((Event(second * S, topic, data),), "in", second * S)

    status(1, "source/back", {"source": "plc"})
    status(2, "source/lost", lost)
    status(3, "source/gap", {"source": "plc"})
    status(4, "source/lost", lost)
    status(5, "source/lost", {"text": "whose?"})
    again = bench(Communication, {"on_delay_s": 5})
    again.node.restore(found.node.snapshot())
    again.run_until(60 * S)
    again.send((Event(60 * S, "source/back", {"source": "plc"}),), "in", 60 * S)
    assert [e.text for e in events(again)] == [
        "plc has been away for 5 s: No answer from 10.0.0.5:4840.",
        "plc is back after 58 s",
    ]
    assert [e.ts // S for e in events(again)] == [7, 60]
    assert ctx_of(found).counts == {"status_without_source": 1}


def test_a_quality_alarm_names_the_status_that_held() -> None:
    found = bench(Quality, {"on_delay_s": 5}, "t")
    batch = Batch.of([(0, 0, 1.0, 0), (0, S, 1.0, quality.BAD_SENSOR_FAILURE), (0, 9 * S, 1.0, 0)])
    found.send(batch, "in", 9 * S)
    raised, returned = events(found)
    assert (raised.ts // S, raised.value, raised.limit) == (6, 2.0, 1.0)
    assert raised.text.endswith("its sensor says Bad_SensorFailure for 5 s")
    assert (returned.ts // S, returned.value) == (9, 0.0)
