"""Who looks at a flow sees what leaves its ports, and changes nothing by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.engine.graph import Graph
from gateway.engine.taps import TAP_ROWS_MAX, Tap, Taps, last_of
from gateway.flow import notation
from tests.engine.gear import Script, flow, lent, samples, started, until

NODES = """
src: {type: script.source}
near: {type: filter.deadband, band: 0.5}
minute: {type: window.tumbling, size_s: 60}
mean: {type: feature.statistics}
high: {type: alarm.limit, hi: 80}
"""
FLOW = flow(NODES, "src -> near -> minute -> mean, near -> high")


def batch(tags: TagTable, text: str) -> Batch:
    found = notation.parse(text, "samples", tags)
    assert isinstance(found, Batch)
    return found


def random_batches(seed: int, count: int) -> list[Batch]:
    chance = np.random.default_rng(seed)
    found = []
    for i in range(count):
        size = int(chance.integers(1, 50))
        ts = (i * 10 + np.sort(chance.uniform(0, 10, size))) * 1e9
        tag = chance.integers(0, 5, size).astype(np.uint16)
        found.append(Batch.columns(tag, ts.astype(np.int64), chance.uniform(0, 100, size)))
    return found


def graph_of(document: Any = FLOW) -> Graph:
    with lent(Script()):
        tags = TagTable()
        for name in "ABCDE":
            tags.code(name)
        return Graph(document, tags, trace=True)


def run(graph: Graph, batches: list[Batch]) -> list[tuple[Any, ...]]:
    """All that came of it, as texts."""
    found = []
    for one in batches:
        result = graph.step([("src", "out", one)], int(one.ts[-1]))
        found += [(n, p, notation.show(m, graph.tags)) for n, p, m in result.trace]
        assert not result.faults
    return found


def test_one_who_looks_changes_no_result() -> None:
    batches = random_batches(3, 40)
    plain, watched = graph_of(), graph_of()
    taps = Taps(lambda: watched)
    all_taps = [Tap(port, 7) for port in (("src", "out"), ("near", "out"), ("high", "alarms"))]
    for tap in all_taps:
        taps.add(tap)
    newest = taps.add_newest()
    before = run(plain, batches)
    assert run(watched, batches) == before
    assert [tap.rows > 0 for tap in all_taps] == [True, True, True]
    assert {"near", "minute", "mean", "high"} <= {node for node, _ in newest}
    assert watched.snapshot().keys() == plain.snapshot().keys()


def test_nobody_looks_and_the_graph_is_as_it_was() -> None:
    graph = graph_of()
    seen: list[str] = []
    graph.observe = plain = lambda node, port, message: seen.append(f"{node}.{port}")
    taps = Taps(lambda: graph)
    one, two = Tap(("src", "out"), 5), Tap(("src", "out"), 5)
    taps.add(one)
    taps.add(two)
    table = taps.add_newest()
    assert (graph.observe is plain, len(taps)) == (False, 3)
    graph.step([("src", "out", batch(graph.tags, "A 0s 1"))], 0)
    assert "src.out" in seen, "who looked before still does"
    assert (one.rows, two.rows, table["src", "out"] is not None) == (1, 1, True)
    taps.remove(one)
    taps.remove(two)
    assert graph.observe is not plain
    taps.remove_newest(table)
    assert (graph.observe is plain, len(taps)) == (True, 0)
    graph.step([("src", "out", batch(graph.tags, "A 1s 2"))], 10**9)
    assert one.rows == 1


def test_another_revision_is_followed_and_the_old_one_let_go() -> None:
    first, second = graph_of(), graph_of()
    running = [first]
    taps = Taps(lambda: running[0])
    tap = Tap(("src", "out"), 5)
    taps.add(tap)
    running[0] = second
    taps.follow()
    assert first.observe is None
    second.step([("src", "out", batch(second.tags, "A 0s 1"))], 0)
    assert tap.rows == 1


@pytest.mark.parametrize("size", [1, 3, 20, 500])
def test_a_tap_keeps_the_newest_rows_and_no_more(size: int) -> None:
    tags = TagTable()
    tags.code("A")
    tap = Tap(("n", "out"), 20)
    chance = np.random.default_rng(size)
    values = np.arange(2000, dtype=float)
    at = 0
    while at < len(values):
        step = int(chance.integers(1, size + 1))
        part = values[at : at + step]
        tap.take(Batch.columns(np.zeros(len(part), np.uint16), part.astype(np.int64), part))
        at += step
        shown = tap.shown(tags)["samples"]
        assert [row[2] for row in shown] == list(values[max(0, min(at, 2000) - 20) : at])
        held = sum(len(kept) for kept in tap._kept)
        assert held < 20 + 20, "less than one message beyond what is shown"
    assert tap.rows == 2000


def test_a_long_message_is_not_held_for_its_end() -> None:
    big = Batch.columns(np.zeros(8000, np.uint16), np.arange(8000), np.arange(8000.0))
    tap = Tap(("n", "out"), 10**6)
    tap.take(big)
    (kept,) = tap._kept
    assert isinstance(kept, Batch)
    assert (len(kept), kept.value.base) == (TAP_ROWS_MAX, None)


def test_what_is_shown_of_each_kind() -> None:
    tags = TagTable()
    tap = Tap(("n", "out"), 2)
    tap.take(notation.parse("A 0s-60s: 1s 2, 3s 4 | 60s-120s: 61s 2", "windows", tags))
    assert tap.shown(tags) == {
        "items": [
            {"tag": "A", "start": 0, "end": 60 * 10**9, "rows": 2},
            {"tag": "A", "start": 60 * 10**9, "end": 120 * 10**9, "rows": 1},
        ]
    }
    tap = Tap(("n", "out"), 2)
    tap.take(tuple(Event(i, f"a/{i}", {"x": i}) for i in range(5)))
    assert [item["topic"] for item in tap.shown(tags)["items"]] == ["a/3", "a/4"]
    tap = Tap(("n", "out"), 2)
    tap.take(notation.parse("15s TT101 HI raised UNACK 76 75", "alarms", tags))
    assert tap.shown(tags)["items"][0]["change"] == "raised"


def test_what_a_node_gave_last() -> None:
    tags = TagTable()
    assert last_of(batch(tags, "A 0s 1 | 2s 5 bad"), tags) == ["A", 2 * 10**9, 5.0, "Bad"]
    assert last_of(batch(tags, "A 3s nan bad"), tags) == ["A", 3 * 10**9, None, "Bad"]
    windows = notation.parse("A 0s-60s: 1s 2, 3s 4", "windows", tags)
    assert isinstance(windows, Windows)
    assert last_of(windows, tags) == ["A", 60 * 10**9, None, "2 rows"]
    alarms = notation.parse("15s TT101 HI raised UNACK 76 75", "alarms", tags)
    assert last_of(alarms, tags) == ["test:TT101:HI", 15 * 10**9, 76.0, "raised"]
    assert last_of((Event(7, "a/b"),), tags) == ["a/b", 7, None, "event"]


async def test_a_tap_goes_on_over_a_deploy_and_loses_nothing(tmp_path: Path) -> None:
    """Rows come without a pause while the flow is edited; each is seen once by the tap."""
    with lent(Script()) as script:
        runtime = await started(FLOW, tmp_path)
        runner = runtime.runners["test"]
        tap = Tap(("src", "out"), 200)
        runner.taps.add(tap)
        for i in range(60):
            script.readings.put_nowait(samples(runtime, f"A {i}s {i}"))
            if i % 20 == 10:
                edited = flow(
                    NODES.replace("hi: 80", f"hi: {90 + i}"),
                    "src -> near -> minute -> mean, near -> high",
                )
                await runtime.deploy(edited, "user:anna")
        await until(lambda: tap.rows >= 60)
        seen = [row[2] for row in tap.shown(runtime.tags)["samples"]]
        assert seen == [float(i) for i in range(60)]
        runner.taps.remove(tap)
        await runtime.stop()
