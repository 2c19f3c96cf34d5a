"""The log sink: a line a row, and of many rows only the first."""

from __future__ import annotations

from typing import Any

from gateway import AlarmEvent, AlarmState, Batch, Event, Tag
from gateway.flow import harness
from gateway.flow.registry import node_class


def sink(**config: Any) -> Any:
    ctx = harness.BenchContext()
    ctx.tags.add(Tag("A", "Cel"))
    return harness.make(node_class("log.sink"), config, ctx)


async def test_lines_of_all_kinds() -> None:
    node = sink()
    await node.write(Batch.of([(0, 1, 20.5, 0), (0, 2, 21, 0x80000000)]), "in")
    await node.write((Event(1, "note", {"x": 1}),), "events")
    alarm = AlarmEvent("f/n:A:HI", "A", 5, "raised", AlarmState.UNACK, condition="HI", text="Hot.")
    await node.write((alarm,), "alarms")
    assert [text for _, text in node.ctx.said] == [
        "A 20.5 Cel Good",
        "A 21 Cel Bad",
        "note {'x': 1}",
        "medium HI raised A: Hot.",
    ]


async def test_of_many_rows_only_the_first_are_written() -> None:
    node = sink(rows_max=2, level="warning")
    await node.write(Batch.of([(0, i, float(i), 0) for i in range(5)]), "in")
    assert [level for level, _ in node.ctx.said] == ["warning"] * 3
    assert node.ctx.said[-1][1] == "… and 3 more rows"
