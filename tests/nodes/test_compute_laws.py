"""Compute nodes beyond their examples: plain arithmetic, units there and back, the vote."""

from __future__ import annotations

from statistics import median
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway import Batch, Event, Tag, quality
from gateway.flow import harness
from gateway.flow.registry import node_class

S = 10**9
FINITE = st.floats(-1e6, 1e6, allow_nan=False)


def node(name: str, config: dict[str, Any], *tags: Tag) -> Any:
    ctx = harness.BenchContext()
    for tag in tags or (Tag("A"), Tag("B"), Tag("C")):
        ctx.tags.add(tag)
    return harness.make(node_class(name), config, ctx)


def run(transform: Any, message: Any) -> Batch:
    found = transform.process(message, "in").get("out")
    assert found is None or isinstance(found, Batch)
    return found if found is not None else Batch.of([])


def column(*values: float, tag: int = 0) -> Batch:
    return Batch.columns([tag] * len(values), range(len(values)), list(values))  # type: ignore[arg-type]  # a range of times


@given(st.lists(FINITE, min_size=1, max_size=20), FINITE, FINITE)
def test_scale_is_gain_and_offset(values: list[float], gain: float, offset: float) -> None:
    found = run(node("compute.scale", {"gain": gain, "offset": offset}), column(*values))
    assert found.value.tolist() == [v * gain + offset for v in values]


@given(st.lists(FINITE, min_size=1, max_size=20))
def test_units_there_and_back(values: list[float]) -> None:
    there = node("compute.unit", {"to": "[degF]"}, Tag("A", "Cel"))
    warm = run(there, column(*values))
    assert there.ctx.tags.name(int(warm.tag[0])) == "A#[degF]"
    back = run(node("compute.unit", {"to": "Cel"}, Tag("A", "[degF]")), column(*warm.value))
    np.testing.assert_allclose(back.value, values, rtol=1e-9, atol=1e-6)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), FINITE, st.sampled_from([0, 0, quality.BAD])),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from(["median", "mean", "min", "max", "first"]),
)
def test_merge_votes_over_the_newest_good_ones(
    rows: list[tuple[int, float, int]], how: str
) -> None:
    merge = node("compute.merge", {"inputs": ["A", "B", "C"], "output": "m", "how": how})
    batch = Batch.of([(tag, i, value, status) for i, (tag, value, status) in enumerate(rows)])
    found = run(merge, batch)
    newest: dict[int, tuple[float, int]] = {}
    votes = {"median": median, "min": min, "max": max}
    for i, (tag, value, status) in enumerate(rows):
        newest[tag] = (value, status)
        good = [newest[t][0] for t in (0, 1, 2) if t in newest and newest[t][1] == 0]
        if not good:
            assert found.quality[i] >= quality.BAD
        elif how == "first":
            assert found.value[i] == good[0]
        elif how == "mean":
            assert found.value[i] == pytest.approx(sum(good) / len(good), rel=1e-12, abs=1e-9)
        else:
            assert found.value[i] == votes[how](good)


@given(st.lists(st.tuples(st.integers(0, 1), FINITE), min_size=1, max_size=40), st.integers(0, 40))
def test_an_expression_over_tags_uses_the_newest_of_each(
    rows: list[tuple[int, float]], cut: int
) -> None:
    config = {"formula": "a - 2 * b", "inputs": {"a": "A", "b": "B"}, "output": "d"}
    batch = Batch.of([(tag, i, value, 0) for i, (tag, value) in enumerate(rows)])
    transform = node("compute.expression", config)
    parts = [batch.where(slice(0, cut)), batch.where(slice(cut, None))]
    found = [v for part in parts if len(part) for v in run(transform, part).value.tolist()]
    newest: dict[int, float] = {}
    wanted = []
    for tag, value in rows:
        newest[tag] = value
        if len(newest) == 2:
            wanted.append(newest[0] - 2 * newest[1])
    assert found == wanted


def test_rename_by_name_and_by_pattern() -> None:
    config = {"names": {"A": "a"}, "match": "plant/{line}/{what}", "to": "{what}/{line}"}
    rename = node("compute.rename", config, Tag("A"), Tag("plant/l1/oil"), Tag("other"))
    found = run(rename, Batch.of([(0, 0, 1.0, 0), (1, 0, 2.0, 0), (2, 0, 3.0, 0)]))
    assert [rename.ctx.tags.name(t) for t in found.tag.tolist()] == ["a", "oil/l1", "other"]


@pytest.mark.parametrize(
    ("found", "value"),
    [(5, 5.0), ("5.5", 5.5), (True, 1.0), (10**400, None), ("x", None), ([1], None), (None, None)],
)
def test_json_takes_numbers_and_marks_the_rest_bad(found: object, value: float | None) -> None:
    transform = node("compute.json", {"values": {"A": "a.0"}})
    out = run(transform, (Event(7, "t", {"a": [found]}),))
    assert out.ts.tolist() == [7]
    if value is None:
        assert out.quality.tolist() == [quality.BAD_DECODING]
    else:
        assert (out.value.tolist(), out.quality.tolist()) == ([value], [0])


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("compute.expression", {"formula": "value +"}),
        ("compute.expression", {"formula": "a", "inputs": {"a": "A"}}),
        ("compute.scale", {"gain": float("nan")}),
        ("compute.unit", {"to": "furlongs"}),
        ("compute.rename", {"match": "{a}", "to": "{b}"}),
        ("compute.merge", {"inputs": ["A"], "output": "m"}),
    ],
)
def test_wrong_options_are_refused(name: str, config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        node_class(name).Config.model_validate(config)
