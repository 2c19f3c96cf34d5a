"""Lint of outboxes and of the journal, and that an outbox survives being saved."""

from __future__ import annotations

import pytest

from gateway.flow.document import Document
from gateway.flow.lint import lint

FLOW = """flow: f
version: 1
{head}
connections:
  bus: {{type: modbus.connection, address: tcp://10.0.0.5{bus}}}
  plc: {{type: opcua.connection, url: "opc.tcp://10.0.0.5:4840"}}
allow_write: true
nodes:
  src: {{type: modbus.source, connection: bus, tags: {{a: holding:0}}{src}}}
  clean: {{type: filter.deadband, band: 1{clean}}}
  log: {{type: file.jsonl_sink, path: out.jsonl{log}}}
  set: {{type: modbus.sink, connection: bus, tags: {{a: holding:9}}{set}}}
  call: {{type: opcua.method, connection: plc, method: "ns=2;s=m"{call}}}
wires: [src -> clean -> log, clean -> set, src.status -> call]
"""
BLANK = dict.fromkeys(("head", "bus", "src", "clean", "log", "set", "call"), "")


def found(**more: str) -> list[tuple[str, str, str]]:
    """(severity, node and field, text) of all that lint says of queues and of the journal."""
    document = Document.parse(FLOW.format(**{**BLANK, **more}), "f.yaml")
    return [
        (one.severity, f"{one.node}.{one.field}", one.text)
        for one in lint(document)
        if "outbox" in one.field or "durability" in one.field
    ]


def test_nothing_is_said_of_what_is_good() -> None:
    assert found() == []
    assert found(log=", outbox: {bytes_max: 20000, backfill: live_first}") == []
    assert found(call=", outbox: {when_full: drop_newest}") == []


@pytest.mark.parametrize(
    ("where", "more", "severity", "field", "text"),
    [
        ("src", "outbox: {bytes_max: 20000}", "error", "src.outbox", "A source has no outbox"),
        ("clean", "outbox: {}", "error", "clean.outbox", "A transform has no outbox"),
        ("bus", "outbox: {}", "error", "bus.outbox", "A connection has no outbox"),
        ("set", "outbox: {}", "error", "set.outbox", "writes at once or not at all"),
        ("log", "outbox: {when_full: block}", "warning", "log.outbox.when_full", "its alarms too"),
    ],
)
def test_what_means_nothing_or_costs_something(
    where: str, more: str, severity: str, field: str, text: str
) -> None:
    ((level, place, said),) = found(**{where: f", {more}"})
    assert (level, place) == (severity, field)
    assert text in said


def test_a_worker_that_holds_up_sources_delays_alarms_where_there_are_some() -> None:
    block = ", outbox: {when_full: block}"
    assert found(call=block) == []
    alarm = "  high: {type: alarm.limit, hi: 5}\nwires: ["
    text = FLOW.format(**{**BLANK, "call": block}).replace("wires: [", alarm)
    said = [one for one in lint(Document.parse(text)) if "outbox" in one.field]
    assert [(one.severity, one.node) for one in said] == [("warning", "call")]
    assert "delays an alarm" in said[0].text


def test_a_flow_without_a_journal_is_told_what_it_costs() -> None:
    ((level, place, text),) = found(head="durability: memory")
    assert (level, place) == ("warning", ".durability")
    assert "a power cut loses" in text


@pytest.mark.parametrize("written", ["{}", "{bytes_max: 20000}", "{backfill_rows_per_s: 9}"])
def test_an_outbox_survives_being_saved(written: str) -> None:
    document = Document.parse(FLOW.format(**{**BLANK, "log": f", outbox: {written}"}))
    again = Document.parse(document.text())
    assert again == document
    assert again.nodes["log"].outbox is not None
    assert again.text() == document.text()
    assert ("bytes_max" in document.text()) == ("bytes_max" in written), "no default is written"
