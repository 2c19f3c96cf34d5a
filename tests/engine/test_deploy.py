"""Hot deploy: what did not change goes on, what changed says so, and a bad flow changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway import AlarmEvent, Batch, ConfigError, Disconnected, Event, Reading
from gateway.engine import store_state, store_writer
from gateway.engine.deploy import Overtaken
from gateway.engine.graph import Graph
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit_rows, revisions
from gateway.flow.document import Document
from tests.engine.gear import Script, flow, kill, lent, samples, started, until, values

NODES = """
    src: {type: script.source}
    minute: {type: window.tumbling, size_s: 60, future_max_s: 1000000000}
    stats: {type: feature.statistics}
    high: {type: alarm.limit, hi: 80}
    out: {type: script.sink}
"""
WIRES = "src -> minute -> stats -> out, src -> high, high.alarms -> out.alarms"
FLOW = flow(NODES, WIRES)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.002)
    with lent(Script()) as script:
        yield script


async def send(runtime: Runtime, script: Script, text: str, token: Any = None) -> None:
    """One reading, and wait until it was served."""
    runner = runtime.runners["test"]
    before = runner._done_seq
    await script.readings.put(Reading({"out": samples(runtime, text)}, token=token))
    await until(lambda: runner._done_seq > before)


def _items(script: Script) -> list[Any]:
    """All events of any kind that sinks took."""
    return [item for _, m in script.written if isinstance(m, tuple) for item in m]


def alarms(script: Script) -> list[AlarmEvent]:
    """All alarm events that sinks took."""
    return [e for e in _items(script) if isinstance(e, AlarmEvent)]


def without(document: Document, node: str, wires: str) -> Document:
    """The document without a node."""
    nodes = "\n".join(
        f"{k}: {{type: {e.type}{_options(e)}}}" for k, e in document.nodes.items() if k != node
    )
    return flow(nodes, wires)


def _options(entry: Any) -> str:
    return "".join(f", {key}: {json.dumps(value)}" for key, value in entry.config.items())


async def test_what_did_not_change_goes_on(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 0s 70 | 30s 71")
    runner = runtime.runners["test"]
    nodes = runner.graph.transforms()
    ingress, egress = runtime.hosts["test"].ingresses["src"], runner.egresses["out"]
    edited = flow(
        NODES + "only: {type: filter.range, low: 0, outside: drop}", WIRES + ", src -> only"
    )
    deployed = await runtime.deploy(edited, "user:anna", "a filter")
    assert (deployed.revision, deployed.said) == (2, ())
    after = runner.graph.transforms()
    assert all(after[name] is node for name, node in nodes.items())
    assert runtime.hosts["test"].ingresses["src"] is ingress
    assert runner.egresses["out"] is egress
    assert script.log.count("close") == 0
    await send(runtime, script, "TT1 61s 72")
    await until(lambda: script.written)
    (batch,) = [m for _, m in script.written if isinstance(m, Batch)]
    assert 70.5 in batch.value.tolist(), "the mean of rows from before and after the edit"
    await runtime.stop()


async def test_rewired_nodes_keep_their_windows(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 0s 70 | 30s 71")
    edited = flow(
        NODES + "only: {type: filter.range, low: 0, outside: drop}",
        "src -> only -> minute -> stats -> out, src -> high, high.alarms -> out.alarms",
    )
    await runtime.deploy(edited, "user:anna")
    await send(runtime, script, "TT1 59s 72 | 60s 1")
    await until(lambda: script.written)
    (batch,) = [m for _, m in script.written if isinstance(m, Batch)]
    assert 71.0 in batch.value.tolist()
    await runtime.stop()


async def test_a_default_that_is_written_is_no_change(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    host = runtime.hosts["test"]
    before = {**host.borders(), **host.runner.graph.transforms()}
    nodes = NODES.replace("script.source}", 'script.source, connection: ""}')
    nodes = nodes.replace("size_s: 60", "size_s: 60.0, lateness_s: 0")
    deployed = await runtime.deploy(flow(nodes, WIRES), "user:anna")
    assert deployed.said == ()
    after = {**host.borders(), **host.runner.graph.transforms()}
    assert all(after[name] is node for name, node in before.items())
    await runtime.stop()


async def test_a_changed_node_starts_fresh_loudly(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 0s 70 | 30s 71")
    edited = flow(NODES.replace("size_s: 60", "size_s: 30"), WIRES)
    deployed = await runtime.deploy(edited, "user:anna")
    assert deployed.said == ("minute was changed: it starts fresh.",)
    assert ("info", "test", deployed.said[0]) in [line[1:] for line in runtime.lines.kept]
    (note,) = [r for r in await audit_rows(runtime.store) if r["action"] == "flow/deploy_said"]
    assert note["detail"]["said"] == list(deployed.said)
    await send(runtime, script, "TT1 61s 72 | 95s 1")
    await until(lambda: script.written)
    (batch,) = [m for _, m in script.written if isinstance(m, Batch)]
    assert not {70.5, 71.0} & set(batch.value.tolist())
    await runtime.stop()


# ---------------------------------------------------------------- alarms


@pytest.mark.parametrize("what", ["removed", "disabled", "fresh"])
async def test_alarms_of_what_is_gone_end(script: Script, tmp_path: Path, what: str) -> None:
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 0s 90")
    await until(lambda: alarms(script))
    assert [event.alarm for event in runtime.book.open()] == ["test/high:TT1:HI"]
    if what == "removed":
        edited = without(FLOW, "high", "src -> minute -> stats -> out")
    elif what == "disabled":
        edited = flow(NODES.replace("hi: 80", "hi: 80, disabled: true"), WIRES)
    else:
        edited = flow(NODES.replace("hi: 80", 'hi: 80, tags: "TT1"'), WIRES)
    await runtime.deploy(edited, "user:anna")
    assert runtime.book.open() == []
    stored = await runtime.store.alarm_events()
    assert [e.change for e in stored] == ["raised", "removed"]
    assert (stored[-1].state.value, stored[-1].actor) == ("NORM", "flow:test")
    await until(lambda: len(alarms(script)) == 2)  # Whoever was told of it is told of its end.
    assert [e.change for e in alarms(script)] == ["raised", "removed"]
    await kill(runtime)
    runtime = await started(FLOW, tmp_path)
    assert runtime.book.open() == []
    if what == "fresh":
        await send(runtime, script, "TT1 1s 91")
        assert [event.alarm for event in runtime.book.open()] == ["test/high:TT1:HI"]
    await runtime.stop()


async def test_limits_change_and_the_alarm_stays(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 0s 90")
    edited = flow(NODES.replace("hi: 80", "hi: 85, hihi: 95, on_delay_s: 5, deadband: 1"), WIRES)
    deployed = await runtime.deploy(edited, "user:anna")
    assert deployed.said == ("high was changed: it keeps what it remembers.",)
    assert [event.alarm for event in runtime.book.open()] == ["test/high:TT1:HI"]
    await send(runtime, script, "TT1 1s 84.5")
    assert [event.change for event in runtime.book.history()] == ["raised"], "inside the deadband"
    await send(runtime, script, "TT1 2s 83")
    assert [event.change for event in runtime.book.history()] == ["raised", "returned"]
    await runtime.stop()


async def test_the_alarm_of_a_source_that_is_removed_ends(script: Script, tmp_path: Path) -> None:
    nodes = NODES + "comm: {type: alarm.communication, on_delay_s: 0}\nlog: {type: script.sink}"
    wires = WIRES + ", src.status -> comm, src.status -> log.events, src -> log"
    runtime = await started(flow(nodes, wires), tmp_path)
    await send(runtime, script, "TT1 0s 70")
    await script.readings.put(Disconnected("Nobody answers."))
    await until(lambda: runtime.book.open())
    left = "\n".join(line for line in nodes.splitlines() if "src:" not in line)
    left += "\nother: {type: script.source}"
    wires = WIRES.replace("src", "other") + ", other.status -> comm, other -> log"
    await runtime.deploy(flow(left, wires), "user:anna")
    assert runtime.book.open() == []
    assert [e.change for e in runtime.book.history()] == ["raised", "removed"]
    await until(lambda: _topics(script)[-1:] == ["source/removed"])
    bad = [m for port, m in script.written if port == "in" and isinstance(m, Batch)][-1]
    assert not bad.good.any(), "nobody brings TT1 any more"
    await runtime.stop()


def _topics(script: Script) -> list[str]:
    return [e.topic for e in _items(script) if isinstance(e, Event)]


async def test_who_listens_for_the_first_time_is_told_of_a_lost_device(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 0s 70")
    script.connect_trouble += [Disconnected("Nobody answers.")] * 1000
    await script.readings.put(Disconnected("Nobody answers."))
    await until(lambda: runtime.hosts["test"].ingresses["src"]._is_lost)
    nodes = NODES + "comm: {type: alarm.communication, on_delay_s: 0}"
    await runtime.deploy(flow(nodes, WIRES + ", src.status -> comm"), "user:anna")
    await until(lambda: [e.alarm for e in runtime.book.open()] == ["test/comm:src:COMM"])
    await runtime.stop()


# ---------------------------------------------------------------- queues


async def test_a_changed_sink_keeps_its_queue(script: Script, tmp_path: Path) -> None:
    plain = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
    script.slow.clear()
    runtime = await started(plain, tmp_path)
    for i in range(5):
        await send(runtime, script, f"TT1 {i}s {i}")
    nodes = "src: {type: script.source}\nout: {type: script.other_sink}"
    deployed = await runtime.deploy(flow(nodes, "src -> out"), "user:anna")
    assert deployed.said == ()
    script.slow.set()
    await until(lambda: len(values(script)) == 5)
    assert values(script) == [0.0, 1.0, 2.0, 3.0, 4.0]
    await send(runtime, script, "TT1 5s 5")
    await until(lambda: len(values(script)) == 6)
    await kill(runtime)
    script.written.clear()
    runtime = await started(plain, tmp_path)
    await send(runtime, script, "TT1 6s 6")
    await until(lambda: 6.0 in values(script))
    assert values(script) in ([6.0], [5.0, 6.0]), "the numbers go on in the other sink"
    await runtime.stop()


async def test_only_other_limits_keep_the_session(script: Script, tmp_path: Path) -> None:
    plain = "src: {type: script.source}\nout: {type: script.sink, outbox: {bytes_max: 1MB}}"
    document = flow(plain.replace("1MB", "1000000"), "src -> out")
    runtime = await started(document, tmp_path)
    egress = runtime.runners["test"].egresses["out"]
    edited = flow(plain.replace("1MB", "2000000"), "src -> out")
    await runtime.deploy(edited, "user:anna")
    assert runtime.runners["test"].egresses["out"] is egress
    assert egress.outbox.options.bytes_max == 2_000_000
    await runtime.stop()


async def test_a_removed_sink_loses_its_queue_and_says_so(script: Script, tmp_path: Path) -> None:
    two = "src: {type: script.source}\nout: {type: script.sink}\nold: {type: script.sink}"
    script.slow.clear()
    runtime = await started(flow(two, "src -> out, src -> old"), tmp_path)
    for i in range(3):
        await send(runtime, script, f"TT1 {i}s {i}")
    one = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
    deployed = await runtime.deploy(one, "user:anna")
    assert deployed.said == ("old is closed: 3 rows that waited for it were dropped.",)
    assert await runtime.store.blocks("test", "old") == []
    assert "old" not in await runtime.store.outlets("test")
    script.slow.set()
    await until(lambda: len(values(script)) == 3)
    # It comes again: its numbers begin anew, and nothing old comes with it.
    await runtime.deploy(flow(two, "src -> out, src -> old"), "user:anna")
    script.written.clear()
    await send(runtime, script, "TT1 3s 3")
    await until(lambda: len(values(script)) == 2)
    await kill(runtime)
    script.written.clear()
    runtime = await started(flow(two, "src -> out, src -> old"), tmp_path)
    await send(runtime, script, "TT1 4s 4")
    await until(lambda: values(script).count(4.0) == 2)
    assert set(values(script)) <= {3.0, 4.0}
    await runtime.stop()


async def test_a_sink_that_comes_again_without_a_checkpoint(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replay goes over both edits: what was for the old sink is not for the new one."""
    one = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
    two = flow(
        "src: {type: script.source}\nout: {type: script.sink}\nold: {type: script.sink}",
        "src -> out, src -> old",
    )
    runtime = await started(two, tmp_path)
    runner = runtime.runners["test"]

    async def none() -> int:
        return 0

    monkeypatch.setattr(runner, "checkpoint", none)
    for i in range(3):
        await send(runtime, script, f"TT1 {i}s {i}")
    await until(lambda: len(values(script)) == 6)
    await runtime.deploy(one, "user:anna")
    await send(runtime, script, "TT1 3s 3")
    await runtime.deploy(two, "user:anna")
    await send(runtime, script, "TT1 4s 4")
    await until(lambda: len(values(script)) == 9)
    await kill(runtime)
    script.written.clear()
    runtime = await started(two, tmp_path)
    await send(runtime, script, "TT1 5s 5")
    await until(lambda: values(script).count(5.0) == 2)
    assert set(values(script)) <= {4.0, 5.0}
    await runtime.stop()


