"""Compare: what differs is said in the words of the flow, and what is new outside comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.flow.compare import compare
from gateway.flow.document import Document
from gateway.flow.effects import effects

ROOT = Path(__file__).resolve().parents[2]
BASE = """flow: f
version: 1
connections:
  bus: {type: modbus.connection, address: tcp://10.0.0.5}
nodes:
  plc: {type: modbus.source, connection: bus, tags: {a: holding:0, b: holding:1}}
  high: {type: alarm.limit, hi: 80}
  log: {type: file.jsonl_sink, path: out.jsonl}
wires: [plc -> high, plc -> log]
"""


def lines(edited: str) -> list[str]:
    """What the edit of BASE is said to be."""
    return compare(Document.parse(BASE), Document.parse(edited)).lines()


def test_the_same_is_nothing() -> None:
    assert lines(BASE) == []
    assert not compare(Document.parse(BASE), Document.parse(Document.parse(BASE).text()))
    assert lines(BASE.replace("[plc -> high, plc -> log]", "[plc -> log, plc -> high]")) == []
    assert lines("# a comment\n" + BASE) == []


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("hi: 80", "hi: 85", ["~ node high (alarm.limit)", "    hi: 80 -> 85"]),
        (
            "hi: 80",
            "hi: 80, lo: 1, disabled: true",
            [
                "~ node high (alarm.limit)",
                "    disabled: true (was not set)",
                "    lo: 1 (was not set)",
            ],
        ),
        (
            "b: holding:1",
            "b: holding:2",
            ["~ node plc (modbus.source)", "    tags.b: holding:1 -> holding:2"],
        ),
        ("plc -> high, ", "", ["- wire plc.out -> high.in"]),
        ("version: 1", "version: 1\nabout: Hall", ["~ about:  -> Hall"]),
        (
            "path: out.jsonl",
            "path: out.jsonl, outbox: {bytes_max: 20000}",
            [
                "~ node log (file.jsonl_sink)",
                '    outbox: {"bytes_max": 20000} (was not set)',
            ],
        ),
        (
            "tcp://10.0.0.5",
            "tcp://10.0.0.6",
            [
                "! new outside: talks to tcp://10.0.0.6 (modbus.connection)",
                "  no longer: talks to tcp://10.0.0.5 (modbus.connection)",
                "~ connection bus (modbus.connection)",
                "    address: tcp://10.0.0.5 -> tcp://10.0.0.6",
            ],
        ),
        (
            "out.jsonl",
            "new.jsonl",
            [
                "! new outside: log sends to new.jsonl (file.jsonl_sink)",
                "  no longer: log sends to out.jsonl (file.jsonl_sink)",
                "~ node log (file.jsonl_sink)",
                "    path: out.jsonl -> new.jsonl",
            ],
        ),
        (
            "wires:",
            "  set: {type: modbus.sink, connection: bus, tags: {sp: {at: holding:9}}}\nwires:",
            [
                "! new outside: set can change the plant: it writes sp to tcp://10.0.0.5",
                "+ node set (modbus.sink)",
                "    connection: bus",
                '    tags: {"sp": {"at": "holding:9"}}',
            ],
        ),
    ],
)
def test_a_change_in_words(old: str, new: str, wanted: list[str]) -> None:
    assert old in BASE
    assert lines(BASE.replace(old, new)) == wanted


def test_another_name_is_seen() -> None:
    found = lines(BASE.replace("high", "too_high"))
    assert found[0] == "> node high -> too_high (alarm.limit)"
    assert found[1:] == ["+ wire plc.out -> too_high.in", "- wire plc.out -> high.in"]


def test_secrets_are_named_and_never_shown() -> None:
    flow = "flow: f\nversion: 1\nconnections:\n  b: {type: mqtt.connection, url: mqtt://h%s}\n"
    before = Document.parse(flow % "")
    after = Document.parse(flow % ", password: {secret: broker}")
    assert "! new outside: uses the secret broker" in compare(before, after).lines()


def test_tests_are_compared_by_title() -> None:
    test = "tests:\n  - {title: T, given: {high: a 0s 1}, expect: {high.alarms: ''}}\n"
    assert lines(BASE + test) == ["~ test added: T"]
    changed = Document.parse(BASE + test.replace("0s 1", "0s 2"))
    assert compare(Document.parse(BASE + test), changed).lines() == ["~ test changed: T"]


@pytest.mark.parametrize("file", sorted((ROOT / "flows").glob("*.flow.yaml")), ids=str)
def test_our_own_flows(file: Path) -> None:
    document = Document.load(file)
    assert not compare(document, document)
    whole = compare(Document(document.name), document)
    assert len(whole.nodes) == len(document.nodes)
    assert len(whole.wires_added) == len(set(map(str, document.wires)))
    assert whole.effects_added
    back = compare(document, Document(document.name))
    assert back.effects_removed == whole.effects_added
    assert whole.data()["nodes"][0]["change"] == "added"


def test_who_others_may_call_says_where() -> None:
    text = """flow: hooks
version: 1
nodes:
  orders: {type: http.webhook, path: orders/new, secret: {secret: orders}}
  ticks: {type: websocket.source, url: "wss://stream.example.com/ticks"}
  screens: {type: websocket.sink, path: screens, open_access: true}
  log: {type: log.sink}
wires: [orders.events -> log.events, orders.events -> screens.events]
"""
    found = effects(Document.parse(text))
    assert "orders answers at /hook/orders/new (http.webhook)" in found
    assert "uses the secret orders" in found
    assert "screens answers at /hook/screens (websocket.sink)" in found
    assert "ticks reads wss://stream.example.com/ticks (websocket.source)" in found
