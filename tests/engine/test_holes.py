"""Holes: Bad rows at both ends, never late and never twice; and who tells of what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Batch, Event, Gap, Reading, Source, TagTable, quality
from gateway.engine import store_writer
from gateway.engine.backoff import Backoff
from gateway.engine.clock import SystemClock
from gateway.engine.holes import FOLD_NS, Folded, Holes, Pace
from gateway.engine.runtime import Runtime
from gateway.flow import registry
from tests.engine.gear import (
    NS,
    Disconnected,
    Script,
    Wanted,
    flow,
    kill,
    lent,
    started,
    until,
)


@dataclass
class Hands:
    """A clock that is set by hand."""

    ns: int = 0
    s: float = 0.0

    def now(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return self.s


def rows(*items: tuple[int, float]) -> Batch:
    """Good rows of (tag, s)."""
    return Batch.columns(
        [t for t, _ in items], [round(s * NS) for _, s in items], [1.0] * len(items)
    )


def holes_of(*tags: str, clock: Hands | None = None) -> tuple[Holes, TagTable]:
    table = TagTable(100)
    codes = np.array([table.code(tag) for tag in tags], np.uint16)
    return Holes(table, clock or Hands(), lambda: codes), table


def gap(start_s: float, end_s: float, missing: int = 0, tags: tuple[str, ...] | None = None) -> Gap:
    return Gap("src", "poll_missed", round(start_s * NS), round(end_s * NS), "", tags, missing)


def bad(batch: Batch, tag: int = 0) -> list[float]:
    mine = (batch.tag == tag) & (batch.quality == quality.BAD_NO_COMMUNICATION)
    return [ts / NS for ts in batch.ts[mine].tolist()]


def test_one_missed_poll_is_one_bad_row_where_it_should_have_been() -> None:
    holes, _ = holes_of("a")
    holes.saw(rows((0, 10)), 10 * NS)
    marked = holes.marked([gap(10, 12, missing=1)], rows((0, 12)), 12 * NS)
    assert (bad(marked), marked.ts[-1]) == ([11.0], 12 * NS)


def test_more_are_marked_where_the_first_and_the_last_should_have_been() -> None:
    holes, _ = holes_of("a")
    holes.saw(rows((0, 10)), 10 * NS)
    marked = holes.marked([gap(10, 20, missing=9)], rows((0, 20)), 20 * NS)
    assert bad(marked) == [11.0, 19.0]


def test_what_is_not_counted_is_marked_just_inside_both_ends() -> None:
    holes, _ = holes_of("a", "b")
    holes.saw(rows((0, 10), (1, 10)), 10 * NS)
    marked = holes.marked([gap(10, 20, tags=("b", "unknown"))], rows((0, 20), (1, 20)), 20 * NS)
    assert bad(marked, 0) == []
    assert marked.ts[marked.tag == 1].tolist() == [10 * NS + 1, 20 * NS - 1, 20 * NS]


def test_the_bad_row_of_a_lost_line_is_not_doubled() -> None:
    holes, _ = holes_of("a", clock=(clock := Hands()))
    holes.saw(rows((0, 10)), 10 * NS)
    clock.s = 3.0
    assert bad(holes.lost(13 * NS)) == [13.0]
    marked = holes.marked([gap(10, 60)], rows((0, 60)), 60 * NS)
    assert bad(marked) == [pytest.approx(60)]
    assert len(holes.marked([gap(10, 60)], rows((0, 60)), 60 * NS)) == 1, "told twice, marked once"


def test_a_line_lost_after_our_clock_was_set_is_bad_in_the_time_of_the_device() -> None:
    holes, _ = holes_of("a", clock=(clock := Hands()))
    holes.saw(rows((0, 10)), 10 * NS)
    clock.s = 3.0  # And the clock on the wall was set forward by an hour.
    assert bad(holes.lost(3613 * NS)) == [13.0]


def test_a_source_that_sends_bad_rows_itself_is_left_alone() -> None:
    holes, _ = holes_of("a")
    holes.saw(rows((0, 10)), 10 * NS)
    for s in range(11, 15):
        holes.saw(Batch.columns([0], [s * NS], [np.nan], [quality.BAD_NO_COMMUNICATION]), s * NS)
    assert bad(holes.marked([gap(10, 15, missing=4)], rows((0, 15)), 15 * NS)) == []


def test_a_slow_clock_of_the_device_is_not_run_ahead_of() -> None:
    """The device's clock is an hour behind: a row of our time would make all it sends late."""
    holes, _ = holes_of("a")
    holes.saw(rows((0, 10)), 3610 * NS)
    marked = holes.marked([gap(3610, 3620)], rows(), 3620 * NS)
    assert max(bad(marked)) <= 20.0
    assert min(bad(marked)) > 10.0


