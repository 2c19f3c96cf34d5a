"""Replay: the same input gives what it gave live, twice alike; an edit shows what it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway import Reading
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.engine import store_writer as engine_store
from gateway.engine.codec import pack_inputs
from gateway.engine.faults import FAULTS_MAX
from gateway.engine.graph import Graph
from gateway.engine.replay import DEPLOYED, Player, Steps
from gateway.engine.replay_run import LiveCheck, Span, check_edit, check_live
from gateway.engine.runtime import Runtime
from gateway.engine.shadow import Shadow
from gateway.engine.store_read import StateReader
from gateway.engine.wiring import RESUMED
from gateway.errors import ConfigError
from gateway.flow.document import Document
from tests.engine.gear import Script, flow, kill, lent, samples, started, until
from tests.engine.recording import FLOW, T0, TAGS, Lived, S, day, live, operator, table

ALL = Span(0, 2**62)
HALL = Document.parse(FLOW)


def edited(*changes: tuple[str, str]) -> Document:
    text = FLOW
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return Document.parse(text)


def again(lived: Lived, span: Span = ALL, document: Document | None = None) -> LiveCheck:
    player = Player(document or lived.document, table(lived.tags.names()))
    return check_live(Steps(lived.records), player, lived.alarms, span)


def against(
    lived: Lived, document: Document, span: Span = ALL, watch: Sequence[tuple[str, str]] = ()
) -> tuple[dict[str, Any], Shadow, Steps]:
    player = Player(lived.document, table(lived.tags.names()), watch=watch)
    shadow = Shadow(
        document,
        player.tags,
        watch=watch,
        writes=player.writes,
        settle_ns=None,
        newest=False,
    )
    steps = Steps(lived.records)
    check_edit(steps, player.step, shadow, span)
    return shadow.as_dict(), shadow, steps


def end(found: dict[str, Any], name: str, part: str = "ends") -> dict[str, Any]:
    return next(row for row in found[part] if row["end"] == name)


@pytest.fixture(scope="module")
def hall() -> Lived:
    return live(HALL, day(1200))


# ---------------------------------------------------------------- against what was live


def test_a_replay_gives_the_alarms_that_were_live(hall: Lived) -> None:
    found = again(hall)
    assert found.differences == 0
    assert found.alarms.counts["same"] == len(hall.alarms) > 40
    changes = {event.change for event in hall.alarms}
    assert {event.condition for event in hall.alarms} == {"HI", "STALE"}
    assert {"raised", "returned"} <= changes


def test_two_replays_are_equal_to_the_bit_whatever_codes_the_tags_have(hall: Lived) -> None:
    first, second = again(hall), again(hall)
    assert first.as_dict() == second.as_dict()
    names = ["other/tag", *TAGS]
    moved = [
        ([(node, port, message.with_tag(message.tag + np.uint16(1)))], now)
        for [(node, port, message)], now in day(1200)
        if isinstance(message, Batch)
    ]
    third = again(live(HALL, moved, table(names)))
    assert third.ledger.digest == first.ledger.digest
    one_value = day(1200)
    one_value[700][0][0][2].value[1] += 1e-9  # type: ignore[union-attr]  # samples
    assert again(live(HALL, one_value)).ledger.digest != first.ledger.digest


def test_what_is_not_in_the_span_is_not_told_but_warms_up(hall: Lived) -> None:
    span = Span(T0 + 600 * S, T0 + 900 * S)
    found = again(hall, span)
    wanted = [event for event in hall.alarms if event.ts in span]
    assert found.differences == 0
    assert (found.alarms.left, found.alarms.right) == (len(wanted), len(wanted))
    assert 0 < found.ledger.alarms < len(hall.alarms)
    late = [record for record in hall.records if record[0] > 400]
    cold = check_live(Steps(late), Player(HALL, table(hall.tags.names())), hall.alarms, span)
    assert cold.differences == 0, "two minutes of warming up are enough for this flow"


def test_what_was_not_live_and_what_is_missing_is_told(hall: Lived) -> None:
    gone = hall.alarms[10]
    odd = [event for event in hall.alarms if event is not gone]
    found = check_live(Steps(hall.records), Player(HALL, table(hall.tags.names())), odd, ALL)
    (difference,) = found.alarms.differences.items
    assert (difference.kind, difference.left) == ("added", None)
    assert difference.right is not None
    assert (difference.right.alarm, difference.right.ts) == (gone.alarm, gone.ts)
    other = again(hall, document=edited(("hi: 60", "hi: 61")))
    counts = other.alarms.counts
    assert counts["same"] + counts["moved"] + counts["changed"] + counts["removed"] == len(
        hall.alarms
    )
    assert counts["moved"] > 0


def test_an_hour_away_is_replayed_as_an_hour_away() -> None:
    steps = day(250)
    away = T0 + 4000 * S
    resumed = ([(*RESUMED, (Event(away, "engine/resumed"),))], away)
    later = [
        ([("source", "out", Batch(m.tag, m.ts + 4001 * S, m.value, m.quality))], now + 4001 * S)
        for [(_, _, m)], now in day(100)
        if isinstance(m, Batch)
    ]
    lived = live(HALL, [*steps, resumed, *later])
    assert again(lived).differences == 0
    silent = [(e.change, e.ts > away) for e in lived.alarms if e.condition == "STALE"]
    assert silent == [("raised", False), ("returned", True)] * 3


def test_an_operator_is_replayed_also_where_occurrences_count_anew() -> None:
    steps = day(400)
    first = live(HALL, steps)
    raised = [e for e in first.alarms if e.change == "raised" and e.condition == "HI"]
    chosen = next(e for e in raised if e.occurrence == 2)
    at = next(i for i, (_, now) in enumerate(steps) if now > chosen.ts + 3 * S)
    now = steps[at - 1][1]
    ack = operator("high", "ack", now, alarm=chosen.alarm, occurrence=2, actor="user:ann")
    lived = live(HALL, [*steps[:at], ([ack], now), *steps[at:]])
    assert [e.change for e in lived.alarms].count("acked") == 1
    assert again(lived).differences == 0
    # A replay that begins in the middle has not seen the first occurrence.
    tail = [record for record in lived.records if record[0] > at - 40]
    span = Span(now - S, 2**62)
    fresh = Player(HALL, table(lived.tags.names()), is_fresh=True)
    found = check_live(Steps(tail), fresh, lived.alarms, span)
    assert found.differences == 0
    strict = Player(HALL, table(lived.tags.names()))
    assert check_live(Steps(tail), strict, lived.alarms, span).differences > 0


def test_a_new_revision_keeps_the_state_of_what_did_not_change() -> None:
    steps = day(500)
    new = edited(("size_s: 10", "size_s: 20"))
    at = 220
    now = steps[at][1]
    tags = table()
    graph = Graph(HALL, tags)
    records, alarms = [], []
    for i, (inputs, ts) in enumerate(steps):
        block = pack_inputs(inputs, ts)
        if i == at:  # As the runner does it: the marker is the input, then the graph changes.
            event = Event(now, "engine/deployed", {"revision": 2})
            block = pack_inputs([(*DEPLOYED, (event,)), *inputs], ts)
            states = graph.snapshot()
            old, graph = graph, Graph(new, tags)
            graph.now = old.now
            graph.restore({n: s for n, s in states.items() if n not in ("window", "level")})
        records.append((i + 1, block))
        result = graph.step(inputs, ts)
        alarms += [event for _, events in result.alarms for event in events]

    def revisions(number: int) -> Document:
        assert number == 2
        return new

    player = Player(HALL, table(tags.names()), revisions=revisions)
    found = check_live(Steps(records), player, alarms, ALL)
    assert found.differences == 0
    assert player.document is new
    stays = Player(HALL, table(tags.names()))
    ignored = check_live(Steps(records), stays, alarms, ALL)
    assert stays.document is HALL
    assert ignored.ledger.digest != found.ledger.digest
    assert found.ledger.ends()["log", "in"][0] < ignored.ledger.ends()["log", "in"][0]


def test_a_node_that_fails_is_replayed_as_the_runner_treats_it() -> None:
    text = FLOW.replace("  log:", "  bad: {type: test.fault, above: 60}\n  log:").replace(
        "- source -> high", "- source -> high\n  - source -> bad"
    )
    player = Player(Document.parse(text), table())
    for inputs, now in Steps(live(HALL, day(100)).records):
        player.step(inputs, now)
    assert player.faults == {"bad": FAULTS_MAX}
    assert list(player.graph.faulted()) == ["bad"]
    assert player.fault.startswith("bad failed: ")


def test_what_is_damaged_or_missing_is_passed_over_and_told(hall: Lived) -> None:
    records = list(hall.records)
    seq, block = records[100]
    records[100] = (seq, block[:50] + bytes([block[50] ^ 1]) + block[51:])
    del records[200:210]
    steps = Steps(records)
    found = check_live(steps, Player(HALL, table(hall.tags.names())), hall.alarms, ALL)
    assert steps.missing == 10
    assert len(steps.damaged) == 1
    assert f"Record {seq} is passed over" in steps.damaged[0]
    assert steps.records == len(records)
    assert found.alarms.right > 0


# ---------------------------------------------------------------- against an edited flow


def test_a_flow_against_itself_differs_in_nothing(hall: Lived) -> None:
    found, shadow, steps = against(hall, HALL, watch=[("clean", "out")])
    assert found["differences"] == 0
    assert found["digests"][0] == found["digests"][1]
    assert found["alarms"]["same"] == len(hall.alarms)
    assert {row["end"] for row in found["ends"]} == {"book.alarms", "clean.out", "log.in"}
    assert all(row["is_same_order"] and row["same"] > 0 for row in found["ends"])
    assert (shadow.player.unfed(steps.inputs), shadow.player.unused(steps.inputs)) == ([], [])


def test_a_limit_that_is_moved_moves_its_alarms_and_nothing_else(hall: Lived) -> None:
    found, _, _ = against(hall, edited(("hi: 60", "hi: 61.5")))
    alarms = found["alarms"]
    assert alarms["moved"] > 0
    assert alarms["same"] == sum(event.condition == "STALE" for event in hall.alarms)
    hi = alarms["moved"] + alarms["removed"] + alarms["changed"]
    assert hi == sum(event.condition == "HI" for event in hall.alarms)
    raised = [d for d in alarms["differences"] if d["kind"] == "moved"]
    raised = [d for d in raised if d["left"]["change"] == "raised"]
    assert raised
    assert all(d["moved_s"] > 0 and "limit" in d["fields"] for d in raised)
    assert end(found, "log.in")["same"] == end(found, "log.in")["rows"][0] > 1000
    assert end(found, "book.alarms")["only_left"] == alarms["removed"]


def test_values_that_change_are_told_with_both(hall: Lived) -> None:
    found, _, _ = against(hall, edited(("band: 0.2", "band: 3")))
    row = end(found, "log.in")
    assert row["changed"] > 0
    assert row["largest_change"] > 0
    for example in row["examples"]:
        if "left" in example and "right" in example:
            assert example["left"] != example["right"]
            assert example["tag"].startswith("hall/")
    counted = row["same"] + row["changed"]
    assert (counted + row["only_left"], counted + row["only_right"]) == tuple(row["rows"])


def test_rows_that_come_later_are_still_the_same_rows() -> None:
    in_order = live(HALL, day(1200, late_ns=1))
    found, _, _ = against(in_order, edited(("size_s: 10", "size_s: 10, lateness_s: 7")))
    row = end(found, "log.in")
    assert row["same"] > 0.95 * row["rows"][0]
    assert row["changed"] == 0
    late = [e for e in row["examples"] if e["ts"] < T0 + 1150 * S]
    assert late == [], "only windows that were still open at the end are one-sided"


def test_an_alarm_that_is_not_there_is_removed_and_a_new_one_added(hall: Lived) -> None:
    cut = edited(("  - source -> silent\n", ""))
    found, _, _ = against(hall, cut)
    stale = sum(event.condition == "STALE" for event in hall.alarms)
    assert found["alarms"]["removed"] == stale > 0
    assert found["alarms"]["added"] == 0
    more = edited(("hi: 60", "hi: 60, lo: 40"))
    found, _, _ = against(hall, more)
    assert found["alarms"]["added"] > 0
    assert found["alarms"]["same"] == len(hall.alarms)
    assert all(d["right"]["condition"] == "LO" for d in found["alarms"]["differences"])


def test_a_source_without_recorded_input_and_input_without_a_node_are_told(hall: Lived) -> None:
    renamed = Document.parse(FLOW.replace("source", "sensor"))
    found, shadow, steps = against(hall, renamed)
    assert shadow.player.unfed(steps.inputs) == ["sensor"]
    assert shadow.player.unused(steps.inputs) == ["source"]
    assert found["alarms"]["removed"] == len(hall.alarms)
    assert end(found, "log.in")["only_left"] == end(found, "log.in")["rows"][0]


def test_writes_are_counted_and_compared_and_never_sent(hall: Lived) -> None:
    valve = "  valve: {type: modbus.sink, connection: line, tags: [{tag: hall/a, address: 1}]}\n"
    text = FLOW.replace("version: 1\n", "version: 1\nallow_write: true\n").replace(
        "  log:", valve + "  log:"
    )
    text = text.replace("  - source -> silent", "  - source -> silent\n  - clean -> valve")
    with_valve = Document.parse(text)
    lived = live(with_valve, day(200))
    found = again(lived)
    written = found.as_dict()["written"]
    assert found.ledger.written.total == found.ledger.ends()["valve", "in"][0] > 100
    assert {row["end"] for row in written} == {"valve.in"}
    assert written[0]["tag"] in TAGS
    other, shadow, _ = against(lived, Document.parse(text.replace("band: 0.2", "band: 1")))
    row = end(other, "valve.in", "writes")
    assert row["only_left"] > 0
    assert row["only_right"] == 0 or row["only_right"] < row["only_left"]
    assert shadow.compared.ledgers[1].written.total == row["rows"][1]
    assert "valve.in" not in {row["end"] for row in other["ends"]}


def test_timers_that_are_due_at_the_end_fire_unless_the_gateway_was_off() -> None:
    quiet = edited(("after_s: 30", "after_s: 100"))
    steps = [step for step in day(50) if step[1] < T0 + 50 * S]
    last = steps[-1][1]
    span = Span(T0, last + 60 * S)
    beyond = ([("source", "out", Batch.of([(0, last + 90 * S, 50.0, 0)]))], last + 90 * S)
    # The flow that ran waits 100 s, so no step was recorded when 30 s had passed.
    found, _, _ = against(live(quiet, [*steps, beyond]), HALL, span)
    assert [d["right"]["condition"] for d in found["alarms"]["differences"]] == ["STALE"] * 3
    off = ([(*RESUMED, (Event(last + 90 * S, "engine/resumed"),))], last + 90 * S)
    found, _, _ = against(live(quiet, [*steps, off]), HALL, span)
    assert found["alarms"]["differences"] == []
    found, _, _ = against(live(quiet, steps), HALL, span)
    assert found["alarms"]["differences"] == []


def test_a_flow_that_cannot_be_made_is_refused() -> None:
    wrong = Document.parse(FLOW.replace("hi: 60", "hi: 60, bend: 1"))
    with pytest.raises(ConfigError, match="bend"):
        Player(wrong, table())
    with pytest.raises(ConfigError, match="bend"):
        Shadow(wrong, table())


# ---------------------------------------------------------------- the true runner


async def _lead_a_life(runtime: Runtime, script: Script, first: int) -> None:
    """Forty readings over two limits, timers between them, and acknowledgements."""
    (living,) = runtime.runners.values()
    for i in range(first, first + 40):
        before = living._done_seq
        value = 70 + 15 * ((i // 5) % 2)
        row = samples(runtime, f"TT1 {i * 7}s {value} | {i * 7 + 3}s {value + i / 100}")
        await script.readings.put(Reading({"out": row}))
        await until(lambda seen=before: living._done_seq > seen)
        if i % 10 == 7:
            await asyncio.sleep(0.06)  # Time for a timer.
            await runtime.act("ack", {"alarm": "*", "actor": "user:ann"})
    await until(lambda: not living.inbox.rows)
    await until(lambda: not living.lock.locked())


async def test_what_a_running_gateway_recorded_replays_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the real runtime, with its timers, an operator, and a kill in between."""
    monkeypatch.setattr(engine_store, "COMMIT_INTERVAL_S", 0.002)
    document = flow(
        """
        src: {type: script.source}
        clean: {type: filter.deadband, band: 0.5}
        minute: {type: window.tumbling, size_s: 60}
        stats: {type: feature.statistics}
        high: {type: alarm.limit, hi: 80, on_delay_s: 0.05}
        out: {type: script.sink}
        """,
        "src -> clean -> minute -> stats -> out, src -> high, high.alarms -> out.alarms",
    )
    with lent(Script()) as script:
        for life in range(2):
            runtime = await started(document, tmp_path)
            await _lead_a_life(runtime, script, life * 100)
            await kill(runtime)
        with StateReader(tmp_path / "genba.db") as reader:
            recorded = reader.alarms("test", 0, 2**62)
            steps = Steps(reader.records("test", 1))
            found = check_live(steps, Player(document, reader.tags(100)), recorded, ALL)
            again = check_live(
                Steps(reader.records("test", 1)), Player(document, reader.tags(100)), recorded, ALL
            )
    assert [d.as_dict() for d in found.alarms.differences.items] == []
    changes = {event.change for event in recorded}
    assert {"raised", "acked", "cleared"} <= changes
    assert found.ledger.digest == again.ledger.digest
    assert found.ledger.ends()["out", "alarms"][0] == len(recorded) > 10
    assert (steps.missing, steps.damaged) == (0, [])
    assert steps.inputs[RESUMED] == 1
