"""Tests that are made of what was seen: they pass, in time of their own, whatever came."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Batch, ConfigError, Event, Tag, TagTable
from gateway.engine.flowtest import run_tests
from gateway.engine.make_test import Made, make, watch, watched
from gateway.engine.replay import Player
from gateway.engine.wiring import RESUMED, Input
from gateway.errors import LimitError
from gateway.flow.document import Document

S = 10**9
T0 = 1_764_150_000 * S + 123_000_000
FLOW = """\
flow: hall
version: 1
nodes:
  src: {type: test.inject, rows: A 0s 1}
  clean: {type: filter.deadband, band: 0.5}
  minute: {type: window.tumbling, size_s: 60}
  mean: {type: feature.statistics, features: [mean]}
  high: {type: alarm.limit, hi: 80, on_delay_s: 5}
  still: {type: alarm.stale, after_s: 40}
  log: {type: log.sink}
wires:
  - src -> clean -> minute -> mean -> log
  - clean -> log
  - src -> high
  - src -> still
  - high.alarms -> log.alarms
"""
Step = tuple[list[Input], int]


def table() -> TagTable:
    tags = TagTable(16)
    tags.add(Tag("A", "Cel", 0.0, 120.0))
    tags.add(Tag("B", kind="counter"))
    return tags


def steps(rows: list[tuple[float, int, float]], lag_s: float = 0.0) -> list[Step]:
    """A step a row: (seconds after the last, tag, value)."""
    times = accumulate(row[0] for row in rows)
    found: list[Step] = []
    for at, (_, tag, value) in zip(times, rows, strict=True):
        ts = T0 + round(at * 1000) * 1_000_000
        batch = Batch.columns([tag], [ts], [value])
        now = max(ts + round(lag_s * S), found[-1][1] if found else 0)
        found.append(([("src", "out", batch)], now))
    return found


def made(
    some: list[Step], start: int = 0, end: int | None = None, nodes: tuple[str, ...] = ()
) -> Made:
    document = Document.parse(FLOW)
    ends = watched(document, nodes)
    player = Player(document, table(), watch=[e for e in ends if e[0] != "log"])
    last = some[-1][1] + 1 if end is None else end
    seen = watch(player, document, some, start, last)
    return make(document, seen, ends, last, "Seen")


def test_it_says_what_came_and_what_the_flow_gave() -> None:
    one = made(steps([(0, 0, 70), (1, 0, 90), (7, 0, 91), (60, 0, 70), (60, 0, 71)]))
    assert (one.failures, one.differs, one.said) == ((), (), ())
    test = one.test
    assert test.tags == {"A": {"unit": "Cel", "low": 0, "high": 120}}
    first = test.given["src"].split(" | ")[0]
    assert first == "A 0.123s 70", "the nearest full second, minute or hour that changes nothing"
    assert "HI raised UNACK 90 80" in test.expect["high.alarms"]
    assert test.expect["still.alarms"].count("raised") == 2
    data = one.data(Document.parse(FLOW))
    assert [o.failures for o in run_tests(Document.parse(data["text"]))] == [()]


def test_windows_keep_their_place() -> None:
    """T0 is no full minute, so a test that began there would have other windows."""
    one = made(steps([(0, 0, 70), (20, 0, 72), (40, 0, 74), (40, 0, 76)]))
    assert one.differs == ()
    assert one.test.expect["log"].count("A#mean") == 1


def test_what_the_flow_remembered_is_told() -> None:
    some = steps([(0, 0, 90), (4, 0, 90.1), (4, 0, 90.2)])
    one = made(some, start=some[1][1])
    assert one.failures == (), "it passes all the same"
    assert "high.alarms" in one.differs, "five seconds were over in the flow that ran"
    assert made(some).differs == ()


def test_markers_other_nodes_and_operators() -> None:
    some = steps([(0, 0, 90), (10, 0, 91), (1, 0, 91)])
    some[1][0].insert(0, (*RESUMED, (Event(some[1][1], "resumed", {}),)))
    some[1][0].append(("gone", "out", Batch.columns([0], [some[1][1]], [1.0])))
    data = {"alarm": "hall/high:A:HI", "occurrence": 7, "actor": "user:anna"}
    some[2][0].append(("high", "operator", (Event(some[2][1], "alarm/ack", data),)))
    one = made(some, nodes=("high",))
    assert len(one.said) == 2
    assert "gone is no node of this text" in one.said[1]
    assert "occurrence" not in one.test.given["high.operator"]
    assert "acked ACKED" in one.test.expect["high.alarms"]


def test_too_much_or_nothing_is_refused() -> None:
    with pytest.raises(LimitError, match="501 rows came in"):
        made(steps([(0.1, 0, float(i)) for i in range(501)]))
    with pytest.raises(ConfigError, match="Nothing came in"):
        made(steps([(0, 0, 1)]), start=T0 * 2)
    with pytest.raises(ConfigError, match="no node 'x'"):
        watched(Document.parse(FLOW), ["x"])


row = st.tuples(
    st.floats(0, 100).map(lambda x: round(x, 3)),
    st.integers(0, 1),
    st.floats(-1e6, 1e6, allow_subnormal=False),
)
late = st.tuples(st.floats(-50, 50).map(lambda x: round(x, 3)), st.integers(0, 1), st.floats(0, 99))


@settings(max_examples=40, deadline=None)
@given(st.lists(row, min_size=1, max_size=20) | st.lists(late, min_size=1, max_size=12))
def test_whatever_came_the_test_passes(rows: list[tuple[float, int, float]]) -> None:
    one = made(steps(rows, lag_s=0.05))
    assert one.failures == ()
    document = Document.parse(FLOW)
    text = one.data(document)["text"]
    assert Document.parse(text).text() == text
    assert all(outcome.passed for outcome in run_tests(Document.parse(text)))