async def test_rows_that_wait_never_become_setpoints(script: Script, tmp_path: Path) -> None:
    script.slow.clear()
    plain = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
    runtime = await started(plain, tmp_path)
    await send(runtime, script, "TT1 0s 1")
    fresh = flow("src: {type: script.source}\nout: {type: script.fresh}", "src -> out")
    deployed = await runtime.deploy(fresh, "user:anna")
    assert deployed.said == ("out is closed: 1 rows that waited for it were dropped.",)
    script.slow.set()
    await send(runtime, script, "TT1 1s 2")
    await until(lambda: values(script) == [2.0])
    await runtime.stop()


async def test_a_full_sink_that_holds_up_the_flow_can_be_replaced(
    script: Script, tmp_path: Path
) -> None:
    nodes = "src: {type: script.source}\nout: {type: script.sink, outbox: "
    nodes += "{bytes_max: 10000, when_full: block}}"
    script.slow.clear()
    runtime = await started(flow(nodes, "src -> out"), tmp_path)
    rows = " | ".join(f"{i}s {i}" for i in range(600))
    await send(runtime, script, f"TT1 {rows}")
    assert not runtime.runners["test"].egresses["out"].room.is_set()
    await script.readings.put(Reading({"out": samples(runtime, "TT1 601s 1")}, token="held"))
    await until(lambda: runtime.runners["test"].inbox.rows)
    other = "src: {type: script.source}\nother: {type: script.latest}"
    await runtime.deploy(flow(other, "src -> other"), "user:anna")
    await until(lambda: script.acknowledged == ["held"])
    await send(runtime, script, "TT1 602s 2", token="free")
    await until(lambda: script.acknowledged == ["held", "free"])
    await runtime.stop()


