"""simulate.events: what it says, in which order, and that a run can be repeated."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.engine.clock import SystemClock
from gateway.flow import harness
from gateway.flow.registry import node_class


def node(**config: Any) -> Any:
    ctx = harness.BenchContext(clock=SystemClock())
    return harness.make(node_class("simulate.events"), config, ctx)


async def said(source: Any, count: int) -> list[Any]:
    await source.connect()
    return [(await source.read()).outputs["events"][0] for _ in range(count)]


async def test_in_order_and_again() -> None:
    events = await said(node(items=["a", '{"n": 1}'], every_s=0.001, number="k", topic="t"), 3)
    assert [e.data for e in events] == [
        {"text": "a", "k": 0},
        {"n": 1, "k": 1},
        {"text": "a", "k": 2},
    ]
    assert {e.topic for e in events} == {"t"}
    assert [e.ts for e in events] == sorted(e.ts for e in events)


async def test_thrown_and_the_same_for_one_seed() -> None:
    items = [str(i) for i in range(10)]
    runs = []
    for seed in (1, 1, 2):
        source = node(items=items, order="random", seed=seed)
        runs.append([source.item(k)["text"] for k in range(50)])
    assert runs[0] == runs[1] != runs[2]
    assert set(runs[0]) == set(items)


async def test_what_was_not_made_is_a_gap() -> None:
    source = node(items=["a"], every_s=0.001)
    await source.connect()
    await source.read()
    source._due_s -= 1.0
    outputs = (await source.read()).outputs
    (gap,) = outputs["status"]
    assert gap.data["missing"] >= 900


def test_a_broken_item_is_said() -> None:
    with pytest.raises(ValidationError, match="item 2 is no JSON"):
        node(items=["a", '{"b": '])
