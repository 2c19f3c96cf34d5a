"""Alarm KPIs against a slow, obvious reference that walks through the events one by one."""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.data.alarm import (
    AlarmEvent,
    AlarmState,
    AlarmStatus,
    Overlay,
    Stimulus,
    transition,
)
from gateway.data.alarm_kpi import AlarmColumns, bands, floods, per_interval
from gateway.data.alarm_report import kpi, verdict

S = 10**9
MIN = 60 * S
PRIORITIES = ("low", "medium", "high", "urgent")
TELLING = ("raised", "realarmed", "unshelved", "unsuppressed", "returned_to_service")


class Book:
    """Makes the events that the state machine would make."""

    def __init__(self) -> None:
        self.status: dict[str, AlarmStatus] = {}
        self.events: list[AlarmEvent] = []

    def do(self, ts: int, name: str, kind: Any) -> None:
        status = self.status.get(name, AlarmStatus())
        stimulus = Stimulus(
            kind, occurrence=status.occurrence, now=ts, until=ts + 3600 * S, reason="why"
        )
        done = transition(status, stimulus)
        self.status[name] = done.status
        if done.change is not None:
            self.add(ts, name, done.change, done.status)

    def add(self, ts: int, name: str, change: str, status: AlarmStatus) -> None:
        priority: Any = PRIORITIES[sum(map(ord, name)) % 4]
        self.events.append(
            AlarmEvent(
                f"f/n:{name}:HI",
                name,
                ts,
                change,
                status.state,
                status.overlay,
                status.occurrence,
                priority,
            )
        )

    def again(self, ts: int, name: str) -> None:
        """A re-alarm, as a node makes it of what nobody acknowledges."""
        status = self.status.get(name, AlarmStatus())
        if status.state is AlarmState.UNACK and status.overlay is Overlay.NONE:
            self.add(ts, name, "realarmed", status)


KINDS = (
    "condition_true",
    "condition_true",
    "condition_false",
    "condition_false",
    "ack",
    "shelve",
    "unshelve",
    "suppress",
    "unsuppress",
    "remove_from_service",
    "return_to_service",
    "again",
)


@st.composite
def histories(draw: st.DrawFn) -> list[AlarmEvent]:
    book = Book()
    ts = 0
    for _ in range(draw(st.integers(0, 120))):
        ts += draw(st.sampled_from([0, S, 5 * S, 29 * S, 60 * S, 400 * S, 30_000 * S]))
        name = draw(st.sampled_from(["a", "b", "c", "d", "e"]))
        kind = draw(st.sampled_from(KINDS))
        if kind == "again":
            book.again(ts, name)
        else:
            book.do(ts, name, kind)
    return book.events


# ---------------------------------------------------------------- the reference


def told(event: AlarmEvent) -> bool:
    shown = event.state is AlarmState.UNACK and event.overlay is Overlay.NONE
    return shown and event.change in TELLING


def reference(events: list[AlarmEvent], start: int, end: int) -> dict[str, Any]:
    events = [e for e in events if e.ts < end]
    inside = [e for e in events if told(e) and e.ts >= start]
    counts = []
    at = start
    while at < end:
        counts.append(sum(at <= e.ts < min(at + 10 * MIN, end) for e in inside))
        at += 10 * MIN
    chatter = [
        e
        for e in inside
        if any(
            sum(o.alarm == e.alarm and t.ts <= o.ts < t.ts + MIN for o in inside) >= 3
            for t in inside
            if t.alarm == e.alarm and t.ts <= e.ts < t.ts + MIN
        )
    ]
    short = []
    for i, e in enumerate(events):
        later = [o for o in events[i + 1 :] if o.alarm == e.alarm]
        gone = later and later[0].change in ("returned", "cleared")
        if told(e) and e.ts >= start and gone and later[0].ts - e.ts < MIN and e not in chatter:
            short.append(e)
    names = sorted({e.alarm for e in inside})
    often = {name: sum(e.alarm == name for e in inside) for name in names}
    return {
        "annunciated": len(inside),
        "counts": counts,
        "chattering": (sorted({e.alarm for e in chatter}), len(chatter)),
        "fleeting": (sorted({e.alarm for e in short}), len(short)),
        "often": often,
        "priorities": {
            p: sum(e.priority == p for e in inside) / max(len(inside), 1) for p in PRIORITIES
        },
        "acks": _acks(events, start),
        **_standing(events, end),
        "shelved": sum(e.change == "shelved" and e.ts >= start for e in events),
    }


def _acks(events: list[AlarmEvent], start: int) -> list[float]:
    found = []
    for e in events:
        if e.change == "acked" and e.ts >= start:
            first = [
                o for o in events if told(o) and (o.alarm, o.occurrence) == (e.alarm, e.occurrence)
            ]
            before = [o for o in first if events.index(o) < events.index(e)]
            if before:
                found.append((e.ts - before[0].ts) / 1e9)
    return found


def _standing(events: list[AlarmEvent], end: int) -> dict[str, Any]:
    last = {e.alarm: e for e in events}
    shown = [e for e in last.values() if e.overlay is Overlay.NONE]
    stale = []
    for e in shown:
        news = [o for o in events if o.alarm == e.alarm and told(o) and o.change != "realarmed"]
        active = e.state in (AlarmState.UNACK, AlarmState.ACKED)
        if active and news and news[-1].ts < end - 86_400 * S:
            stale.append(e.alarm)
    return {
        "open": sum(e.state is not AlarmState.NORM for e in shown),
        "stale": sorted(stale),
        "hidden": {o.value: sum(e.overlay is o for e in last.values()) for o in list(Overlay)[1:]},
    }


