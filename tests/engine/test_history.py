"""History on real files: what went in comes out, whatever happens to process, disk and clock."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Reading
from gateway.data.batch import Batch
from gateway.data.downsample import DAY_NS, MINUTE_NS, Spans, gathered, in_order, window
from gateway.data.tag import TagTable
from gateway.engine import history as history_module
from gateway.engine import store_writer
from gateway.engine.executor import InlineExecutor
from gateway.engine.history import History, HistoryLimits
from gateway.engine.history_days import ROOM_BYTES_MIN, name_of_day
from gateway.engine.history_query import count_rows, rows_between, trends, windows_of
from gateway.errors import Disconnected
from tests.engine.gear import NS, T0, Script, flow, kill, lent, samples, started, until

BIG = 10**12
DAY = T0 // DAY_NS
HOUR = 3600 * NS


class Hand:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = T0

    def now(self) -> int:
        return self.at

    def monotonic(self) -> float:
        return self.at / 1e9


@dataclass
class Bench:
    """A history in a folder, its clock and what it said."""

    folder: Path
    limits: HistoryLimits = field(default_factory=HistoryLimits)
    clock: Hand = field(default_factory=Hand)
    said: list[str] = field(default_factory=list)
    free: int = BIG
    is_short: bool = False
    tags: TagTable = field(default_factory=TagTable)

    def open(self) -> History:
        """A process begins: what one before left is cut first."""
        self.history = History(
            self.folder,
            self.tags,
            self.clock,
            self.limits,
            is_short=lambda: self.is_short,
            told=lambda level, text: self.said.append(text),
            executor=InlineExecutor(),
            room=lambda folder: (self.free, BIG),
        )
        self.history.days.cut_all_tails()
        return self.history

    def take(self, rows: list[tuple[str, int, float, int]]) -> None:
        self.history.take(Batch.of([(self.tags.code(n), ts, v, q) for n, ts, v, q in rows]))

    def flush(self) -> None:
        self.history.flush(self.clock.at)

    def cut(self) -> None:
        self.history.begin_cut()
        while self.history.cut_some():
            pass

    def tidy(self) -> None:
        self.history.days.tidy(self.clock.at)
        while self.history._said:
            self.said.append(self.history._said.popleft()[1])

    def rows(self, name: str, start: int = 0, end: int = 1 << 62) -> list[tuple[int, float, int]]:
        found = rows_between(self.history, [name], start, end)
        return [(ts, value, quality) for ts, _, value, quality in found]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.db"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path / "history")
    made.open()
    return made


def ramp(name: str, first: int, count: int, step: int = NS) -> list[tuple[str, int, float, int]]:
    return [(name, T0 + i * step, float(i), 0) for i in range(first, first + count)]


def test_what_went_in_comes_out_from_memory_from_tails_and_from_blocks(bench: Bench) -> None:
    wanted = [(ts, value, q) for _, ts, value, q in ramp("a", 0, 10)]
    bench.take(ramp("a", 0, 10))
    assert bench.rows("a") == wanted, "not yet written"
    bench.flush()
    assert bench.rows("a") == wanted, "written as it came"
    bench.open()
    assert bench.rows("a") == wanted, "a process that died left it"
    bench.take(ramp("a", 10, 5))
    bench.flush()
    bench.cut()
    assert bench.history.memory_rows == 0
    assert len(bench.rows("a")) == 15
    assert bench.rows("b") == []
    assert bench.history.rows == 5


def test_an_instant_that_comes_again_is_shown_once_with_what_came_last(bench: Bench) -> None:
    bench.take([("a", T0, 1.0, 0), ("a", T0, 100.0, 0)])  # Raw, then scaled by a node.
    bench.flush()
    bench.cut()
    bench.take([("a", T0, 100.0, 0), ("a", T0 + NS, 2.0, 0)])  # A replay after a crash.
    bench.flush()
    assert bench.rows("a") == [(T0, 100.0, 0), (T0 + NS, 2.0, 0)]
    bench.take([("a", T0, 7.0, 0)])
    bench.cut()
    bench.flush()
    bench.cut()
    assert bench.rows("a")[0] == (T0, 7.0, 0)


def test_a_row_that_comes_late_goes_to_the_day_of_its_time(bench: Bench) -> None:
    bench.take([("a", T0, 1.0, 0), ("a", T0 - 3 * DAY_NS, 2.0, 0), ("b", T0 - DAY_NS, 3.0, 0)])
    bench.flush()
    assert bench.files() == [f"{name_of_day(DAY - d)}.db" for d in (3, 1, 0)]
    bench.cut()
    assert bench.rows("a") == [(T0 - 3 * DAY_NS, 2.0, 0), (T0, 1.0, 0)]
    assert bench.rows("b") == [(T0 - DAY_NS, 3.0, 0)]


def test_a_day_that_ends_between_two_samples(bench: Bench) -> None:
    edge = (DAY + 1) * DAY_NS
    bench.take([("a", edge - 1, 1.0, 0), ("a", edge, 2.0, 0)])
    bench.clock.at = edge
    bench.flush()
    bench.cut()
    assert bench.files() == [f"{name_of_day(DAY + d)}.db" for d in (0, 1)]
    assert bench.rows("a") == [(edge - 1, 1.0, 0), (edge, 2.0, 0)]
    assert bench.rows("a", edge) == [(edge, 2.0, 0)]
    assert bench.rows("a", 0, edge) == [(edge - 1, 1.0, 0)]


def test_the_oldest_day_goes_first(bench: Bench) -> None:
    bench.limits = HistoryLimits(history_days_max=3)
    bench.open()
    for day in range(5):
        bench.clock.at = T0 + day * DAY_NS
        bench.take([("a", bench.clock.at, float(day), 0)])
        bench.flush()
        bench.tidy()
    assert bench.files() == [f"{name_of_day(DAY + d)}.db" for d in (2, 3, 4)]
    bench.take([("a", T0 + DAY_NS, 9.0, 0)])  # Older than all, and there is no place.
    bench.flush()
    assert len(bench.files()) == 3
    assert bench.history.outside == 1
    assert bench.said == [], "that is how it shall be"


def test_too_many_bytes_cost_the_oldest_days(bench: Bench) -> None:
    chance = np.random.default_rng(1)
    for day in range(4):
        bench.clock.at = T0 + day * DAY_NS
        rows = [("a", bench.clock.at + i, float(chance.random()), 0) for i in range(5_000)]
        bench.take(rows)
        bench.flush()
        bench.cut()
    bench.history.days.close_all()
    size = bench.history.days.bytes()
    bench.history.days._limits = HistoryLimits(history_bytes_max=size * 2 // 3)
    bench.tidy()
    assert bench.files() == [f"{name_of_day(DAY + d)}.db" for d in (2, 3)]
    bench.history.days._limits = HistoryLimits(history_bytes_max=10_000)
    bench.tidy()
    assert bench.files() == [f"{name_of_day(DAY + 3)}.db"]
    assert bench.history.days.is_stopped
    assert "one day alone" in bench.said[-1]
    bench.clock.at += DAY_NS
    bench.tidy()
    assert (bench.files(), bench.history.days.is_stopped) == ([], False)
    bench.take([("a", bench.clock.at, 1.0, 0)])
    bench.flush()
    assert len(bench.files()) == 1


def test_a_clock_that_is_set_costs_no_day(bench: Bench) -> None:
    for day in range(3):
        bench.clock.at = T0 + day * DAY_NS
        bench.take([("a", bench.clock.at, 1.0, 0)])
        bench.flush()
    for at in (T0 + 9_000 * DAY_NS, NS, T0 - 400 * DAY_NS):
        bench.clock.at = at
        bench.tidy()
        bench.take([("a", T0 + 3 * DAY_NS, 1.0, 0)])  # No day of that year.
        bench.flush()
    assert len(bench.files()) == 3
    assert bench.history.outside == 3
    bench.clock.at = T0 + 3 * DAY_NS
    bench.take([("a", 0, 1.0, 0), ("a", 1 << 62, 1.0, 0), ("a", bench.clock.at, 1.0, 0)])
    bench.flush()
    assert len(bench.files()) == 4
    assert bench.history.outside == 5


# ---------------------------------------------------------------- limits


def test_when_the_disk_cannot_follow_the_oldest_rows_are_dropped(bench: Bench) -> None:
    bench.limits = HistoryLimits(waiting_rows_max=10)
    history = bench.open()
    for i in range(25):
        bench.take([("a", T0 + i, float(i), 0)])
    assert (history.dropped, history.waiting_rows) == (15, 10)
    assert [value for _, value, _ in bench.rows("a")] == [float(i) for i in range(15, 25)]
    bench.flush()
    assert (history.rows, history.waiting_rows) == (10, 0)


def test_a_short_disk_costs_history_first_and_says_so_once(bench: Bench) -> None:
    for day in range(4):
        bench.clock.at = T0 + day * DAY_NS
        bench.take([("a", bench.clock.at, 1.0, 0)])
        bench.flush()
    bench.free = ROOM_BYTES_MIN - 1
    bench.tidy()
    bench.tidy()
    assert bench.files() == [f"{name_of_day(DAY + 3)}.db"]
    assert len(bench.said) == 2
    assert "oldest days of history are dropped" in bench.said[0]
    assert "Trends are not recorded any more: the disk is short" in bench.said[1]
    bench.take([("a", bench.clock.at + 1, 2.0, 0)])
    bench.flush()
    assert bench.history.dropped == 1
    bench.is_short = True
    bench.tidy()
    assert bench.files() == [], "the reserve of the journal was given up: the last day goes too"
    bench.is_short, bench.free = False, ROOM_BYTES_MIN + 1
    bench.tidy()
    assert bench.history.days.is_stopped, "so that it does not stop and go"
    bench.free = 2 * ROOM_BYTES_MIN
    bench.tidy()
    assert "There is room again" in bench.said[-1]
    bench.take([("a", bench.clock.at + 2, 3.0, 0)])
    bench.flush()
    assert bench.rows("a")[-1] == (bench.clock.at + 2, 3.0, 0)
    assert len(bench.said) == 3


def test_a_disk_that_stops_while_a_cut_is_under_way(bench: Bench) -> None:
    for i in range(100):
        bench.take([(f"t{i}", T0, 1.0, 0)])
    bench.flush()
    bench.history.begin_cut()
    assert bench.history.cut_some()
    bench.free = 0
    bench.tidy()
    while bench.history.cut_some():
        pass
    assert bench.history.dropped > 0
    assert len(bench.rows("t0")) == 1


def full(bench: Bench, pages: int) -> None:
    """Let the open files grow to so many pages, as on a full disk."""
    for file in bench.history.days._open.values():
        file._db.execute(f"PRAGMA max_page_count={pages}").fetchall()


def test_a_full_disk_keeps_rows_in_memory_until_it_goes_on(bench: Bench) -> None:
    chance = np.random.default_rng(2)
    bench.take(ramp("a", 0, 3))
    bench.flush()
    full(bench, 1)
    noise = [("a", T0 + HOUR + i, float(chance.random()), 0) for i in range(20_000)]
    bench.take(noise)
    with pytest.raises(Disconnected, match="full"):
        bench.flush()
    with pytest.raises(Disconnected, match="full"):
        bench.cut()
    assert len(bench.rows("a")) == 20_003, "they are in memory"
    with pytest.raises(Disconnected):
        bench.cut()
    full(bench, 1_000_000)
    bench.cut()
    assert bench.history.memory_rows == 0
    assert len(bench.rows("a")) == 20_003
    bench.open()
    assert len(bench.rows("a")) == 20_003


def test_memory_has_a_limit_while_the_disk_refuses(bench: Bench) -> None:
    bench.limits = HistoryLimits(memory_rows_max=100)
    bench.open()
    bench.take(ramp("a", 0, 1))
    bench.flush()
    for i in range(50):
        full(bench, 1)
        chance = np.random.default_rng(i)
        bench.take([("a", T0 + HOUR + 40 * i + j, float(chance.random()), 0) for j in range(40)])
        with suppress(Disconnected):
            bench.flush()
    assert bench.history.memory_rows <= 240
    assert bench.history.dropped > 0


# ---------------------------------------------------------------- damage


def spoil(path: Path, at: int, size: int = 4_000) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * size)


def test_a_damaged_day_is_put_aside_and_said(bench: Bench) -> None:
    bench.take(ramp("a", 0, 100))
    bench.flush()
    bench.cut()
    bench.history.days.close_all()
    path = bench.folder / f"{name_of_day(DAY)}.db"
    spoil(path, 0)
    bench.open()
    bench.tidy()
    assert "was put aside as" in bench.said[0]
    assert path.with_name(f"{path.name}.damaged-1").exists()
    bench.take(ramp("a", 100, 5))
    bench.flush()
    assert len(bench.rows("a")) == 5


def test_a_day_that_rots_while_it_is_read(bench: Bench) -> None:
    bench.take(ramp("a", 0, 100))
    bench.flush()
    bench.cut()
    bench.history.days.close_all()
    path = bench.folder / f"{name_of_day(DAY)}.db"
    spoil(path, 0)
    assert bench.rows("a") == [], "and no error"
    bench.take(ramp("a", 100, 5))
    bench.flush()
    bench.tidy()
    assert any("put aside" in text for text in bench.said)
    assert len(bench.rows("a")) == 5


def test_a_piece_that_is_damaged_is_left_out_and_said_once(bench: Bench) -> None:
    for i in range(3):
        bench.take(ramp("a", 100 * i, 100))
        bench.flush()
        bench.cut()
    bench.history.days.close_all()
    with sqlite3.connect(bench.folder / f"{name_of_day(DAY)}.db") as db:
        db.execute(
            "UPDATE block SET data = substr(data, 1, 9) || x'ff' || substr(data, 11) WHERE id = 2"
        )
        db.execute("UPDATE block SET minutes = x'00' WHERE id = 3")
    db.close()
    assert [ts for ts, _, _ in bench.rows("a")] == [
        T0 + i * NS for i in range(300) if not 100 <= i < 200
    ]
    found, _, _ = trends(bench.history, ["a"], T0, T0 + 40 * HOUR, 100)
    assert found["a"].spans.high.tolist() == [299.0], "its samples stand in for its minutes"
    bench.tidy()
    assert len(bench.said) == 1
    assert "is damaged in places" in bench.said[0]


def test_what_is_no_file_of_ours_is_left_alone(bench: Bench) -> None:
    bench.folder.mkdir(parents=True, exist_ok=True)
    for name in ("notes.db", "2026-02-31.db", "2026-01-01.txt"):
        (bench.folder / name).write_text("mine")
    bench.open()
    bench.tidy()
    assert bench.rows("a") == []
    assert bench.history.days.listed() == []
    assert len(list(bench.folder.iterdir())) == 3


# ---------------------------------------------------------------- trends


def same(spans: Spans, wanted: Spans) -> None:
    for name in ("t", "low", "high", "last", "quality"):
        np.testing.assert_array_equal(getattr(spans, name), getattr(wanted, name), err_msg=name)


OPERATIONS = st.lists(
    st.one_of(
        st.just("flush"),
        st.just("cut"),
        st.just("crash"),
        st.tuples(
            st.integers(-2 * 86_400, 2 * 3600),
            st.integers(1, 60),
            st.sampled_from([1, 7, 61, 600]),
            st.sampled_from([0, 0, 0x40000000, 0x808C0000]),
        ),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(
    operations=OPERATIONS,
    begin=st.integers(-2 * 86_400, 3600),
    length=st.sampled_from([60, 3_600, 40_000, 200_000]),
    points=st.sampled_from([1, 7, 100, 4_000]),
)
def test_a_trend_is_that_of_the_reference(
    tmp_path_factory: pytest.TempPathFactory,
    operations: list[Any],
    begin: int,
    length: int,
    points: int,
) -> None:
    bench = Bench(tmp_path_factory.mktemp("h"))
    bench.open()
    known: dict[int, tuple[float, int]] = {}
    value = 0.0
    for operation in operations:
        if operation == "flush":
            bench.flush()
        elif operation == "cut":
            bench.flush()
            bench.cut()
        elif operation == "crash":
            bench.flush()
            bench.open()
        else:
            first, count, step, quality = operation
            rows = []
            for i in range(count):
                value = (value * 7 + 3) % 101
                ts = T0 + (first + i * step) * NS
                known[ts] = value, quality
                rows += [("a", ts, value, quality), ("other", ts, -value, 0)]
            bench.take(rows)
    start, end = T0 + begin * NS, T0 + (begin + length) * NS
    found, start, end = trends(bench.history, ["a"], start, end, points)
    inside = [(0, ts, *known[ts]) for ts in sorted(known) if start <= ts < end]
    samples = Spans.of(in_order(Batch.of(inside)))
    _, _, width = window(T0 + begin * NS, T0 + (begin + length) * NS, points)
    series = found["a"]
    assert len(series.spans) <= points
    if len(samples) <= points and series.width == 0:
        same(series.spans, samples)
    else:
        assert series.width == width
        same(series.spans, gathered(samples, start, width))
    assert bench.rows("a", start, end) == [(ts, v, q) for _, ts, v, q in inside]
    assert count_rows(bench.history, ["a"], start, end) >= len(inside)


def test_thousands_of_samples_a_second_are_told_by_minutes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.engine.history_query.ROWS_MAX", 1_000)
    bench.take(ramp("a", 0, 5_000, NS // 10))
    bench.flush()
    bench.cut()
    found, _, _ = trends(bench.history, ["a"], T0, T0 + 600 * NS, 4_000)
    assert found["a"].width == MINUTE_NS
    assert found["a"].spans.high.max() == 4_999.0


def test_parts_of_a_window_are_the_window() -> None:
    parts = list(windows_of(100_000, 7, 1_003))
    assert (parts[0][0], parts[-1][1], len(parts)) == (7, 1_003, 5)
    assert all(a[1] == b[0] for a, b in pairwise(parts))


def test_names_may_be_anything(bench: Bench) -> None:
    names = ["ü/日本", "a'b\"c", "\udcff broken", "", "x" * 1_000, "a,b"]
    for name in names:
        bench.take([(name, T0, 1.0, 0)])
    bench.flush()
    bench.cut()
    bench.open()
    for name in names:
        assert len(bench.rows(name)) == 1


def test_readers_see_no_hole_while_rows_go_from_memory_to_the_disk(bench: Bench) -> None:
    taken = 0
    ended = threading.Event()
    holes: list[str] = []

    def look() -> int:
        looks = 0
        while not ended.is_set():
            before = taken
            seconds = [(ts - T0) // NS for ts, _, _ in bench.rows("a")]
            if seconds != list(range(len(seconds))) or len(seconds) < before:
                holes.append(f"{before} were taken: {len(seconds)}, {seconds[-3:]}")
            looks += 1
        return looks

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        try:
            for i in range(150):
                bench.take([*ramp("a", i * 3, 3), *ramp("b", i, 1)])
                taken = 3 * (i + 1)
                bench.flush()
                if i % 7 == 6:
                    bench.cut()
        finally:
            ended.set()
        assert all(one.result() > 5 for one in looking)
    assert holes == []
    assert bench.history.broken == set()


def test_a_file_that_is_being_made_is_not_taken_for_a_damaged_one(bench: Bench) -> None:
    bench.folder.mkdir()
    (bench.folder / f"{name_of_day(DAY)}.db").touch()
    assert bench.rows("a") == []
    assert bench.history.broken == set()


def test_a_day_that_is_over_is_closed(bench: Bench) -> None:
    for day in range(3):
        bench.clock.at = T0 + day * DAY_NS
        bench.take([("a", bench.clock.at, 1.0, 0)])
        bench.flush()
    bench.cut()
    assert len(list(bench.folder.glob("*-wal"))) == 3
    bench.tidy()
    assert len(list(bench.folder.glob("*-wal"))) == 2
    assert len(bench.rows("a")) == 3


@pytest.mark.parametrize(
    "name",
    [
        "gateway.engine.history_days",
        "gateway.api.routes_history",
        "gateway.cli._history",
        "gateway.cli._kpi",
    ],
)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


# ---------------------------------------------------------------- in a gateway

NODES = "src: {type: script.source}\nout: {type: script.sink}"


async def seen(check: Callable[[], bool]) -> None:
    await until(check, 20.0)


async def test_a_gateway_keeps_what_it_shows_and_follows_new_flows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(history_module, "FLUSH_S", 0.02)
    with lent(Script()) as script:
        clock = Hand()
        runtime = await started(
            flow(NODES, "src -> out"), tmp_path, history=HistoryLimits(), clock=clock
        )
        history = runtime.history
        assert history is not None
        await script.readings.put(Reading({"out": samples(runtime, "A 0s 1 | 1s 2")}))
        await seen(lambda: history.rows == 2)
        late = flow(NODES, "src -> out", "late")
        await runtime.deploy(late, "user:anna")
        await script.readings.put(Reading({"out": samples(runtime, "B 2s 3")}))
        await script.readings.put(Reading({"out": samples(runtime, "B 3s 4")}))
        await seen(lambda: history.rows == 4)
        await kill(runtime)
        runtime = await started(
            [flow(NODES, "src -> out"), late], tmp_path, history=HistoryLimits(), clock=clock
        )
        history = runtime.history
        assert history is not None
        found = await asyncio.to_thread(rows_between, history, ["A", "B"], T0, T0 + HOUR)
        assert [(name, value) for _, name, value, _ in found] == [
            ("A", 1.0), ("A", 2.0), ("B", 3.0), ("B", 4.0),
        ]  # fmt: skip
        assert [line for line in runtime.lines.kept if line[1] == "error"] == []
        await runtime.stop()


async def test_a_history_that_fails_stops_no_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(history_module, "FLUSH_S", 0.02)
    (tmp_path / "trends").write_text("a file where a folder should be")
    with lent(Script()) as script:
        runtime = await started(
            flow(NODES, "src -> out"), tmp_path, history=HistoryLimits(), clock=Hand()
        )
        for i in range(5):
            await script.readings.put(Reading({"out": samples(runtime, f"A {i}s 1")}, token=i))
            await until(lambda i=i: script.acknowledged[-1:] == [i])
        await until(lambda: any(line[2] == "history" for line in runtime.lines.kept))
        assert len([line for line in runtime.lines.kept if line[2] == "history"]) == 1
        await runtime.stop()


async def test_without_days_nothing_is_kept(tmp_path: Path) -> None:
    with lent(Script()):
        for limits in (None, HistoryLimits(history_days_max=0)):
            runtime = await started(flow(NODES, "src -> out"), tmp_path, history=limits)
            assert runtime.history is None
            assert runtime.live.also is None
            await runtime.stop()
    assert not (tmp_path / "trends").exists()
