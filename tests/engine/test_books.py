"""Books: at every instant, whatever happens, every row is somewhere and we can say where.

A task looks at the books each time the event loop turns, so between any two awaits of the engine.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway import Batch, Disconnected, Event, Reading, Rejected
from gateway.engine import store_writer
from gateway.engine.arrived import Arrived
from gateway.engine.backoff import Backoff
from gateway.engine.bookkeeping import Intake, flow_books
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import letters
from tests.engine.gear import NS, T0, Script, flow, kill, lent, samples, started, until, values

ALL = flow(
    """
    src: {type: script.source}
    ask: {type: script.worker, outbox: {bytes_max: 20000}}
    bad: {type: test.fault, above: 1000}
    minute: {type: window.tumbling, size_s: 60}
    stats: {type: feature.statistics}
    out: {type: script.sink, outbox: {bytes_max: 20000}}
    first: {type: script.sink, outbox: {bytes_max: 10000, when_full: drop_newest}}
    screen: {type: script.latest}
    valve: {type: script.fresh}
    """,
    "src -> out, src -> first, src -> screen, src -> valve, src -> ask -> out, src -> bad -> out,"
    "src -> minute -> stats -> out",
)


class Auditor:
    """Looks at the books of a runtime whenever the loop turns."""

    def __init__(self) -> None:
        self.looks = 0
        self.odd: list[dict[str, Any]] = []
        self.runtime: Runtime | None = None

    async def run(self) -> None:
        while not self.odd:
            if self.runtime is not None:
                self.look(self.runtime)
            await asyncio.sleep(0)

    def look(self, runtime: Runtime) -> None:
        self.looks += 1
        for runner in runtime.booked.values():
            found = flow_books(runner)
            parts = [*found["inputs"], *found["wires"], *found["outlets"]]
            self.odd += [part for part in parts if part["unbalanced"]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(Backoff, "next_s", lambda self, at_least_s=0.0: min(at_least_s, 0.01))
    with lent(Script()) as script:
        yield script


def books(runtime: Runtime, node: str, part: str = "outlets") -> dict[str, Any]:
    """One book of the only flow."""
    (runner,) = runtime.runners.values()
    found = flow_books(runner)
    assert found["unbalanced"] == 0, found
    return next(row for row in found[part] if row.get("node", row.get("to")) == node)


def some_rows(runtime: Runtime, chance: random.Random, at_s: float) -> Batch:
    """Rows of four tags, with now and then one that makes a node fail or a sink refuse."""
    size = chance.choice((1, 3, 40, 200))
    codes = np.array([runtime.tags.code(f"T{chance.randrange(4)}") for _ in range(size)], np.uint16)
    ts = T0 + int(at_s * NS) + np.arange(size, dtype=np.int64)
    value = np.array([chance.uniform(0, 100) for _ in range(size)])
    if chance.random() < 0.1:
        value[0] = 5000.0  # `bad` fails on it.
    return Batch.columns(codes, ts, value)


async def befall(script: Script, runtime: Runtime, chance: random.Random, at_s: float) -> None:
    """One thing that happens."""
    what = chance.random()
    if what < 0.6:
        reading = Reading({"out": some_rows(runtime, chance, at_s)}, token=at_s)
        await script.readings.put(reading)
    elif what < 0.65:
        await script.readings.put(Reading({"status": (Event(1, "t", {"x": object()}),)}))
    elif what < 0.75:
        trouble = (Disconnected("It is away."), Rejected("It is wrong."), RuntimeError("a bug"))
        script.trouble += chance.choices(trouble, k=chance.randrange(1, 5))
    elif what < 0.8:
        script.slow.clear()
    elif what < 0.88:
        script.slow.set()
    elif what < 0.93:
        await script.readings.put(Disconnected("The device is away."))
    else:
        await runtime.runners["test"].checkpoint()
    for _ in range(chance.randrange(30)):
        await asyncio.sleep(0)
    if chance.random() < 0.2:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", range(1, 301 if "GENBA_TORTURE" in os.environ else 9))
async def test_the_books_balance_at_every_instant(
    script: Script, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    auditor = Auditor()
    for life in range(4):
        runtime = await started(ALL, tmp_path)
        auditor.look(runtime)
        assert not auditor.odd, f"{auditor.odd} seed {seed}, at the start of life {life}"
        auditor.runtime = runtime
        watch = asyncio.ensure_future(auditor.run())
        for i in range(60):
            await befall(script, runtime, chance, life * 100 + i)
        assert not auditor.odd, f"{auditor.odd} seed {seed}, in life {life}"
        auditor.runtime = None
        watch.cancel()
        if life < 3:
            await kill(runtime)
    script.slow.set()
    script.trouble.clear()
    runner = runtime.runners["test"]
    # Rows that a step took from the inbox are in no outbox until it ends: one look is not enough.
    for _ in range(3):
        await until(lambda: not runner.inbox.rows)
        await until(lambda: not any(outbox.rows for outbox in runner.outboxes().values()))
        await asyncio.sleep(0.1)
    await runtime.stop()
    final = flow_books(runtime.runners["test"])
    assert final["unbalanced"] == 0, final
    assert sum(row["queued"] for row in final["outlets"]) == 0
    assert auditor.looks > 1000


async def test_what_a_source_brought_is_said_row_by_row(script: Script, tmp_path: Path) -> None:
    document = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
    runtime = await started(document, tmp_path)
    odd = (Event(1, "t", {"x": object()}),)
    await script.readings.put(
        Reading({"out": samples(runtime, "A 0s 1 | 1s 2"), "status": odd, "late": odd})
    )
    await until(lambda: values(script) == [1.0, 2.0])
    book = books(runtime, "src", "inputs")
    # Two rows, and an event that says it reads; two events cannot be stored.
    assert (book["read"], book["journalled"], book["refused"]) == (5, 3, 2)
    assert (book["kind"], book["waiting"], book["unwired"]) == ("source", 0, 0)
    await script.readings.put(Reading({"late": samples(runtime, "A 0s 0")}))
    await until(lambda: books(runtime, "src", "inputs")["journalled"] == 4)
    assert books(runtime, "src", "inputs")["unwired"] == 1, "nobody takes late rows here"
    found = books(runtime, "out")
    assert (found["offered"], found["delivered"], found["queued"]) == (2, 2, 0)
    assert (found["delivery"], found["when_full"]) == ("every", "drop_oldest")
    assert sum(row["rows"] for row in await letters(runtime.store)) == 2
    status = runtime.status()
    assert status["unbalanced"] == 0
    assert status["books"]["test"]["since"] <= status["now"]
    await runtime.stop()


async def test_rows_wait_at_the_door_while_the_disk_refuses(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
    runtime = await started(document, tmp_path)
    runtime.runners["test"].inbox.rows_max = 3
    commit = runtime.store.commit

    async def refuse(entry: Any) -> None:
        raise Disconnected("The disk is full.")

    monkeypatch.setattr(runtime.store, "commit", refuse)
    for i in range(6):
        await script.readings.put(samples(runtime, f"A {i}s 1 | {i}.5s 2"))
    intake = runtime.runners["test"].inbox
    await until(lambda: intake.book("src").at_door == 2)
    book = books(runtime, "src", "inputs")
    assert book["in_inbox"] > 0
    assert book["in_hand"] > 0
    monkeypatch.setattr(runtime.store, "commit", commit)
    await until(lambda: len(values(script)) == 12)
    assert books(runtime, "src", "inputs")["waiting"] == 0
    await runtime.stop()


async def test_an_error_of_ours_is_not_hidden(script: Script, tmp_path: Path) -> None:
    document = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
    runtime = await started(document, tmp_path)
    runner = runtime.runners["test"]
    write = runner._write

    async def fail(entry: Any) -> None:
        runner._write = write  # type: ignore[method-assign]  # once only
        raise RuntimeError("a bug of ours")

    runner._write = fail  # type: ignore[method-assign,assignment]  # a bug of ours
    await script.readings.put(samples(runtime, "A 0s 1 | 1s 2"))
    await until(lambda: runner._write is write)
    await script.readings.put(samples(runtime, "A 2s 3"))
    await until(lambda: values(script) == [3.0])
    assert books(runtime, "src", "inputs")["lost"] >= 2
    await runtime.stop()


async def test_who_is_cut_off_before_the_inbox_keeps_his_rows() -> None:
    intake = Intake(2)
    batch = Batch.columns([1, 1], [1, 2], [1.0, 2.0])
    await intake.put(Arrived("src", [("out", batch)]), 2)
    waiting = asyncio.ensure_future(intake.put(Arrived("src", [("out", batch)]), 2))
    await asyncio.sleep(0)
    assert (intake.book("src").at_door, intake.book("src").in_inbox) == (2, 2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    book = intake.book("src")
    assert (book.read, book.given_back, book.waiting, book.unbalanced) == (4, 2, 2, 0)


async def test_a_setpoint_that_was_refused_or_cut_off_is_not_called_delivered(
    script: Script, tmp_path: Path
) -> None:
    document = flow("src: {type: script.source}\nout: {type: script.fresh}", "src -> out")
    runtime = await started(document, tmp_path)
    await until(lambda: runtime.runners["test"].egresses["out"]._is_up)
    for i, error in enumerate((None, Rejected("No."), Disconnected("Away."), RuntimeError("bug"))):
        await until(lambda: runtime.runners["test"].egresses["out"]._is_up)
        script.trouble += [error] if error else []
        await script.readings.put(samples(runtime, f"A {i}s {i}"))
        await until(lambda i=i: books(runtime, "out")["offered"] == i + 1)
        await until(lambda: not script.trouble)
    await until(lambda: books(runtime, "out")["dropped"].get("cut_off") == 2)
    found = books(runtime, "out")
    assert (found["offered"], found["delivered"], found["dead"]) == (4, 1, 1)
    await runtime.stop()


async def test_a_question_that_is_refused_is_a_dead_letter_and_not_an_answer(
    script: Script, tmp_path: Path
) -> None:
    document = flow(
        "src: {type: script.source}\nask: {type: script.worker}\nout: {type: script.sink}",
        "src -> ask, ask -> out",
    )
    runtime = await started(document, tmp_path)
    script.trouble += [Rejected("Not a question."), RuntimeError("a bug")]
    for i in range(3):
        await script.readings.put(samples(runtime, f"A {i}s {i}"))
        await until(lambda i=i: books(runtime, "ask")["offered"] == i + 1)
    await until(lambda: values(script) == [4.0])
    await until(lambda: books(runtime, "ask")["queued"] == 0)
    found = books(runtime, "ask")
    assert (found["kind"], found["offered"], found["delivered"], found["dead"]) == (
        "worker",
        3,
        1,
        2,
    )
    errors = [row["error"] for row in await letters(runtime.store)]
    assert "Not a question." in errors[1]
    assert "a bug" in errors[0]
    assert books(runtime, "ask", "inputs")["kind"] == "worker"
    await runtime.stop()


async def test_a_sinks_books_go_on_after_a_kill_and_a_sources_start_over(
    script: Script, tmp_path: Path
) -> None:
    document = flow(
        "src: {type: script.source}\nout: {type: script.sink}\nscreen: {type: script.latest}",
        "src -> out, src -> screen",
    )
    runtime = await started(document, tmp_path)
    for i in range(10):
        await script.readings.put(samples(runtime, f"A {i}s {i}"))
        await until(lambda i=i: books(runtime, "out")["delivered"] == i + 1)
        if i == 4:
            await runtime.runners["test"].checkpoint()
            script.slow.clear()
            break
    for i in range(5, 10):  # The screen is away: each row takes the place of the one before.
        await script.readings.put(samples(runtime, f"A {i}s {i}"))
        await until(lambda i=i: books(runtime, "out")["offered"] == i + 1)
    before = books(runtime, "screen")
    assert before["dropped"]["superseded"] >= 3
    await runtime.runners["test"]._store.commit(_mark(runtime))
    since = flow_books(runtime.runners["test"])["since"]
    await kill(runtime)
    runtime = await started(document, tmp_path)
    assert flow_books(runtime.runners["test"])["since"] > since
    found = books(runtime, "out")
    assert (found["offered"], found["delivered"], found["queued"]) == (10, 5, 5)
    found = books(runtime, "screen")
    assert found["offered"] == 10
    assert found["queued"] + found["dropped"].get("superseded", 0) == 5
    script.slow.set()
    await until(lambda: books(runtime, "out")["delivered"] == 10)
    await until(lambda: books(runtime, "screen")["queued"] == 0)
    await runtime.stop()


def _mark(runtime: Runtime) -> Any:
    """What the next commit would say of the sinks."""
    import json

    from gateway.engine.store import Entry

    runner = runtime.runners["test"]
    marks = {node: json.dumps(box.mark()) for node, box in runner.outboxes().items()}
    return Entry("test", runner.seq, T0, outlets=marks)


async def test_a_node_that_was_stopped_is_stopped_in_the_replay_too(
    script: Script, tmp_path: Path
) -> None:
    document = flow(
        "src: {type: script.source}\nbad: {type: test.fault, above: 100}\nout: {type: script.sink}",
        "src -> bad -> out",
    )
    runtime = await started(document, tmp_path)
    for i, value in enumerate((500, 50, 500, 500, 60)):
        await script.readings.put(samples(runtime, f"A {i}s {value}"))
        await until(lambda i=i: books(runtime, "bad.in", "wires")["rows"] == i + 1)
        if i == 2:
            await runtime.runners["test"].checkpoint()
    assert books(runtime, "bad.in", "wires")["dropped"] == {"node_failed": 3, "node_stopped": 1}
    assert values(script) == [50.0]
    await kill(runtime)
    runtime = await started(document, tmp_path)
    assert books(runtime, "out")["offered"] == 1, "the row that it did not take is not made now"
    await script.readings.put(samples(runtime, "A 9s 70"))  # A start gives it a new chance.
    await until(lambda: values(script)[-1] == 70.0)
    assert 60.0 not in values(script)
    assert books(runtime, "out")["offered"] == 2
    await runtime.stop()


async def test_a_damaged_block_is_counted_as_lost(script: Script, tmp_path: Path) -> None:
    document = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
    runtime = await started(document, tmp_path)
    script.slow.clear()
    for i in range(3):
        await script.readings.put(samples(runtime, f"A {i}s {i} | {i}.5s 1"))
        await until(lambda i=i: books(runtime, "out")["offered"] == 2 * i + 2)
    await runtime.runners["test"].checkpoint()
    assert runtime.store._db is not None
    runtime.store._db.execute("UPDATE outbox SET data=x'00'")
    await kill(runtime)
    script.slow.set()
    runtime = await started(document, tmp_path)
    await until(lambda: books(runtime, "out")["queued"] == 0)
    found = books(runtime, "out")
    assert found["dropped"] == {"damaged": 6}
    await runtime.stop()


async def test_rows_of_a_sink_that_is_taken_out_are_said(script: Script, tmp_path: Path) -> None:
    nodes = "src: {type: script.source}\nout: {type: script.sink}\nother: {type: script.fresh}"
    document = flow(nodes, "src -> out, src -> other")
    runtime = await started(document, tmp_path)
    script.slow.clear()
    await script.readings.put(samples(runtime, "A 0s 1 | 1s 2"))
    await until(lambda: books(runtime, "out")["queued"] == 2)
    auditor = Auditor()
    auditor.runtime = runtime
    watch = asyncio.ensure_future(auditor.run())
    less = flow("src: {type: script.source}\nother: {type: script.fresh}", "src -> other")
    done = await runtime.deploy(less, "user:anna")
    assert "out is closed: 2 rows that waited for it were dropped." in done.said
    more = flow(nodes + "\nnew: {type: script.sink}", "src -> out, src -> other, src -> new")
    await runtime.deploy(more, "user:anna")
    script.slow.set()
    await script.readings.put(samples(runtime, "A 2s 3"))
    await until(lambda: books(runtime, "new")["delivered"] == 1)
    assert books(runtime, "out")["offered"] == 1
    watch.cancel()
    assert not auditor.odd
    assert auditor.looks > 10
    await kill(runtime)
    runtime = await started(more, tmp_path)
    assert books(runtime, "out")["offered"] == 1
    await runtime.stop()


def test_the_books_find_a_row_that_nobody_has(tmp_path: Path) -> None:
    """The check itself bites, on each kind of book."""
    from gateway.engine.bookkeeping import InputBook
    from gateway.engine.books import Books
    from gateway.engine.traffic import WireCount

    assert InputBook(read=3, journalled=2).unbalanced == 1
    assert Books(offered=3, delivered=1).unbalanced(1) == 1
    count = WireCount()
    count.rows = 2
    count.end(1, was_stopped=False, is_stopped=False)
    assert (count.rows - count.done - count.dropped) == 1
