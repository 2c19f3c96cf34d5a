"""While the gateway is away it hears nothing: that silence is ours and raises no alarm."""

from __future__ import annotations

from gateway.data.event import Event
from gateway.data.table import parse
from gateway.data.tag import TagTable
from gateway.engine.graph import Graph
from gateway.engine.wiring import RESUMED
from gateway.flow.document import Document

FLOW = """flow: f
version: 1
nodes:
  in: {type: test.inject, rows: "A 0s 1"}
  silent: {type: alarm.stale, after_s: 60}
  high: {type: alarm.limit, hi: 5, on_delay_s: 30}
  window: {type: window.tumbling, size_s: 10}
  aged: {type: filter.stale, after_s: 60}
wires:
  - in -> silent
  - in -> high
  - in -> window
  - in -> aged
"""
S = 1_000_000_000


def graph() -> Graph:
    return Graph(Document.parse(FLOW), TagTable(16), trace=True)


def resumed(now: int) -> tuple[str, str, tuple[Event, ...]]:
    return (*RESUMED, (Event(now, "engine/resumed"),))


def changes(flow: Graph, *steps: tuple[str, int]) -> list[tuple[int, str, str]]:
    """(second, node, change) of every alarm; a step is a table of samples, or a resumption."""
    found = []
    for table, second in steps:
        now = second * S
        if table == "resumed":
            result = flow.step([resumed(now)], now)
        elif table:
            result = flow.step([("in", "out", parse(table, flow.tags))], now)
        else:
            result = flow.wake(now)
        found += [
            (event.ts // S, node, event.change)
            for node, events in result.alarms
            for event in events
        ]
    return found


def test_without_a_word_the_silence_counts() -> None:
    assert changes(graph(), ("A 0s 9", 0), ("", 3600)) == [
        (30, "high", "raised"),
        (60, "silent", "raised"),
    ]


def test_an_hour_away_is_no_silence_of_the_device() -> None:
    flow = graph()
    assert changes(flow, ("A 0s 9", 1), ("resumed", 3600), ("", 3601)) == []
    assert changes(flow, ("A 3602s 1", 3602)) == [
        (60, "silent", "raised"),
        (3602, "silent", "returned"),
        (30, "high", "raised"),
        (3602, "high", "returned"),
    ]


def test_the_clocks_go_on_from_where_they_stood() -> None:
    flow = graph()
    assert changes(flow, ("A 0s 9", 1), ("", 11), ("resumed", 3611), ("", 3630)) == []
    assert changes(flow, ("", 3631), ("", 3660)) == [(30, "high", "raised")]
    assert changes(flow, ("", 3661)) == [(60, "silent", "raised")]


def test_a_window_waits_for_what_may_still_come() -> None:
    flow = graph()
    first = flow.step([("in", "out", parse("A 1s 1", flow.tags))], 1 * S)
    again = flow.step([resumed(3600 * S)], 3600 * S)
    late = flow.step([("in", "out", parse("A 2s 2", flow.tags))], 3600 * S)
    closed = flow.step([("in", "out", parse("A 11s 3", flow.tags))], 3601 * S)
    ports = [(n, p) for r in (first, again, late) for n, p, _ in r.trace if n == "window"]
    assert ports == []
    assert [len(m) for n, p, m in closed.trace if (n, p) == ("window", "out")] == [1]
