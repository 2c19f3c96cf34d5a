"""Runner: the order of things, recovery, alarms once, faults, and what is kept of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway import Disconnected, Event, Reading
from gateway.engine import store_writer
from gateway.engine.codec import unpack_inputs
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows, letters
from tests.engine.gear import (
    NS,
    T0,
    Script,
    flow,
    kill,
    lent,
    samples,
    started,
    until,
    values,
)

PLAIN = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
RICH = flow(
    """
    src: {type: script.source}
    clean: {type: filter.deadband, band: 0.5}
    minute: {type: window.tumbling, size_s: 60}
    stats: {type: feature.statistics}
    high: {type: alarm.limit, hi: 80, on_delay_s: 5}
    out: {type: script.sink}
    """,
    "src -> clean -> minute -> stats -> out, src -> high, high.alarms -> out.alarms",
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()) as script:
        yield script


async def send(runtime: Runtime, script: Script, text: str, token: Any = None) -> None:
    """One reading, and wait until it was served."""
    (runner,) = runtime.runners.values()
    before = runner._done_seq
    await script.readings.put(Reading({"out": samples(runtime, text)}, token=token))
    await until(lambda: runner._done_seq > before)


async def test_it_commits_before_it_acknowledges(script: Script, tmp_path: Path) -> None:
    runtime = await started(PLAIN, tmp_path)
    write = runtime.store._write

    def noted(entries: Any) -> None:
        write(entries)
        script.log.append(f"commit {[e.seq for e in entries if e.rows]}")

    runtime.store._write = noted  # type: ignore[method-assign]  # it only takes notes
    for i in range(3):
        await send(runtime, script, f"TT1 {i}s {i}", token=i)
    await until(lambda: len(script.acknowledged) == 3)
    log = [line for line in script.log if line != "commit []"]
    commits = [i for i, line in enumerate(log) if line.startswith("commit")]
    acknowledged = [i for i, line in enumerate(log) if line.startswith("acknowledge")]
    assert len(commits) == len(acknowledged) == 3
    assert all(c < a for c, a in zip(commits, acknowledged, strict=True))
    await runtime.stop()


async def test_nothing_is_acknowledged_while_the_disk_refuses(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(PLAIN, tmp_path)
    await send(runtime, script, "TT1 0s 1", token="before")
    commit = runtime.store.commit

    async def refuse(entry: Any) -> None:
        raise Disconnected("The disk is full.")

    runtime.store.commit = refuse  # type: ignore[method-assign]  # a disk that refuses
    await script.readings.put(Reading({"out": samples(runtime, "TT1 1s 2")}, token="after"))
    await asyncio.sleep(0.2)
    assert script.acknowledged == ["before"]
    assert values(script) == [1.0]
    runtime.store.commit = commit  # type: ignore[method-assign]  # and one that does not
    await until(lambda: script.acknowledged == ["before", "after"])
    await until(lambda: values(script) == [1.0, 2.0])
    await runtime.stop()


async def test_recovery_gives_the_state_of_an_uninterrupted_run(
    script: Script, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    texts = [f"TT{i % 3} {i}s {60 + 30 * rng.random():.3f}" for i in range(0, 300, 3)]
    whole = await started(RICH, tmp_path / "whole")
    for text in texts:
        await send(whole, script, text)
    wanted = whole.runners["test"].graph.snapshot()
    await until(lambda: not whole.runners["test"].egresses["out"].queued_rows)
    events = [e for _, m in script.written for e in m if not isinstance(m, type(None))]
    assert events
    await whole.stop()

    cut = await started(RICH, tmp_path / "cut")
    for i, text in enumerate(texts):
        await send(cut, script, text)
        if i == 40:
            await cut.runners["test"].checkpoint()
        if i in (10, 41, 77):
            await kill(cut)
            cut = await started(RICH, tmp_path / "cut")
    found = cut.runners["test"].graph.snapshot()
    times = ("watch", "seen", "desk", "links")  # what remembers the time of the steps
    assert found.keys() == wanted.keys()
    for node, arrays in wanted.items():
        for key, array in arrays.items():
            if not key.startswith(times):
                assert array.tobytes() == found[node][key].tobytes(), (node, key)
    await cut.stop()


async def test_replaying_the_very_same_journal_gives_the_very_same_state(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(RICH, tmp_path)
    for i in range(50):
        await send(runtime, script, f"TT1 {i * 5}s {60 + i}")
    before = runtime.runners["test"].graph.snapshot()
    await kill(runtime)
    runtime = await started(RICH, tmp_path)
    after = runtime.runners["test"].graph.snapshot()
    for node, arrays in before.items():
        for key, array in arrays.items():
            if key.endswith("seen"):  # The time away counts as silence of nobody.
                assert ((array != 0) == (after[node][key] != 0)).all()
                continue
            assert array.tobytes() == after[node][key].tobytes(), (node, key)
    await runtime.stop()


async def test_alarms_are_stored_once(script: Script, tmp_path: Path) -> None:
    document = flow(
        "src: {type: script.source}\nhigh: {type: alarm.limit, hi: 80}\nout: {type: script.sink}",
        "src -> high, high.alarms -> out.alarms",
    )
    runtime = await started(document, tmp_path)
    for i, value in enumerate((70, 90, 70, 95)):
        await send(runtime, script, f"TT1 {i}s {value}")
    for _ in range(3):
        await kill(runtime)
        runtime = await started(document, tmp_path)
    changes = [event.change for event in await runtime.store.alarm_events()]
    assert changes == ["raised", "returned", "raised"]
    (opened,) = runtime.book.open()
    assert (opened.alarm, opened.occurrence) == ("test/high:TT1:HI", 2)
    await runtime.stop()


async def test_after_a_crash_nothing_is_lost_and_little_comes_twice(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(PLAIN, tmp_path)
    for i in range(20):
        await send(runtime, script, f"TT1 {i}s {i}")
    await until(lambda: len(values(script)) == 20)
    # The cursor goes with the next commit: only what came after the last one may come again.
    await kill(runtime)
    script.written.clear()
    runtime = await started(PLAIN, tmp_path)
    await send(runtime, script, "TT1 20s 20")
    await until(lambda: values(script) and values(script)[-1] == 20)
    assert values(script) in ([19.0, 20.0], [20.0], [18.0, 19.0, 20.0])
    await runtime.stop()


async def test_after_a_stop_nothing_comes_twice(script: Script, tmp_path: Path) -> None:
    for start in (0, 5, 10):
        runtime = await started(PLAIN, tmp_path)
        for i in range(start, start + 5):
            await send(runtime, script, f"TT1 {i}s {i}")
        await runtime.stop()
    assert values(script) == list(range(15))


async def test_a_stop_acknowledges_what_was_read(script: Script, tmp_path: Path) -> None:
    runtime = await started(PLAIN, tmp_path)
    for i in range(50):
        await script.readings.put(Reading({"out": samples(runtime, f"TT1 {i}s {i}")}, token=i))
    await until(lambda: script.acknowledged)
    await runtime.stop()
    closed = script.log.index("close")
    told = [line for line in script.log if line.startswith("acknowledge")]
    assert script.log[:closed].count("close") == 0
    assert all(script.log.index(line) < closed for line in told)
    assert values(script) == script.acknowledged


async def test_what_waits_for_a_sink_survives_a_stop(script: Script, tmp_path: Path) -> None:
    script.slow.clear()
    runtime = await started(PLAIN, tmp_path)
    for i in range(5):
        await send(runtime, script, f"TT1 {i}s {i}")
    runtime.runners["test"].egresses["out"].drained = _at_once  # type: ignore[method-assign]  # fast
    await runtime.stop()
    assert values(script) == []
    script.slow.set()
    runtime = await started(PLAIN, tmp_path)
    await until(lambda: len(values(script)) == 5)
    assert values(script) == [0.0, 1.0, 2.0, 3.0, 4.0]
    await runtime.stop()


async def _at_once() -> None:
    return


async def test_a_damaged_snapshot_loses_no_later_message(script: Script, tmp_path: Path) -> None:
    runtime = await started(PLAIN, tmp_path)
    for i in range(5):
        await send(runtime, script, f"TT1 {i}s {i}")
    await runtime.stop()
    runtime = await started(PLAIN, tmp_path)
    await send(runtime, script, "TT1 5s 5")
    await until(lambda: len(values(script)) == 6)
    assert runtime.store._db is not None
    runtime.store._db.execute("UPDATE snapshot SET manifest=x'00'")
    await kill(runtime)
    script.written.clear()
    runtime = await started(PLAIN, tmp_path)
    assert any("made again from the journal" in line[3] for line in runtime.lines.kept)
    assert values(script) == [], "what had gone out does not come again"
    await send(runtime, script, "TT1 6s 6")
    await until(lambda: 6.0 in values(script))
    await runtime.stop()


async def test_a_lost_journal_record_loses_no_later_message(script: Script, tmp_path: Path) -> None:
    runtime = await started(PLAIN, tmp_path)
    for i in range(5):
        await send(runtime, script, f"TT1 {i}s {i}")
    await until(lambda: len(values(script)) == 5)
    await send(runtime, script, "TT1 5s 5")
    assert runtime.store._db is not None
    runtime.store._db.execute("UPDATE journal SET data=x'00' WHERE seq IN (2, 3)")
    await kill(runtime)
    script.written.clear()
    runtime = await started(PLAIN, tmp_path)
    assert sum("is lost" in line[3] for line in runtime.lines.kept) == 2
    await send(runtime, script, "TT1 6s 6")
    await until(lambda: 6.0 in values(script))
    assert 5.0 in values(script)
    await runtime.stop()


async def test_an_edited_flow_does_not_swallow_messages(script: Script, tmp_path: Path) -> None:
    runtime = await started(PLAIN, tmp_path)
    await runtime.runners["test"].checkpoint()
    for i in range(5):
        await send(runtime, script, f"TT1 {i}s {i}")
    await until(lambda: len(values(script)) == 5)
    await send(runtime, script, "TT1 5s 5")
    await kill(runtime)
    script.written.clear()
    edited = flow(
        "src: {type: script.source}\nonly: {type: filter.range, low: 4, outside: drop}\n"
        "out: {type: script.sink}",
        "src -> only -> out",
    )
    runtime = await started(edited, tmp_path)
    await send(runtime, script, "TT1 6s 6")
    await until(lambda: 6.0 in values(script))
    # The past ran through the flow as it was then; only what the last commit did not know of
    # may come again.
    assert values(script) in ([6.0], [5.0, 6.0], [4.0, 5.0, 6.0])
    assert runtime.hosts["test"].revision.number == 2
    await runtime.stop()


FAULTY = flow(
    """
    src: {type: script.source}
    bad: {type: test.fault, above: 100}
    out: {type: script.sink}
    other: {type: script.sink}
    """,
    "src -> bad -> out, src -> other",
)


async def test_a_fault_keeps_its_message_and_the_others_run_on(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(FAULTY, tmp_path)
    await send(runtime, script, "TT1 0s 50")
    await send(runtime, script, "TT1 1s 500")
    await send(runtime, script, "TT1 2s 60")
    await until(lambda: len(script.written) == 5)
    assert sorted(values(script)) == [50.0, 50.0, 60.0, 60.0, 500.0]
    (letter,) = await letters(runtime.store)
    assert letter["node"] == "bad"
    assert "was told to fail" in letter["error"]
    rows = await runtime.store._query("SELECT data FROM dead_letter", ())
    ((node, port, message),), _ = unpack_inputs(rows[0][0])
    assert (node, port, message.value.tolist()) == ("bad", "in", [500.0])  # type: ignore[union-attr]  # a batch
    status = next(s for s in runtime.statuses if s.node == "bad")
    assert (status.state, status.counts["faults"]) == ("running", 1)
    await runtime.stop()


async def test_a_node_that_fails_again_and_again_is_stopped(script: Script, tmp_path: Path) -> None:
    runtime = await started(FAULTY, tmp_path)
    for i in range(5):
        await send(runtime, script, f"TT1 {i}s 500")
    assert "bad" in runtime.runners["test"].graph.faulted()
    assert next(s for s in runtime.statuses if s.node == "bad").state == "faulted"
    dropped = next(w for w in runtime.wires() if w["to"] == "bad.in")
    assert dropped["reasons"] == {"node_failed": 3, "node_stopped": 2}
    await until(lambda: len(values(script)) == 5)
    assert len(await letters(runtime.store)) == 3
    await runtime.stop()


async def test_what_cannot_be_stored_is_kept_apart(script: Script, tmp_path: Path) -> None:
    document = flow(
        "src: {type: script.source}\nout: {type: script.sink}",
        "src -> out, src.status -> out.events",
    )
    runtime = await started(document, tmp_path)
    poison = (Event(1, "t", {"x": object()}),)
    await script.readings.put(Reading({"status": poison, "out": samples(runtime, "TT1 0s 1")}))
    await until(lambda: values(script) == [1.0])
    (letter,) = await letters(runtime.store)
    assert "cannot be stored" in letter["error"]
    await runtime.stop()


async def test_an_operators_action_is_journalled(script: Script, tmp_path: Path) -> None:
    document = flow("src: {type: script.source}\nhigh: {type: alarm.limit, hi: 80}", "src -> high")
    runtime = await started(document, tmp_path)
    await send(runtime, script, "TT1 0s 90")
    (opened,) = runtime.book.open()
    data = {"alarm": opened.alarm, "actor": "user:anna", "occurrence": 1}
    assert await runtime.act("ack", data) == 1
    await until(lambda: runtime.book.open()[0].state.value == "ACKED")
    await kill(runtime)
    runtime = await started(document, tmp_path)
    (opened,) = runtime.book.open()
    assert (opened.state.value, opened.actor) == ("ACKED", "user:anna")
    (row,) = await audit_rows(runtime.store)
    assert (row["actor"], row["action"]) == ("user:anna", "alarm/ack")
    assert await runtime.act("ack", {"alarm": "test/none:x:HI", "actor": "user:anna"}) == 0
    await runtime.stop()


async def test_a_flow_without_a_journal_stores_nothing(script: Script, tmp_path: Path) -> None:
    document = flow(
        "src: {type: script.source}\nout: {type: script.sink}",
        "src -> out",
        more="durability: memory",
    )
    runtime = await started(document, tmp_path)
    await script.readings.put(Reading({"out": samples(runtime, "TT1 0s 1")}, token=1))
    await until(lambda: script.acknowledged == [1] and values(script) == [1.0])
    assert await runtime.store.journal("test", 0) == []
    assert await runtime.runners["test"].checkpoint() == 0
    await runtime.stop()


async def test_a_checkpoint_of_nothing_new_writes_nothing(script: Script, tmp_path: Path) -> None:
    runtime = await started(PLAIN, tmp_path)
    await send(runtime, script, "TT1 0s 1")
    await until(lambda: values(script) == [1.0])
    assert await runtime.runners["test"].checkpoint() > 0
    assert await runtime.runners["test"].checkpoint() == 0
    await runtime.stop()


async def test_tags_keep_their_codes(script: Script, tmp_path: Path) -> None:
    runtime = await started(PLAIN, tmp_path)
    await send(runtime, script, "B 0s 1\nA 0s 2")
    await kill(runtime)
    runtime = await started(PLAIN, tmp_path)
    assert [runtime.tags.code(name) for name in ("B", "A", "C")] == [0, 1, 2]
    await runtime.stop()


async def test_a_flow_with_an_error_is_left_out(script: Script, tmp_path: Path) -> None:
    wrong = flow("x: {type: filter.deadband, band: -1}", "", name="wrong")
    runtime = await started([PLAIN, wrong], tmp_path)
    assert list(runtime.runners) == ["test"]
    assert any("wrong" in line[2] and "band" in line[3] for line in runtime.lines.kept)
    await runtime.stop()


async def test_a_timer_that_is_due_at_the_start_fires_once(script: Script, tmp_path: Path) -> None:
    document = flow(
        "src: {type: script.source}\nhigh: {type: alarm.limit, hi: 80, on_delay_s: 1}\n"
        "out: {type: script.sink}",
        "src -> high, high.alarms -> out.alarms",
    )
    runtime = await started(document, tmp_path)
    now = runtime.clock.now()
    seconds = (now - T0) / NS
    await send(runtime, script, f"TT1 {seconds:.3f}s 90")
    await kill(runtime)
    assert script.written == []
    await asyncio.sleep(1.1)
    for _ in range(2):
        runtime = await started(document, tmp_path)
        await until(lambda: script.written)
        await runtime.stop()
    assert [port for port, _ in script.written] == ["alarms"]
