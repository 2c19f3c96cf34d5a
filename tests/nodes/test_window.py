"""The window nodes: examples, laws, and equality with a model in plain Python."""

from __future__ import annotations

import importlib
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Batch, TagTable, Windows
from gateway.flow.harness import Bench, BenchContext, expected, make, run_example

sys.path.insert(0, str(Path(__file__).parent))
import window_reference as reference

S = 1_000_000_000
NOW = 10**9 * S  # 2001: the virtual time of the tests.
KINDS = ["tumbling", "hopping", "sliding", "session", "count", "state"]
CASES = [
    ("tumbling", {"size_s": 4}, reference.Fixed),
    ("tumbling", {"size_s": 3, "lateness_s": 2}, reference.Fixed),
    ("hopping", {"size_s": 4, "hop_s": 2}, reference.Fixed),
    ("hopping", {"size_s": 5, "hop_s": 2, "lateness_s": 1}, reference.Fixed),
    ("hopping", {"size_s": 2, "hop_s": 3}, reference.Fixed),
    ("sliding", {"size_s": 3}, reference.Sliding),
    ("sliding", {"size_s": 3, "lateness_s": 2}, reference.Sliding),
    ("sliding", {"size_s": 2, "every_s": 4, "lateness_s": 1}, reference.Sliding),
    ("sliding", {"size_s": 5, "every_s": 2}, reference.Sliding),
    ("session", {"gap_s": 2}, reference.Session),
    ("session", {"gap_s": 3, "lateness_s": 2}, reference.Session),
    ("session", {"gap_s": 2, "max_s": 3, "lateness_s": 1}, reference.Session),
    ("session", {"gap_s": 2, "max_s": 2}, reference.Session),
    ("count", {"size": 3}, reference.Count),
    ("count", {"size": 3, "every": 1}, reference.Count),
    ("count", {"size": 2, "every": 5}, reference.Count),
    ("count", {"size": 1}, reference.Count),
    ("state", {"when": "same"}, reference.State),
    ("state", {"when": "same", "max_s": 3}, reference.State),
    ("state", {"when": "above", "value": 1, "max_s": 2}, reference.State),
    ("state", {"when": "equal", "value": 1}, reference.State),
]
IDS = [f"{kind}-{'-'.join(map(str, config.values()))}" for kind, config, _ in CASES]


def node_class(kind):
    return getattr(importlib.import_module(f"nodes.window.{kind}"), kind.capitalize())


def node_of(kind, config, now=NOW):
    ctx = BenchContext(tags=TagTable(8), now=now)
    for name in ("a", "b", "c", "d"):
        ctx.tags.code(name)
    return make(node_class(kind), config, ctx)


def windows_in(messages):
    found = []
    for windows in messages:
        assert isinstance(windows, Windows)
        for i in range(len(windows)):
            rows = windows.rows.where(slice(windows.offset[i], windows.offset[i + 1]))
            assert (np.diff(rows.ts) >= 0).all()
            assert set(rows.tag.tolist()) == {int(windows.tag[i])}
            key = (int(windows.tag[i]), int(windows.start[i]), int(windows.end[i]))
            found.append((*key, tuple(shown(rows))))
    return found


def shown(batch):
    return [(tag, ts, repr(value), quality) for tag, ts, value, quality in batch.rows()]


def collected(bench):
    late = [row for batch in bench.out.get("late", ()) for row in shown(batch)]
    return windows_in(bench.out["out"]), late


@st.composite
def batches(draw, tags=3):
    """Few tags, few gaps, ties, disorder, bad values, a clock that is wrong now and then."""
    gaps = st.sampled_from([0, 0, 1, 1, 2, 3, 7, -1, -2, -5])
    n = draw(st.integers(20, 60) | st.integers(1, 5))
    clock = dict.fromkeys(range(tags), NOW - 1000 * S)
    rows = []
    for _ in range(n):
        tag = draw(st.integers(0, tags - 1))
        clock[tag] += draw(gaps) * S
        odd = draw(st.integers(0, 40))
        ts = {0: clock[tag] + 7200 * S, 1: 0, 2: 2**63 - 1}.get(odd, clock[tag])
        value = draw(st.sampled_from([0.0, 1.0, 1.0, 2.0, float("nan"), float("inf")]))
        rows.append((tag, ts, value, draw(st.sampled_from([0, 0, 0, 0x40000000, 0x80310000]))))
    return Batch.of(rows).freeze()