async def test_a_worker_is_not_asked_twice(script: Script, tmp_path: Path) -> None:
    nodes = "src: {type: script.source}\nwork: {type: script.worker}\nout: {type: script.sink}"
    runtime = await started(flow(nodes, "src -> work -> out"), tmp_path)
    script.slow.clear()
    await send(runtime, script, "TT1 0s 1")
    await send(runtime, script, "TT1 1s 2")
    other = nodes.replace("script.worker", "script.other_worker")
    await runtime.deploy(flow(other, "src -> work -> out"), "user:anna")
    script.slow.set()
    await until(lambda: len(values(script)) == 2)
    await send(runtime, script, "TT1 2s 3")
    await until(lambda: len(values(script)) == 3)
    assert values(script) == [2.0, 4.0, 6.0]
    await runtime.stop()


# ---------------------------------------------------------------- sources and connections


async def test_a_changed_source_hands_over_what_it_has_read(script: Script, tmp_path: Path) -> None:
    nodes = "plc: {type: script.source}\nout: {type: script.sink}"
    runtime = await started(flow(nodes, "plc -> out"), tmp_path)
    for i in range(20):
        await script.readings.put(Reading({"out": samples(runtime, f"TT1 {i}s {i}")}, token=i))
    await asyncio.sleep(0.02)
    other = nodes.replace("script.source", "script.other_source")
    await runtime.deploy(flow(other, "plc -> out"), "user:anna")
    await until(lambda: len(values(script)) == 20)
    await until(lambda: script.acknowledged == list(range(20)))
    assert values(script) == [float(i) for i in range(20)]
    closed = script.log.index("close")
    told = [line for line in script.log[:closed] if line.startswith("acknowledge")]
    assert told, "what it had read was acknowledged before it was closed"
    await runtime.stop()


