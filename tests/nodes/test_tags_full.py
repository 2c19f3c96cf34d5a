"""A full table of tags stops no node: what it has room for goes on, the rest is counted."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import TagTable
from gateway.data.table import parse
from gateway.engine.graph import Graph
from gateway.flow.document import Document

NODES = {
    "feature.statistics": ("window.count, size: 2", "features: [mean, sd]"),
    "feature.spectrum": ("window.count, size: 16", "bands_hz: [[0.1, 0.4]]"),
    "detect.sigma": ("", "min_rows: 2"),
    "compute.rename": ("", 'match: "{x}", to: "new/{x}"'),
    "compute.unit": ("", "to: kPa, source: bar"),
}


def flow(type_: str, before: str, config: str) -> str:
    nodes, wire = f"  n: {{type: {type_}, {config}}}", "in -> n"
    if before:
        nodes, wire = f"  w: {{type: {before}}}\n{nodes}", "in -> w -> n"
    head = 'flow: f\nversion: 1\nnodes:\n  in: {type: test.inject, rows: "A 0s 1"}\n'
    return f"{head}{nodes}\nwires: [{wire}]\n"


@pytest.mark.parametrize("type_", NODES)
def test_the_tags_that_have_room_go_on(type_: str) -> None:
    def run(limit: int) -> tuple[list[tuple[Any, ...]], dict[str, int], Graph]:
        tags = TagTable(limit)
        graph = Graph(Document.parse(flow(type_, *NODES[type_])), tags, trace=True)
        for name in ("A", "B"):
            tags.code(name)
        table = "\n".join(
            f"{name} " + " | ".join(f"{s}s {s * s % 7}" for s in range(20)) for name in ("A", "B")
        )
        result = graph.step([("in", "out", parse(table, tags))], 20 * 10**9)
        assert result.faults == []
        rows = [
            (tags.name(tag), ts, value, status)
            for node, port, message in result.trace
            if (node, port) == ("n", "out")
            for tag, ts, value, status in message.rows()
        ]
        node = graph.transforms()["n"]
        said = [text for level, text in node.ctx.said if level == "error"]
        assert len(said) == (limit < 40)
        return rows, node.ctx.counts, graph

    everything, counts, graph = run(40)
    assert counts.get("tags_full", 0) == 0
    needed = len(graph.tags)
    rows, counts, _ = run(2 + (needed - 2) // 2)
    mine = [row for row in everything if not row[0].removeprefix("new/").startswith("B")]
    assert repr(rows) == repr(mine), "A has its tags, B has none"
    assert counts["tags_full"] == len(everything) - len(mine)
