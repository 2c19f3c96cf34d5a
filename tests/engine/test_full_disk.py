"""A state file that may not grow: what somebody waits for is refused, and nothing is lost by it.

The limit is SQLite's own (`max_page_count`), so all that happens is what a full disk does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import Disconnected, Reading
from gateway.engine import journal, store_writer
from gateway.engine.runtime import Runtime
from gateway.flow.document import Document
from tests.engine.gear import Script, flow, kill, lent, samples, started, until, values

NODES = "src: {type: script.source}\nout: {type: script.sink}\nsoft: {type: script.sink}"
WIRES = "src -> out, src -> soft"
PLAIN = flow(NODES, WIRES)


def large() -> Document:
    """The flow with another source, and a text that needs many pages."""
    changed = NODES.replace("script.source", "script.source, connection: one")
    more = "about: " + "x" * 100_000 + "\nconnections:\n  one: {type: script.connection}"
    return flow(changed, WIRES, more=more)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(journal, "RETRY_S", 0.05)
    with lent(Script()) as script:
        yield script


def noise(first: int, count: int) -> list[float]:
    """Values of rows by their numbers."""
    return [random.Random(number).random() for number in range(first, first + count)]


async def limit(runtime: Runtime, pages: int) -> None:
    """Let the file grow to so many pages; with fewer than it has it does not grow."""
    await runtime.store.run(lambda db: db.execute(f"PRAGMA max_page_count={pages}").fetchall())


async def read(script: Script, runtime: Runtime, first: int, count: int) -> None:
    """Have the source read so many rows, of values that cannot be packed small."""
    rows = zip(range(first, first + count), noise(first, count), strict=True)
    text = "TT1 " + " | ".join(f"{second}s {value!r}" for second, value in rows)
    await script.readings.put(Reading({"out": samples(runtime, text)}, token=first))


async def test_a_checkpoint_that_has_no_room_is_given_up(script: Script, tmp_path: Path) -> None:
    runtime = await started(PLAIN, tmp_path)
    runner = runtime.runners["test"]
    script.slow.clear()
    await read(script, runtime, 1, 5000)
    await until(lambda: script.acknowledged == [1])
    runner.outboxes()["out"].freed.append(7)
    await limit(runtime, 1)
    with pytest.raises(Disconnected, match="full"):
        await runner.checkpoint()
    assert not runner.lock.locked()
    assert runner.outboxes()["out"].freed == [7], "to be told again"
    await limit(runtime, 1_000_000)
    assert await runner.checkpoint() > 0
    assert runner.outboxes()["out"].freed == []
    assert [block[:3] for block in await runtime.store.blocks("test", "out")] == [(1, 1, 5000)]
    await kill(runtime)
    script.slow.set()
    runtime = await started(PLAIN, tmp_path)
    await until(lambda: len(values(script)) == 10_000)
    await runtime.stop()
    assert set(values(script)) == set(noise(1, 5000))


async def test_a_deploy_that_has_no_room_leaves_the_old_revision_running(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(PLAIN, tmp_path)
    await read(script, runtime, 1, 3)
    await until(lambda: len(values(script)) == 6)
    await limit(runtime, 1)
    seq, revision = runtime.runners["test"].seq, runtime.hosts["test"].revision
    with pytest.raises(Disconnected, match="full"):
        await runtime.deploy(large(), "user:anna")
    assert (runtime.runners["test"].seq, runtime.hosts["test"].revision) == (seq, revision)
    await limit(runtime, 1_000_000)
    await read(script, runtime, 4, 3)
    await until(lambda: len(values(script)) == 12)
    assert script.acknowledged == [1, 4]
    assert (await runtime.deploy(large(), "user:anna")).revision == 2
    await read(script, runtime, 7, 3)
    await until(lambda: len(values(script)) == 18)
    await kill(runtime)
    runtime = await started(PLAIN, tmp_path)
    assert runtime.hosts["test"].revision.number == 2
    assert [line for line in runtime.lines.kept if line[1] == "error"] == []
    await runtime.stop()
    assert set(values(script)) == set(noise(1, 9))


async def test_a_stop_with_a_full_disk_ends_and_nothing_acknowledged_is_lost(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(PLAIN, tmp_path)
    script.slow.clear()
    await read(script, runtime, 1, 5000)
    await until(lambda: script.acknowledged == [1])
    await limit(runtime, 1)
    await read(script, runtime, 5001, 20_000)
    await until(lambda: runtime.store.trouble)
    async with asyncio.timeout(30):
        await runtime.stop()
    assert script.acknowledged == [1]
    assert any("No checkpoint" in line[3] for line in runtime.lines.kept)
    script.slow.set()
    runtime = await started(PLAIN, tmp_path)
    await until(lambda: len(values(script)) >= 10_000)
    await runtime.stop()
    assert set(values(script)) == set(noise(1, 5000))