@settings(max_examples=150, deadline=None)
@given(histories(), st.integers(0, 2_000), st.integers(1, 300_000))
def test_all_figures_are_those_of_the_reference(
    events: list[AlarmEvent], start_s: int, length_s: int
) -> None:
    start, end = start_s * S, (start_s + length_s) * S
    found = kpi(AlarmColumns.of(events), start, end)
    wanted = reference(events, start, end)
    for name in ("annunciated", "shelved"):
        assert found[name] == wanted[name]
    counts = wanted["counts"]
    rate = found["rate"]
    assert (rate["intervals"], rate["peak"]) == (len(counts), max(counts))
    assert rate["mean"] == pytest.approx(wanted["annunciated"] / (length_s / 600))
    assert rate["share_over_10"] == pytest.approx(sum(c > 10 for c in counts) / len(counts))
    for name in ("chattering", "fleeting"):
        assert (found[name]["alarms"], found[name]["annunciations"]) == wanted[name]
    actors = found["bad_actors"]["list"]
    assert {row["alarm"]: row["count"] for row in actors} == wanted["often"], "there are five"
    assert [row["count"] for row in actors] == sorted(wanted["often"].values(), reverse=True)
    assert found["priorities"] == pytest.approx(wanted["priorities"])
    acks = wanted["acks"]
    assert found["acknowledged"]["count"] == len(acks)
    if acks:
        assert found["acknowledged"]["median_s"] == pytest.approx(statistics.median(acks))
    if len(acks) > 1:
        cuts = statistics.quantiles(acks, n=20, method="inclusive")
        assert found["acknowledged"]["p95_s"] == pytest.approx(cuts[-1])
    standing = found["standing"]
    for name in ("open", "stale", "hidden"):
        assert standing[name] == wanted[name]


@settings(deadline=None)
@given(histories(), st.lists(st.integers(0, 130), max_size=3), st.integers(1, 200))
def test_events_that_come_in_parts_are_those_that_come_at_once(
    events: list[AlarmEvent], cuts: list[int], rows_max: int
) -> None:
    edges = [0, *sorted(cuts), len(events)]
    joined = AlarmColumns.of([])
    for first, last in pairwise(edges):
        joined = joined.followed_by(AlarmColumns.of(events[first:last], joined.alarms), rows_max)
    end = 10_000_000 * S
    assert kpi(joined, 0, end) == kpi(AlarmColumns.of(events[-rows_max:]), 0, end)


def test_alarms_that_came_as_often_are_told_in_the_order_of_their_names() -> None:
    book = Book()
    for name in ("b", "c", "a", "c"):
        book.do(0, name, "condition_true")
        book.do(0, name, "condition_false")
        book.do(0, name, "ack")
    whole = AlarmColumns.of(book.events)
    later = AlarmColumns.of([]).followed_by(AlarmColumns.of(book.events, ["f/n:c:HI"]), 1000)
    for events in (whole, later):
        rows = kpi(events, 0, 10 * MIN)["bad_actors"]["list"]
        assert [row["alarm"] for row in rows] == ["f/n:c:HI", "f/n:a:HI", "f/n:b:HI"]


@given(st.lists(st.integers(0, 14), max_size=40))
def test_bands_and_floods_are_those_of_the_reference(counts: list[int]) -> None:
    found = bands(np.array(counts, np.int64))
    n = max(len(counts), 1)
    assert found == pytest.approx(
        {
            "acceptable": sum(c <= 1 for c in counts) / n,
            "manageable": sum(c == 2 for c in counts) / n,
            "overdemanding": sum(2 < c <= 10 for c in counts) / n,
            "unacceptable": sum(c > 10 for c in counts) / n,
        }
    )
    wanted: list[list[int]] = []
    is_flood = False
    for i, count in enumerate(counts):
        if not is_flood and count >= 10:
            wanted.append([i, len(counts)])
            is_flood = True
        elif is_flood and count < 5:
            wanted[-1][1] = i
            is_flood = False
    assert [list(flood) for flood in floods(np.array(counts, np.int64))] == wanted


def test_a_flood_is_told_with_its_times() -> None:
    book = Book()
    for i in range(30):  # Twelve a ten minutes, for 25 minutes; then quiet for an hour.
        book.do(i * 50 * S, f"t{i}", "condition_true")
    found = kpi(AlarmColumns.of(book.events), 0, 6_000 * S)
    assert found["floods"]["list"] == [{"from": 0, "to": 1_800 * S, "alarms": 30, "peak": 12}]
    assert found["floods"]["share"] == pytest.approx(0.3)
    assert found["verdicts"]["flood_share"] == "bad"


def test_no_alarm_at_all_is_good() -> None:
    found = kpi(AlarmColumns.of([]), 0, 86_400 * S)
    assert set(found["verdicts"].values()) == {"good"}
    assert found["rate"]["bands"]["acceptable"] == 1.0
    assert found["acknowledged"] == {"count": 0, "median_s": None, "p95_s": None}


def test_an_interval_that_is_cut_short_counts_what_is_in_it() -> None:
    ts = np.array([0, 599 * S, 600 * S, 700 * S], np.int64)
    assert per_interval(ts, 0, 700 * S).tolist() == [2, 1]


def test_between_good_and_bad_somebody_looks() -> None:
    assert [verdict("stale", n) for n in (4, 5, 11)] == ["good", "look", "bad"]
