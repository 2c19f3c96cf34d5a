"""Commits that run ahead of steps, and those that wait for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway import Batch, Reading, TagTable
from gateway.data.alarm import AlarmEvent
from gateway.data.tasks import WantedLock
from gateway.engine import runner, store_writer
from gateway.engine.arrived import Arrived
from gateway.engine.clock import SystemClock
from gateway.engine.codec import unpack_inputs
from gateway.engine.graph import Graph, Result
from gateway.engine.spans import Spans
from gateway.engine.store import Entry, Store
from gateway.errors import Disconnected
from gateway.flow.entries import OutboxOptions
from tests.engine.gear import NS, T0, Script, flow, kill, lent, started, until


@pytest.fixture
def script() -> Iterator[Script]:
    with lent(Script()) as script:
        yield script


async def test_an_urgent_commit_waits_for_nobody_and_takes_others_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 3600.0)
    store = Store(tmp_path / "genba.db")
    await store.open()
    await store.commit(Entry("f", 1, 1, 1, b"first"))  # An idle store commits at once.
    patient = asyncio.ensure_future(store.commit(Entry("f", 2, 2, 1, b"second")))
    await asyncio.sleep(0.05)
    assert not patient.done()
    async with asyncio.timeout(10):
        await store.commit(Entry("f", 2, 2, urgent=True))
        await patient
        many = [store.commit(Entry("f", 3 + i, 3, 500, b"x")) for i in range(4)]
        await asyncio.gather(*many)  # 2,000 rows are not kept waiting either.
    assert len(await store.journal("f", 0)) == 6
    await store.close()


async def test_a_lock_knows_who_waits() -> None:
    lock = WantedLock()
    async with lock:
        assert not lock.is_wanted
        other = asyncio.ensure_future(lock.acquire())
        await asyncio.sleep(0)
        assert lock.is_wanted
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        assert not lock.is_wanted


NODES = (
    "src: {type: script.source}\nwin: {type: window.count, size: 7}\n"
    "mean: {type: feature.statistics, features: [mean]}\nout: {type: script.sink}"
)


async def test_the_state_is_that_of_the_journal_whatever_runs_ahead(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints and new revisions fall between steps, while commits run ahead of them."""
    monkeypatch.setattr(runner, "STEP_ROWS_MAX", 40)
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.0)
    document = flow(NODES, "src -> win -> mean -> out")
    runtime = await started(document, tmp_path)
    code = runtime.tags.code("A")
    for number in range(150):
        serial = np.arange(number * 20, number * 20 + 20)
        batch = Batch.columns([code] * 20, T0 + serial * NS, serial.astype(float))
        await script.readings.put(Reading({"out": batch}, token=number))
    host = runtime.runners["test"]
    for turn in range(12):
        await until(lambda n=turn * 12: n in script.acknowledged)  # type: ignore[misc]  # bound now
        if turn % 3 == 2:
            await host.checkpoint()
        else:
            nodes = f"{NODES}\nsee{turn}: {{type: test.collect}}"
            changed = flow(nodes, f"src -> win -> mean -> out, src -> see{turn}")
            await runtime.deploy(changed, "user:anna")
    await until(lambda: 149 in script.acknowledged)
    async with asyncio.timeout(20):
        await host.drained()
    records = await runtime.store.journal("test", 0, 10_000)
    numbers = [seq for seq, _ in records]
    assert numbers == list(range(1, len(records) + 1))
    tags = TagTable(16)
    tags.load(runtime.tags.dump())
    fresh = Graph(document, tags)
    for _, block in records:
        inputs, now = unpack_inputs(block)
        fresh.step([one for one in inputs if one[0]], now)
    states = host.graph.snapshot()
    for node in ("win", "mean"):
        for name, array in fresh.snapshot()[node].items():
            assert np.array_equal(states[node][name], array), f"{node}.{name}"
    await kill(runtime)
    runtime = await started(document, tmp_path)
    again = runtime.runners["test"].graph.snapshot()
    for name, array in states["win"].items():
        assert np.array_equal(again["win"][name], array), name
    await runtime.stop()
    values = [v for _, message in script.written for v in message.value.tolist()]  # type: ignore[union-attr]  # batches
    assert list(dict.fromkeys(values)) == [7.0 * i + 3 for i in range(3000 // 7)]


async def test_records_that_are_stored_together_are_stored_all_or_none(tmp_path: Path) -> None:
    store = Store(tmp_path / "genba.db")
    await store.open()
    first = Entry("f", 1, 1, 1, b"first", {"src": "1"})
    await store.commit(Entry("f", 2, 2, 1, b"second", {"src": "2"}, before=[first]))
    assert store.commits == 1
    fits = Entry("f", 3, 3, 1, b"third", {"src": "3"})
    with pytest.raises(Disconnected, match="too large"):
        await store.commit(Entry("f", 4, 1 << 70, 1, b"fourth", {"src": "4"}, before=[fits]))
    assert await store.journal("f", 0) == [(1, b"first"), (2, b"second")]
    assert await store.positions("f") == {"src": 2}
    await store.close()


async def test_records_before_count_among_the_rows_that_are_not_kept_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 3600.0)
    store = Store(tmp_path / "genba.db")
    await store.open()
    await store.commit(Entry("f", 1, 1, 1, b"x"))
    async with asyncio.timeout(10):
        await store.commit(Entry("f", 3, 3, 1, b"x", before=[Entry("f", 2, 2, 1_999, b"x")]))
    await store.close()


async def fed(script: Script, code: int, batches: int, first: int = 0) -> None:
    for number in range(first, first + batches):
        serial = np.arange(number * 20, number * 20 + 20)
        batch = Batch.columns([code] * 20, T0 + serial * NS, serial.astype(float))
        await script.readings.put(Reading({"out": batch}, token=number))


async def test_a_burst_needs_fewer_commits_than_steps(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One commit has several records, each of them the input of one step."""
    monkeypatch.setattr(runner, "STEP_ROWS_MAX", 40)
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.0)
    runtime = await started(flow(NODES, "src -> win -> mean -> out"), tmp_path)
    host, store = runtime.runners["test"], runtime.store
    code = runtime.tags.code("A")
    await host.lock.acquire()  # Nothing is served, and so all of it waits.
    await fed(script, code, 81)
    await until(lambda: host.inbox.rows + sum(map(_rows, host._taken)) >= 81 * 20)
    before, steps = store.commits, host.steps
    host.lock.release()
    await until(lambda: 80 in script.acknowledged)
    await host.drained()
    assert script.acknowledged == list(range(81))
    assert host.steps - steps >= 40
    assert store.commits - before <= (host.steps - steps) // 2
    sizes = [
        sum(len(message) for _, _, message in unpack_inputs(block)[0])
        for _, block in await store.journal("test", 0, 10_000)
    ]
    assert max(sizes) <= 40
    await runtime.stop()


def _rows(entry: Arrived) -> int:
    return sum(len(message) for _, message in entry.outputs)


async def test_an_error_in_one_step_keeps_no_other_record_from_its_own(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the journal is stepped, whatever became of the record before."""
    monkeypatch.setattr(runner, "STEP_ROWS_MAX", 40)
    runtime = await started(flow(NODES, "src -> win -> mean -> out"), tmp_path)
    host = runtime.runners["test"]
    await fed(script, runtime.tags.code("A"), 1)
    await until(lambda: 0 in script.acknowledged)
    plain, seen = host._hand_on, []

    def failing(result: Result, graph: Graph, *, replay: bool) -> list[AlarmEvent]:
        seen.append(host._done_seq)
        if len(seen) == 2:
            raise RuntimeError("a bug")
        return plain(result, graph, replay=replay)

    await host.lock.acquire()
    await fed(script, runtime.tags.code("A"), 9, 1)
    await until(lambda: host.inbox.rows + sum(map(_rows, host._taken)) == 9 * 20)
    monkeypatch.setattr(host, "_hand_on", failing)
    host.lock.release()
    await until(lambda: len(seen) >= 5)
    assert seen[:5] == list(range(seen[0], seen[0] + 5))
    assert host._done_seq == host.seq
    await runtime.stop()


async def test_a_flow_whose_sink_has_little_room_is_given_little_at_a_time(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(flow(NODES, "src -> win -> mean -> out"), tmp_path)
    host = runtime.runners["test"]
    many, few = runner.STEP_ROWS_MAX * runner.STEPS_A_COMMIT, runner.STEP_ROWS_MAX
    assert host._take_max() == many
    (box,) = host.egresses["out"].outboxes().values()
    box.options = OutboxOptions(bytes_max=15_000_000, when_full="block")
    assert host._take_max() == few
    box.options = OutboxOptions(bytes_max=15_000_000)
    assert host._take_max() == many
    box.memory_rows_max = -1
    assert host._take_max() == few
    await runtime.stop()


async def test_each_record_of_a_commit_leaves_its_own_span(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "STEP_ROWS_MAX", 40)
    spans = Spans(1.0, SystemClock(), "here")
    runtime = await started(flow(NODES, "src -> win -> mean -> out"), tmp_path, spans=spans)
    host = runtime.runners["test"]
    await fed(script, runtime.tags.code("A"), 1)
    await until(lambda: 0 in script.acknowledged)
    await host.drained()
    before = host.seq
    await host.lock.acquire()
    await fed(script, runtime.tags.code("A"), 11, 1)
    await until(lambda: host.inbox.rows + sum(map(_rows, host._taken)) == 11 * 20)
    host.lock.release()
    await until(lambda: 11 in script.acknowledged)
    await host.drained()
    told = [span.attributes["genba.batch"] for span in spans.waiting if span.name == "test"]
    assert [number for number in told if number > before] == list(range(before + 1, host.seq + 1))
    assert host.seq - before >= 5
    await runtime.stop()
