"""A receiver that is away: what waits goes to the disk, comes back in order, and is not lost."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway import Batch, Reading, Rejected
from gateway.engine import spool
from gateway.engine.backoff import Backoff
from gateway.engine.egress import Egress
from gateway.engine.runtime import Runtime
from gateway.engine.sealed import unseal
from gateway.engine.store_records import letters
from gateway.flow.document import Document
from tests.engine.gear import NS, T0, Script, flow, kill, lent, started, until, values

TAGS = 10


@pytest.fixture
def script() -> Iterator[Script]:
    with lent(Script()) as script:
        yield script


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try comes at once."""
    monkeypatch.setattr(Backoff, "next_s", lambda self, at_least_s=0.0: 0.01)


def sink_flow(kind: str = "sink", options: str = "") -> Document:
    outbox = f", outbox: {{{options}}}" if options else ""
    return flow(f"src: {{type: script.source}}\nout: {{type: script.{kind}{outbox}}}", "src -> out")


class Feed:
    """Rows of ten tags in turn, each with the next whole number as its value."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.sent = 0

    async def send(self, runtime: Runtime, rows: int, size: int = 500) -> None:
        """Hand in rows, and wait until the flow has taken them."""
        for tag in range(TAGS):
            runtime.tags.code(f"t{tag}")
        for _ in range(rows // size):
            serial = np.arange(self.sent, self.sent + size)
            self.sent += size
            batch = Batch.columns(serial % TAGS, T0 + serial * NS, serial.astype(float))
            await self.script.readings.put(Reading({"out": batch}, token=self.sent))
        await until(lambda: self.sent in self.script.acknowledged, 60)


def out(runtime: Runtime) -> Egress:
    return runtime.runners["test"].egresses["out"]


def in_memory(egress: Egress) -> int:
    """Rows of an outbox whose contents are in memory."""
    return sum(len(item.message) for item in egress.outbox.waiting())


def balanced(runtime: Runtime) -> bool:
    boxes = runtime.runners["test"].outboxes().values()
    return all(box.books.unbalanced(box.rows) == 0 for box in boxes)


def by_tag(written: list[tuple[str, Any]]) -> dict[int, list[float]]:
    """Values in the order they were written, each when it came first, by tag."""
    found: dict[int, dict[float, None]] = {}
    for _, batch in written:
        for tag, value in zip(batch.tag.tolist(), batch.value.tolist(), strict=True):
            found.setdefault(tag, {})[value] = None
    return {tag: list(listed) for tag, listed in found.items()}


def whole_and_in_order(script: Script, sent: int) -> None:
    for _, batch in script.written:
        assert (batch.ts == T0 + batch.value.astype(np.int64) * NS).all(), "not its own time"  # type: ignore[union-attr]  # batches
    found = by_tag(script.written)
    for tag in range(TAGS):
        assert found[tag] == [float(v) for v in range(tag, sent, TAGS)], f"tag {tag}"


async def test_a_long_outage_costs_disk_and_no_memory(script: Script, tmp_path: Path) -> None:
    script.away = True
    feed = Feed(script)
    runtime = await started(sink_flow(), tmp_path)
    await feed.send(runtime, 110_000, 2_000)
    bound = spool.SPILL_ROWS + 4 * spool.BLOCK_ROWS + 10_000
    assert out(runtime).queued_rows == 110_000
    assert in_memory(out(runtime)) <= bound
    await kill(runtime)
    runtime = await started(sink_flow(), tmp_path)
    assert out(runtime).queued_rows == 110_000
    await feed.send(runtime, 110_000, 2_000)
    assert in_memory(out(runtime)) <= bound
    assert balanced(runtime)
    script.away = False
    await until(lambda: len(values(script)) >= 60_000, 60)
    await kill(runtime)
    (mark,) = stored_marks(tmp_path)
    twice = len(values(script)) - mark["rows"][1]
    runtime = await started(sink_flow(), tmp_path)
    await until(lambda: not out(runtime).queued_rows, 60)
    whole_and_in_order(script, 220_000)
    assert sum(Counter(values(script)).values()) - 220_000 <= twice
    assert balanced(runtime)
    assert out(runtime).outbox.books.delivered == 220_000
    await runtime.stop()
    assert rows_of(tmp_path, "SELECT count(*) FROM outbox") == [(0,)]


def rows_of(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(folder / "genba.db")
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def stored_marks(folder: Path) -> list[dict[str, Any]]:
    found = rows_of(folder, "SELECT mark, flow, sink, seq FROM outlet")
    return [json.loads(unseal(mark, *place)) for mark, *place in found]


async def test_new_rows_go_first_and_the_old_ones_besides(script: Script, tmp_path: Path) -> None:
    document = sink_flow(options="backfill: live_first, backfill_rows_per_s: 10000")
    script.away = True
    feed = Feed(script)
    runtime = await started(document, tmp_path)
    await feed.send(runtime, 40_000)
    script.away = False
    await until(lambda: out(runtime).outbox.backlog_rows)
    await feed.send(runtime, 500)
    await until(lambda: 40_499.0 in values(script))
    assert out(runtime).outbox.backlog_rows > 20_000, "the new rows waited for the old ones"
    script.away = True  # A second outage while the first is not yet made good.
    await feed.send(runtime, 30_000)
    await kill(runtime)
    runtime = await started(document, tmp_path)
    assert balanced(runtime)
    script.away = False
    await until(lambda: out(runtime).outbox.backlog_rows)
    await feed.send(runtime, 500)
    await until(lambda: 70_999.0 in values(script))
    assert out(runtime).outbox.backlog_rows > 20_000
    await until(lambda: len(values(script)) > 55_000, 60)
    await kill(runtime)  # While the backlog goes out.
    script.written, before = [], script.written
    runtime = await started(document, tmp_path)
    await feed.send(runtime, 500)
    await until(lambda: not out(runtime).queued_rows, 60)
    assert balanced(runtime)
    everything = [v for _, batch in [*before, *script.written] for v in batch.value.tolist()]  # type: ignore[union-attr]  # batches
    assert set(everything) == set(map(float, range(feed.sent)))
    assert len(everything) - feed.sent < 20_000, "what was taken came again"
    old = [v for v in values(script) if v < 40_000]
    assert old == sorted(old), "the backlog keeps its order"
    await runtime.stop()


async def test_live_rows_do_not_wait_for_the_pace_of_the_old_ones(
    script: Script, tmp_path: Path
) -> None:
    document = sink_flow(options="backfill: live_first, backfill_rows_per_s: 100")
    script.away = True
    feed = Feed(script)
    runtime = await started(document, tmp_path)
    for _ in range(20):
        await feed.send(runtime, 500)
    script.away = False
    for _ in range(12):  # More than LIVE_TURNS, so that it is the backlog's turn twice.
        await feed.send(runtime, 10, 10)
        await until(lambda: float(feed.sent - 1) in values(script))
    assert out(runtime).outbox.backlog_rows >= 5_000
    await runtime.stop()


async def test_lanes_are_written_side_by_side_and_each_tag_in_order(
    script: Script, tmp_path: Path
) -> None:
    document = sink_flow("lanes")
    script.away = True
    feed = Feed(script)
    runtime = await started(document, tmp_path)
    await feed.send(runtime, 100_000, 2_000)
    assert sorted(runtime.runners["test"].outboxes()) == ["out", "out#1", "out#2", "out#3"]
    await runtime.runners["test"].checkpoint()
    await feed.send(runtime, 20_000, 2_000)
    await kill(runtime)
    runtime = await started(document, tmp_path)
    assert balanced(runtime)
    assert out(runtime).queued_rows == 120_000
    script.away = False
    await until(lambda: len(values(script)) >= 30_000, 60)
    await kill(runtime)
    runtime = await started(document, tmp_path)
    await until(lambda: not out(runtime).queued_rows, 60)
    assert script.writing_max == 4
    whole_and_in_order(script, 120_000)
    assert balanced(runtime)
    await runtime.stop()


async def test_lanes_that_are_gone_are_still_emptied(script: Script, tmp_path: Path) -> None:
    script.away = True
    feed = Feed(script)
    runtime = await started(sink_flow("lanes"), tmp_path)
    await feed.send(runtime, 50_000, 2_000)
    await kill(runtime)
    lanes = next(cls for name, cls in script.nodes().items() if name == "script.lanes")
    from gateway.flow import registry

    registry.LENT["script.lanes"] = type("One", (lanes,), {"lanes": 1})
    script.away = False
    runtime = await started(sink_flow("lanes"), tmp_path)
    await until(lambda: not out(runtime).queued_rows, 60)
    assert set(values(script)) == set(map(float, range(50_000)))
    assert balanced(runtime)
    await runtime.stop()


@pytest.mark.parametrize("kind", ["sink", "lanes"])
async def test_poison_inside_a_block_is_a_dead_letter_and_the_others_go_on(
    script: Script, tmp_path: Path, kind: str
) -> None:
    def poison(message: Any) -> Exception | None:
        if 12_345.0 in message.value:
            return ZeroDivisionError("a bug")
        return Rejected("Not this.") if 23_456.0 in message.value else None

    script.away = True
    script.poison = poison
    feed = Feed(script)
    runtime = await started(sink_flow(kind), tmp_path)
    await feed.send(runtime, 40_000, 100)
    script.away = False
    await until(lambda: not out(runtime).queued_rows, 60)
    missing = set(range(40_000)) - set(map(int, values(script)))
    found = await letters(runtime.store)
    assert missing == {12_345, 23_456}, "their neighbours were refused with them"
    assert sorted(letter["node"] for letter in found) == ["out", "out"]
    assert any("a bug" in letter["error"] for letter in found)
    assert balanced(runtime)
    assert sum(b.books.dead for b in runtime.runners["test"].outboxes().values()) == len(missing)
    await runtime.stop()


@pytest.mark.parametrize("is_running", [True, False])
async def test_a_damaged_block_is_lost_loudly(
    script: Script, tmp_path: Path, is_running: bool
) -> None:
    script.away = True
    feed = Feed(script)
    runtime = await started(sink_flow(), tmp_path)
    await feed.send(runtime, 100_000, 1_000)
    if not is_running:
        await kill(runtime)
    db = sqlite3.connect(tmp_path / "genba.db", timeout=10)
    blocks = db.execute("SELECT first, rows FROM outbox ORDER BY first").fetchall()
    first, count = blocks[5]
    with db:
        db.execute("UPDATE outbox SET data = zeroblob(100) WHERE first=?", (first,))
    db.close()
    if not is_running:
        runtime = await started(sink_flow(), tmp_path)
    script.away = False
    await until(lambda: not out(runtime).queued_rows, 60)
    assert len(set(values(script))) == 100_000 - count
    assert values(script) == sorted(values(script))
    assert out(runtime).outbox.books.dropped["damaged"] == count
    assert balanced(runtime)
    assert any("waited" in line[3] and "lost" in line[3] for line in runtime.lines.kept)
    await runtime.stop()


async def test_a_slow_receiver_holds_up_no_other(script: Script, tmp_path: Path) -> None:
    document = flow(
        "src: {type: script.source}\nout: {type: script.sink}\nquick: {type: test.collect}",
        "src -> out, src -> quick",
    )
    script.slow.clear()
    feed = Feed(script)
    runtime = await started(document, tmp_path)
    await feed.send(runtime, 50_000, 1_000)
    quick = runtime.runners["test"].egresses["quick"]
    await until(lambda: not quick.queued_rows)
    assert not script.written
    assert out(runtime).queued_rows == 50_000
    script.slow.set()
    await until(lambda: not out(runtime).queued_rows, 60)
    whole_and_in_order(script, 50_000)
    await runtime.stop()


async def test_a_flow_that_waits_for_room_goes_on_when_all_was_refused(
    script: Script, tmp_path: Path
) -> None:
    document = sink_flow(options="when_full: block, bytes_max: 20000")
    script.slow.clear()
    script.poison = lambda message: Rejected("Nothing of this.")
    runtime = await started(document, tmp_path)
    feed = Feed(script)
    sending = asyncio.ensure_future(feed.send(runtime, 20_000, 100))
    await until(lambda: out(runtime).holds_up)
    await asyncio.sleep(0.3)
    assert len(script.acknowledged) < 200, "the source was told although there is no room"
    script.slow.set()
    await sending
    await until(lambda: not out(runtime).queued_rows)
    assert out(runtime).outbox.books.dead == 20_000
    assert balanced(runtime)
    await runtime.stop()


async def test_a_flow_that_waits_for_a_sink_goes_on_when_that_is_taken_away(
    script: Script, tmp_path: Path
) -> None:
    script.slow.clear()
    runtime = await started(sink_flow(options="when_full: block, bytes_max: 20000"), tmp_path)
    feed = Feed(script)
    sending = asyncio.ensure_future(feed.send(runtime, 5_000, 100))
    await until(lambda: out(runtime).holds_up)
    without = flow("src: {type: script.source}\nsee: {type: test.collect}", "src -> see")
    await runtime.deploy(without, "user:anna")
    await sending
    await runtime.stop()


async def test_what_a_flow_without_journal_keeps_is_bounded_in_memory(
    script: Script, tmp_path: Path
) -> None:
    script.away = True
    document = flow(
        "src: {type: script.source}\nout: {type: script.sink}",
        "src -> out",
        more="durability: memory",
    )
    runtime = await started(document, tmp_path)
    assert out(runtime).outbox.options.bytes_max == 64_000_000
    await runtime.stop()


# ------------------------------------------------------------------ workers


WORKING = flow(
    "src: {type: script.source}\nask: {type: script.worker}\nout: {type: script.sink}",
    "src -> ask -> out",
)


@pytest.mark.parametrize("has_checkpoint", [True, False])
async def test_a_question_that_was_not_answered_is_asked_again(
    script: Script, tmp_path: Path, has_checkpoint: bool
) -> None:
    feed = Feed(script)
    runtime = await started(WORKING, tmp_path)
    for _ in range(30):
        await feed.send(runtime, 1, 1)
    await until(lambda: len(values(script)) == 30)
    script.slow.clear()
    for _ in range(50):
        await feed.send(runtime, 1, 1)
    await until(lambda: len(script.asked) == 31)
    if has_checkpoint:  # The questions are on the disk, and the records they came from done with.
        await runtime.runners["test"].checkpoint()
    await kill(runtime)
    script.slow.set()
    runtime = await started(WORKING, tmp_path)
    await until(lambda: len(set(values(script))) == 80)
    await kill(runtime)
    runtime = await started(WORKING, tmp_path)
    await feed.send(runtime, 1, 1)
    await until(lambda: len(set(values(script))) == 81)
    asked = Counter(script.asked)
    assert [n for n, times in asked.items() if times > 1] == [30.0], "only the one under way"
    assert list(dict.fromkeys(values(script))) == [2.0 * n for n in range(81)]
    assert balanced(runtime)
    await runtime.stop()


async def test_an_answer_is_in_the_journal_once(script: Script, tmp_path: Path) -> None:
    """Killed again and again: whatever was asked twice, one answer went into the flow."""
    feed = Feed(script)
    runtime = await started(WORKING, tmp_path)
    for _ in range(6):
        await feed.send(runtime, 40, 1)
        await asyncio.sleep(0.02)
        await kill(runtime)
        runtime = await started(WORKING, tmp_path)
    await until(lambda: len(set(values(script))) == 240)
    await until(lambda: not runtime.runners["test"].workers["ask"].queued_rows)
    from gateway.engine.codec import unpack_inputs

    answers: list[float] = []
    for _, block in await runtime.store.journal("test", 0, 10_000):
        for node, _, message in unpack_inputs(block)[0]:
            if node == "ask" and isinstance(message, Batch):
                answers += message.value.tolist()
    assert answers == [2.0 * n for n in range(240)]
    await runtime.stop()
