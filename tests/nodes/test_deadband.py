"""Deadband against the rule in plain Python, at any cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Batch, TagTable
from gateway.flow.harness import BenchContext, expected, feed, make, run_example
from nodes.filter.deadband import Deadband

values = st.sampled_from([0.0, 0.5, 1.0, 1.25, 3.0, math.nan, math.inf, -math.inf])
cells = st.tuples(
    st.integers(0, 2),
    st.sampled_from([0, 1, 1, 2, 5, -3, -(2**63), 2**63 - 1]),
    values,
    st.sampled_from([0, 0, 0, 0x40000000, 0x80310000]),
)


def model(rows, band, heartbeat):
    last, kept = {}, []
    for tag, ts, value, quality in rows:
        known = last.get(tag)
        if known is not None:
            x, since, severity = known
            near = abs(value - x) <= band or (math.isnan(value) and math.isnan(x))
            quiet = heartbeat == 0 or max(min(ts, 2**61), -(2**61)) - since < heartbeat
            if near and quality >> 30 == severity and quiet:
                continue
        last[tag] = (value, max(min(ts, 2**61), -(2**61)), quality >> 30)
        kept.append((tag, ts, repr(value), quality))
    return kept


@pytest.mark.parametrize("config", [{"band": 0.5}, {"band": 0.5, "heartbeat_s": 2e-9}])
@given(rows=st.lists(cells, max_size=60), cuts=st.lists(st.integers(0, 60), max_size=5))
@settings(max_examples=150, deadline=None)
def test_equal_to_the_model_at_any_cut(config, rows, cuts):
    batch = Batch.of(rows).freeze()
    wanted = model(batch.rows(), 0.5, 2 if "heartbeat_s" in config else 0)
    for parts in ([], sorted({min(c, len(batch)) for c in cuts}), range(1, len(batch))):
        node = make(Deadband, config, BenchContext(tags=TagTable(4)))
        bench = feed(node, batch, list(parts), 0)
        got = [(t, ts, repr(v), q) for part in bench.out["out"] for t, ts, v, q in part.rows()]
        assert got == wanted


@pytest.mark.parametrize("example", Deadband.examples, ids=lambda e: e.title)
def test_examples(example):
    assert run_example(Deadband, example)["out"] == expected(Deadband, example)["out"]


def test_a_tag_without_a_range_passes_unfiltered():
    node = make(Deadband, {"band": 1, "kind": "percent"}, BenchContext(tags=TagTable(4)))
    batch = Batch.columns(np.zeros(3, np.uint16), [0, 1, 2], [1.0, 1.0, 1.0])
    assert len(node.process(batch, "in")["out"]) == 3