def test_after_a_restart_tags_are_marked_when_they_come() -> None:
    table = TagTable(100)
    old = table.code("old")
    clock = Hands(100 * NS)
    holes = Holes(table, clock, lambda: np.zeros(0, np.uint16))
    assert len(holes.marked([gap(50, 101)], rows(), 101 * NS)) == 0
    fresh = table.code("fresh")
    marked = holes.marked([], rows((old, 102), (fresh, 102)), 102 * NS)
    assert bad(marked, old) == [pytest.approx(50), pytest.approx(101)]
    assert bad(marked, fresh) == [], "it was not there before the gateway went"


times = st.lists(st.integers(0, 100), min_size=1, max_size=8)


@given(times, st.integers(1, 100), st.integers(0, 100), st.integers(0, 20), st.booleans())
def test_marks_stand_between_what_was_and_what_comes(
    ts: list[int], start: int, length: int, missing: int, lost: bool
) -> None:
    """Whatever comes in whatever order: rows keep theirs, and no mark is before a seen row."""
    holes, _ = holes_of("a", "b")
    holes.saw(rows((0, start)), start * NS)
    if lost:
        holes.lost((start + 1) * NS)
    end = start + length
    batch = rows(*((i % 2, start + t) for i, t in enumerate(ts)))
    now = max(end, start + max(ts)) * NS
    told = gap(start, end, missing, ("a",))
    marked = holes.marked([told], batch, now)
    kept = marked.quality == 0
    assert marked.ts[kept].tolist() == batch.ts.tolist()
    marks = bad(marked)
    assert len(marks) <= 2
    assert lost or marks, "no hole without a mark"
    mine = marked.where(marked.tag == 0)
    newest = start * NS
    for _, mark, _, status in mine.rows():
        if status:
            assert newest <= mark <= now, "it is late, or in the future"
        newest = max(newest, mark)


def test_gaps_that_follow_each_other_are_told_in_sum() -> None:
    folded = Folded()
    told: list[Gap] = []
    for k in range(1, 40):
        told += folded.tell([gap(k - 1, k, missing=1)], k * NS)
    told += folded.rest()
    assert [one.missing for one in told] == [1, 10, 10, 10, 8]
    assert sum(one.end - one.start for one in told) == 39 * NS
    assert not folded
    other = Gap("src", "limit", 0, 1)
    assert folded.tell([other], 40 * NS) == [other], "each kind for itself"


def test_a_clock_that_is_set_forward_leaves_a_hole() -> None:
    clock = Hands(0, 0.0)
    pace = Pace(clock)
    for s in range(1, 5):
        clock.ns, clock.s = s * NS, float(s)
        assert pace.jumped(rows((0, s)), clock.ns) is None
    clock.ns, clock.s = 3605 * NS, 5.0
    assert pace.jumped(rows((0, 3605)), clock.ns) == (4 * NS, 3605 * NS)
    clock.ns, clock.s = 9606 * NS, 6.0
    assert pace.jumped(rows((0, 6)), clock.ns) is None, "the device's clock was not set"


# ------------------------------------------------------------------ through the runtime


class Poll(Source[Wanted]):
    """A source that tells of nothing."""

    Config = Wanted
    script: Script

    async def read(self) -> Reading:
        item = await self.script.readings.get()
        if isinstance(item, Exception):
            raise item
        if isinstance(item, Reading):
            return item
        code = self.ctx.tags.code("A")
        return Reading({"out": Batch.columns([code], [self.ctx.clock.now()], [float(item)])})


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(Backoff, "next_s", lambda self, at_least_s=0.0: 0.02)
    with lent(Script()) as script:
        Poll.script = script
        registry.LENT["script.poll"] = Poll
        yield script


