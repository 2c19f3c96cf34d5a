"""Filters beyond their examples: against plain loops, and the bounds they promise."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway import Batch, Tag, quality
from gateway.flow import harness
from gateway.flow.registry import node_class

S = 10**9
VALUES = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, -1.0, float("nan"), 3.25])
QUALITIES = st.sampled_from([0, 0, 0, quality.UNCERTAIN, quality.BAD])


def node(name: str, config: dict[str, Any], tags: int = 4) -> Any:
    ctx = harness.BenchContext()
    for i in range(tags):
        ctx.tags.add(Tag(f"T{i}", low=0.0, high=100.0))
    return harness.make(node_class(name), config, ctx)


@st.composite
def batches(draw: st.DrawFn, tags: int = 3, most: int = 120) -> Batch:
    n = draw(st.integers(1, most))
    column = lambda of: draw(st.lists(of, min_size=n, max_size=n))  # noqa: E731 - four alike
    steps = column(st.sampled_from([0, 1, 1, 2, -1, 30]))
    return Batch.columns(
        column(st.integers(0, tags - 1)),
        (np.cumsum(np.array(steps)) * S).tolist(),
        column(VALUES),
        column(QUALITIES),
    )


def out(bench: harness.Bench, port: str = "out") -> list[tuple[int, int, str, int]]:
    rows = [row for message in bench.out[port] for row in message.rows()]  # type: ignore[union-attr]  # batches
    return [(tag, ts, repr(value), status) for tag, ts, value, status in rows]


def fed(transform: Any, batch: Batch, cuts: list[int]) -> harness.Bench:
    return harness.feed(transform, batch, sorted(c for c in set(cuts) if 0 < c < len(batch)), 0)


CUTS = st.lists(st.integers(1, 120), max_size=4)


@given(batches(), CUTS, st.sampled_from([0.5, 1.0]), st.sampled_from([0.0, 5.0]))
def test_deadband_is_what_a_plain_loop_gives(
    batch: Batch, cuts: list[int], band: float, heartbeat: float
) -> None:
    last: dict[int, tuple[float, int, int]] = {}
    wanted = []
    for tag, ts, value, status in batch.rows():
        known = last.get(tag)
        if known is not None:
            before, at, severity = known
            near = abs(value - before) <= band or (value != value and before != before)
            silent = heartbeat and ts - at >= heartbeat * S
            if near and severity == status >> 30 and not silent:
                continue
        last[tag] = (value, ts, status >> 30)
        wanted.append((tag, ts, repr(value), status))
    config = {"band": band, "heartbeat_s": heartbeat}
    assert out(fed(node("filter.deadband", config), batch, cuts)) == wanted


@given(batches(tags=1, most=400))
def test_deadband_is_the_same_in_one_batch_and_row_by_row(batch: Batch) -> None:
    whole = out(fed(node("filter.deadband", {"band": 0.5}), batch, []))
    single = out(harness.feed(node("filter.deadband", {"band": 0.5}), batch, range(len(batch)), 0))
    assert whole == single


@given(batches(), CUTS, st.booleans())
def test_duplicate_is_what_a_plain_loop_gives(batch: Batch, cuts: list[int], older: bool) -> None:
    newest: dict[int, tuple[int, str, int]] = {}
    wanted, repeats = [], []
    for tag, ts, value, status in batch.rows():
        row = (tag, ts, repr(value), status)
        known = newest.get(tag)
        if known is not None and (known == row[1:] or (older and ts < known[0])):
            repeats.append(row)
            continue
        if known is None or ts >= known[0]:
            newest[tag] = row[1:]
        wanted.append(row)
    bench = fed(node("filter.duplicate", {"older": older}), batch, cuts)
    assert out(bench) == wanted
    assert out(bench, "duplicates") == repeats


@given(batches(), CUTS, st.sampled_from(["good", "uncertain"]))
def test_quality_splits_and_loses_nothing(batch: Batch, cuts: list[int], at_least: str) -> None:
    bench = fed(node("filter.quality", {"at_least": at_least}), batch, cuts)
    worst = quality.UNCERTAIN if at_least == "good" else quality.BAD
    assert all(status < worst for *_, status in out(bench))
    assert all(status >= worst for *_, status in out(bench, "rejected"))
    assert len(out(bench)) + len(out(bench, "rejected")) == len(batch)


@given(batches(), CUTS, st.sampled_from(["mark", "clamp", "drop"]))
def test_range_lets_no_good_value_outside(batch: Batch, cuts: list[int], outside: str) -> None:
    bench = fed(node("filter.range", {"low": 0, "high": 2, "outside": outside}), batch, cuts)
    rows = out(bench)
    assert all(0 <= float(value) <= 2 for *_, value, status in rows if status == 0)
    assert len(rows) + len(out(bench, "rejected")) == len(batch)
    if outside == "clamp":
        assert all(0 <= float(value) <= 2 for *_, value, _ in rows if value != "nan")


@given(batches(), CUTS)
def test_rate_is_what_a_plain_loop_gives(batch: Batch, cuts: list[int]) -> None:
    last: dict[int, tuple[int, int]] = {}
    wanted = []
    for tag, ts, value, status in batch.rows():
        known = last.get(tag)
        if known is None or ts - known[0] >= 2 * S or known[1] != status >> 30:
            last[tag] = (ts, status >> 30)
            wanted.append((tag, ts, repr(value), status))
    assert out(fed(node("filter.rate", {"every_s": 2}), batch, cuts)) == wanted


# ------------------------------------------------------------------ swinging door

TRENDS = st.lists(
    st.tuples(st.sampled_from([1, 1, 2, 7]), st.floats(-100, 100, allow_nan=False)),
    min_size=2,
    max_size=80,
)


def compressed(
    trend: list[tuple[int, float]], deviation: float, max_s: float = 0
) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """(all, kept) as (ts, value); the sample held back at the end counts as kept."""
    ts = (np.cumsum([step for step, _ in trend]) * S).tolist()
    whole = list(zip(ts, [value for _, value in trend], strict=True))
    batch = Batch.columns([0] * len(ts), ts, [value for _, value in trend])
    door = node("filter.swinging_door", {"deviation": deviation, "max_s": max_s})
    rows = out(harness.feed(door, batch, [len(ts) // 2] if len(ts) > 2 else [], 0))
    kept = [(t, float(value)) for _, t, value, _ in rows]
    return whole, kept if kept[-1] == whole[-1] else [*kept, whole[-1]]


@given(TRENDS, st.sampled_from([0.1, 1.0, 10.0, 50.0]))
def test_no_dropped_sample_is_further_from_the_line_than_the_deviation(
    trend: list[tuple[int, float]], deviation: float
) -> None:
    whole, kept = compressed(trend, deviation)
    assert set(kept) <= set(whole)
    xs = np.array([t for t, _ in kept], np.float64)
    ys = np.array([v for _, v in kept])
    for t, value in whole:
        line = np.interp(t, xs, ys)
        assert abs(line - value) <= deviation * (1 + 1e-9) + 1e-9


@given(TRENDS)
def test_a_straight_line_keeps_its_ends_only(trend: list[tuple[int, float]]) -> None:
    line = [(step, 0.0) for step, _ in trend]
    whole, kept = compressed(line, 0.5)
    assert kept == [whole[0], whole[-1]]


@given(TRENDS, st.sampled_from([7.0, 20.0]))
def test_max_s_keeps_a_sample_often_enough(trend: list[tuple[int, float]], max_s: float) -> None:
    _, kept = compressed([(step, 0.0) for step, _ in trend], 0.5, max_s)
    gaps = np.diff([t for t, _ in kept]) / S
    assert (gaps <= max_s).all()


@given(batches(tags=2))
def test_swinging_door_keeps_every_sample_that_is_not_good(batch: Batch) -> None:
    door = node("filter.swinging_door", {"deviation": 1.0})
    rows = out(harness.feed(door, batch, [], 0))
    bad = [(t, ts, repr(v), q) for t, ts, v, q in batch.rows() if q >= quality.UNCERTAIN]
    assert [row for row in rows if row[3] >= quality.UNCERTAIN] == bad


def test_stale_repeats_each_tag_once_in_the_order_they_went_stale() -> None:
    bench = harness.Bench(node("filter.stale", {"after_s": 60}))
    bench.send(Batch.columns([0, 1], [0, 0], [1.0, 2.0]), "in", 0)
    bench.send(Batch.columns([1], [10 * S], [3.0]), "in", 10 * S)
    bench.run_until(1000 * S)
    aged = out(bench)[3:]
    assert aged == [
        (0, 60 * S, "1.0", quality.UNCERTAIN_LAST_USABLE),
        (1, 70 * S, "3.0", quality.UNCERTAIN_LAST_USABLE),
    ]
