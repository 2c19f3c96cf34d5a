"""Exports of Node-RED as flows: what is carried, what changes, and that nothing is dropped."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import ConfigError
from gateway.cli.main import main
from gateway.engine.flowtest import run_test
from gateway.flow.document import Document
from gateway.flow.entries import FlowTest
from gateway.flow.lint import lint
from gateway.flow.nodered import Converted, Note, convert


def node(id: str, type: str, *wires: str, z: str = "t1", **more: Any) -> dict[str, Any]:
    base = {"id": id, "type": type, "z": z, "name": "", "x": 180, "y": 120}
    return {**base, "wires": [list(wires)], **more}


BROKER = {
    "id": "b1",
    "type": "mqtt-broker",
    "name": "Hall broker",
    "broker": "10.0.0.5",
    "port": "1883",
    "clientid": "nodered",
    "usetls": False,
}
MODBUS = {
    "id": "m1",
    "type": "modbus-client",
    "name": "Meter",
    "clienttype": "tcp",
    "tcpHost": "10.0.0.7",
    "tcpPort": "502",
    "tcpType": "DEFAULT",
    "unit_id": "3",
}
SERIAL = {
    "id": "m2",
    "type": "modbus-client",
    "name": "",
    "clienttype": "simpleser",
    "serialPort": "/dev/ttyUSB0",
    "serialBaudrate": "9600",
    "serialParity": "none",
    "serialStopbits": "2",
}
ENDPOINT = {
    "id": "e1",
    "type": "OpcUa-Endpoint",
    "endpoint": "opc.tcp://10.0.0.8:4840",
    "secpol": "Basic256Sha256",
    "secmode": "SIGNANDENCRYPT",
}
TAB = {"id": "t1", "type": "tab", "label": "Hall", "disabled": False, "info": ""}
HALL = [
    TAB,
    BROKER,
    node("in", "mqtt in", "js", topic="hall/+/power", qos="1", datatype="auto", broker="b1"),
    node("js", "json", "rng", property="payload", action=""),
    node("rng", "range", "rbe", minin="4", maxin="20", minout="0", maxout="100", action="scale",
         round=False, property="payload"),
    node("rbe", "rbe", "lim", func="deadband", gap="0.5", inout="out", septopics=True),
    node("lim", "delay", "lo", "fn", pauseType="rate", rate="1", nbRateUnits="5",
         rateUnits="second", drop=True),
    node("fn", "function", "db", name="to Fahrenheit",
         func="msg.payload = msg.payload * 1.8 + 32;\nreturn msg;"),
    node("db", "debug", active=True, complete="payload"),
    node("lo", "link out", mode="link", links=["li"]),
    node("li", "link in", "out", links=["lo"], x=600),
    node("out", "mqtt out", name="Power", topic="genba/power", qos="0", retain="true",
         broker="b1", x=720),
    node("c1", "comment", name="The hall", info="Ask Kenji."),
    node("ct", "catch", "db", scope=None),
]  # fmt: skip


def by_id(found: Converted) -> dict[str, Note]:
    return {note.id: note for note in found.notes}


def errors(found: Converted, *, besides: tuple[str, ...] = ()) -> list[str]:
    document = Document.parse(found.text)
    return [
        str(f)
        for f in lint(document)
        if f.severity == "error" and not any(text in f.text for text in besides)
    ]


def test_a_hall_with_mqtt() -> None:
    found = convert(json.dumps(HALL), "hall")
    document = Document.parse(found.text)
    assert {n: e.type for n, e in document.nodes.items()} == {
        "source": "mqtt.source",
        "scale": "compute.scale",
        "deadband": "filter.deadband",
        "rate": "filter.rate",
        "sink": "log.sink",
        "power": "mqtt.sink",
    }
    assert {str(wire) for wire in document.wires} == {
        "source.out -> scale.in",
        "scale.out -> deadband.in",
        "deadband.out -> rate.in",
        "rate.out -> power.in",
    }
    assert document.connections["hall_broker"].config == {"url": "mqtt://10.0.0.5:1883"}
    assert document.nodes["source"].config["payload"] == "json"
    assert document.nodes["rate"].config == {"every_s": 5.0}
    assert document.nodes["power"].config == {
        "connection": "hall_broker",
        "topic": "genba/power",
        "qos": 0,
        "retain": True,
    }
    assert errors(found, besides=("Nothing is wired to its input",)) == []
    assert "# The hall" in found.text and "# Ask Kenji." in found.text
    assert found.layout["source"] == (270, 240) and found.layout["power"] == (1080, 240)
    notes = by_id(found)
    assert "value * 1.8 + 32" in notes["fn"].text and notes["fn"].verdict == "left_out"
    assert notes["lim"].text.endswith("1 of its wires lead to what was left out.")
    assert notes["b1"].becomes == "hall_broker" and "not in an export" in notes["b1"].text
    assert "nodered" not in found.text, "the session of the one that still runs is not taken"


def test_what_was_carried_means_the_same() -> None:
    """The chain of the example computes what Node-RED would: a current loop, held back."""
    document = Document.parse(convert(HALL, "hall").text)
    test = FlowTest(
        title="t",
        given={"source": "A 0s 4 | 10s 12 | 20s 12.01 | 30s 20"},
        expect={"rate": "A 0s 0 | 10s 50 | 30s 100"},
    )
    assert run_test(document, test) == []


def test_devices_over_modbus_and_opc_ua() -> None:
    flows = [
        TAB, MODBUS, SERIAL, ENDPOINT,
        node("r", "modbus-read", "d", [], topic="hall/meter", dataType="HoldingRegister",
             adr="100", quantity="3", rate="500", rateUnit="ms", server="m1", unitid="7"),
        node("r2", "modbus-read", "d", dataType="Coil", adr="0", quantity="1", rate="2",
             rateUnit="s", server="m2", name="door open"),
        node("w", "modbus-write", dataType="HoldingRegister", adr="20", quantity="1",
             server="m1", name="speed"),
        node("i", "inject", "it", repeat="1", payloadType="date"),
        node("it", "OpcUa-Item", "it2", item="ns=2;s=Press1.Oil.Temp", datatype="Double"),
        node("it2", "OpcUa-Item", "oc", item="ns=2;i=17", name="press/level"),
        node("oc", "OpcUa-Client", "d", endpoint="e1", action="subscribe", time="2",
             timeUnit="s"),
        node("br", "OpcUa-Client", endpoint="e1", action="browse"),
        node("d", "debug"),
    ]  # fmt: skip
    flows[4]["wires"] = [["d"], ["w"]]
    found = convert(flows, "devices")
    document = Document.parse(found.text)
    meter = document.nodes["source"].config
    assert (meter["unit"], meter["scan_s"]) == (7, 0.5)
    assert next(iter(meter["tags"].items())) == ("hall/meter/100", "holding:100")
    assert len(meter["tags"]) == 3
    assert document.connections["meter"].config == {"address": "tcp://10.0.0.7:502"}
    assert document.connections["modbus"].config == {
        "address": "rtu:/dev/ttyUSB0",
        "baud": 9600,
        "parity": "none",
        "stop_bits": 2,
    }
    assert document.nodes["door_open"].config["tags"] == {"door_open": "coil:0"}
    opcua = next(e for e in document.nodes.values() if e.type == "opcua.source").config
    assert opcua["tags"] == {"press/level": "ns=2;i=17"}
    assert (opcua["sampling_s"], opcua["publishing_s"]) == (2.0, 2.0)
    assert document.connections["opcua"].config["security"] == "Basic256Sha256_SignAndEncrypt"
    notes = by_id(found)
    assert notes["i"].text == "Not needed: a subscription sends by itself."
    assert notes["br"].verdict == "left_out"
    assert not document.allow_write, "whether it may write is for a person to say"
    assert "allow_write: true" in notes["w"].text
    left = errors(found, besides=("not allowed to", "Nothing is wired to its input"))
    assert left == []


@pytest.mark.parametrize(
    ("item", "type_name", "config", "verdict"),
    [
        (
            {"type": "switch", "property": "payload",
             "rules": [{"t": "btwn", "v": "9", "v2": "3"}]},
            "filter.range",
            {"low": 3.0, "high": 9.0, "outside": "drop"},
            "changed",
        ),
        (
            {"type": "change", "rules": [
                {"t": "set", "p": "payload", "pt": "msg", "to": "payload / 10", "tot": "jsonata"}
            ]},
            "compute.expression",
            {"formula": "value / 10"},
            "changed",
        ),
        (
            {"type": "range", "minin": 0, "maxin": 10, "minout": 100, "maxout": 0,
             "action": "clamp", "round": True},
            "compute.expression",
            {"formula": "round(clamp((value - 0.0) * -10.0 + 100.0, 0.0, 100.0))"},
            "carried",
        ),
        (
            {"type": "inject", "payload": "5", "payloadType": "num", "repeat": "60",
             "topic": "set point"},
            "test.inject",
            {"rows": "set_point 0s 5", "every_s": 60.0},
            "carried",
        ),
        ({"type": "rbe", "func": "rbe"}, "filter.deadband", {"band": 1e-12}, "changed"),
        (
            {"type": "delay", "pauseType": "rate", "rate": "2", "rateUnits": "minute"},
            "filter.rate",
            {"every_s": 30.0},
            "changed",
        ),
        (
            {"type": "file", "filename": "C:\\data\\log.csv", "overwriteFile": "false"},
            "file.jsonl_sink",
            {"path": "log.csv.jsonl"},
            "changed",
        ),
        ({"type": "mqtt out", "broker": "b1", "d": True}, "mqtt.sink", None, "changed"),
    ],
)  # fmt: skip
def test_single_nodes(
    item: dict[str, Any], type_name: str, config: dict[str, Any] | None, verdict: str
) -> None:
    found = convert([TAB, BROKER, {**node("n", item["type"]), **item}], "f")
    (entry,) = Document.parse(found.text).nodes.values()
    assert entry.type == type_name
    if config is not None:
        assert entry.config == config
    assert entry.disabled == bool(item.get("d"))
    assert by_id(found)["n"].verdict == verdict
    assert errors(found, besides=("wired to", "not allowed to")) == []


@pytest.mark.parametrize(
    "type_name",
    """http in;http request;http response;tcp in;tcp out;tcp request;udp in;websocket in;exec
    template;trigger;split;join;batch;sort;file in;csv;xml;html;catch;status;complete;link call
    ui_gauge;ui-chart;influxdb out;function;switch;change;mqtt in;modbus-read;OpcUa-Client;inject
    OpcUa-Item;delay;range;file;subflow:s1""".replace("\n", ";").split(";"),
)
def test_what_cannot_be_expressed_is_listed(type_name: str) -> None:
    flows = [TAB, {"id": "s1", "type": "subflow", "name": "Smooth"}, node("n", type_name.strip())]
    found = convert(flows, "f")
    note = by_id(found)["n"]
    assert note.verdict == "left_out"
    assert len(note.text) > 15 and note.text.endswith(".")
    assert Document.parse(found.text).nodes == {}


def test_tabs_subflows_and_disabled_ones() -> None:
    flows = [
        TAB,
        {**TAB, "id": "t2", "label": "Old", "disabled": True},
        {"id": "s1", "type": "subflow", "name": "Smooth", "in": [], "out": []},
        node("sd", "debug", z="s1"),
        node("su", "subflow:s1", "d1"),
        node("d1", "debug", name="1 Öl & Co"),
        node("d2", "debug", z="t2", name="1 Öl & Co"),
        {"id": "g", "type": "group", "z": "t1", "nodes": ["d1"], "x": 1, "y": 1, "w": 9, "h": 9},
    ]
    found = convert({"flows": flows, "rev": "x"}, "f")  # type: ignore[arg-type]  # as the API gives it
    document = Document.parse(found.text)
    assert list(document.nodes) == ["n_1_l_co", "n_1_l_co_2"]
    assert [e.disabled for e in document.nodes.values()] == [False, True]
    notes = by_id(found)
    assert notes["sd"].text == "It is inside the subflow 'Smooth'; see there."
    assert "'Smooth'" in notes["su"].text and notes["g"].verdict == "left_out"
    assert found.layout["n_1_l_co_2"][1] > found.layout["n_1_l_co"][1] + 100


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "This is no JSON"),
        ("{}", "it is a list of nodes"),
        ("[]", "it is a list of nodes"),
        ("[1]", "needs id and type"),
        ('[{"id": "a", "type": "tab"}, {"id": "a", "type": "tab"}]', "the id 'a'"),
        (json.dumps([{"id": str(n), "type": "tab"} for n in range(5_001)]), "nodes_max"),
        ("[" * 100_000, "This is no JSON"),
    ],
)
def test_what_is_no_export_is_refused(text: str, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        convert(text, "f")


def test_a_name_that_no_flow_may_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="a b"):
        convert(HALL, "a b")


_TYPES = st.sampled_from(
    ["inject", "debug", "change", "switch", "function", "range", "delay", "rbe", "json", "link in",
     "link out", "comment", "mqtt in", "mqtt out", "mqtt-broker", "modbus-read", "modbus-write",
     "modbus-client", "OpcUa-Item", "OpcUa-Client", "OpcUa-Endpoint", "tab", "subflow", "group",
     "file", "catch", "what is this"]
)  # fmt: skip
_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
_KEYS = st.sampled_from(
    ["name", "x", "y", "z", "d", "topic", "qos", "broker", "payload", "payloadType", "repeat",
     "rules", "func", "gap", "minin", "maxin", "minout", "maxout", "action", "rate", "pauseType",
     "rateUnits", "adr", "quantity", "dataType", "server", "unitid", "item", "endpoint", "links",
     "wires", "info", "filename", "port", "tcpHost"]
)  # fmt: skip
_ITEM = st.dictionaries(
    _KEYS, _VALUES | st.lists(_VALUES | st.lists(_VALUES, max_size=2), max_size=3)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_TYPES, _ITEM, st.lists(st.integers(0, 6), max_size=3)), max_size=7))
def test_any_export_gives_a_flow_with_a_note_for_each_node(
    given_items: list[tuple[str, dict[str, Any], list[int]]],
) -> None:
    flows = [
        {**item, "id": f"n{number}", "type": kind, "wires": [[f"n{to}" for to in wires]]}
        for number, (kind, item, wires) in enumerate(given_items)
    ]
    if not flows:
        return
    found = convert(flows, "f")
    assert Counter(note.id for note in found.notes) == Counter(item["id"] for item in flows)
    document = Document.parse(found.text)
    assert document.text() == found.text
    assert found.layout.keys() == document.nodes.keys()
    becomes = {note.becomes for note in found.notes if note.becomes}
    assert document.nodes.keys() <= becomes
    for name in document.connections.keys() - becomes:
        users = {n for n, e in document.nodes.items() if e.config.get("connection") == name}
        said = [note.text for note in found.notes if note.becomes in users]
        assert said and all("is not in the export" in text for text in said)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "Hall 3.json"
    path.write_text(json.dumps(HALL))
    assert main(["convert", str(path)]) == 1
    out, error = capsys.readouterr()
    assert Document.parse(out).name == "hall_3"
    assert "left out  to Fahrenheit (function): Code is not carried over." in error
    assert main(["convert", str(tmp_path / "none.json")]) == 1
