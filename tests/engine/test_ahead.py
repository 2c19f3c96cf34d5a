"""Commits that run ahead of steps, and those that wait for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway import Batch, Reading, TagTable
from gateway.data.tasks import WantedLock
from gateway.engine import runner, store_writer
from gateway.engine.codec import unpack_inputs
from gateway.engine.graph import Graph
from gateway.engine.store import Entry, Store
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