async def test_a_changed_source_goes_on_at_its_position(script: Script, tmp_path: Path) -> None:
    nodes = (
        "file: {type: file.csv_source, path: a.csv, batch_rows_max: 7}\nout: {type: script.sink}"
    )
    rows = "\n".join(f"{1_700_000_000 + i},{i}" for i in range(400))
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"ts,TT1\n{rows}\n")
    runtime = await started(flow(nodes, "file -> out"), tmp_path)
    await until(lambda: len(values(script)) > 20)
    await runtime.deploy(flow(nodes.replace(": 7", ": 9"), "file -> out"), "user:anna")
    await until(lambda: len(values(script)) >= 400)
    assert values(script) == [float(i) for i in range(400)]
    await runtime.deploy(flow(nodes.replace("a.csv", "b.csv"), "file -> out"), "user:anna")
    await until(lambda: len(values(script)) >= 800)
    assert values(script)[400:] == [float(i) for i in range(400)], "another file is read whole"
    await runtime.stop()


async def test_connections_that_did_not_change_stay_open(script: Script, tmp_path: Path) -> None:
    more = "connections:\n  line: {type: script.connection}\n  bus: {type: script.connection}"
    nodes = "a: {type: script.source, connection: line}\nb: {type: script.source, connection: bus}"
    runtime = await started(flow(nodes, "", more=more), tmp_path)
    await until(lambda: script.opened == 2)
    host = runtime.hosts["test"]
    a, b = host.ingresses["a"], host.ingresses["b"]
    changed = more.replace("bus: {type: script.connection", "bus: {type: script.other_connection")
    await runtime.deploy(flow(nodes, "", more=changed), "user:anna")
    await until(lambda: script.opened == 3)
    assert host.ingresses["a"] is a
    assert host.ingresses["b"] is not b, "its connection is another one"
    await runtime.deploy(
        flow("a: {type: script.source, connection: line}", "", more=more), "user:a"
    )
    assert host.ingresses["a"] is a
    await runtime.stop()


