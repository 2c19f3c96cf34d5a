"""Egress, ingress, connections and workers: what happens when the world goes and comes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway import Batch, ConfigError, Event, LimitError, Reading, Rejected, quality
from gateway.engine import connections, feeder, ingress, store_writer
from gateway.engine.backoff import Backoff
from gateway.engine.lane import bytes_of
from gateway.engine.outbox import Outbox
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import letters
from gateway.flow.entries import OutboxOptions
from tests.engine.gear import (
    NS,
    T0,
    Disconnected,
    Script,
    flow,
    lent,
    samples,
    started,
    until,
    values,
)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    monkeypatch.setattr(Backoff, "next_s", lambda self, at_least_s=0.0: min(at_least_s, 0.05))
    with lent(Script()) as script:
        yield script


def sink_flow(kind: str) -> object:
    return flow(
        f"src: {{type: script.source}}\nout: {{type: script.{kind}}}",
        "src -> out, src.status -> out.events",
    )


async def send(runtime: Runtime, script: Script, text: str) -> None:
    await script.readings.put(samples(runtime, text))


def said(runtime: Runtime, where: str) -> list[str]:
    return [line[3] for line in runtime.lines.kept if line[2] == where]


def counts(runtime: Runtime, node: str) -> dict[str, int]:
    return dict(next(s for s in runtime.statuses if s.node == node).counts)


# ------------------------------------------------------------------ egress


async def test_every_row_is_written_in_order_across_losses(script: Script, tmp_path: Path) -> None:
    runtime = await started(sink_flow("sink"), tmp_path)  # type: ignore[arg-type]  # a document
    for i in range(30):
        if i % 7 == 3:
            script.trouble.append(Disconnected("It is away."))
        await send(runtime, script, f"TT1 {i}s {i}")
        await asyncio.sleep(0.003)
    await until(lambda: len(values(script)) == 30)
    assert values(script) == list(range(30))
    lines = said(runtime, "test/out")
    assert sum("away" in line for line in lines) == sum("Writing again" in line for line in lines)
    await runtime.stop()


async def test_one_refused_message_costs_no_other(script: Script, tmp_path: Path) -> None:
    def refuse(message: object) -> Exception | None:
        bad = isinstance(message, Batch) and (message.value == 5).any()
        return Rejected("No fives.") if bad else None

    script.poison = refuse
    script.slow.clear()
    runtime = await started(sink_flow("sink"), tmp_path)  # type: ignore[arg-type]  # a document
    for i in range(10):
        await send(runtime, script, f"TT1 {i}s {i}")
        await asyncio.sleep(0.01)
    script.slow.set()
    await until(lambda: len(values(script)) == 9)
    assert values(script) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    (letter,) = await letters(runtime.store)
    assert letter["error"] == "No fives."
    assert counts(runtime, "out")["rejected"] == 1
    assert counts(runtime, "out")["rows_out"] == 9 + len(events(script))
    await runtime.stop()


async def test_a_message_on_which_the_sink_fails_is_buried(script: Script, tmp_path: Path) -> None:
    def fail(message: object) -> Exception | None:
        bad = isinstance(message, Batch) and (message.value == 5).any()
        return ZeroDivisionError("a bug") if bad else None

    script.poison = fail
    runtime = await started(sink_flow("sink"), tmp_path)  # type: ignore[arg-type]  # a document
    for i in range(8):
        await send(runtime, script, f"TT1 {i}s {i}")
        await asyncio.sleep(0.01)
    await until(lambda: len(values(script)) == 7)
    assert values(script) == [0, 1, 2, 3, 4, 6, 7]
    (letter,) = await letters(runtime.store)
    assert "a bug" in letter["error"]
    await runtime.stop()


async def test_a_display_gets_the_newest_row_of_each_tag(script: Script, tmp_path: Path) -> None:
    script.slow.clear()
    runtime = await started(sink_flow("latest"), tmp_path)  # type: ignore[arg-type]  # a document
    await script.readings.put(Reading({"status": (Event(1, "note", {}),)}))
    for i in range(20):
        await send(runtime, script, f"A {i}s {i}\nB {i}s {-i}")
        await asyncio.sleep(0.003)
    await until(lambda: not runtime.runners["test"].inbox.rows)
    await asyncio.sleep(0.02)
    script.slow.set()
    await until(lambda: 19.0 in values(script))
    assert len(values(script)) <= 6
    topics = [e.topic for p, m in script.written if p == "events" for e in m]  # type: ignore[union-attr]  # events
    assert "note" in topics, "other ports are not cleared with the samples"
    await runtime.stop()


async def test_a_setpoint_is_written_at_once_or_never(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeder, "FRESH_S", 0.2)
    runtime = await started(sink_flow("fresh"), tmp_path)  # type: ignore[arg-type]  # a document
    out = runtime.runners["test"].egresses["out"]
    await until(lambda: out._is_up)
    await send(runtime, script, "SP 0s 1")
    await until(lambda: values(script) == [1.0])
    script.slow.clear()
    await send(runtime, script, "SP 1s 2")  # It hangs in the device.
    await asyncio.sleep(0.05)
    await send(runtime, script, "SP 2s 3")  # It waits too long behind it.
    await asyncio.sleep(0.3)
    script.slow.set()
    await until(lambda: not len(out.outbox))
    assert values(script) == [1.0, 2.0]
    script.trouble.append(Disconnected("It is away."))
    await send(runtime, script, "SP 3s 4")  # It may have been written: it is not repeated.
    await until(lambda: any("It is away" in line for line in said(runtime, "test/out")))
    await until(lambda: out._is_up)
    await send(runtime, script, "SP 4s 5")
    await until(lambda: 5.0 in values(script))
    assert values(script) == [1.0, 2.0, 5.0]
    assert counts(runtime, "out")["dropped_stale"] >= 2
    await runtime.stop()


async def test_a_setpoint_is_not_written_after_a_restart(script: Script, tmp_path: Path) -> None:
    script.slow.clear()
    runtime = await started(sink_flow("fresh"), tmp_path)  # type: ignore[arg-type]  # a document
    await until(lambda: runtime.runners["test"].egresses["out"]._is_up)
    await send(runtime, script, "SP 0s 1\nSP 1s 2")
    await until(lambda: counts(runtime, "src").get("rows_in") == 2)
    await asyncio.sleep(0.05)
    await runtime.stop()
    script.slow.set()
    runtime = await started(sink_flow("fresh"), tmp_path)  # type: ignore[arg-type]  # a document
    await until(lambda: runtime.runners["test"].egresses["out"]._is_up)
    await asyncio.sleep(0.05)
    assert values(script) == []
    await runtime.stop()


async def test_a_full_outbox_sheds_the_oldest_and_says_so(script: Script, tmp_path: Path) -> None:
    script.slow.clear()
    runtime = await started(sink_flow("sink"), tmp_path)  # type: ignore[arg-type]  # a document
    out = runtime.runners["test"].egresses["out"]
    out.outbox.options = OutboxOptions.model_construct(bytes_max=1300, when_full="drop_oldest")
    for i in range(12):
        await send(runtime, script, f"TT1 {i}s {i}")
        await until(lambda n=i + 2: out.outbox.offered >= n)  # type: ignore[misc]  # bound now
    script.slow.set()
    await until(lambda: 11.0 in values(script))
    assert values(script)[-5:] == [7.0, 8.0, 9.0, 10.0, 11.0]
    assert counts(runtime, "out")["dropped_full"] >= 6
    assert sum("outbox is full" in line for line in said(runtime, "test/out")) == 1
    await runtime.stop()


def test_outbox_numbers_are_those_of_a_replay() -> None:
    box = Outbox()
    batches = [Batch.columns([0], [i], [float(i)]) for i in range(5)]
    for batch in batches:
        box.add("in", batch, 0.0)
    box.taken(box.lane(), 2)
    again = Outbox()
    again.restore(box.mark(), (0, 0), ())
    for batch in batches:
        again.add("in", batch, 0.0)
    assert [item.number for item in again.waiting()] == [3, 4, 5]
    assert again.rows == 3
    last, port, message = again.lane().next()
    assert (last, port, message.value.tolist()) == (5, "in", [2.0, 3.0, 4.0])  # type: ignore[union-attr]  # a batch


# ------------------------------------------------------------------ ingress


STATUS = flow(
    "src: {type: script.source}\nout: {type: script.sink}",
    "src -> out, src.status -> out.events",
)


def events(script: Script) -> list[str]:
    return [e.topic for p, m in script.written if p == "events" for e in m]  # type: ignore[union-attr]  # events


async def test_a_device_that_is_absent_at_the_start(script: Script, tmp_path: Path) -> None:
    script.connect_trouble += [Disconnected("No answer from 10.0.0.5.")] * 5
    script.tags = ["TT1", "TT2"]
    runtime = await started(STATUS, tmp_path)
    await until(lambda: not script.connect_trouble)
    await send(runtime, script, "TT1 0s 1")
    await until(lambda: 1.0 in values(script))
    assert events(script) == ["source/lost", "source/back"]
    lines = said(runtime, "test/src")
    assert sum("No answer from 10.0.0.5" in line for line in lines) == 1
    assert sum("Reading again" in line for line in lines) == 1
    bad = next(m for p, m in script.written if p == "in")
    assert isinstance(bad, Batch)
    assert [runtime.tags.name(t) for t in bad.tag.tolist()] == ["TT1", "TT2"]
    assert set(bad.quality.tolist()) == {quality.BAD_NO_COMMUNICATION}
    await runtime.stop()


async def test_a_loss_marks_known_tags_bad_on_the_devices_clock(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(STATUS, tmp_path)
    await send(runtime, script, "A 0s 1\nB 3600s 2")
    await until(lambda: len(values(script)) == 2)
    await script.readings.put(Disconnected("Gone."))
    await until(lambda: len(values(script)) == 4)
    bad = [m for p, m in script.written if p == "in"][-1]
    assert isinstance(bad, Batch)
    assert np.isnan(bad.value).all()
    first, second = bad.ts.tolist()
    assert T0 <= first < T0 + 60 * NS, "A's clock is near T0, whatever ours says"
    assert abs(second - first - 3600 * NS) < NS
    await runtime.stop()


async def test_losses_in_a_row_are_told_once_each_way(script: Script, tmp_path: Path) -> None:
    runtime = await started(STATUS, tmp_path)
    for round_ in range(3):
        await send(runtime, script, f"A {round_}s {round_}")
        await until(lambda r=float(round_): r in values(script))  # type: ignore[misc]  # bound now
        script.connect_trouble += [Disconnected("Away.")] * 3
        await script.readings.put(Disconnected("Away."))
        await until(lambda: not script.connect_trouble)
    await send(runtime, script, "A 9s 9")
    await until(lambda: 9.0 in values(script))
    expected = ["source/back", *["source/lost", "source/back"] * 3]
    await until(lambda: events(script) == expected)
    assert counts(runtime, "src")["lost"] == 3
    await runtime.stop()


@pytest.mark.parametrize(
    "error", [ConfigError("No such node."), LimitError("tags_max", 1, "Full.")]
)
async def test_a_config_error_is_tried_again_slowly(
    script: Script, tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(
        Backoff, "next_s", lambda self, at_least_s=0.0: waits.append(at_least_s) or 0.02
    )
    script.connect_trouble.append(error)
    runtime = await started(STATUS, tmp_path)
    await until(lambda: waits)
    assert waits == [connections.CONFIG_RETRY_S]
    await until(lambda: not script.connect_trouble)
    await send(runtime, script, "A 0s 1")
    await until(lambda: 1.0 in values(script))
    await runtime.stop()


async def test_the_end_of_a_file_ends_a_source(script: Script, tmp_path: Path) -> None:
    runtime = await started(STATUS, tmp_path)
    await script.readings.put(EOFError("The file was read."))
    await until(lambda: next(s for s in runtime.statuses if s.node == "src").state == "stopped")
    assert "lost" not in counts(runtime, "src")
    assert said(runtime, "test/src") == ["The file was read."]
    await runtime.stop()


async def test_a_source_with_a_bug_is_started_again(script: Script, tmp_path: Path) -> None:
    runtime = await started(STATUS, tmp_path)
    await script.readings.put(ZeroDivisionError("a bug"))
    await send(runtime, script, "A 0s 1")
    await until(lambda: 1.0 in values(script))
    assert counts(runtime, "src")["faults"] == 1
    assert any("a bug" in line for line in said(runtime, "test/src"))
    await runtime.stop()


async def test_an_acknowledgement_that_fails_stops_nothing(script: Script, tmp_path: Path) -> None:
    script.acknowledge_trouble += [Disconnected("Gone."), ZeroDivisionError("a bug")]
    runtime = await started(STATUS, tmp_path)
    for i in range(3):
        batch = samples(runtime, f"A {i}s {i}")
        await script.readings.put(Reading({"out": batch}, token=i))
        await until(lambda n=i + 1: len(values(script)) == n)  # type: ignore[misc]  # bound now
    await until(lambda: script.acknowledged == [2])
    assert counts(runtime, "src")["unacknowledged"] == 2
    await runtime.stop()


async def test_an_open_communication_alarm_closes_after_a_restart(
    script: Script, tmp_path: Path
) -> None:
    document = flow(
        "src: {type: script.source}\nout: {type: script.sink}\n"
        "comm: {type: alarm.communication, on_delay_s: 0}",
        "src -> out, src.status -> comm",
    )
    script.connect_trouble += [Disconnected("Away.")] * 1000
    runtime = await started(document, tmp_path)
    await until(lambda: runtime.book.open())
    await runtime.stop()
    script.connect_trouble.clear()
    runtime = await started(document, tmp_path)
    assert runtime.book.open()[0].state.value == "UNACK"
    await send(runtime, script, "A 0s 1")
    await until(lambda: runtime.book.open()[0].state.value == "RTNUN")
    await runtime.stop()


# ------------------------------------------------------------------ connections and workers


SHARED = flow(
    "src: {type: script.source, connection: line}\nout: {type: script.sink}",
    "src -> out, src.status -> out.events",
    more="connections: {line: {type: script.connection}}",
)


async def test_a_connection_is_opened_again_and_told_once_each_way(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingress, "PATIENCE_S", 0.05)
    monkeypatch.setattr(connections, "CONFIG_RETRY_S", 0.05)
    script.open_trouble += [Disconnected("No answer.")] * 4 + [ConfigError("Wrong password.")] * 4
    runtime = await started(SHARED, tmp_path)
    await until(lambda: script.opened == 9)
    await send(runtime, script, "A 0s 1")
    await until(lambda: 1.0 in values(script))
    assert events(script) == ["source/lost", "source/back"]
    lines = said(runtime, "test/line")
    assert lines == ["No answer.", "Connected again."]
    await script.lost.put("The line was cut.")
    await until(lambda: script.opened == 10)
    await until(lambda: said(runtime, "test/line")[-1] == "Connected again.")
    assert said(runtime, "test/line")[-2] == "The line was cut."
    await runtime.stop()


async def test_a_connection_that_breaks_at_once_backs_off(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets: list[str] = []
    monkeypatch.setattr(Backoff, "reset", lambda self: resets.append(self._name))
    for _ in range(5):
        await script.lost.put("Cut at once.")
    runtime = await started(SHARED, tmp_path)
    await until(lambda: script.opened == 6)
    assert "test/line" not in resets
    await runtime.stop()


WORKING = flow(
    "src: {type: script.source}\nask: {type: script.worker}\nout: {type: test.collect}",
    "src -> ask -> out",
)


async def test_a_workers_answers_come_back_as_input(script: Script, tmp_path: Path) -> None:
    script.trouble += [Disconnected("Busy."), Disconnected("Busy."), Rejected("Nonsense.")]
    runtime = await started(WORKING, tmp_path)
    out = runtime.runners["test"].egresses["out"].sink
    await send(runtime, script, "A 0s 1")
    await until(lambda: counts(runtime, "ask").get("rejected") == 1)
    await send(runtime, script, "A 1s 21")
    await until(lambda: out.messages)  # type: ignore[attr-defined]  # it is a test.collect
    ((_, answer),) = out.messages  # type: ignore[attr-defined]  # it is a test.collect
    assert answer.value.tolist() == [42.0]
    assert len(await runtime.store.journal("test", 0)) >= 3, "the answer is journalled"
    assert sum("Busy" in line for line in said(runtime, "test/ask")) == 1
    await runtime.stop()


async def test_a_slow_worker_loses_the_oldest_and_holds_up_nobody(
    script: Script, tmp_path: Path
) -> None:
    script.slow.clear()
    runtime = await started(WORKING, tmp_path)
    worker = runtime.runners["test"].workers["ask"]
    room = 256 * bytes_of(samples(runtime, "A 0s 0"))
    worker.outbox.options = OutboxOptions.model_construct(bytes_max=room, when_full="drop_oldest")
    for i in range(300):
        worker.offer("in", samples(runtime, f"A {i}s {i}"))
    assert worker.queued_rows == 256
    assert counts(runtime, "ask")["dropped_full"] == 44
    script.slow.set()
    await until(lambda: not worker.queued_rows)
    await runtime.stop()


async def test_a_worker_with_a_bug_goes_on(script: Script, tmp_path: Path) -> None:
    script.trouble.append(ZeroDivisionError("a bug"))
    runtime = await started(WORKING, tmp_path)
    await send(runtime, script, "A 0s 1")
    await until(lambda: counts(runtime, "ask").get("faults") == 1)
    await send(runtime, script, "A 1s 1")
    await until(lambda: counts(runtime, "ask").get("answered") == 1)
    await runtime.stop()