WINDOWS = flow(
    "src: {type: script.poll}\nwin: {type: window.session, gap_s: 30}\n"
    "stat: {type: feature.statistics, features: [count, percent_good, mean]}\n"
    "out: {type: script.sink}",
    "src -> out, src.status -> out.events, src -> win -> stat, stat -> out",
)


def told(script: Script) -> list[dict[str, Any]]:
    found = [e for p, m in script.written if p == "events" for e in m]  # type: ignore[union-attr]  # events
    return [dict(e.data) for e in found if e.topic == "source/gap"]


def taken(script: Script, runtime: Runtime, tag: str = "A") -> list[tuple[float, int]]:
    code = runtime.tags.code(tag)
    batches = [m for p, m in script.written if p == "in" and isinstance(m, Batch)]
    return [(v, q) for b in batches for t, _, v, q in b.rows() if t == code]


async def test_a_loss_is_a_gap_that_the_engine_tells(script: Script, tmp_path: Path) -> None:
    runtime = await started(WINDOWS, tmp_path)
    await script.readings.put(1)
    await until(lambda: taken(script, runtime))
    await script.readings.put(Disconnected("Gone."))
    await script.readings.put(2)
    await until(lambda: told(script) and len(taken(script, runtime)) == 4)
    (data,) = told(script)
    assert (data["source"], data["device"], data["cause"]) == ("src", "src", "disconnected")
    assert data["from"] < data["to"]
    severities = [q >> 30 for _, q in taken(script, runtime)]
    assert severities == [0, 2, 2, 0], "one when it was lost, one before it is back"
    await runtime.stop()


async def test_a_restart_is_a_gap_that_the_engine_tells(script: Script, tmp_path: Path) -> None:
    runtime = await started(WINDOWS, tmp_path)
    await script.readings.put(1)
    await until(lambda: taken(script, runtime))
    before = SystemClock().now()
    await kill(runtime)
    script.written.clear()
    runtime = await started(WINDOWS, tmp_path)
    await script.readings.put(2)
    await until(lambda: told(script) and any(v == 2 for v, _ in taken(script, runtime)))
    (data,) = told(script)
    assert data["cause"] == "gateway_away"
    assert data["from"] <= before < data["to"]
    assert sum(q >> 30 == 2 for _, q in taken(script, runtime)) == 2
    await runtime.stop()


async def test_a_gap_a_source_tells_is_told_once_and_the_window_is_uncertain(
    script: Script, tmp_path: Path
) -> None:
    document = flow(
        "src: {type: script.poll}\nwin: {type: window.count, size: 4}\n"
        "stat: {type: feature.statistics, features: [percent_good, mean]}\n"
        "out: {type: script.sink}",
        "src -> out, src.status -> out.events, src -> win -> stat, stat -> out",
    )
    runtime = await started(document, tmp_path)
    await script.readings.put(1)
    await until(lambda: taken(script, runtime))
    now = SystemClock().now()
    event = Gap("src", "poll_missed", now - NS, now, missing=1).event()
    wrong = Event(now, "source/gap", {"cause": "rain"})
    code = runtime.tags.code("A")
    batch = Batch.columns([code] * 2, [now, now + 1], [2.0, 3.0])
    await script.readings.put(Reading({"out": batch, "status": (event, wrong)}))
    await until(lambda: taken(script, runtime, "A#mean") and len(told(script)) == 2)
    assert taken(script, runtime, "A#percent_good") == [(75.0, 0)]
    assert taken(script, runtime, "A#mean") == [(2.0, quality.UNCERTAIN_SUBNORMAL)]
    assert told(script)[0]["missing"] == 1
    assert any("wrong form" in line[3] for line in runtime.lines.kept)
    await runtime.stop()


async def test_what_is_held_back_is_told_when_nothing_more_comes(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.engine import holes, ingress

    assert FOLD_NS == 10 * NS
    monkeypatch.setattr(holes, "FOLD_NS", NS // 5)
    monkeypatch.setattr(ingress, "FOLD_NS", NS // 5)
    runtime = await started(WINDOWS, tmp_path)
    for n in range(5):
        now = SystemClock().now()
        event = Gap("src", "sequence", now - NS, now, missing=n + 1, tags=()).event()
        await script.readings.put(Reading({"status": (event,)}))
        await asyncio.sleep(0)
    await until(lambda: sum(data["missing"] for data in told(script)) == 15)
    assert len(told(script)) < 5
    await runtime.stop()
