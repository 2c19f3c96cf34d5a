"""Shadow: beside the live flow, on its input; it finds what differs and can hurt nobody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

from gateway import Batch, Outputs, Transform
from gateway.engine.graph import Graph
from gateway.engine.replay import Player
from gateway.engine.shadow import Shadow
from gateway.engine.wiring import Input, Result
from gateway.flow import registry
from gateway.flow.document import Document
from tests.engine.gear import Empty
from tests.engine.recording import FLOW, T0, S, day, operator, table

HALL = Document.parse(FLOW)


class Rude(Transform[Empty, Batch]):
    """Changes what it was given, which no node may."""

    Config = Empty

    def process(self, batch: Batch, port: str) -> Outputs:
        batch.value[:] = 0.0
        return {"out": batch}


class Greedy(Transform[Empty, Batch]):
    """Makes a tag a row and claims to know the unit of all."""

    Config = Empty
    made: ClassVar[int] = 0

    def process(self, batch: Batch, port: str) -> Outputs:
        for code in batch.tag.tolist():
            self.ctx.tags.code(f"made/{len(self.ctx.tags)}")
            self.ctx.tags.derive(code, "odd", unit="K")
        return {"out": batch}


@pytest.fixture
def lent() -> Iterator[None]:
    registry.LENT.update({"odd.rude": Rude, "odd.greedy": Greedy})
    yield
    registry.LENT.clear()


def beside(shadow: Shadow, live: Graph, steps: list[tuple[list[Input], int]]) -> list[Result]:
    """Live first, then the shadow, as the runner does."""
    results = []
    for inputs, now in steps:
        results.append(live.step(inputs, now))
        shadow.step(inputs, now, results[-1])
    return results


def with_node(kind: str) -> Document:
    text = FLOW.replace("  log:", f"  odd: {{type: {kind}}}\n  log:")
    return Document.parse(text.replace("- source -> high", "- source -> odd -> high"))


def test_the_same_flow_in_the_shadow_differs_in_nothing() -> None:
    live = Graph(HALL, table())
    shadow = Shadow(HALL, live.tags)
    beside(shadow, live, day(900))
    found = shadow.as_dict()
    assert (found["disabled"], found["differences"], found["steps"]) == ("", 0, len(day(900)))
    assert found["digests"][0] == found["digests"][1]
    assert found["alarms"]["same"] > 20
    assert {row["end"] for row in found["ends"]} == {"log.in", "book.alarms"}


def test_an_edit_is_seen_while_it_runs_and_the_newest_differences_are_kept() -> None:
    live = Graph(HALL, table())
    shadow = Shadow(Document.parse(FLOW.replace("hi: 60", "hi: 61.5")), live.tags, kept=4)
    steps = day(3000)
    beside(shadow, live, steps)
    found = shadow.as_dict()
    alarms = found["alarms"]
    assert alarms["moved"] > 4
    assert alarms["same"] > 0
    assert len(alarms["differences"]) == 4
    assert min(d["right"]["ts"] for d in alarms["differences"] if d["right"]) > T0 + 1500 * S
    assert 0 < alarms["waiting"] < 60, "only the last ten minutes are undecided"
    shadow.close()
    assert shadow.as_dict()["alarms"]["waiting"] == 0
    assert found["ends"][1]["same"] > 0


def test_writes_of_a_shadow_are_muted_and_counted() -> None:
    valve = "  valve: {type: modbus.sink, connection: line, tags: [{tag: hall/a, address: 1}]}\n"
    text = FLOW.replace("  log:", valve + "  log:").replace(
        "  - source -> silent", "  - source -> silent\n  - clean -> valve"
    )
    live = Graph(HALL, table())
    shadow = Shadow(Document.parse(text), live.tags)
    beside(shadow, live, day(100))
    found = shadow.as_dict()
    assert found["muted"] > 100
    (row,) = found["writes"]
    assert (row["end"], row["rows"]) == ("valve.in", [0, found["muted"]])
    shadow.close()
    assert shadow.as_dict()["writes"][0]["only_right"] == found["muted"]


def test_a_node_that_fails_in_the_shadow_is_counted_and_the_rest_goes_on() -> None:
    text = FLOW.replace("  log:", "  odd: {type: test.fault, above: 60}\n  log:")
    text = text.replace("- source -> high", "- source -> odd -> high")
    live = Graph(HALL, table())
    shadow = Shadow(Document.parse(text), live.tags)
    beside(shadow, live, day(200))
    found = shadow.as_dict()
    assert found["disabled"] == ""
    assert found["faults"] == {"odd": 3}
    assert next(r for r in found["ends"] if r["end"] == "log.in")["same"] > 100


def test_whatever_the_shadow_itself_raises_ends_it_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = Graph(HALL, table())
    alone = Graph(HALL, table())
    shadow = Shadow(HALL, live.tags)
    steps = day(200)

    def broken(*_: Any) -> Result:
        raise RuntimeError("out of order")

    before = beside(shadow, live, steps[:100])
    monkeypatch.setattr(Player, "step", broken)
    after = beside(shadow, live, steps[100:])
    assert shadow.disabled == "The shadow failed: RuntimeError: out of order."
    assert shadow.steps == 100
    wanted = [alone.step(inputs, now).alarms for inputs, now in steps]
    assert [result.alarms for result in [*before, *after]] == wanted
    shadow.disable("It took too long.")
    assert "RuntimeError" in shadow.disabled, "the first reason stays"


def test_a_shadow_that_writes_into_its_input_cannot_change_the_live_rows(lent: None) -> None:
    live = Graph(HALL, table())
    shadow = Shadow(with_node("odd.rude"), live.tags)
    inputs, now = day(1)[0]
    batch = inputs[0][2]
    assert isinstance(batch, Batch)
    before = batch.value.copy()
    beside(shadow, live, [(inputs, now)])
    assert np.array_equal(batch.value, before)
    assert shadow.as_dict()["faults"] == {"odd": 1}


def test_tags_of_the_shadow_are_its_own(lent: None) -> None:
    live = Graph(HALL, table())
    shadow = Shadow(with_node("odd.greedy"), live.tags)
    beside(shadow, live, day(5))
    names = live.tags.names()
    assert not any(name.startswith("made/") or name.endswith("#odd") for name in names)
    assert shadow.disabled == ""
    # The live table gets a tag whose code the shadow has given to another.
    live.tags.code("hall/new")
    code = live.tags.code("hall/new")
    assert shadow.player.tags.name(code) != "hall/new"
    seen: list[str] = []
    process = Greedy.process

    def spy(node: Greedy, batch: Batch, port: str) -> Outputs:
        seen.extend(node.ctx.tags.name(c) for c in batch.tag.tolist())
        return process(node, batch, port)

    Greedy.process = spy  # type: ignore[method-assign]  # it looks on
    try:
        batch = Batch.of([(code, T0 + 9 * S, 1.0, 0), (0, T0 + 9 * S, 2.0, 0)])
        beside(shadow, live, [([("source", "out", batch)], T0 + 9 * S)])
    finally:
        Greedy.process = process  # type: ignore[method-assign]  # and goes
    assert seen == ["hall/new", "hall/a"]
    # Its table is full at last: the shadow ends, and the live flow goes on.
    results = beside(shadow, live, day(60))
    assert "tags_max is 64" in shadow.disabled + shadow.player.fault
    assert not any(result.faults for result in results)
    assert len(live.tags) < 40


def test_a_shadow_can_begin_with_the_state_of_the_live_flow() -> None:
    steps = day(900)
    edited = Document.parse(FLOW.replace("hi: 60", "hi: 61.5"))
    live = Graph(HALL, table())
    for inputs, now in steps[:400]:
        live.step(inputs, now)
    fresh, warm = Shadow(HALL, live.tags), Shadow(HALL, live.tags)
    part = Shadow(edited, live.tags)
    assert warm.adopt(HALL, live.snapshot(), live.now) == []
    assert part.adopt(HALL, live.snapshot(), live.now) == []
    for inputs, now in steps[400:]:
        result = live.step(inputs, now)
        for shadow in (fresh, warm, part):
            shadow.step(inputs, now, result)
    for shadow in (fresh, warm, part):
        shadow.close()
    assert warm.as_dict()["differences"] == 0
    assert fresh.as_dict()["differences"] > 0
    rows = {row["end"]: row for row in part.as_dict()["ends"]}
    assert rows["log.in"]["changed"] == rows["log.in"]["only_left"] == 0
    assert part.as_dict()["alarms"]["moved"] > 0


def test_an_operator_acknowledges_in_the_shadow_too_whatever_the_number() -> None:
    steps = day(400)
    live = Graph(HALL, table())
    shadow: Shadow | None = None
    acked = False
    for inputs, now in steps:
        result = live.step(inputs, now)
        if shadow is None and now > T0 + 100 * S:  # It has not seen the first occurrences.
            shadow = Shadow(HALL, live.tags)
        if shadow is None:
            continue
        shadow.step(inputs, now, result)
        raised = [e for _, some in result.alarms for e in some if e.change == "raised"]
        for event in raised:
            if event.occurrence == 2 and not acked:
                acked = True
                what = {"alarm": event.alarm, "occurrence": 2, "actor": "user:ann"}
                ack = [operator("high", "ack", now, **what)]
                result = live.step(ack, now)
                assert [e.change for _, some in result.alarms for e in some] == ["acked"]
                shadow.step(ack, now, result)
    assert acked
    assert shadow is not None
    shadow.close()
    alarms = shadow.as_dict()["alarms"]
    assert alarms["differences"] == []
    assert alarms["same"] > 5


def test_a_year_beside_the_live_flow_takes_no_more_room_than_an_hour() -> None:
    live = Graph(HALL, table())
    other = FLOW.replace("band: 0.2", "band: 1").replace("hi: 60", "hi: 61")
    shadow = Shadow(Document.parse(other), live.tags, settle_ns=60 * S)
    sizes = []
    for part in range(4):
        for inputs, now in day(1500, seed=part):
            moved = [
                (node, port, Batch(m.tag, m.ts + part * 1500 * S, m.value, m.quality))
                for node, port, m in inputs
                if isinstance(m, Batch)
            ]
            now += part * 1500 * S
            shadow.step(moved, now, live.step(moved, now))
        shadow.as_dict()
        sizes.append(_waiting(shadow))
    assert max(sizes) < 2_000
    assert sizes[-1] <= 2 * sizes[0] + 100
    assert len(shadow.as_dict()["ends"][0]["examples"]) <= 50


def _waiting(shadow: Shadow) -> int:
    """Rows, texts and events that wait for a partner."""
    compared = shadow.compared
    ends = compared.ends.values()
    rows = sum(len(part) for diff in ends for part in diff._parts)
    texts = sum(len(diff._texts) for diff in ends)
    return rows + texts + len(compared.alarms._waiting)