# ---------------------------------------------------------------- what is refused

BAD = {
    "unknown type": (NODES + "x: {type: no.such}", WIRES, "no.such"),
    "bad option": (NODES.replace("size_s: 60", "size_s: -1"), WIRES, "size_s"),
    "cycle": (
        NODES + "a: {type: filter.deadband, band: 1}\nb: {type: filter.deadband, band: 1}",
        WIRES + ", a -> b -> a",
        "cycle",
    ),
    "no such node": (NODES, WIRES + ", src -> nowhere", "nowhere"),
    "no such connection": (
        NODES + "p: {type: modbus.source, connection: none, tags: {a: holding:0}}",
        WIRES,
        "none",
    ),
    "constructor raises": (
        NODES + "c: {type: script.broken}",
        WIRES + ", src -> c",
        "cannot be made",
    ),
    "sink constructor raises": (
        NODES + "c: {type: script.broken_sink}",
        WIRES + ", src -> c",
        "cannot be made",
    ),
    "durability": (NODES, WIRES, "durability"),
}


@pytest.mark.parametrize("why", BAD)
async def test_a_bad_flow_never_replaces_a_good_one(
    script: Script, tmp_path: Path, why: str
) -> None:
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 0s 90")
    host = runtime.hosts["test"]
    before = host.runner.graph, host.revision, {**host.borders()}
    board = [(s.node, s.type) for s in runtime.statuses]
    nodes, wires, text = BAD[why]
    edited = flow(nodes, wires, more="durability: memory" if why == "durability" else "")
    with pytest.raises(ConfigError, match=text):
        await runtime.deploy(edited, "user:anna")
    assert (host.runner.graph, host.revision, host.borders()) == before
    assert [(s.node, s.type) for s in runtime.statuses] == board
    assert [r.number for r in await revisions(runtime.store, "test")] == [1]
    await send(runtime, script, "TT1 1s 70")
    assert [e.change for e in runtime.book.history()] == ["raised", "returned"]
    await runtime.stop()


