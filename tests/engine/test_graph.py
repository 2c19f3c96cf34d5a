"""Graph: order, routes, timers, faults, trace, and the alarm node that every flow has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gateway import Batch, Config, ConfigError, Event, Outputs, Tag, TagTable, Transform
from gateway.engine.graph import Graph
from gateway.engine.metrics import Live
from gateway.engine.tagbook import TagBook, fact_of
from gateway.flow import registry
from tests.engine.gear import flow

S = 10**9


class Empty(Config):
    """Nothing to set."""


class Clockwork(Transform[Empty, Batch]):
    """Sends the time of its wake every ten seconds; `step` is how its timer moves on."""

    Config = Empty
    step = 10 * S

    def __init__(self, config: Empty, ctx: Any) -> None:
        super().__init__(config, ctx)
        self.due: int | None = None

    def process(self, message: Batch, port: str) -> Outputs:
        self.due = self.ctx.now + self.step if self.due is None else self.due
        return {}

    def wake_at(self) -> int | None:
        return self.due

    def wake(self, now: int) -> Outputs:
        assert self.due is not None
        self.due += self.step
        return {"out": Batch.columns([0], [self.ctx.now], [float(now)])}


class Stuck(Clockwork):
    step = 0


class Rude(Clockwork):
    def wake_at(self) -> int | None:
        raise KeyError("no time")


@pytest.fixture
def lent_nodes() -> Iterator[None]:
    registry.LENT.update({"t.clockwork": Clockwork, "t.stuck": Stuck, "t.rude": Rude})
    yield
    registry.LENT.clear()


def table(*names: str) -> TagTable:
    tags = TagTable(32)
    for name in names or ("A", "B"):
        tags.add(Tag(name))
    return tags


def batch(*values: float, tag: int = 0) -> Batch:
    n = len(values)
    return Batch.columns([tag] * n, [i * S for i in range(n)], list(values))


DIAMOND = """
    last: {type: filter.quality}
    b: {type: compute.scale, gain: 2}
    a: {type: compute.scale, gain: 10}
    src: {type: simulate.source, tag: A}
    out: {type: test.collect}
