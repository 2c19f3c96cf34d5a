"""A clock that is set: no delay ends by it, no tag is stale by it, no window closes by it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.engine import health, store_writer
from gateway.engine.clock import BACK_MAX_NS, LEAP_NS, SystemClock
from gateway.engine.codec import unpack_inputs
from gateway.engine.graph import Graph
from gateway.engine.runtime import Runtime
from gateway.engine.steptime import StepTime, told
from gateway.engine.store_records import gaps
from gateway.engine.wiring import RESUMED, Input
from gateway.flow.document import Document
from tests.engine.gear import Script, flow, kill, lent, started, until, values

S = 10**9
DAY = 86_400 * S
T0 = 1_800_000_000 * S


class Machine(SystemClock):
    """A machine whose clocks are numbers."""

    def __init__(self, wall: int = T0) -> None:
        self.wall, self.steady = wall, 0
        super().__init__()

    def _wall(self) -> int:
        return self.wall

    def _steady(self) -> int:
        return self.steady

    def pass_(self, ns: int) -> None:
        self.wall += ns
        self.steady += ns


# ---------------------------------------------------------------------- the time of a step


def test_time_that_passes_is_no_leap() -> None:
    clock = Machine()
    time = StepTime(clock)
    assert time.next(0) == (T0, [])
    clock.pass_(3600 * S)
    assert time.next(T0) == (T0 + 3600 * S, [])


def test_a_leap_is_told_once_with_its_size() -> None:
    clock = Machine()
    time = StepTime(clock)
    time.next(0)
    clock.pass_(7 * S)
    clock.wall += DAY
    clock.pass_(3 * S)
    assert time.settled(T0) == T0 + 10 * S
    now, inputs = time.next(T0)
    assert (now, [item[:2] for item in inputs]) == (T0 + DAY + 10 * S, [RESUMED])
    assert told(inputs[0], 0, 0)[0] == DAY
    assert time.next(now) == (now, [])


def test_a_flow_that_stood_until_an_error_stood_all_the_same() -> None:
    clock = Machine()
    time = StepTime(clock)
    time.next(0)
    with pytest.raises(ZeroDivisionError), time.standing():
        clock.pass_(7 * S)
        raise ZeroDivisionError
    with time.standing():
        clock.pass_(S // 2)  # No longer than a commit may take.
    now, inputs = time.next(T0)
    assert now == T0 + 7 * S + S // 2
    assert told(inputs[0], T0, now) == (0, 7 * S)


def test_a_clock_that_comes_back_has_not_leapt() -> None:
    clock = Machine()
    clock.now()
    clock.wall -= 60 * S
    for _ in range(7):
        clock.pass_(10 * S)
        clock.now()
    clock.wall += 60 * S  # Ours is 53 s ahead: it leaps by what is left.
    clock.now()
    assert clock.leapt == 7 * S
    assert clock.now() == clock.wall


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(-(10**16), 10**16)), max_size=20))
def test_without_its_leaps_time_has_the_true_pace(moves: list[tuple[int, int]]) -> None:
    clock = Machine()
    time = StepTime(clock)
    done, _ = time.next(0)
    leapt = 0
    for passed, jump in moves:
        clock.pass_(passed)
        clock.wall += jump
        now, inputs = time.next(done)
        by = told(inputs[0], 0, 0)[0] if inputs else 0
        leapt += by
        assert passed * 9 // 10 <= now - done - by <= passed + LEAP_NS
        done = now
    assert clock.leapt == leapt


# ---------------------------------------------------------------------- a start


@pytest.mark.parametrize("behind", [S, 3600 * S, DAY, BACK_MAX_NS])
def test_a_start_goes_on_from_the_record_at_nearly_the_true_pace(behind: int) -> None:
    clock = Machine()
    clock.now()
    assert clock.begin(T0 + behind) == behind
    assert clock.now() == T0 + behind
    clock.pass_(10 * S)
    assert clock.now() == max(T0 + behind + 9 * S, clock.wall)


def test_a_clock_without_a_battery_is_not_believed() -> None:
    clock = Machine(wall=0)
    assert clock.begin(T0) == T0
    assert clock.now() == T0
    clock.pass_(10 * S)
    clock.wall = T0 + 30 * S  # NTP
    assert clock.now() == T0 + 30 * S
    assert clock.leapt == 20 * S


def test_a_record_that_is_years_ahead_is_not_believed() -> None:
    clock = Machine()
    ahead = T0 + 4000 * DAY
    assert clock.begin(ahead) == 4000 * DAY
    now, inputs = StepTime(clock).resumed(ahead)
    assert (now, told(inputs[0], 0, 0)[0]) == (T0, -4000 * DAY)


def test_a_start_with_a_right_clock_says_only_that_we_were_away() -> None:
    now, inputs = StepTime(Machine()).resumed(T0 - DAY)
    assert now == T0
    assert told(inputs[0], 0, 0)[0] == 0


# ---------------------------------------------------------------------- what a flow makes of it

FLOW = """flow: f
version: 1
nodes:
  in: {type: test.inject, rows: "A 0s 1"}
  silent: {type: alarm.stale, after_s: 60}
  high: {type: alarm.limit, hi: 5, on_delay_s: 30, off_delay_s: 7, realarm_s: 90}
  slow: {type: window.tumbling, size_s: 10, lateness_s: 3}
  sliding: {type: window.sliding, size_s: 20, every_s: 5}
  session: {type: window.session, gap_s: 15}
  aged: {type: filter.stale, after_s: 60}
