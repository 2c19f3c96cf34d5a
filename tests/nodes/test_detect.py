"""The detector nodes: examples, the laws, names, units and qualities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from gateway import Batch, Tag, Transform
from gateway.flow import harness
from gateway.flow.node import Example
from gateway.flow.registry import names, node_class

S = 10**9
NODES = {name: node_class(name) for name in names() if name.startswith("detect.")}
CASES = [
    pytest.param(cls, example, id=f"{name}: {example.title}")
    for name, cls in NODES.items()
    for example in cls.examples
]


def node(name: str, config: dict[str, Any], *tags: Tag) -> Any:
    ctx = harness.BenchContext()
    for tag in tags or (Tag("a"), Tag("b"), Tag("c")):
        ctx.tags.add(tag)
    return harness.make(node_class(name), config, ctx)


def test_the_seven_detectors_are_there() -> None:
    assert sorted(NODES) == [
        "detect.cusum", "detect.ewma", "detect.flatline", "detect.rate_of_change",
        "detect.robust_z", "detect.seasonal", "detect.sigma",
    ]  # fmt: skip


@pytest.mark.parametrize(("cls", "example"), CASES)
def test_examples_hold(cls: type[Transform[Any, Any]], example: Example) -> None:
    got, expected = harness.run_example(cls, example), harness.expected(cls, example)
    assert {port: got[port] for port in expected} == expected


@pytest.mark.parametrize(("cls", "example"), CASES)
def test_cuts_and_restarts_are_invisible(cls: type[Transform[Any, Any]], example: Example) -> None:
    rng = np.random.default_rng(7)
    n = 300
    batch = Batch.columns(
        rng.integers(0, 3, n),
        np.cumsum(rng.choice([0, 1, 1, 2, 9, -4], n)) * S // 5 + 10**18,
        rng.choice([1.0, 1.0, 2.0, 2.5, 40.0, np.nan], n),
        rng.choice(np.array([0, 0, 0, 0x40000000, 0x80000000], np.uint32), n),
    ).freeze()

    def outcome(cuts: list[int]) -> tuple[str, list[str]]:
        ctx = harness.context_of(example)
        for name in ("a", "b", "c"):
            ctx.tags.code(name)
        state, rows = None, []
        for a, b in zip([0, *cuts], [*cuts, n], strict=True):
            made = harness.make(cls, {**example.config, "tags": "#"}, ctx)
            if state is not None:
                made.restore(state)
            out = made.process(batch.where(slice(a, b)), "in").get("out")
            rows += [] if out is None else list(out.rows())
            state = made.snapshot()
        return repr(rows), ctx.tags.names()

    whole = outcome([])
    assert whole[0].count("(") > 20
    for cuts in ([1], [150], [20, 21, 22, 200], list(range(1, n))):
        assert outcome(cuts) == whole


@pytest.mark.parametrize("name", NODES)
def test_an_empty_batch_and_a_bad_one_give_nothing(name: str) -> None:
    made = node(name, {})
    assert made.process(Batch.columns([], [], []), "in") == {}
    assert made.process(Batch.columns([0, 1], [0, 0], [np.nan, np.inf]), "in") == {}
    assert made.process(Batch.columns([0], [0], [1.0], [0x80000000]), "in") == {}


@pytest.mark.parametrize("name", NODES)
def test_extreme_values_raise_no_warning(name: str) -> None:
    made = node(name, {})
    values = [1e308, -1e308, 1e149, -1e149, 5e-324, 0.0, -0.0, 1e308]
    for i in range(200):
        out = made.process(Batch.columns([0], [i * S], [values[i % 8]]), "in")
        assert all(np.isfinite(b.value).all() for b in out.values())


@pytest.mark.parametrize(
    ("name", "derived", "unit"),
    [
        ("detect.sigma", "a#sigma", "{sd}"),
        ("detect.flatline", "a#flatline", "s"),
        ("detect.rate_of_change", "a#rate_of_change", "Cel/s"),
    ],
)
def test_the_score_has_a_name_and_a_unit(name: str, derived: str, unit: str) -> None:
    made = node(name, {}, Tag("a", unit="Cel"))
    for i in range(30):
        made.process(Batch.columns([0], [i * S], [float(i % 4)]), "in")
    tags = made.ctx.tags
    assert [tag.name for tag in tags] == ["a", derived]
    assert tags[1].unit == unit


def test_a_rate_of_an_unknown_unit_has_an_unknown_unit() -> None:
    made = node("detect.rate_of_change", {"horizon_s": 1}, Tag("a"))
    made.process(Batch.columns([0, 0], [0, S], [0.0, 1.0]), "in")
    assert made.ctx.tags[1] == Tag("a#rate_of_change")


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("detect.sigma", {"min_rows": 20, "rows_max": 10}, "min_rows is greater than rows_max"),
        ("detect.robust_z", {"min_rows": 301}, "min_rows is greater than rows_max"),
        ("detect.seasonal", {"min_rows": 9, "memory_rows": 5}, "greater than memory_rows"),
        ("detect.sigma", {"window_s": 0}, "greater than 0"),
        ("detect.sigma", {"output": "a#b"}, "should match pattern"),
        ("detect.ewma", {"weight": 0}, "greater than 0"),
        ("detect.cusum", {"sd": 0}, "greater than 0"),
        ("detect.flatline", {"band": -1}, "greater than or equal to 0"),
    ],
)
def test_wrong_settings_are_refused(name: str, config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        node(name, config)


def test_the_sigma_of_the_founding_example() -> None:
    """The value is more than three sigma from the mean of the last five minutes."""
    rng = np.random.default_rng(1)
    made = node("detect.sigma", {"window_s": 300})
    scores = []
    for i in range(400):
        value = rng.normal(60.0, 0.5) if i < 399 else 63.0
        out = made.process(Batch.columns([0], [i * S], [value]), "in")
        scores += out["out"].value.tolist() if out else []
    assert len(scores) == 390
    assert scores[-1] > 5
    assert max(np.abs(scores[:-1])) < 4.5
