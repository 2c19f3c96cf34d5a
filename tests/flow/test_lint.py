"""Lint: each thing it finds, with line, node and field; of a good flow it says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.lint import lint, lint_file

GOOD = """\
flow: good
nodes:
  sim: {type: simulate.source, tag: a, unit: bar}
  clean: {type: filter.deadband, band: 0.2}
  win: {type: window.tumbling, size_s: 60}
  stats: {type: feature.statistics}
  log: {type: log.sink}
wires:
  - sim -> clean -> win -> stats -> log
"""


def found(text: str) -> list[tuple[str, int, str, str, str]]:
    return [
        (f.severity, f.line, f.node, f.field, f"{f.text} {f.hint}")
        for f in lint(Document.parse(text, "f.yaml"))
    ]


def with_line(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_good_flow_has_no_findings() -> None:
    assert found(GOOD) == []


CASES = {
    "unknown type": (
        with_line("filter.deadband", "filter.dedband"),
        ("error", 4, "clean", "type", "Did you mean filter.deadband"),
    ),
    "unknown option": (
        with_line("band: 0.2", "band: 0.2, heartbeat: 1"),
        ("error", 4, "clean", "heartbeat", "Did you mean heartbeat_s?"),
    ),
    "missing option": (
        with_line(", band: 0.2", ""),
        ("error", 4, "clean", "band", "The option `band` is missing."),
    ),
    "below its bound": (
        with_line("0.2", "0"),
        ("error", 4, "clean", "band", "0 must be greater than 0."),
    ),
    "with its unit": (
        with_line("0.2", "0.2, heartbeat_s: -1"),
        ("error", 4, "clean", "heartbeat_s", "-1 s must be at least 0 s."),
    ),
    "wrong choice": (
        with_line("0.2", "0.2, kind: per"),
        ("error", 4, "clean", "kind", "\"per\" is not one of 'absolute' or 'percent'."),
    ),
    "not a number": (
        with_line("0.2", "wide"),
        ("error", 4, "clean", "band", '"wide" is not a number.'),
    ),
    "ports that do not fit": (
        with_line("clean -> win -> stats", "clean -> stats"),
        ("error", 9, "", "wires", "clean.out carries samples, but stats.in takes windows. Put a"),
    ),
    "unknown port": (
        with_line("sim -> clean", "sim.outt -> clean"),
        (
            "error",
            9,
            "",
            "wires",
            "'sim' (simulate.source) has no output 'outt'. Did you mean out?",
        ),
    ),
    "unknown node": (
        with_line("stats -> log", "stats -> logg"),
        ("error", 9, "", "wires", "There is no node 'logg'. Did you mean log?"),
    ),
    "cycle": (
        GOOD + "  - clean -> a -> b -> clean\n" + "#",
        ("error", 10, "", "wires", "There is no node 'a'."),
    ),
    "twice": (
        GOOD + "  - sim -> clean\n",
        ("warning", 10, "", "wires", "This wire is there already, in line 9"),
    ),
    "nothing comes in": (
        with_line("sim -> clean -> win", "sim -> win"),
        ("error", 4, "clean", "", "Nothing is wired to its input 'in'."),
    ),
    "nothing goes out": (
        with_line(" -> log", ""),
        ("warning", 6, "stats", "", "Nothing takes what it gives."),
    ),
    "no source": (
        with_line("sim -> clean", "clean"),
        ("error", 5, "win", "", "No source is upstream of it"),
    ),
    "disabled": (
        with_line("band: 0.2", "band: 0.2, disabled: true"),
        ("warning", 4, "clean", "", "It is disabled."),
    ),
    "a secret in clear": (
        with_line("band: 0.2", "band: 0.2, password: x"),
        ("error", 4, "clean", "password", "A secret stands here in clear."),
    ),
    "a URL with a password": (
        with_line("band: 0.2", "band: 0.2, url: 'mqtt://me:pw@host/x'"),
        ("error", 4, "clean", "url", "A secret stands here in clear."),
    ),
    "a connection nobody uses": (
        GOOD + "connections:\n  line: {type: modbus.connection, address: 'tcp://127.0.0.1:502'}\n",
        ("warning", 11, "line", "", "No node uses this connection."),
    ),
    "a connection that is not there": (
        with_line(
            "log.sink}", "log.sink}\n  m: {type: modbus.source, connection: x, tags: {a: '40001'}}"
        ),
        ("error", 8, "m", "connection", "There is no connection 'x'."),
    ),
    "a node among the connections": (
        GOOD + "connections:\n  c: {type: filter.deadband, band: 1}\n",
        ("error", 11, "c", "type", "does not belong under `connections`."),
    ),
    "a test of a node that is not there": (
        GOOD + "tests:\n  - {title: t, given: {klean: a 0s 1}, expect: {}}\n",
        (
            "error",
            11,
            "",
            "tests.0.given.klean",
            "names 'klean', which is no node. Did you mean clean?",
        ),
    ),
    "a variable without a value": (
        with_line("tag: a", "tag: '${tag}'"),
        ("error", 3, "sim", "tag", "The variable 'tag' has no value."),
    ),
    "a test of a port that is not there": (
        GOOD + "tests:\n  - {title: t, given: {clean: a 0s 1}, expect: {clean.oat: ''}}\n",
        ("error", 11, "", "tests.0.expect.clean.oat", "no output 'oat'. Did you mean out?"),
    ),
    "a test with a text that cannot be read": (
        GOOD + "tests:\n  - {title: t, given: {clean: a 0 1}, expect: {clean: ''}}\n",
        ("error", 11, "", "tests.0.given.clean", "'0' is no time. Write a number and ms"),
    ),
    "a test with a state of an alarm that is not there": (
        GOOD.replace("log.sink}", "log.sink}\n  hi: {type: alarm.limit, hi: 3}")
        + "  - clean -> hi\ntests:\n"
        + "  - {title: t, given: {clean: a 0s 1}, expect: {hi: 1s a HI raised UNAK 4 3}}\n",
        ("error", 13, "", "tests.0.expect.hi", "'UNAK' is no state of an alarm. There is NORM"),
    ),
    "a test that gives to a sink": (
        GOOD + "tests:\n  - {title: t, given: {log: a 0s 1}, expect: {}}\n",
        ("error", 11, "", "tests.0.given.log", "'log' is a sink"),
    ),
    "a test that ends at no time": (
        GOOD + "tests:\n  - {title: t, given: {clean: a 0s 1}, expect: {}, until: soon}\n",
        ("error", 11, "", "tests.0.until", "'soon' is no time."),
    ),
    "an option with its colon too near": (
        with_line("band: 0.2", "band:0.2"),
        ("error", 4, "clean", "band:0.2", "Write a space behind the colon: `band: 0.2`."),
    ),
    "a decimal comma": (
        with_line("band: 0.2", "band: 7,5"),
        ("error", 4, "clean", "5", "Write decimals with a point, such as 7.5."),
    ),
    "a formula that cannot be read": (
        with_line("filter.deadband, band: 0.2", "compute.expression, formula: valeu * 2"),
        ("error", 4, "clean", "formula", "The expression uses 'valeu', which is not known here."),
    ),
    "a rule between two options": (
        GOOD.replace("log.sink}", "log.sink}\n  hi: {type: alarm.limit, hi: 3, lo: 4}"),
        ("error", 8, "hi", "lo", "`lo` is 4; it must be below `hi`, which is 3."),
    ),
    "a flow without a node": (
        "flow: x\n",
        ("warning", 1, "", "", "The flow has no node."),
    ),
    "one tag in two units": (
        with_line("  clean:", "  two: {type: simulate.source, tag: a, unit: Cel}\n  clean:"),
        ("error", 4, "two", "unit", "Tag 'a' is in Cel here, but in bar in 'sim'."),
    ),
    "a unit nobody knows": (
        with_line("unit: bar", "unit: furlong"),
        ("warning", 3, "sim", "unit", "'furlong' is no UCUM unit known here."),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_finds(case: str) -> None:
    text, (severity, line, node, field, says) = CASES[case]
    all_found = found(text)
    fits = [f for f in all_found if f[:4] == (severity, line, node, field) and says in f[4]]
    assert fits, all_found


def test_a_cycle_names_its_nodes_and_is_found_once() -> None:
    text = GOOD.replace("  log:", "  b: {type: filter.deadband, band: 1}\n  log:")
    cycles = [f for f in found(text + "  - clean -> b -> clean\n") if "cycle" in f[4]]
    assert len(cycles) == 1
    assert "clean -> b -> clean" in cycles[0][4]
    itself = [f for f in found(GOOD + "  - clean -> clean\n") if "cycle" in f[4]]
    assert len(itself) == 1


def test_a_secret_in_clear_is_said_once_and_not_shown() -> None:
    line = "c: {type: mqtt.connection, url: 'mqtt://x', username: u, password: hunter2}"
    findings = [f for f in found(GOOD + f"connections:\n  {line}\n") if f[2] == "c"]
    assert [f[:4] for f in findings if f[0] == "error"] == [("error", 11, "c", "password")]
    assert "hunter2" not in str(findings)
    wrong = line.replace("password: hunter2", "password: [hunter2]")
    findings = [f for f in found(GOOD + f"connections:\n  {wrong}\n") if f[2] == "c"]
    assert any(
        "This is no reference to a secret. Write {secret: a_name}." in f[4] for f in findings
    )
    assert "hunter2" not in str(findings)


SYNTAX = {
    "a tab": ("  clean:", "\tclean:", 4, "There is a tab. Indent with spaces"),
    "an indent": ("  clean:", "   clean:", 4, "This line does not fit those above."),
    "an open quote": ("tag: a", "tag: 'a", 3, "A quote is opened here and not closed."),
    "an open bracket": ("size_s: 60}", "size_s: 60", 5, "This mapping in { } cannot be read"),
    "braces in a list": ("tag: a", "tag: [a{b}]", 3, "This list in [ ] cannot be read"),
    "no colon": ("wires:", "wires", 8, "This line is no `key: value`."),
    "a colon too much": ("flow: good", "flow: go: od", 1, "There is a colon too much."),
    "a node without braces": ("{type: log.sink}", "log.sink", 7, "Write `log: {type: log.sink}`"),
    "a key nearly right": (
        "wires:",
        "wire:",
        8,
        "There is no key 'wire' here. Did you mean wires?",
    ),
}


@pytest.mark.parametrize("case", SYNTAX)
def test_a_file_that_cannot_be_read_is_said_in_plain_words(case: str, tmp_path: Path) -> None:
    old, new, line, says = SYNTAX[case]
    file = tmp_path / "x.yaml"
    file.write_text(with_line(old, new), "utf-8")
    (finding,) = lint_file(file)
    assert finding.line == line, str(finding)
    assert says in str(finding)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "The file is empty."),
        (b"# nothing\n", "The file is empty."),
        (bytes(range(256)), "This is no text"),
        (GOOD.encode("utf-16"), "Save the file as UTF-8."),
        (GOOD.encode() + b"# \xff", "is no UTF-8"),
        (b"# " + b"x" * 3_000_000, "flow_bytes_max"),
    ],
)
def test_a_file_that_is_no_text(data: bytes, says: str, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(data)
    (finding,) = lint_file(file)
    assert says in str(finding)


def test_equal_units_are_no_clash() -> None:
    text = with_line("  clean:", "  two: {type: simulate.source, tag: a, unit: bar}\n  clean:")
    assert not [f for f in found(text) if f[3] == "unit"]


def test_writes_need_permission() -> None:
    writers = [name for name, cls in registry.node_classes() if cls.writes]
    assert writers, "some node writes setpoints"
    text = f"flow: w\nnodes:\n  w: {{type: {writers[0]}}}\n"
    assert any("can change the plant" in f[4] for f in found(text))
    assert not any("can change the plant" in f[4] for f in found(text + "allow_write: true\n"))


def test_a_moved_node_loads_and_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.MOVED, "filter.old", "filter.deadband")
    findings = found(GOOD.replace("filter.deadband", "filter.old"))
    assert [f[0] for f in findings] == ["warning"]
    assert "is called 'filter.deadband' now" in findings[0][4]


def test_a_file_that_is_no_flow_is_one_finding(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("flow: x\nnodes: {a: {}}\n", "utf-8")
    assert [str(f) for f in lint_file(file)] == [
        "x.yaml:2: error: a: The type is missing. Write `type: family.node`."
    ]


def test_a_layout_with_a_box_of_no_node(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD, "utf-8")
    (tmp_path / "good.layout.json").write_text('{"sim": [0, 0], "gone": [1, 0]}', "utf-8")
    assert [f.node for f in lint_file(file)] == ["gone"]
    (tmp_path / "good.layout.json").write_text("nonsense", "utf-8")
    assert [f.severity for f in lint_file(file)] == ["warning"]