wires:
  - in -> silent
  - in -> high
  - in -> slow
  - in -> sliding
  - in -> session
  - in -> aged
"""


class Run:
    """A flow whose steps come at the true time plus what the clock was set by."""

    def __init__(self) -> None:
        self.graph = Graph(Document.parse(FLOW), TagTable(8), trace=True)
        self.off = 0
        self.rows: list[tuple[Any, ...]] = []

    def step(self, at: int, inputs: list[Input], *, leap: int = 0) -> None:
        marker: list[Input] = []
        self.off += leap
        now = T0 + at + self.off
        if leap:
            marker = [(*RESUMED, (Event(now, "engine/clock_set", {"set_by": leap}),))]
        result = self.graph.step([*marker, *inputs], now)
        for node, port, message in result.trace:
            self.rows += [(node, port, *row) for row in _plain(message)]


def _plain(message: Any) -> Iterator[tuple[Any, ...]]:
    if isinstance(message, Batch):
        columns = (message.tag, message.ts - T0, message.value, message.quality)
        yield from zip(*(column.tolist() for column in columns), strict=True)
    elif isinstance(message, Windows):
        for i in range(len(message)):
            rows = message.rows.value[message.offset[i] : message.offset[i + 1]].tolist()
            yield message.tag[i], message.start[i] - T0, message.end[i] - T0, str(rows)
    else:
        for event in message:
            yield event.alarm, event.ts - T0, event.change, event.text


def _sample(code: int, at: int, value: float) -> Input:
    batch = Batch.columns(np.array([code], np.uint16), np.array([T0 + at]), np.array([value]))
    return "in", "out", batch


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40 * S),
            st.sampled_from([None, (0, 1.0), (0, 9.0), (1, 9.0), (1, 2.0)]),
            st.sampled_from([0, 0, 0, S, 3600 * S, DAY, 1000 * DAY]),
        ),
        min_size=2,
        max_size=25,
    )
)
@settings(max_examples=200)
def test_a_clock_set_forward_changes_nothing(
    steps: list[tuple[int, tuple[int, float] | None, int]],
) -> None:
    plain, shaken = Run(), Run()
    for run in (plain, shaken):
        for name in ("A", "B"):
            run.graph.tags.code(name)
    at = 0
    for passed, sample, leap in steps:
        at += passed
        inputs = [] if sample is None else [_sample(sample[0], at, sample[1])]
        plain.step(at, inputs)
        shaken.step(at, inputs, leap=leap)
    kept = [row for row in shaken.rows if "realarmed" not in row]
    assert kept == [row for row in plain.rows if "realarmed" not in row]
    # When a re-alarm is due is a time of day, so the event says that; but it comes as often.
    assert len(shaken.rows) == len(plain.rows)


def test_without_the_word_it_would_change_everything() -> None:
    run = Run()
    run.graph.tags.code("A")
    run.step(0, [_sample(0, 0, 9.0)])
    run.off = DAY
    run.step(S, [])
    assert {row[0] for row in run.rows} >= {"high", "silent", "slow"}


def test_a_start_after_a_run_in_the_far_future() -> None:
    """What the gateway stamped itself then is no reason to refuse what comes now."""
    far = 4000 * DAY
    run = Run()
    run.graph.tags.code("A")
    run.graph.tags.code("B")
    run.step(0, [_sample(0, 0, 9.0)])
    run.step(0, [], leap=far)
    for second in range(4):  # A is stamped by a device, B by the gateway.
        at = second * S
        run.step(at, [_sample(0, at, 9.0), _sample(1, far + at, 1.0)])
    run.rows.clear()
    run.step(5 * S, [], leap=-far)
    for second in range(6, 40):
        at = second * S
        run.step(at, [_sample(0, at, 9.0), _sample(1, at, 1.0)])
    run.step(200 * S, [])
    assert ("high", "alarms", "f/high:A:HI", 30 * S, "raised") in [row[:5] for row in run.rows]
    starts = [row[3] // S for row in run.rows if row[:3] == ("slow", "out", 1)]
    assert starts == [0, 10, 20, 30], "the windows of the tag stamped by the gateway go on"
    assert [row for row in run.rows if row[1] == "late"] == []
    stale = [row[3] for row in run.rows if row[0] == "silent" and row[4] == "raised"]
    assert stale == [99 * S, 99 * S]


# ---------------------------------------------------------------------- the runtime


class Shifted(SystemClock):
    """The clock of this machine, set by so much."""

    off = 0

    def _wall(self) -> int:
        return super()._wall() + self.off


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(health, "LOOK_S", 0.01)
    with lent(Script()) as script:
        yield script


DELAYED = flow(
    "src: {type: script.source}\nhigh: {type: alarm.limit, hi: 5, on_delay_s: 0.5}",
    "src -> high",
)


def _clock(off: int) -> Shifted:
    clock = Shifted()
    clock.off = off
    return clock


def _now(runtime: Runtime, value: float) -> Batch:
    code = np.array([runtime.tags.code("TT1")], np.uint16)
    return Batch.columns(code, np.array([runtime.clock.now()]), np.array([value]))


@pytest.mark.parametrize("off", [-DAY, -20_000 * DAY, -4000 * DAY - 60 * S, DAY])
async def test_timers_run_after_a_start_with_another_clock(
    script: Script, tmp_path: Path, off: int
) -> None:
    base = 4000 * DAY if off < -BACK_MAX_NS else 0  # The last run was in the far future.
    runtime = await started(DELAYED, tmp_path, clock=_clock(base))
    await script.readings.put(_now(runtime, 1.0))
    await until(lambda: runtime.live.rows.any())
    before = runtime.clock.now()
    await kill(runtime)
    runtime = await started(DELAYED, tmp_path, clock=_clock(base + off))
    await script.readings.put(_now(runtime, 9.0))
    await until(lambda: any(e.condition == "HI" for e in runtime.book.open()), 30.0)
    (event,) = [e for e in runtime.book.open() if e.condition == "HI"]
    is_back = off == -4000 * DAY - 60 * S
    assert (event.ts > before) is not is_back
    assert abs(event.ts - runtime.clock.now()) < 60 * S
    if off < 0:
        await until(lambda: any(e.tag == "gateway/clock" for e in runtime.book.open()))
    steps = [gap for gap in await gaps(runtime.store) if gap["cause"] == "clock_step"]
    assert [round((gap["to"] - gap["from"]) / DAY) for gap in steps] == (
        [round(-off / DAY)] if off < 0 else []
    )
    await runtime.stop()


BLOCKED = flow(
    "src: {type: script.source}\nsilent: {type: alarm.stale, after_s: 2}\n"
    "out: {type: script.sink, outbox: {bytes_max: 10000, when_full: block}}",
    "src -> silent, src -> out",
)


def _stale(runtime: Runtime) -> bool:
    return any(event.condition == "STALE" for event in runtime.book.history())


async def test_a_flow_that_stood_still_missed_nobody(script: Script, tmp_path: Path) -> None:
    """While a sink takes nothing and may lose nothing, the flow waits; its tags are not stale."""
    clock = _clock(0)
    runtime = await started(BLOCKED, tmp_path, clock=clock)
    script.slow.clear()
    room = runtime.runners["test"].egresses["out"].room
    while room.is_set():
        await script.readings.put(_now(runtime, 1.0))
        await until(lambda: script.readings.empty())
    steady = clock._steady
    waited = _now(runtime, 2.0)  # With a broker, say, while we did not read.
    clock.off += 3600 * S  # An hour goes by.
    clock._steady = lambda: steady() + 3600 * S  # type: ignore[method-assign]  # so it does
    await script.readings.put(waited)
    script.slow.set()
    await until(lambda: len(values(script)) and values(script)[-1] == 2.0)
    assert not _stale(runtime)
    records = [unpack_inputs(block) for _, block in await runtime.store.journal("test", 0)]
    found = [told(item, 0, 0) for inputs, _ in records for item in inputs if item[:2] == RESUMED]
    assert [(by, round(stood / S) // 60) for by, stood in found] == [(0, 60)]
    await until(lambda: _stale(runtime))  # And now it is silent.
    await runtime.stop()


async def test_a_leap_is_journalled_before_what_comes_after_it(
    script: Script, tmp_path: Path
) -> None:
    clock = _clock(0)
    runtime = await started(DELAYED, tmp_path, clock=clock)
    (runner,) = runtime.runners.values()
    await script.readings.put(_now(runtime, 9.0))
    await until(lambda: runtime.live.rows.any())
    clock.off = DAY
    await script.readings.put(_now(runtime, 9.0))
    await until(lambda: runner.graph.now > clock.now() - DAY // 2)
    records = [unpack_inputs(block) for _, block in await runtime.store.journal("test", 0)]
    found = [told(item, 0, 0)[0] for inputs, _ in records for item in inputs if item[:2] == RESUMED]
    assert [round(by / S) for by in found] == [86_400]
    await runtime.stop()