cut_lists = st.lists(st.integers(0, 60), max_size=6)


def fed(node, batch, cuts, *, restart=None):
    bench = Bench(node)
    bounds = [0, *sorted({min(c, len(batch)) for c in cuts}), len(batch)]
    for a, b in pairwise(bounds):
        bench.send(batch.where(slice(a, b)), "in", NOW)
        if restart is not None:
            fresh = restart()
            fresh.restore(bench.node.snapshot())
            bench.node = fresh
    return bench


@pytest.mark.parametrize("kind", KINDS)
def test_examples(kind):
    cls = node_class(kind)
    assert len(cls.examples) >= 3
    for example in cls.examples:
        got = run_example(cls, example)
        for port, text in expected(cls, example).items():
            assert got[port] == text, example.title


@pytest.mark.parametrize(("kind", "config", "model"), CASES, ids=IDS)
@given(batch=batches(), cuts=cut_lists)
@settings(max_examples=25, deadline=None)
def test_equal_to_the_model_at_any_cut(kind, config, model, batch, cuts):
    wanted = model(now=NOW, **config)
    if kind == "count":
        wanted.horizon = 2**63
    wanted.feed(batch.rows())
    late = [(tag, ts, repr(value), quality) for tag, ts, value, quality in wanted.late]
    out = [
        (tag, start, end, tuple((t, ts, repr(v), q) for t, ts, v, q in rows))
        for tag, start, end, rows in wanted.out
    ]
    for parts in ([], cuts, range(len(batch))):
        assert collected(fed(node_of(kind, config), batch, parts)) == (out, late)


@pytest.mark.parametrize(("kind", "config", "model"), CASES, ids=IDS)
@given(batch=batches(), cuts=cut_lists)
@settings(max_examples=12, deadline=None)
def test_restart_is_invisible(kind, config, model, batch, cuts):
    whole = collected(fed(node_of(kind, config), batch, []))
    again = fed(node_of(kind, config), batch, cuts, restart=lambda: node_of(kind, config))
    assert collected(again) == whole


@pytest.mark.parametrize(("kind", "config", "model"), CASES, ids=IDS)
@given(batch=batches(), cuts=cut_lists, rows_max=st.integers(3, 9))
@settings(max_examples=15, deadline=None)
def test_cuts_are_invisible_when_full(kind, config, model, batch, cuts, rows_max):
    config = {**config, "rows_max": rows_max}
    whole = fed(node_of(kind, config), batch, [])
    assert collected(fed(node_of(kind, config), batch, cuts)) == collected(whole)
    assert collected(fed(node_of(kind, config), batch, range(len(batch)))) == collected(whole)
    assert whole.node._ring.rows <= rows_max


TIMED = [case[:2] for case in CASES if case[0] not in ("count", "sliding")]


@pytest.mark.parametrize(("kind", "config"), TIMED, ids=[f"{k}-{c}" for k, c in TIMED])
@given(parts=st.lists(st.tuples(batches(), st.integers(0, 9)), min_size=1, max_size=4))
@settings(max_examples=12, deadline=None)
def test_silence_closes_everything_and_no_row_is_lost(kind, config, parts):
    """Every row leaves: in a window (hopping: or more), late, or counted as in none."""
    bench, twin = Bench(node_of(kind, config)), Bench(node_of(kind, config))
    now, given_ = NOW, []
    for batch, pause in parts:
        given_ += shown(batch)
        bench.send(batch, "in", now)
        for i in range(len(batch)):
            twin.send(batch.where(slice(i, i + 1)), "in", now)
        now += pause * S
        bench.run_until(now)
        fresh = node_of(kind, config, now)
        fresh.restore(twin.node.snapshot())
        twin.node = fresh
        twin.run_until(now)
    bench.run_until(now + 10_000 * S)
    twin.run_until(now + 10_000 * S)
    assert collected(bench) == collected(twin)
    assert bench.node.wake_at() is None
    assert bench.node._ring.rows == 0
    windows, late = collected(bench)
    inside = {row for window in windows for row in window[3]}
    missing = [row for row in given_ if row not in inside and row not in set(late)]
    counted = sum(bench.node.ctx.counts.get(name, 0) for name in ("gap", "outside"))
    assert len(missing) <= counted
    if kind in ("tumbling", "session"):
        assert sorted(given_) == sorted([r for w in windows for r in w[3]] + late)


