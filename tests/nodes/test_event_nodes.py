"""Events: what fits, what is made of them, who waits for whom; and input that means harm."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import MISSING, Event, JsonPath, Template
from gateway.flow import harness
from gateway.flow.registry import node_class

S = 10**9


def node(name: str, **config: Any) -> Any:
    return harness.make(node_class(name), config, harness.BenchContext())


def event(data: Any, topic: str = "t", ts: int = 0) -> Event:
    return Event(ts, topic, data)


@pytest.mark.parametrize(
    ("rule", "data", "fits"),
    [
        ({"equals": {"a": 1}}, {"a": 1.0}, True),
        ({"equals": {"a": 1}}, {"a": True}, False),
        ({"equals": {"a": None}}, {}, False),
        ({"equals": {"a": None}}, {"a": None}, True),
        ({"equals": {"a.b": "x"}}, {"a": '{"b": "x"}'}, True),
        ({"contains": {"a": "TIME"}}, {"a": "a timeout"}, True),
        ({"contains": {"a": "1"}}, {"a": 1}, False),
        ({"where": "x > 1", "numbers": {"x": "x"}}, {"x": "nan"}, False),
        ({"where": "x > 1", "numbers": {"x": "x"}}, {"x": [2]}, False),
        ({"where": "isnan(x)", "numbers": {"x": "x"}}, {}, True),
        ({"where": "1"}, {}, True),
    ],
)
def test_what_fits(rule: dict[str, Any], data: Any, fits: bool) -> None:
    out = node("event.filter", **rule).process((event(data),), "in")
    assert ("out" in out) is fits


@pytest.mark.parametrize(
    ("name", "config", "text"),
    [
        ("event.filter", {"where": "x >"}, "cannot be read"),
        ("event.filter", {"where": "x > 1"}, "not known"),
        ("event.filter", {"equals": {"a..b": 1}}, "is no path"),
        ("event.filter", {"topics": ["a/#/b"]}, "comes last"),
        ("event.map", {"texts": {"a": "{user}"}}, "there is no {user}"),
        ("event.map", {"compute": {"a": "().__class__"}}, "not allowed"),
        ("event.route", {"a": {}}, "takes everything"),
        ("event.join", {"left_key": ""}, "at least 1"),
    ],
)
def test_nonsense_is_refused_before_it_runs(name: str, config: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("{", r"\{")):
        node(name, **config)


def test_input_that_means_harm_costs_nothing() -> None:
    deep: Any = {}
    for _ in range(900):
        deep = {"a": deep}
    out = node("event.map", texts={"t": "{data.a}"}, take={"b": "a"}).process((event(deep),), "in")
    assert len(out["out"]) == 1
    assert JsonPath("a." * 31 + "a").find(deep) != MISSING
    assert JsonPath("rows.99999999999999999999").find({"rows": [1]}) is MISSING
    assert JsonPath("rows.²").find({"rows": [1, 2, 3]}) is MISSING
    assert JsonPath("a.0").find({"a": "[" * 100_000}) is MISSING
    assert Template("{data.__class__}").fill({"data": {}}) == ""


def test_braces_of_others_stay() -> None:
    assert Template('{"a": {x}, "{y}": {}}').fill({"x": 1, "y": "k"}) == '{"a": 1, "k": {}}'
    assert Template("{x}").fill({"x": "{y}"}) == "{y}", "a value is no template"


def test_many_wait_and_the_oldest_leaves() -> None:
    it = node("event.join", left_key="id", pending_max=3, within_s=100)
    alone = []
    for i in range(10):
        it.ctx.now = i * S
        out = it.process((event({"id": i}),), "left")
        alone += [e.data["id"] for e in out.get("left_alone", ())]
    assert alone == list(range(7))
    assert it.ctx.counts == {"dropped_pending": 7}
    assert it.wake_at() == 107 * S


def test_partners_of_one_key_meet_in_order() -> None:
    it = node("event.join", left_key="id")
    it.process((event({"id": 1, "n": 1}), event({"id": 1, "n": 2})), "left")
    out = it.process((event({"id": "1", "m": 1}), event({"id": 1.0, "m": 2})), "right")
    pairs = [(e.data["left"]["n"], e.data["right"]["m"]) for e in out["out"]]
    assert pairs == [(1, 1), (2, 2)]
    assert len({e.id for e in out["out"]}) == 2
