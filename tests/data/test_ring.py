"""The ring against a dict of lists, and the ragged helpers against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Batch
from gateway.data.ragged import first_at_least, heads, ranges, running_max
from gateway.data.ring import Ring, Rows

TAGS = 6
Row = tuple[int, float, int]


def listed(rows: Rows) -> dict[int, list[Row]]:
    ends = np.cumsum(rows.count)
    return {
        int(code): list(
            zip(
                rows.ts[end - n : end].tolist(),
                rows.value[end - n : end].tolist(),
                rows.quality[end - n : end].tolist(),
                strict=True,
            )
        )
        for code, n, end in zip(rows.code, rows.count, ends, strict=True)
    }


def regrouped(model: dict[int, list[Row]]) -> Rows:
    columns = [row for rows in model.values() for row in rows]
    return Rows(
        np.array(list(model), np.uint16),
        np.array([len(rows) for rows in model.values()], np.intp),
        np.array([row[0] for row in columns], np.int64),
        np.array([row[1] for row in columns], np.float64),
        np.array([row[2] for row in columns], np.uint32),
    )


appends = st.tuples(
    st.just("append"), st.lists(st.tuples(st.integers(0, TAGS - 1), st.integers(-3, 3)))
)
bursts = st.tuples(
    st.just("burst"), st.tuples(st.integers(0, TAGS - 1), st.sampled_from([1, 9, 700, 3000]))
)
mixes = st.tuples(
    st.just("mix"), st.lists(st.sampled_from([0, 1, 30, 120, 500]), min_size=TAGS, max_size=TAGS)
)
trims = st.tuples(
    st.just("trim"),
    st.tuples(st.sets(st.integers(0, TAGS - 1), min_size=1), st.sampled_from([0, 1, 3, 60, 250])),
)
reloads = st.tuples(st.just("reload"), st.none())


@given(st.lists(st.one_of(appends, bursts, mixes, trims, reloads), max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_ring_is_a_dict_of_lists(steps):
    ring, model = Ring(TAGS, 10**6), {tag: [] for tag in range(TAGS)}
    serial = 0
    for kind, given_ in steps:
        if kind in ("append", "burst", "mix"):
            pairs = given_
            if kind != "append":
                counts = [given_] if kind == "burst" else enumerate(given_)
                pairs = [(tag, i) for tag, n in counts for i in range(n)]
            rows = [(tag, ts, float(serial + i), i % 3) for i, (tag, ts) in enumerate(pairs)]
            serial += len(rows)
            ring.append(Batch.of(rows))
            for tag, *row in rows:
                model[tag].append(tuple(row))
        elif kind == "trim":
            tags, keep = given_
            for tag in tags:
                model[tag] = model[tag][len(model[tag]) - keep :] if keep else []
            ring.put(regrouped({tag: model[tag] for tag in sorted(tags)}))
        else:
            state = ring.save()
            assert len(state["ts"]) == ring.rows
            ring = Ring(TAGS, 10**6)
            ring.load(state)
        assert ring.rows == sum(map(len, model.values()))
        assert listed(ring.gather(np.arange(TAGS, dtype=np.uint16))) == model
        one = np.array([2], np.uint16)
        assert listed(ring.gather(one)) == {2: model[2]}


def test_a_move_leaves_room_for_every_tag_of_the_batch():
    """The arena is full and one tag outgrows its stretch; another has just room enough in its own.

    When all move to a fresh arena, that other one gets no longer stretch than it needs; so it must
    be known that it needs more, or its new rows run over those of its neighbour.
    """
    ring, model = Ring(2, 10**6), {0: [], 1: []}

    def append(*counts):
        rows = [(tag, n) for tag, count in enumerate(counts) for n in range(count)]
        batch = Batch.of([(tag, len(model[tag]) + n, 0.0, tag) for tag, n in rows])
        ring.append(batch)
        for tag, count in enumerate(counts):
            start = len(model[tag])
            model[tag] += [(start + n, 0.0, tag) for n in range(count)]

    append(200, 600)  # Stretches of 256 and 1,024 rows.
    model[0] = model[0][:120]
    ring.put(regrouped({0: model[0]}))
    append(20, 500)  # 140 rows still fit into 256; 1,100 do not fit into 1,024.
    assert listed(ring.gather(np.array([0, 1], np.uint16))) == model


def test_memory_follows_the_rows_that_exist():
    ring = Ring(10_000, 10**6)
    tags = np.arange(10_000, dtype=np.uint16)
    for i in range(6):
        ring.append(Batch.columns(tags, np.full(10_000, i), np.zeros(10_000)))
    burst = Batch.columns(np.zeros(100_000, np.uint16), np.arange(100_000), np.zeros(100_000))
    ring.append(burst)
    assert ring.rows == 160_000
    assert ring.nbytes < 6 * 20 * ring.rows
    kept = ring.gather(tags)
    assert kept.count[0] == 100_006
    assert kept.ts[:6].tolist() == [0, 1, 2, 3, 4, 5]


def test_memory_shrinks_after_a_burst():
    ring = Ring(2, 10**6)
    empty = regrouped({0: []})
    ring.append(Batch.columns(np.zeros(100_000, np.uint16), np.arange(100_000), np.zeros(100_000)))
    ring.put(empty)
    for _ in range(2000):
        ring.append(Batch.columns(np.zeros(1000, np.uint16), np.arange(1000), np.zeros(1000)))
        ring.put(empty)
    assert ring.nbytes < 20 * 10_000


def test_a_move_for_one_tag_leaves_room_for_the_rows_of_another():
    """A tag that shrank keeps a long stretch; a move takes it away just before its rows come."""
    ring = Ring(2, 100_000)
    ring.append(Batch.of([(1, i, 1.0, 0) for i in range(100)]))
    ring.clear(1)
    more = [(i % 2, i, float(i), 0) for i in range(120)]
    ring.append(Batch.of(more + [(0, 200, 0.0, 0)] * 5_000))  # No arena begins with so much room.
    assert ring.gather(np.array([1], np.uint16)).ts.tolist() == list(range(1, 120, 2))
    assert ring.gather(np.array([0], np.uint16)).ts[:60].tolist() == list(range(0, 120, 2))


def test_a_full_ring_is_the_owners_fault():
    ring = Ring(2, 3)
    ring.append(Batch.of([(0, 0, 0.0, 0)] * 3))
    assert ring.room == 0
    with pytest.raises(AssertionError, match="rows_max"):
        ring.append(Batch.of([(0, 0, 0.0, 0)]))


@pytest.mark.parametrize(
    "broken",
    [
        {"ts": np.zeros(1, np.int64)},
        {"code": np.array([9], np.uint16)},
        {"count": np.array([-2])},
        {"count": np.array([2, 0])},
    ],
)
def test_a_state_that_does_not_fit_is_refused(broken):
    ring = Ring(2, 10)
    ring.append(Batch.of([(1, 0, 0.0, 0), (1, 1, 0.0, 0)]))
    state = {**ring.save(), **broken}
    with pytest.raises(ValueError):
        Ring(2, 10).load(state)
    with pytest.raises(ValueError, match="rows_max"):
        Ring(2, 1).load(ring.save())


groups = st.lists(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2), min_size=1), min_size=1
)


@given(groups)
def test_running_max_is_a_loop(lists):
    values = np.array([x for part in lists for x in part], np.int64)
    starts = np.cumsum([0, *map(len, lists[:-1])])
    wanted = [max(part[: i + 1]) for part in lists for i in range(len(part))]
    assert running_max(values, starts).tolist() == wanted


@given(st.lists(st.tuples(st.lists(st.integers(0, 5)), st.integers(-1, 6)), min_size=1))
def test_first_at_least_is_a_loop(questions):
    parts = [sorted(part) for part, _ in questions]
    values = np.array([x for part in parts for x in part] or [0], np.int64)
    high = np.cumsum([len(part) for part in parts])
    low = high - [len(part) for part in parts]
    wanted = np.array([x for _, x in questions])
    answer = first_at_least(values, low, high, wanted)
    for part, start, x, place in zip(parts, low, wanted, answer, strict=True):
        assert place - start == sum(value < x for value in part)


def test_ranges_and_heads_of_nothing():
    none = np.zeros(0, np.intp)
    assert len(ranges(none, none)) == 0
    assert len(heads(none)) == 0
    assert ranges(np.array([3, 7]), np.array([0, 2])).tolist() == [7, 8]