def rows(*cells, tag=0):
    return Batch.of([(tag, round(ts * S), float(i), 0) for i, ts in enumerate(cells)]).freeze()


def test_an_idle_tag_is_closed_by_the_timer_to_the_nanosecond():
    bench = Bench(node_of("tumbling", {"size_s": 10, "lateness_s": 2}, now=0))
    bench.send(rows(1), "in", 5 * S)  # Seen at 5 s: the window is silent for 11 s.
    assert bench.node.wake_at() == 16 * S
    bench.run_until(16 * S - 1)
    assert bench.out["out"] == []
    bench.run_until(16 * S)
    assert [w[:3] for w in windows_in(bench.out["out"])] == [(0, 0, 10 * S)]
    assert bench.node.wake_at() is None


def test_a_late_wake_does_not_make_a_backlog_late():
    """After an hour of standstill the timer fires first; what was queued still fits."""
    bench = Bench(node_of("tumbling", {"size_s": 10}, now=0))
    bench.send(rows(1), "in", S)
    bench.node.ctx.now = 3600 * S
    bench._collect(bench.node.wake(3600 * S))
    bench.send(rows(12, 21), "in", 3600 * S)
    assert [w[1] // S for w in windows_in(bench.out["out"])] == [0, 10]
    assert bench.out["late"] == []


def test_a_busy_tag_does_not_close_an_idle_one_nor_wait_for_it():
    bench = Bench(node_of("tumbling", {"size_s": 10}, now=0))
    bench.send(rows(1, tag=1), "in", S)
    bench.send(rows(1, 11), "in", 2 * S)
    assert [w[0] for w in windows_in(bench.out["out"])] == [0]
    bench.run_until(30 * S)
    assert [w[0] for w in windows_in(bench.out["out"])] == [0, 1, 0]


def test_a_clock_that_jumps_closes_nothing():
    bench = Bench(node_of("tumbling", {"size_s": 10}, now=0))
    bench.send(rows(1, 4000, 2, 11), "in", 5 * S)
    assert [w[1:3] for w in windows_in(bench.out["out"])] == [(0, 10 * S)]
    assert [row[1] for row in shown(bench.out["late"][0])] == [4000 * S]
    assert bench.node.ctx.counts == {"future": 1}


def test_the_future_may_be_as_far_as_it_says():
    bench = Bench(node_of("tumbling", {"size_s": 10, "future_max_s": 5}, now=0))
    bench.send(rows(10), "in", 5 * S)
    assert bench.out["late"] == []
    bench.send(rows(10.1), "in", 5 * S)
    assert len(bench.out["late"]) == 1


def test_a_device_without_a_clock_starts_in_1970_and_then_knows_better():
    bench = Bench(node_of("tumbling", {"size_s": 10}))
    day = NOW // S
    bench.send(rows(0, 1, day, day + 10), "in", NOW)
    assert [len(w[3]) for w in windows_in(bench.out["out"])] == [2, 1]
    bench.send(rows(2), "in", NOW)
    assert bench.node.ctx.counts == {"late": 1}


def test_the_ends_of_time_do_not_overflow():
    bench = Bench(node_of("hopping", {"size_s": 3600, "hop_s": 60, "lateness_s": 60}))
    for ts in (-(2**63), 2**63 - 1, -(2**61), 2**62 + 1, -(2**61) + 1):
        bench.send(Batch.of([(0, ts, 1.0, 0)]), "in", NOW)
    assert bench.node.ctx.counts == {"future": 4}
    assert bench.node._ring.rows == 1


def test_good_share_counts_bad_rows():
    bench = Bench(node_of("tumbling", {"size_s": 10}, now=0))
    cells = [
        (0, 0, 1.0, 0),
        (0, S, float("nan"), 0),
        (0, 2 * S, 3.0, 0x40000000),
        (0, 10 * S, 1, 0),
    ]
    bench.send(Batch.of(cells), "in", 10 * S)
    assert bench.out["out"][0].good_share.tolist() == [1 / 3]


@pytest.mark.parametrize("kind", ["tumbling", "count", "session", "state"])
def test_other_tags_are_left_out(kind):
    config = {"tumbling": {"size_s": 1}, "count": {"size": 1}, "session": {"gap_s": 1}}
    bench = Bench(node_of(kind, {**config.get(kind, {"max_s": 1}), "tags": "b"}, now=0))
    mixed = Batch.of([(tag, ts * S, 1.0, 0) for ts in range(4) for tag in (0, 1, 2)])
    bench.send(mixed, "in", 4 * S)
    bench.node.ctx.tags.code("e")
    bench.send(Batch.of([(4, 5 * S, 1.0, 0), (1, 6 * S, 1.0, 0)]), "in", 6 * S)
    assert {w[0] for w in windows_in(bench.out["out"])} == {1}


def test_a_full_node_refuses_loudly_and_recovers():
    bench = Bench(node_of("tumbling", {"size_s": 10, "rows_max": 2}, now=0))
    bench.send(rows(1, 2, 3, 4, 11, 12), "in", 12 * S)
    assert [len(w[3]) for w in windows_in(bench.out["out"])] == [2]
    assert [row[1] // S for batch in bench.out["late"] for row in shown(batch)] == [3, 4, 11]
    assert bench.node.ctx.counts == {"rows_max": 3}
    bench.run_until(30 * S)
    assert [row[1] // S for row in windows_in(bench.out["out"])[-1][3]] == [12]


@given(batch=batches(), cuts=cut_lists)
@settings(max_examples=25, deadline=None)
def test_a_deciding_tag_cuts_alike_at_any_cut(batch, cuts):
    config = {"by": "c", "when": "equal", "value": 1, "max_s": 5}
    whole = collected(fed(node_of("state", config), batch, []))
    assert collected(fed(node_of("state", config), batch, cuts)) == whole
    singly = fed(
        node_of("state", config), batch, range(60), restart=lambda: node_of("state", config)
    )
    assert collected(singly) == whole
    on, wanted = False, []
    for tag, ts, value, quality in batch.rows():
        if ts > NOW + 3600 * S and tag != 2:
            continue
        if tag == 2 and quality < 2**31:
            on = value == 1
        if on and ts <= NOW + 3600 * S:
            wanted.append((tag, ts, repr(value), quality))
    left = singly.node._ring.rows
    assert len(wanted) == sum(len(w[3]) for w in whole[0]) + left


def test_days_follow_the_wall_clock_through_summer_time():
    """Berlin, March 2001: the day of the change has 23 hours. Source: directive 2000/84/EC."""
    node = node_of("tumbling", {"size_s": 86400, "offset_s": 21600, "zone": "Europe/Berlin"})
    day = 985_410_000 * S  # 2001-03-24 06:00 in Berlin, 05:00 UTC.
    hours = np.arange(0, 72) * 3600 * S + day
    start, end = node._spans(hours)
    assert sorted(set(((end - start) // (3600 * S)).tolist())) == [23, 24]
    assert start[0] == day
    assert start[23] == day + 23 * 3600 * S or end[22] == start[23]
    assert ((start <= hours) & (hours < end)).all()
    autumn = 1_003_978_800 * S + np.arange(0, 200) * 1800 * S
    start, end = node._spans(autumn)
    assert 25 in ((end - start) // (3600 * S)).tolist()
    assert (np.diff(start) >= 0).all()


@pytest.mark.parametrize(
    ("kind", "config", "words"),
    [
        ("tumbling", {"size_s": 86400, "zone": "Mars/Base"}, "no time zone"),
        ("tumbling", {"size_s": 60, "zone": "Europe/Berlin"}, "an hour or more"),
        ("tumbling", {"size_s": 0}, "greater than 0"),
        ("hopping", {"size_s": 3600, "hop_s": 1}, "1000 windows"),
        ("session", {"gap_s": 10, "max_s": 5}, "at least"),
        ("count", {"size": 10, "rows_max": 5}, "rows_max"),
    ],
)
def test_a_wrong_config_says_why(kind, config, words):
    with pytest.raises(ValueError, match=words):
        node_of(kind, config)
