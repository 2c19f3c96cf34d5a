"""The comparison itself: against a slow and simple reference, and in bounded room."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.data.alarm import AlarmEvent, AlarmState
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.engine import replay_alarms, replay_rows
from gateway.engine.replay_alarms import MOVED_MAX_NS, AlarmDiff
from gateway.engine.replay_ends import Content, Eye, Kept, NameIds
from gateway.engine.replay_rows import EndDiff
from gateway.engine.wiring import Result
from gateway.flow.node import Message

S = 1_000_000_000
Row = tuple[int, int, float]


def event(ts: float, change: str = "raised", alarm: str = "f/n:t:HI", **more: object) -> AlarmEvent:
    fields = {"state": AlarmState.UNACK, "value": float("nan"), "limit": 5.0, "condition": "HI"}
    return AlarmEvent(alarm, "t", round(ts * S), change, **{**fields, **more})  # type: ignore[arg-type]  # as given


def kinds(diff: AlarmDiff) -> dict[str, int]:
    return {kind: n for kind, n in diff.counts.items() if n}


def compared(left: list[AlarmEvent], right: list[AlarmEvent]) -> AlarmDiff:
    diff = AlarmDiff()
    diff.add(0, left, 0)
    diff.add(1, right, 0)
    diff.settle(0, close=True)
    return diff


# ---------------------------------------------------------------- alarms


@pytest.mark.parametrize(
    ("left", "right", "says"),
    [
        ([], [], {}),
        ([event(1)], [event(1)], {"same": 1}),
        ([event(1)], [], {"removed": 1}),
        ([], [event(1)], {"added": 1}),
        ([event(1)], [event(3)], {"moved": 1}),
        ([event(1)], [event(1, limit=6.0)], {"changed": 1}),
        ([event(1)], [event(1, occurrence=7, text="x", actor="y")], {"same": 1}),
        ([event(1)], [event(1, "returned")], {"removed": 1, "added": 1}),
        ([event(1)], [event(1, alarm="f/n:u:HI")], {"removed": 1, "added": 1}),
        ([event(0)], [event(MOVED_MAX_NS / S)], {"moved": 1}),
        ([event(0)], [event(MOVED_MAX_NS / S + 1)], {"removed": 1, "added": 1}),
        ([event(0), event(3), event(6)], [event(2), event(5), event(8)], {"moved": 3}),
        ([event(0), event(100)], [event(99)], {"removed": 1, "moved": 1}),
        ([event(99)], [event(0), event(100)], {"added": 1, "moved": 1}),
        ([event(1), event(1)], [event(1)], {"same": 1, "removed": 1}),
    ],
)
def test_what_becomes_of_alarm_events(
    left: list[AlarmEvent], right: list[AlarmEvent], says: dict[str, int]
) -> None:
    assert kinds(compared(left, right)) == says


moments = st.lists(st.integers(0, 20_000).map(float), max_size=30)


@given(moments, moments)
def test_every_event_is_counted_once_and_sides_are_alike(
    left: list[float], right: list[float]
) -> None:
    one = compared([event(ts) for ts in left], [event(ts) for ts in right])
    other = compared([event(ts) for ts in right], [event(ts) for ts in left])
    both = one.counts["same"] + one.counts["moved"] + one.counts["changed"]
    assert both + one.counts["removed"] == len(left)
    assert both + one.counts["added"] == len(right)
    exact = (Counter(left) & Counter(right)).total()
    assert one.counts["same"] == exact
    swapped = {"removed": "added", "added": "removed"}
    assert {swapped.get(k, k): n for k, n in one.counts.items()} == other.counts


@given(moments, st.integers(1, 500))
def test_a_shift_of_all_is_a_move_of_all(moments: list[float], shift: int) -> None:
    left = [event(ts) for ts in moments]
    found = compared(left, [replace(e, ts=e.ts + shift * S + S // 2) for e in left])
    assert kinds(found) == ({"moved": len(left)} if left else {})


def test_an_event_waits_for_its_partner_as_long_as_it_was_told_to() -> None:
    diff = AlarmDiff(settle_ns=10 * S)
    diff.add(0, [event(1)], 1 * S)
    diff.settle(11 * S - 1)
    assert kinds(diff) == {}
    diff.add(1, [event(2)], 11 * S - 1)
    diff.settle(11 * S)
    assert kinds(diff) == {"moved": 1}
    diff.add(1, [event(50)], 50 * S)
    diff.settle(60 * S)
    assert kinds(diff) == {"moved": 1, "added": 1}
    assert diff.as_dict()["waiting"] == 0


def test_alarms_without_a_partner_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_alarms, "WAITING_ALARMS_MAX", 100)
    diff = AlarmDiff(kept=10, newest=True)
    for n in range(1000):
        diff.add(0, [event(n * 4000.0)], n)
    assert sum(len(waiting) for waiting in diff._waiting.values()) <= 100
    diff.settle(0, close=True)
    assert diff.counts["removed"] == 1000
    assert [d.ts // (4000 * S) for d in diff.differences.items] == list(range(990, 1000))
    assert diff.crowded > 0


# ---------------------------------------------------------------- rows


class Bench:
    """Two runs at one end, each with a table of its own."""

    def __init__(self, **more: object) -> None:
        ids = NameIds()
        self.tables = TagTable(16), TagTable(16)
        for name in "abcd":
            self.tables[0].code(name)
        for name in "dcba":
            self.tables[1].code(name)
        self.eyes = Eye(self.tables[0], ids), Eye(self.tables[1], ids)
        self.diff = EndDiff(ids, **more)  # type: ignore[arg-type]  # as given

    def content(self, side: int, rows: list[Row]) -> Content:
        if not rows:
            return Content("samples", 0, b"")
        codes = [self.tables[side].code("abcd"[tag]) for tag, _, _ in rows]
        batch = Batch.columns(codes, [ts for _, ts, _ in rows], [value for _, _, value in rows])
        return self.message(side, batch)

    def message(self, side: int, message: Message) -> Content:
        return self.eyes[side].see(Result([("log", "in", message)])).ends["log", "in"]


rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 2).map(float)), max_size=40
)


def reference(left: list[Row], right: list[Row]) -> dict[str, int]:
    """The nth row of a tag and time belongs to the nth of the other side."""
    counts = {"same": 0, "changed": 0, "left": 0, "right": 0}
    keys = dict.fromkeys((tag, ts) for tag, ts, _ in [*left, *right])
    for key in keys:
        mine = [value for *at, value in left if tuple(at) == key]
        theirs = [value for *at, value in right if tuple(at) == key]
        both = min(len(mine), len(theirs))
        same = sum(a == b for a, b in zip(mine, theirs, strict=False))
        counts["same"] += same
        counts["changed"] += both - same
        counts["left"] += len(mine) - both
        counts["right"] += len(theirs) - both
    return counts


def counted(diff: EndDiff) -> dict[str, int]:
    counts = diff.counts
    return {
        "same": counts.same,
        "changed": counts.changed,
        "left": counts.left,
        "right": counts.right,
    }


@given(rows, rows)
def test_rows_are_matched_as_the_reference_does(left: list[Row], right: list[Row]) -> None:
    bench = Bench(examples=1000)
    bench.diff.add(0, bench.content(0, left), bench.content(1, right))
    bench.diff.settle(0, close=True)
    assert counted(bench.diff) == reference(left, right)
    examples = bench.diff.examples()
    assert len(examples) == bench.diff.counts.differences
    assert all(row["tag"] in "abcd" for row in examples)


@given(rows, rows, st.data())
def test_how_the_rows_are_cut_into_steps_changes_no_count(
    left: list[Row], right: list[Row], data: st.DataObject
) -> None:
    bench = Bench()
    cuts = [sorted(data.draw(st.lists(st.integers(0, 40), max_size=5))) for _ in range(2)]
    parts = [
        [side[a:b] for a, b in zip([0, *cut], [*cut, 40], strict=True)]
        for side, cut in zip((left, right), cuts, strict=True)
    ]
    for step in range(6):
        mine, theirs = (some[step] if step < len(some) else [] for some in parts)
        bench.diff.add(step, bench.content(0, mine), bench.content(1, theirs))
        if data.draw(st.booleans()):
            bench.diff.settle(step)
    bench.diff.settle(9, close=True)
    found, wanted = counted(bench.diff), reference(left, right)
    assert found["same"] + found["changed"] == wanted["same"] + wanted["changed"]
    assert (found["left"], found["right"]) == (wanted["left"], wanted["right"])


def test_a_value_that_is_no_number_equals_itself_and_zero_has_no_sign() -> None:
    bench = Bench()
    left = Batch.columns([0, 1], [1, 1], [float("nan"), 0.0])
    right = Batch.columns([3, 2], [1, 1], [float("nan"), -0.0])
    bench.diff.add(0, bench.message(0, left), bench.message(1, right))
    bench.diff.settle(0, close=True)
    assert counted(bench.diff) == {"same": 2, "changed": 0, "left": 0, "right": 0}


def test_the_largest_change_is_kept_and_is_a_number() -> None:
    bench = Bench()
    infinite = Batch.columns([0], [9], [float("inf")]), Batch.columns([3], [9], [float("-inf")])
    bench.diff.add(0, bench.message(0, infinite[0]), bench.message(1, infinite[1]))
    assert (bench.diff.counts.changed, bench.diff.counts.largest) == (1, 0.0)
    left = [(0, 1, 10.0), (0, 2, 20.0), (0, 3, 30.0)]
    right = [(0, 1, 11.0), (0, 2, 13.0), (0, 3, 30.0)]
    bench.diff.add(0, bench.content(0, left), bench.content(1, right))
    bench.diff.settle(0, close=True)
    assert bench.diff.counts.largest == 7.0


def test_rows_without_a_partner_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_rows, "JOIN_ROWS", 50)
    monkeypatch.setattr(replay_rows, "WAITING_ROWS_MAX", 100)
    bench = Bench(examples=3, newest=True)
    for n in range(400):
        bench.diff.add(n, bench.content(0, [(0, n, 1.0)]), bench.content(1, [(1, n, 1.0)]))
    assert sum(len(part) for part in bench.diff._parts) <= 150
    assert bench.diff.crowded > 0
    bench.diff.settle(400, close=True)
    assert counted(bench.diff) == {"same": 0, "changed": 0, "left": 400, "right": 400}
    assert [row["ts"] for row in bench.diff.examples()] == [398, 399, 399]


def test_events_and_windows_are_compared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(settle_ns=5)
    first, second = Event(1, "a", {"x": 1}), Event(1, "a", {"x": 2})
    none = Content("texts", 0, b"")
    bench.diff.add(1, bench.message(0, (first, first)), bench.message(1, (second,)))
    bench.diff.add(3, none, bench.message(1, (first,)))
    bench.diff.settle(5)
    assert counted(bench.diff) == {"same": 1, "changed": 0, "left": 0, "right": 0}
    bench.diff.settle(6)
    assert counted(bench.diff) == {"same": 1, "changed": 0, "left": 1, "right": 1}
    batch = Batch.columns([0, 0], [1, 2], [1.0, 2.0])
    other = Batch.columns([3, 3], [1, 2], [1.0, 2.5])
    window = [
        Windows(b.tag[:1], np.array([0]), np.array([10]), np.array([0, 2]), b)
        for b in (batch, other)
    ]
    bench.diff.add(7, bench.message(0, window[0]), bench.message(1, window[1]))
    bench.diff.settle(7, close=True)
    assert counted(bench.diff) == {"same": 1, "changed": 0, "left": 2, "right": 2}
    monkeypatch.setattr(replay_rows, "WAITING_TEXTS_MAX", 10)
    bench = Bench()
    for n in range(100):
        bench.diff.add(n, bench.message(0, (Event(n, "a"),)), none)
    assert len(bench.diff._texts) <= 10
    bench.diff.settle(100, close=True)
    assert bench.diff.counts.left == 100


def test_the_first_or_the_newest_are_kept() -> None:
    for newest in (False, True):
        kept: Kept[int] = Kept(3, newest=newest)
        some = list(range(10))
        for part in (some[:2], some[2:]):
            for item in part[kept.wanted(len(part))]:
                kept.add(item)
        assert kept.total == 10
        assert list(kept.items) == ([7, 8, 9] if newest else [0, 1, 2])