async def test_a_disk_that_refuses_calls_the_change_off(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 0s 70", token=0)
    positions = runtime.store.positions

    async def refuse(flow: str) -> dict[str, Any]:
        raise Disconnected("The disk is away.")

    runtime.store.positions = refuse  # type: ignore[method-assign]  # a disk that refuses
    edited = flow(NODES.replace("script.source", "script.other_source"), WIRES)
    with pytest.raises(Disconnected):
        await runtime.deploy(edited, "user:anna")
    runtime.store.positions = positions  # type: ignore[method-assign]  # and one that does not
    await send(runtime, script, "TT1 1s 71", token=1)
    await until(lambda: script.acknowledged == [0, 1])
    assert runtime.hosts["test"].revision.number == 1
    await runtime.deploy(edited, "user:anna")
    await send(runtime, script, "TT1 2s 72", token=2)
    await until(lambda: script.acknowledged == [0, 1, 2])
    await runtime.stop()


async def test_two_engineers_cannot_overwrite_silently(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    one = flow(NODES.replace("hi: 80", "hi: 81"), WIRES)
    two = flow(NODES.replace("hi: 80", "hi: 82"), WIRES)
    done = await asyncio.gather(
        runtime.deploy(one, "user:anna", base=1),
        runtime.deploy(two, "user:bob", base=1),
        return_exceptions=True,
    )
    (refused,) = [error for error in done if isinstance(error, BaseException)]
    assert isinstance(refused, Overtaken)
    assert "Revision 2 of test was deployed by user:anna" in str(refused)
    assert "genba revisions test 1 2" in str(refused)
    deployed = await runtime.deploy(two, "user:bob")
    assert deployed.before is not None
    assert (deployed.before.number, deployed.before.author) == (2, "user:anna")
    assert [r.number for r in await revisions(runtime.store, "test")] == [1, 2, 3]
    await runtime.stop()


async def test_the_same_again_is_no_revision(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    deployed = await runtime.deploy(FLOW, "user:anna")
    assert (deployed.revision, deployed.said) == (1, ("Nothing has changed: this is what runs.",))
    await runtime.stop()


# ---------------------------------------------------------------- flows come and go


async def test_a_flow_is_added_and_removed_while_others_run(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 0s 70")
    more = flow(
        "in: {type: test.inject, rows: a 0s 99}\nhigh: {type: alarm.limit, hi: 75}",
        "in -> high",
        name="more",
    )
    assert (await runtime.deploy(more, "user:anna")).revision == 1
    await until(lambda: [e.alarm for e in runtime.book.open()] == ["more/high:a:HI"])
    await runtime.stop()

    runtime = await started(FLOW, tmp_path)  # It has no file, and runs again.
    assert set(runtime.runners) == {"test", "more"}
    assert [e.alarm for e in runtime.book.open()] == ["more/high:a:HI"]
    removed = await runtime.remove("more", "user:anna", "not needed")
    assert (removed.revision, set(runtime.runners)) == (2, {"test"})
    assert runtime.book.open() == []
    assert not [s for s in runtime.statuses if s.flow == "more"]
    assert [r.note for r in await revisions(runtime.store, "more")] == ["", "not needed"]
    with pytest.raises(ConfigError, match="There is no flow 'more'"):
        await runtime.remove("more", "user:anna")
    await send(runtime, script, "TT1 1s 71")
    await runtime.stop()

    runtime = await started(FLOW, tmp_path)
    assert set(runtime.runners) == {"test"}
    back = await runtime.rollback("more", "user:anna")
    assert (back.revision, set(runtime.runners)) == (3, {"test", "more"})
    await runtime.stop()


async def test_a_removed_flow_stays_removed_until_its_file_is_edited(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 0s 90")
    await runtime.remove("test", "user:anna")
    await runtime.stop()
    runtime = await started(FLOW, tmp_path)
    assert runtime.runners == {}
    assert any("user:anna removed this flow" in line[3] for line in runtime.lines.kept)
    await runtime.stop()
    edited = flow(NODES.replace("hi: 80", "hi: 81"), WIRES)
    runtime = await started(edited, tmp_path)
    assert runtime.hosts["test"].revision.number == 3
    await send(runtime, script, "TT1 1s 90")
    assert [e.occurrence for e in runtime.book.open()] == [1], "nothing of it was remembered"
    await runtime.stop()


async def test_a_flow_whose_file_is_gone_is_said(script: Script, tmp_path: Path) -> None:
    other = flow("src: {type: script.source}", "", name="other")
    runtime = await started([FLOW, other], tmp_path)
    await send(runtime, script, "TT1 0s 90")
    await runtime.stop()
    runtime = await started([other], tmp_path)
    assert set(runtime.runners) == {"other"}
    assert any("Its file is gone" in line[3] for line in runtime.lines.kept)
    assert [e.alarm for e in runtime.book.open()] == ["test/high:TT1:HI"]
    await runtime.remove("test", "user:anna")
    assert runtime.book.open() == []
    await runtime.stop()


async def test_rollback_runs_the_old_text_as_a_new_revision(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    await runtime.deploy(flow(NODES.replace("hi: 80", "hi: 81"), WIRES), "user:anna", "higher")
    await runtime.deploy(flow(NODES.replace("hi: 80", "hi: 82"), WIRES), "user:anna", "higher")
    back = await runtime.rollback("test", "user:bob", number=1)
    known = await revisions(runtime.store, "test")
    assert (back.revision, known[-1].text, known[-1].note) == (
        4,
        known[0].text,
        "Back to revision 1.",
    )
    assert runtime.hosts["test"].document.nodes["high"].config["hi"] == 80
    await runtime.rollback("test", "user:bob")
    assert runtime.hosts["test"].document.nodes["high"].config["hi"] == 82
    with pytest.raises(ConfigError, match="test has no revision 9"):
        await runtime.rollback("test", "user:bob", number=9)
    with pytest.raises(ConfigError, match="There is no flow 'none'"):
        await runtime.rollback("none", "user:bob")
    await runtime.stop()


# ---------------------------------------------------------------- edited while off


async def test_an_edit_while_off_ends_what_is_gone(script: Script, tmp_path: Path) -> None:
    nodes = NODES + "old: {type: script.latest}\ncomm: {type: alarm.communication, on_delay_s: 0}"
    wires = WIRES + ", src -> old, src.status -> comm"
    runtime = await started(flow(nodes, wires), tmp_path)
    await send(runtime, script, "TT1 0s 90")
    script.slow.clear()
    script.connect_trouble += [Disconnected("Nobody answers.")] * 1000
    await send(runtime, script, "TT1 1s 91")
    await script.readings.put(Disconnected("Nobody answers."))
    await until(lambda: len(runtime.book.open()) == 2)
    await runtime.runners["test"].checkpoint()
    await kill(runtime)
    script.connect_trouble.clear()
    left = "plc: {type: script.source}\nout: {type: script.sink}\n"
    left += "comm: {type: alarm.communication, on_delay_s: 0}"
    runtime = await started(flow(left, "plc -> out, plc.status -> comm"), tmp_path)
    assert runtime.book.open() == []
    changes = [e.change for e in await runtime.store.alarm_events()]
    assert sorted(changes) == ["raised", "raised", "removed", "removed"]
    assert any("old is closed: 2 rows" in line[3] for line in runtime.lines.kept)
    await runtime.stop()


async def test_revisions_that_cannot_be_read_do_not_stop_the_flow(
    script: Script, tmp_path: Path
) -> None:
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 0s 70")
    assert runtime.store._db is not None
    runtime.store._db.execute("UPDATE revision SET text='flow: ['")
    await runtime.stop()
    runtime = await started(FLOW, tmp_path)
    await send(runtime, script, "TT1 1s 71")
    await runtime.stop()


async def test_a_fault_in_the_replay_is_met_in_the_graph_that_replays(
    script: Script, tmp_path: Path
) -> None:
    nodes = (
        "src: {type: script.source}\nbad: {type: test.fault, above: 100}\nout: {type: script.sink}"
    )
    runtime = await started(flow(nodes, "src -> bad -> out"), tmp_path)
    await runtime.runners["test"].checkpoint()
    await send(runtime, script, "TT1 0s 500")
    await send(runtime, script, "TT1 1s 1")
    await until(lambda: 1.0 in values(script))
    await kill(runtime)
    plain = flow("src: {type: script.source}\nout: {type: script.sink}", "src -> out")
    runtime = await started(plain, tmp_path)
    await send(runtime, script, "TT1 2s 2")
    await until(lambda: 2.0 in values(script))
    await runtime.stop()


async def test_many_edits_leave_nothing_behind(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    for i in range(30):
        nodes = NODES + f"extra{i}: {{type: script.sink}}\nsrc{i}: {{type: script.source}}"
        await runtime.deploy(flow(nodes, WIRES + f", src -> extra{i}"), "user:anna")
        if i == 2:
            tasks = len(asyncio.all_tasks())
            statuses, ports = len(runtime.statuses), len(runtime.live._ports)
    assert len(asyncio.all_tasks()) <= tasks
    assert len(runtime.statuses) == statuses
    assert len(runtime.live._ports) <= ports
    assert np.count_nonzero(runtime.live._origin) <= 1
    await runtime.stop()


async def test_a_memory_flow_is_edited_too(script: Script, tmp_path: Path) -> None:
    document = flow(NODES, WIRES, more="durability: memory")
    runtime = await started(document, tmp_path)
    await script.readings.put(Reading({"out": samples(runtime, "TT1 0s 90")}, token=0))
    await until(lambda: runtime.book.open())
    edited = flow(
        NODES.replace("high: {type: alarm.limit, hi: 80}", ""),
        "src -> minute -> stats -> out",
        more="durability: memory",
    )
    await runtime.deploy(edited, "user:anna")
    assert runtime.book.open() == []
    await script.readings.put(Reading({"out": samples(runtime, "TT1 61s 90")}, token=1))
    await until(lambda: script.acknowledged == [0, 1])
    await runtime.remove("test", "user:anna")
    assert runtime.runners == {}
    await runtime.stop()


async def test_two_checkpoints_at_once_do_not_mix(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_state, "SLICE_BYTES", 1)  # A transaction for each chunk.
    runtime = await started(FLOW, tmp_path)
    runner = runtime.runners["test"]
    await send(runtime, script, "TT1 0s 70")
    first = asyncio.ensure_future(runner.checkpoint())
    await send(runtime, script, "TT1 5s 71")
    second = asyncio.ensure_future(runner.checkpoint())
    await first
    wanted = runner.graph.snapshot()
    await kill(runtime)
    assert second.done()
    runtime = await started(FLOW, tmp_path)
    found = runtime.runners["test"].graph.snapshot()
    for key, array in wanted["minute"].items():
        if not key.startswith("seen"):
            assert array.tobytes() == found["minute"][key].tobytes(), key
    await runtime.stop()


async def test_a_shadow_is_given_what_the_flow_was_given(script: Script, tmp_path: Path) -> None:
    runtime = await started(FLOW, tmp_path)
    runner = runtime.runners["test"]
    shadow = Graph(FLOW, runtime.tags)
    made: list[Any] = []

    def after_step(inputs: Any, now: int, result: Any) -> None:
        made.extend(shadow.step(inputs, now).outputs)

    runner.after_step = after_step
    for i in range(5):
        await send(runtime, script, f"TT1 {30 * i}s {79 + i % 2 * 10}")
    await until(lambda: len(script.written) == len(made))
    for (port, message), (_, other, same) in zip(script.written, made, strict=True):
        assert port == other
        if isinstance(message, Batch):
            assert message.value.tobytes() == same.value.tobytes()
        else:
            assert [e.change for e in message] == [e.change for e in same]
    assert made
    await runtime.stop()
