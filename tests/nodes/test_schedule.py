"""Times of the clock: fields, days of summer time, what was missed, and a restart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.engine.sim_loop import SimLoop
from gateway.flow import harness
from gateway.flow.registry import node_class
from nodes.schedule._cron import Cron

NS = 10**9
BERLIN = ZoneInfo("Europe/Berlin")


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * NS


def shown(ts: int, zone: Any = UTC) -> str:
    return datetime.fromtimestamp(ts // NS, zone).isoformat()


def following(text: str, start: str, count: int, zone: Any = UTC) -> list[str]:
    cron, ts, found = Cron.parse(text), ns(start), []
    for _ in range(count):
        ts = cron.after(ts, zone)
        found.append(shown(ts, zone))
    return found


@pytest.mark.parametrize(
    ("text", "start", "next_one"),
    [
        ("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00+00:00"),
        ("* * * * *", "2026-01-01T00:00:59.9Z", "2026-01-01T00:01:00+00:00"),
        ("30 6 * * mon-fri", "2026-11-27T06:30:00Z", "2026-11-30T06:30:00+00:00"),
        ("0 0 29 feb *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00+00:00"),
        ("0 0 13 * fri", "2026-11-01T00:00:00Z", "2026-11-06T00:00:00+00:00"),
        ("0 12 * * 7", "2026-11-26T00:00:00Z", "2026-11-29T12:00:00+00:00"),
        ("*/20 6-8 * * *", "2026-01-01T08:40:00Z", "2026-01-02T06:00:00+00:00"),
        ("5/20 * * * *", "2026-01-01T00:06:00Z", "2026-01-01T00:25:00+00:00"),
        ("@monthly", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00+00:00"),
        ("59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00+00:00"),
    ],
)
def test_the_next_time(text: str, start: str, next_one: str) -> None:
    assert following(text, start, 1) == [next_one]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "a * * * *",
        "*-3 * * * *",
        "1,,2 * * * *",
        "0 0 30 feb *",
        "0 0 31 4,6 *",
        "1" * 100 + " * * * *",
        "@reboot",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Cron.parse(text)


def test_a_time_that_the_clock_skips_comes_at_the_end_of_the_gap() -> None:
    assert following("30 2 * * *", "2026-03-28T00:00:00+01:00", 3, BERLIN) == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_a_time_that_comes_twice_counts_once() -> None:
    assert following("30 2 * * *", "2026-10-24T12:00:00+02:00", 2, BERLIN) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


def test_with_any_hour_every_hour_that_passes_has_its_turn() -> None:
    assert following("30 * * * *", "2026-10-25T01:00:00+02:00", 4, BERLIN) == [
        "2026-10-25T01:30:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:30:00+01:00",
    ]
    assert following("30 * * * *", "2026-03-29T01:00:00+01:00", 2, BERLIN) == [
        "2026-03-29T01:30:00+01:00",
        "2026-03-29T03:30:00+02:00",
    ]


def test_a_gap_at_midnight_and_of_a_day() -> None:
    havana = ZoneInfo("America/Havana")  # The clock goes from 0:00 to 1:00.
    assert following("0 0 * * *", "2026-03-07T12:00:00-05:00", 1, havana) == [
        "2026-03-08T01:00:00-04:00"
    ]
    apia = ZoneInfo("Pacific/Apia")  # There was no 30 December 2011.
    assert following("0 12 * * *", "2011-12-29T11:00:00-10:00", 3, apia) == [
        "2011-12-29T12:00:00-10:00",
        "2011-12-31T00:00:00+14:00",
        "2011-12-31T12:00:00+14:00",
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 59),
    st.integers(1, 59),
    st.integers(0, 23),
    st.integers(1_000_000_000, 2_000_000_000),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Tokyo"]),
)
def test_it_is_what_looking_at_every_minute_finds(
    first: int, step: int, hour: int, start: int, zone_name: str
) -> None:
    zone = ZoneInfo(zone_name)
    cron = Cron.parse(f"{first}/{step} {hour} * * *")
    start -= start % 60
    wanted = None
    for i in range(1, 60 * 26):
        wall = datetime.fromtimestamp(start + i * 60, zone)
        if wall.hour == hour and wall.minute in cron.minutes and not wall.fold:
            wanted = start + i * 60
            break
    found = cron.after(start * NS, zone) // NS
    if found != wanted:  # Only where the clock was put forward over it.
        before = datetime.fromtimestamp(found - 1, zone).utcoffset()
        after = datetime.fromtimestamp(found, zone).utcoffset()
        assert before is not None
        assert after is not None
        assert before < after


class Clock:
    """A clock that the test moves; sleeping moves it too."""

    def __init__(self, loop: SimLoop, start: int) -> None:
        self._loop = loop
        self._start = start
        self.shift = 0

    def now(self) -> int:
        return self._start + round(self._loop.time() * NS) + self.shift

    def monotonic(self) -> float:
        return self._loop.time()


def ticks(
    config: dict[str, Any], start: str, count: int, position: Any = None, shift: Any = ()
) -> Any:
    loop = SimLoop()
    clock = Clock(loop, ns(start))

    async def go() -> list[Any]:
        ctx = harness.BenchContext(clock=clock, position=position)
        source = harness.make(node_class("schedule.cron"), config, ctx)
        await source.connect()
        found: list[Any] = []
        for i in range(count):
            clock.shift += dict(shift).get(i, 0)
            reading = await source.read()
            found.append((reading.outputs.get("events", ()), reading.position))
        return found

    try:
        return loop.run_until_complete(go())
    finally:
        loop.close()


def times(found: Any) -> list[list[str]]:
    return [[shown(e.ts)[5:16] for e in events] for events, _ in found]


def test_it_ticks_and_says_what_was_meant() -> None:
    found = ticks({"cron": "0 * * * *", "data": {"shift": "early"}}, "2026-01-01T00:30:00Z", 3)
    assert times(found) == [[], ["01-01T01:00"], ["01-01T02:00"]]
    event = found[1][0][0]
    assert event.data == {"shift": "early", "at": "2026-01-01T01:00:00+00:00", "late_s": 0}
    assert found[2][0][0].id != event.id


@pytest.mark.parametrize(
    ("missed", "wanted"),
    [
        ("skip", []),
        ("one", ["01-02T00:00"]),
        ("all", ["01-01T22:00", "01-01T23:00", "01-02T00:00"]),
    ],
)
def test_what_was_missed(missed: str, wanted: list[str]) -> None:
    config = {"cron": "0 * * * *", "missed": missed, "missed_max": 3}
    position = ticks(config, "2026-01-01T00:30:00Z", 1)[0][1]
    found = ticks(config, "2026-01-02T00:30:00Z", 2, position)
    assert times(found) == [wanted, ["01-02T01:00"]]


def test_a_restart_within_a_minute_misses_and_repeats_nothing() -> None:
    config = {"cron": "* * * * *"}
    position = ticks(config, "2026-01-01T00:00:30Z", 2)[1][1]
    found = ticks(config, "2026-01-01T00:01:20Z", 1, position)
    assert times(found) == [["01-01T00:02"]]
    late = ticks(config, "2026-01-01T00:02:20Z", 1, position)
    assert late[0][0][0].data["late_s"] == 20


def test_a_clock_that_is_set_forward_misses_and_one_set_back_repeats_nothing() -> None:
    config = {"cron": "0 * * * *", "missed": "skip"}
    hour = 3600 * NS
    found = ticks(config, "2026-01-01T00:30:00Z", 4, shift={2: 5 * hour, 3: -3 * hour})
    assert times(found) == [[], ["01-01T01:00"], [], ["01-01T07:00"]]


def test_years_away_each_minute_cost_a_moment() -> None:
    config = {"cron": "* * * * *", "missed": "all", "missed_max": 5}
    position = ticks(config, "2021-01-01T00:00:30Z", 1)[0][1]
    found = ticks(config, "2026-01-01T00:00:30Z", 1, position)
    assert times(found)[0][-1] == "01-01T00:00"
    assert len(times(found)[0]) == 5


def test_another_schedule_begins_anew() -> None:
    position = ticks({"cron": "0 * * * *"}, "2026-01-01T00:30:00Z", 1)[0][1]
    found = ticks({"cron": "30 * * * *"}, "2026-01-05T00:30:00Z", 2, position)
    assert times(found) == [[], ["01-05T01:30"]]
