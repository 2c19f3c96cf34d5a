"""alarm.limit against a model that ticks second by second, and cut, restarted, out of order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import AlarmEvent, Batch, TagTable, quality
from gateway.flow.harness import Bench, BenchContext, feed, make
from nodes.alarm.limit import Limit

S = 10**9
HI, HIHI, LO = 10.0, 20.0, 0.0
Row = tuple[int, int, float, int]
"""(tag, second, value, quality)"""
Told = tuple[str, str, int, str, float]
"""(tag, condition, second, change, value)"""


def config(on: int, off: int, deadband: float) -> dict[str, Any]:
    return {
        "hi": HI,
        "hihi": HIHI,
        "lo": LO,
        "on_delay_s": on,
        "off_delay_s": off,
        "deadband": deadband,
        "auto_ack": True,
    }


@dataclass
class _Condition:
    name: str
    active: bool = False
    since: int | None = None


def by_ticks(rows: list[Row], on: int, off: int, deadband: float, until: int) -> list[Told]:
    """What one tag's alarms do: every second first the delays, then the second's samples."""
    told: list[Told] = []
    conditions = [_Condition("HI"), _Condition("HIHI"), _Condition("LO")]
    held = float("nan")

    def end_delays(now: int) -> None:
        ready = [c for c in conditions if c.since is not None]
        ready = [c for c in ready if now - (c.since or 0) >= (off if c.active else on)]
        for c in sorted(ready, key=lambda c: (c.since or 0) + (off if c.active else on)):
            c.active, c.since = not c.active, None
            told.append((f"T{rows[0][0]}", c.name, now, "raised" if c.active else "cleared", held))

    for second in range(until + 1):
        end_delays(second)
        for _, _, value, status in (row for row in rows if row[1] == second):
            if status != quality.GOOD:
                for c in conditions:
                    c.since = None
                continue
            held = value
            for c in conditions:
                inside = deadband if c.active else 0.0
                limit = {"HI": HI - inside, "HIHI": HIHI - inside, "LO": LO + inside}[c.name]
                beyond = value < limit if c.name == "LO" else value > limit
                if beyond == c.active:
                    c.since = None
                elif c.since is None:
                    c.since = second
            end_delays(second)
    return told


def batch_of(rows: list[Row]) -> Batch:
    return Batch.of((tag, second * S, value, status) for tag, second, value, status in rows)


def node_of(on: int, off: int, deadband: float) -> Limit:
    ctx = BenchContext(tags=TagTable(8))
    for i in range(4):
        ctx.tags.code(f"T{i}")
    node: Limit = make(Limit, config(on, off, deadband), ctx)
    return node


def told(bench: Bench) -> list[Told]:
    events = [
        e
        for alarms in bench.out["alarms"]
        if isinstance(alarms, tuple)
        for e in alarms
        if isinstance(e, AlarmEvent)
    ]
    for event in events:
        assert event.ts % S == 0
        assert event.text.startswith(event.tag)
    return [(e.tag, e.condition, e.ts // S, e.change, e.value) for e in events]


def per_tag(events: list[Told]) -> dict[str, list[Told]]:
    """By tag; what happens to several alarms of a tag in one second has no order here."""
    found: dict[str, list[Told]] = {}
    for event in sorted(events, key=lambda e: e[2]):
        found.setdefault(event[0], []).append(event)
    return {tag: sorted(items, key=lambda e: (e[2], e[1])) for tag, items in found.items()}


values = st.sampled_from([-1.0, 0.0, 1.0, 2.0, 8.0, 9.0, 10.0, 11.0, 18.0, 19.0, 20.0, 21.0])
statuses = st.sampled_from([quality.GOOD] * 6 + [quality.BAD, quality.UNCERTAIN])
gaps = st.sampled_from([0, 1, 1, 1, 2, 3, 5, 9])
delays = st.sampled_from([0, 1, 3, 5])


@st.composite
def scripts(draw: st.DrawFn) -> tuple[list[Row], int, int, float]:
    rows: list[Row] = []
    second = 0
    for _ in range(draw(st.integers(1, 40))):
        second += draw(gaps)
        rows.append((draw(st.integers(0, 2)), second, draw(values), draw(statuses)))
    return rows, draw(delays), draw(delays), draw(st.sampled_from([0.0, 1.0, 2.0]))


@settings(max_examples=300, deadline=None)
@given(scripts())
def test_timers_and_samples_agree_with_the_ticks(script: tuple[list[Row], int, int, float]) -> None:
    rows, on, off, deadband = script
    until = rows[-1][1] + 20
    wanted: list[Told] = []
    for tag in {row[0] for row in rows}:
        wanted += by_ticks([row for row in rows if row[0] == tag], on, off, deadband, until)
    live = Bench(node_of(on, off, deadband))
    for row in rows:
        live.send(batch_of([row]), "in", row[1] * S)
    live.run_until(until * S)
    assert per_tag(told(live)) == per_tag(wanted)
    # The same rows in one batch: no timer fires between them, the samples tell all.
    ends = {row[0]: row[1] for row in rows}
    at_once = feed(node_of(on, off, deadband), batch_of(rows), [], rows[-1][1] * S)
    known = [event for event in wanted if event[2] <= ends[int(event[0][1:])]]
    assert per_tag(told(at_once)) == per_tag(known)
    # Later timers tell the rest, however late they come.
    late = feed(node_of(on, off, deadband), batch_of(rows), [], 0)
    late.node.ctx.now = 10_000 * S
    alarms = late.node.wake(10_000 * S)
    late.out["alarms"] += [alarms["alarms"]] if alarms else []
    assert per_tag(told(late)) == per_tag(wanted)


@settings(max_examples=150, deadline=None)
@given(scripts(), st.randoms(use_true_random=False))
def test_cuts_and_restarts_in_disorder(
    script: tuple[list[Row], int, int, float], chance: Any
) -> None:
    rows, on, off, deadband = script
    rows = rows * 2 if chance.random() < 0.5 else rows
    for _ in range(len(rows) // 3):
        i = chance.randrange(len(rows))
        rows.insert(chance.randrange(len(rows)), rows.pop(i))
    whole = feed(node_of(on, off, deadband), batch_of(rows), [], 0)
    single = feed(node_of(on, off, deadband), batch_of(rows), list(range(1, len(rows))), 0)
    assert told(single) == told(whole)
    cut = chance.randrange(len(rows) + 1)
    first = Bench(node_of(on, off, deadband))
    if cut:
        first.send(batch_of(rows[:cut]), "in", 0)
    second = Bench(node_of(on, off, deadband))
    second.node.restore(first.node.snapshot())
    if cut < len(rows):
        second.send(batch_of(rows[cut:]), "in", 0)
    assert told(first) + told(second) == told(whole)
    state, fresh = second.node.snapshot(), whole.node.snapshot()
    assert all(np.array_equal(state[k], fresh[k], equal_nan=state[k].dtype == float) for k in state)


def test_a_late_sample_is_counted_and_says_nothing() -> None:
    node = node_of(0, 0, 0)
    bench = feed(node, batch_of([(0, 10, 5.0, 0), (0, 8, 15.0, 0), (0, 11, 5.0, 0)]), [], 0)
    assert told(bench) == []
    assert node.ctx.counts == {"late": 1}  # type: ignore[attr-defined]  # a bench context


def test_a_clock_that_was_set_back_is_followed_and_said() -> None:
    node = node_of(0, 0, 0)
    rows: list[Row] = [(0, 5000, 5.0, 0), *[(0, 100 + i, 15.0, 0) for i in range(12)]]
    bench = feed(node, batch_of(rows), [], 0)
    assert told(bench) == [("T0", "HI", 110, "raised", 15.0)]
    assert "clock of T0 went back" in node.ctx.said[0][1]  # type: ignore[attr-defined]  # as above


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hi": None, "lo": None, "hihi": None}, "at least one"),
        ({"lo": 30}, "`lo` is 30; it must be below `hi`, which is 10"),
        ({"deadband": 10}, "smaller than the room"),
        ({"latch": True}, "exclude each other"),
    ],
)
def test_a_wrong_config_says_what_is_wrong(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Limit.Config.model_validate({**config(0, 0, 0), **change})