"""


def test_nodes_run_upstream_first_whatever_their_order_in_the_file() -> None:
    graph = Graph(flow(DIAMOND, "src -> a -> b -> last -> out, a -> last"), table())
    order = list(graph.transforms())
    assert order.index("a") < order.index("b") < order.index("last")
    result = graph.step([("src", "out", batch(1.0))], S)
    found = [(node, port, m.value.tolist()) for node, port, m in result.outputs]  # type: ignore[union-attr]  # batches
    assert found == [("out", "in", [10.0]), ("out", "in", [20.0])]


def test_a_cycle_is_an_error() -> None:
    with pytest.raises(ConfigError, match="cycle through a, b"):
        Graph(
            flow("a: {type: filter.quality}\nb: {type: filter.quality}", "a -> b, b -> a"), table()
        )


def test_a_wrong_option_names_its_place() -> None:
    with pytest.raises(ConfigError, match=r"nodes\.clean\.band"):
        Graph(flow("clean: {type: filter.deadband, band: -1}", ""), table())


def test_a_constructor_that_raises_is_a_config_error(lent_nodes: None) -> None:
    class Broken(Clockwork):
        def __init__(self, config: Empty, ctx: Any) -> None:
            raise ZeroDivisionError("a bug")

    registry.LENT["t.broken"] = Broken
    with pytest.raises(ConfigError, match="cannot be made: ZeroDivisionError"):
        Graph(flow("x: {type: t.broken}", ""), table())


def test_inputs_reach_a_transform_by_its_port() -> None:
    graph = Graph(flow("high: {type: alarm.limit, hi: 5}", ""), table())
    graph.step([("high", "in", batch(9.0))], S)
    ack = Event(S, "alarm/ack", {"alarm": "*", "actor": "me", "occurrence": 1})
    result = graph.step([("high", "operator", (ack,))], 2 * S)
    ((node, (event,)),) = result.alarms
    assert (node, event.change) == ("high", "acked")
    assert graph.alarm_nodes() == ["high"]


def test_trace_and_observe_see_every_port() -> None:
    seen: list[tuple[str, str]] = []
    graph = Graph(
        flow(DIAMOND, "src -> a -> b -> out"),
        table(),
        trace=True,
        observe=lambda node, port, message: seen.append((node, port)),
    )
    result = graph.step([("src", "out", batch(1.0))], S)
    assert [(node, port) for node, port, _ in result.trace] == seen
    assert seen == [("src", "out"), ("a", "out"), ("b", "out")]
    assert graph.traffic.wires["a", "out", "b", "in"].rows == 1


def test_every_flow_watches_its_sources() -> None:
    graph = Graph(flow(DIAMOND, "src -> out"), table())
    assert "communication" in graph.transforms()
    lost = Event(S, "source/lost", {"source": "src", "text": "Gone."})
    graph.step([("src", "status", (lost,))], S)
    ((_, (event,)),) = graph.wake(100 * S).alarms
    assert (event.change, event.tag) == ("raised", "src")


def test_a_flow_with_its_own_communication_alarm_has_no_second() -> None:
    document = flow(
        "src: {type: simulate.source, tag: A}\ncomm: {type: alarm.communication}",
        "src.status -> comm",
    )
    assert "communication" not in Graph(document, table()).transforms()


CLOCKS = "one: {type: t.clockwork}\ntwo: {type: t.clockwork}\nout: {type: test.collect}"


def test_timers_fire_in_the_order_they_are_due_at_their_own_time(lent_nodes: None) -> None:
    graph = Graph(flow(CLOCKS, "one -> out, two -> out"), table())
    graph.step([("two", "in", batch(1.0))], S)
    graph.step([("one", "in", batch(1.0))], 3 * S)
    assert graph.wake_at() == 11 * S
    late = graph.wake(35 * S)
    found = [m.value.item() / S for _, _, m in late.outputs]  # type: ignore[union-attr]  # batches
    assert found == [11, 13, 21, 23, 31, 33]
    assert graph.now == 35 * S


def test_a_step_that_comes_late_gives_what_timers_in_time_gave(lent_nodes: None) -> None:
    def run(wakes: list[int]) -> list[float]:
        graph = Graph(flow(CLOCKS, "one -> out, two -> out"), table())
        outputs = graph.step([("one", "in", batch(1.0))], S).outputs
        for at in wakes:
            outputs += graph.wake(at * S).outputs
        outputs += graph.step([("two", "in", batch(1.0))], 60 * S).outputs
        return [m.value.item() for _, _, m in outputs]  # type: ignore[union-attr]  # batches

    assert run([]) == run([11, 21, 31, 41, 51]) == run([12, 25, 26, 55])


def test_a_day_of_catching_up_is_no_fault(lent_nodes: None) -> None:
    graph = Graph(flow(CLOCKS, ""), table())
    graph.step([("one", "in", batch(1.0))], S)
    assert not graph.wake(3 * 86_400 * S).faults
    assert graph.wake_at() == 3 * 86_400 * S + S


@pytest.mark.parametrize(("kind", "text"), [("stuck", "does not move on"), ("rude", "no time")])
def test_a_timer_that_misbehaves_stops_its_node_only(
    lent_nodes: None, kind: str, text: str
) -> None:
    document = flow(
        f"bad: {{type: t.{kind}}}\ngood: {{type: t.clockwork}}\nout: {{type: test.collect}}",
        "good -> out",
    )
    graph = Graph(document, table())
    first = graph.step([("bad", "in", batch(1.0)), ("good", "in", batch(1.0))], S)
    second = graph.wake(11 * S)
    (fault,) = [*first.faults, *second.faults]
    assert (fault.node, fault.message) == ("bad", None)
    assert text in fault.text
    assert len(second.outputs) == 1
    assert graph.faulted().keys() == {"bad"}


def test_a_state_that_does_not_fit_is_said_and_costs_one_node() -> None:
    graph = Graph(flow(DIAMOND + "    d: {type: filter.deadband, band: 1}", "src -> d"), table())
    graph.step([("src", "out", batch(1.0))], S)
    states = graph.snapshot()
    states["d"] = {"value": np.zeros((2, 2)), "wrong": np.zeros(1)}
    (text,) = Graph(
        flow(DIAMOND + "    d: {type: filter.deadband, band: 1}", "src -> d"), table()
    ).restore(states)
    assert "state of d cannot be used" in text


# ------------------------------------------------------------------ live values and tags


def test_live_counts_rows_where_a_tag_comes_from() -> None:
    live = Live(table("A", "B", "C"))
    observe = live.observer("f")
    for _ in range(3):
        observe("src", "out", batch(1.0, tag=0))
        observe("scale", "out", batch(10.0, tag=0))
    observe("src", "out", Batch.columns([0, 1, 1], [1, 2, 3], [5.0, 6.0, 7.0]))
    observe("scale", "out", Batch.columns([0, 1, 1, 2], [1, 2, 3, 4], [50.0, 60.0, 70.0, 80.0]))
    observe("scale", "late", batch(99.0, tag=1))
    observe("src", "status", (Event(1, "t"),))
    rows = {code: (value, count) for code, value, _, _, count in live}
    assert rows == {0: (50.0, 4), 1: (70.0, 2), 2: (80.0, 1)}


def test_a_tag_book_knows_what_is_new() -> None:
    tags = table("A")
    book = TagBook(tags)
    assert book.unsaved().keys() == {0}
    book.saved(book.unsaved())
    assert book.unsaved() == {}
    tags.add(Tag("A", unit="Cel"))
    tags.code("B")
    first = book.unsaved()
    assert first.keys() == {0, 1}
    tags.code("C")
    book.saved(first)
    assert book.unsaved().keys() == {2}
    book.saved(book.unsaved())
    assert book.unsaved() == {}
    assert fact_of(tags[0])["low"] is None


def test_a_tag_book_that_was_loaded_has_nothing_new() -> None:
    tags = table("A", "B")
    book = TagBook(tags)
    book.loaded()
    assert book.unsaved() == {}
