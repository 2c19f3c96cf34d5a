"""Subflows: parameters, expansion, canonical text, lint that points to the place, bypasses."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import Batch, ConfigError, Tag, TagTable
from gateway.engine.flowtest import run_tests
from gateway.engine.graph import Graph
from gateway.flow.compare import compare
from gateway.flow.document import Document
from gateway.flow.expand import fill
from gateway.flow.lint import lint

HOT = """\
flow: ovens
version: 1

subflows:
  # One temperature.
  hot:
    about: Warns where a temperature is too high.
    parameters:
      # The limit.
      hi: {default: 80, unit: Cel, about: Above this it is hot.}
      name: {about: What the tag is called from here on.}
    inputs:
      in: samples
    outputs:
      out: samples
      alarms: alarms
    nodes:
      # Without jitter.
      clean: {type: filter.deadband, band: 0.5}
      named: {type: compute.rename, names: {a: "${name}/checked"}}
      high: {type: alarm.limit, hi: "${hi}"}
    wires:
      - in -> clean -> high
      - clean -> named -> out
      # Tell.
      - high.alarms -> alarms

nodes:
  sim: {type: simulate.source, tag: a, unit: Cel}
  press: {type: subflow.hot, hi: 75, name: press}
  mixer: {type: subflow.hot, name: mixer}
  log: {type: log.sink}

wires:
  - sim -> press -> log
  - sim -> mixer
  - press.alarms -> log
  - mixer.alarms -> log.alarms
  - mixer -> log

tests:
  - title: Each instance has its own limit
    given: {press: a 0s 70 | 5s 76, mixer.in: a 0s 70 | 5s 76}
    expect:
      press.alarms: 5s a HI raised UNACK 76 75
      mixer: mixer/checked 0s 70 | 5s 76
      mixer.alarms: ""
      press/clean: a 0s 70 | 5s 76
  - title: A test may set a parameter
    given: {press: a 0s 70 | 5s 91}
    expect: {press/high.alarms: 5s a HI raised UNACK 91 90}
    config: {press: {hi: 90}}
"""
S = 10**9


def changed(old: str, new: str) -> str:
    assert old in HOT
    return HOT.replace(old, new)


def found(text: str) -> list[tuple[str, int, str, str, str]]:
    return [
        (f.severity, f.line, f.node, f.field, f"{f.text} {f.hint}".strip())
        for f in lint(Document.parse(text, "f.yaml"))
    ]


def test_the_text_is_canonical_and_comments_stay() -> None:
    document = Document.parse(HOT)
    text = document.text()
    assert Document.parse(text) == document
    assert Document.parse(text).text() == text
    lines = text.splitlines()
    for comment, below in (
        ("  # One temperature.", "  hot:"),
        ("      # The limit.", "      hi: {default: 80"),
        ("      # Without jitter.", "      clean: {type"),
        ("      # Tell.", "      - high.alarms -> alarms"),
    ):
        assert lines[lines.index(comment) + 1].startswith(below)


def test_a_good_flow_has_no_findings_and_its_tests_pass() -> None:
    assert found(HOT) == []
    outcomes = run_tests(Document.parse(HOT).expanded())
    assert len(outcomes) == 2
    assert [o.failures for o in outcomes] == [(), ()]


def test_instances_become_their_nodes() -> None:
    flow = Document.parse(HOT).expanded()
    assert list(flow.nodes) == [
        "sim",
        *(f"{a}/{b}" for a in ("press", "mixer") for b in ("clean", "named", "high")),
        "log",
    ]
    assert flow.nodes["press/high"].config == {"hi": 75}, "a number stays a number"
    assert flow.nodes["mixer/high"].config == {"hi": 80}
    assert flow.nodes["mixer/named"].config == {"names": {"a": "mixer/checked"}}
    assert {str(w) for w in flow.wires} >= {
        "sim.out -> press/clean.in",
        "press/named.out -> log.in",
        "mixer/high.alarms -> log.alarms",
    }
    assert flow.expanded() is flow, "there is nothing left to do"
    assert Document.parse(flow.text()) == flow, "a child process reads it back"
    assert flow.where("nodes", "press/high", "hi").startswith("flow.yaml:30 ")
    assert flow.where("nodes", "mixer/high", "hi").startswith("flow.yaml:21 ")


CASES = {
    "no such subflow": (
        changed("press: {type: subflow.hot", "press: {type: subflow.hott"),
        ("error", 30, "press", "type", "There is no subflow 'hott'. Did you mean hot?"),
    ),
    "no such parameter": (
        changed("hi: 75,", "high: 75,"),
        ("error", 30, "press", "high", "The subflow 'hot' has no parameter 'high'."),
    ),
    "missing parameter": (
        changed("subflow.hot, name: mixer", "subflow.hot"),
        ("error", 31, "mixer", "name", "The parameter `name` is missing. What the tag is"),
    ),
    "wrong type": (
        changed("hi: 75", "hi: warm"),
        ("error", 30, "press", "hi", "The parameter takes a number, and this is a text."),
    ),
    "wrong value, told at the instance": (
        changed("name: press", "name: a b"),
        ("error", 30, "press", "name", "(It is named.names.a in the subflow hot.)"),
    ),
    "wrong inside, told once": (
        changed("band: 0.5", "band: -1"),
        ("error", 19, "press/clean", "band", "(In the subflow hot, used by press, mixer.)"),
    ),
    "unused parameter": (
        changed('hi: "${hi}"', "hi: 70"),
        ("warning", 10, "", "subflows.hot.parameters.hi", "Nothing in the subflow uses"),
    ),
    "nearly a parameter": (
        changed('hi: "${hi}"', 'hi: "${hii:-3}", hihi: "${hi}"'),
        ("warning", 21, "", "subflows.hot.nodes.high.hi", "'hii' is no parameter"),
    ),
    "a wire that does not fit the port": (
        changed("- press.alarms -> log", "- press.alarms -> mixer"),
        ("error", 37, "", "wires", "press.alarms carries alarms, but mixer.in takes samples."),
    ),
    "a wire that does not fit inside": (
        changed("- high.alarms -> alarms", "- clean -> alarms"),
        ("error", 26, "", "subflows.hot.wires", "clean.out carries samples, but alarms.alarms"),
    ),
    "no such port": (
        changed("press.alarms -> log", "press.events -> log"),
        ("error", 37, "", "wires", "'press' (subflow.hot) has no output 'events'."),
    ),
    "a port that nothing reaches": (
        changed("      - clean -> named -> out\n", ""),
        ("warning", 15, "", "subflows.hot.outputs.out", "No wire inside the subflow goes to it."),
    ),
    "it contains itself": (
        changed(
            "named: {type: compute.rename",
            "again: {type: subflow.hot, name: x}\n      named: {type: compute.rename",
        ),
        ("error", 6, "", "subflows.hot", "This subflow contains itself."),
    ),
    "an id of an inner node": (
        changed("  log: {", "  a/b: {type: log.sink}\n  log: {"),
        ("error", 32, "a/b", "", "'a/b' cannot be an id"),
    ),
    "a test of no port": (
        changed("press.alarms: 5s", "press.alarm: 5s"),
        ("error", 45, "", "tests.0.expect.press.alarm", "'press' has no output 'alarm'."),
    ),
    "nobody uses it": (
        changed("subflows:\n", "subflows:\n  idle:\n    nodes: {}\n"),
        ("warning", 5, "", "subflows.idle", "No node uses this subflow."),
    ),
    "an outbox": (
        changed("name: mixer}", "name: mixer, outbox: {bytes_max: 100000}}"),
        ("error", 31, "mixer", "outbox", "An instance of a subflow has no outbox."),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_lint_points_to_the_place(case: str) -> None:
    text, (severity, line, node, field, said) = CASES[case]
    rows = found(text)
    fitting = [row for row in rows if row[:4] == (severity, line, node, field) and said in row[4]]
    assert len(fitting) == 1, rows


BAD = {
    "a port twice": ("      out: samples\n", "      in: samples\n", "are both named"),
    "a node named as a port": ("      clean: {type", "      out: {type", "is a node and one of"),
    "no such kind of wire": ("      in: samples", "      in: sample", "carries 'sample'. Did you"),
    "a default of another type": ("hi: {default: 80", "hi: {type: text, default: 80", "a number"),
    "no such key": ("    about: Warns", "    abuot: Warns", "There is no key 'abuot'"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_shape_is_refused(case: str) -> None:
    old, new, said = BAD[case]
    with pytest.raises(ConfigError) as caught:
        Document.parse(changed(old, new))
    assert said in str(caught.value)
    assert "flow.yaml:" in caught.value.where


def test_a_bomb_of_subflows_is_refused() -> None:
    """Seven levels of ten instances each would be ten million nodes."""
    subflows = "  s0:\n    nodes: {a: {type: log.sink}}\n"
    for i in range(1, 8):
        inner = ", ".join(f"n{j}: {{type: subflow.s{i - 1}}}" for j in range(10))
        subflows += f"  s{i}:\n    nodes: {{{inner}}}\n"
    text = f"flow: bomb\nsubflows:\n{subflows}nodes:\n  boom: {{type: subflow.s7}}\n"
    with pytest.raises(ConfigError, match=r"more than 2,000 nodes"):
        Document.parse(text).expanded()
    deep = "".join(f"  s{i}:\n    nodes: {{a: {{type: subflow.s{i + 1}}}}}\n" for i in range(20))
    text = (
        f"flow: deep\nsubflows:\n{deep}  s20: {{nodes: {{}}}}\nnodes: {{a: {{type: subflow.s0}}}}\n"
    )
    with pytest.raises(ConfigError, match="deeper in each other than 8 levels"):
        Document.parse(text).expanded()


def test_nested_subflows_take_values_from_outside() -> None:
    text = HOT.replace(
        "nodes:\n  sim:",
        "  pair:\n    parameters: {limit: {default: 60}}\n    inputs: {a: samples}\n"
        "    outputs: {alarms: alarms}\n    nodes:\n"
        '      one: {type: subflow.hot, hi: "${limit}", name: one}\n'
        '      two: {type: subflow.hot, name: "${limit}"}\n'
        "    wires: [a -> one, a -> two, one.alarms -> alarms, two.alarms -> alarms]\n"
        "nodes:\n  both: {type: subflow.pair, limit: 61}\n  sim:",
    ).replace("  - sim -> mixer\n", "  - sim -> mixer\n  - sim -> both\n  - both.alarms -> log\n")
    flow = Document.parse(text).expanded()
    assert flow.nodes["both/one/high"].config == {"hi": 61}
    assert flow.nodes["both/two/named"].config == {"names": {"a": "61/checked"}}
    assert "both/two/high.alarms -> log.alarms" in {str(w) for w in flow.wires}
    bad = found(text.replace("limit: 61", "limit: 61 C"))
    line = text.splitlines().index("  both: {type: subflow.pair, limit: 61}") + 1
    assert ("error", line, "both", "limit") in {row[:4] for row in bad}


def test_a_variable_of_the_gateway_and_a_parameter_do_not_mix() -> None:
    """A value that looks like a parameter of the subflow is not filled in a second time."""
    assert fill("${a}-${b}", {"a": "${b}", "b": 1}) == "${b}-1"
    assert fill({"${a}": ["${a}", "x${c}"]}, {"a": 2}) == {2: [2, "x${c}"]}
    with pytest.raises(ValueError, match="cannot stand inside one"):
        fill("x${a}", {"a": [1]})


def test_a_difference_is_one_of_the_nodes_that_run() -> None:
    old, new = Document.parse(HOT), Document.parse(changed("hi: 75", "hi: 76"))
    assert compare(old, new).lines() == ["~ node press/high (alarm.limit)", "    hi: 75 -> 76"]
    moved = Document.parse(changed("default: 80", "default: 81"))
    assert compare(old, moved).lines()[0] == "~ node mixer/high (alarm.limit)"


def test_state_is_kept_where_neither_instance_nor_subflow_changed() -> None:
    tags = TagTable(16)
    tags.add(Tag("a"))
    old = Graph(Document.parse(HOT), tags)
    old.step([("sim", "out", Batch.columns([0], [0], [70.0]))], 0)
    new = Graph(Document.parse(changed("hi: 75", "hi: 76")), tags)
    taken = new.adopt(old)
    assert taken.kept == set(new.transforms()), "an alarm with another limit keeps its state"
    other = Graph(Document.parse(changed("hi: 75, name: press", "hi: 75, name: rolls")), tags)
    taken = other.adopt(old)
    assert {n for n in other.transforms() if n not in taken.kept} == {"press/named"}
    renamed = Graph(Document.parse(HOT.replace("press", "rolls")), tags)
    kept = renamed.adopt(old).kept
    assert kept == {"mixer/clean", "mixer/named", "mixer/high", "communication"}


# ---------------------------------------------------------------------- generated


@st.composite
def layered(draw: st.DrawFn) -> tuple[str, str]:
    """A flow with a subflow used several times, and the same flow written out by hand."""
    inner = draw(st.integers(1, 3))
    count = draw(st.integers(1, 3))
    gains = [draw(st.integers(1, 9)) for _ in range(count)]
    skip = draw(st.booleans())
    chain = " -> ".join(["in", *(f"n{i}" for i in range(inner)), "out"])
    nodes = ", ".join(
        f'n{i}: {{type: compute.scale, gain: "${{g}}", offset: {i}}}' for i in range(inner)
    )
    wires = [chain, "in -> out"] if skip else [chain]
    head = "flow: x\n"
    sub = (
        f"subflows:\n  s:\n    parameters: {{g: {{default: 1}}}}\n    inputs: {{in: samples}}\n"
        f"    outputs: {{out: samples}}\n    nodes: {{{nodes}}}\n    wires: {wires}\n"
    )
    instances = [f"i{k}: {{type: subflow.s, g: {g}}}" for k, g in enumerate(gains)]
    plain = [
        f"i{k}-n{i}: {{type: compute.scale, gain: {g}, offset: {i}}}"
        for k, g in enumerate(gains)
        for i in range(inner)
    ]
    ends = ["src: {type: simulate.source, tag: a}", "end: {type: filter.quality}"]
    links = draw(st.lists(st.tuples(st.integers(-1, count - 1), st.integers(0, count)), max_size=6))
    links = [(a, b) for a, b in dict.fromkeys(links) if a < b]
    outer, flat = [], []
    for k in range(count):
        row = [f"i{k}-n{i}" for i in range(inner)]
        flat += [f"{a} -> {b}" for a, b in pairwise(row)]
    for a, b in links:
        source, target = ("src" if a < 0 else f"i{a}"), ("end" if b == count else f"i{b}")
        outer.append(f"{source} -> {target}")
    # By hand: each instance gives its last node and, with the short cut, whatever came in.
    gives: dict[str, list[str]] = {"src": ["src"]}
    for k in range(count):
        before = [s for a, b in links if b == k for s in gives["src" if a < 0 else f"i{a}"]]
        gives[f"i{k}"] = [*(before if skip else []), f"i{k}-n{inner - 1}"]
    for a, b in links:
        target = "end" if b == count else f"i{b}-n0"
        flat += [f"{s} -> {target}" for s in gives["src" if a < 0 else f"i{a}"]]
    first = f"{head}{sub}nodes: {{{', '.join([*ends, *instances])}}}\nwires: {outer}\n"
    second = f"{head}nodes: {{{', '.join([*ends, *plain])}}}\nwires: {list(dict.fromkeys(flat))}\n"
    return first, second


@settings(max_examples=60, deadline=None)
@given(layered(), st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5))
def test_it_computes_what_the_flow_written_out_computes(
    pair: tuple[str, str], values: list[float]
) -> None:
    one, other = (Document.parse(text) for text in pair)
    assert Document.parse(one.text()) == one
    mine, theirs = one.expanded(), other
    assert {str(w).replace("/", "-") for w in mine.wires} == {str(w) for w in theirs.wires}
    sums = []
    for flow in (mine, theirs):
        tags = TagTable(8)
        tags.add(Tag("a"))
        graph = Graph(flow, tags, trace=True)
        batch = Batch.columns([0] * len(values), [i * S for i in range(len(values))], values)
        result = graph.step([("src", "out", batch)], 0)
        totals: dict[str, Any] = {}
        for node, _, message in result.trace:
            assert isinstance(message, Batch)
            totals.setdefault(node.replace("/", "-"), []).append(message.value.tolist())
        sums.append({node: sorted(rows) for node, rows in totals.items()})
    assert sums[0] == sums[1]


# ---------------------------------------------------------------------- disabled and bypassed

CHAIN = """\
flow: chain
nodes:
  sim: {type: simulate.source, tag: a}
  clean: {type: filter.deadband, band: 10}
  high: {type: alarm.limit, hi: 75}
wires:
  - sim -> clean -> high
tests:
  - title: Jumps count
    given: {sim: a 0s 70 | 1s 76}
    expect: {high.alarms: 1s a HI raised UNACK 76 75}
"""


def test_what_is_disabled_lets_nothing_through_and_lint_says_so() -> None:
    text = CHAIN.replace("band: 10", "band: 10, disabled: true")
    assert [row[:4] for row in found(text)] == [
        ("warning", 4, "clean", ""),
        ("warning", 5, "high", ""),
    ]
    assert "It gets nothing while 'clean' is disabled." in found(text)[1][4]
    assert not run_tests(Document.parse(text))[0].passed


def test_what_is_bypassed_lets_pass_what_comes() -> None:
    assert not run_tests(Document.parse(CHAIN))[0].passed, "the deadband is too wide"
    text = CHAIN.replace("band: 10", "band: 10, disabled: bypass")
    document = Document.parse(text)
    assert "clean: {type: filter.deadband, disabled: bypass, band: 10}" in document.text()
    assert Document.parse(document.text()) == document
    assert [str(w) for w in document.expanded().wires] == ["sim.out -> high.in"]
    assert run_tests(document.expanded())[0].passed
    assert [row[2:] for row in found(text)] == [
        ("clean", "disabled", "It is bypassed: what comes in goes on as it came.")
    ]


def test_a_bypass_needs_the_same_on_both_sides() -> None:
    rows = found(CHAIN.replace("hi: 75", "hi: 75, disabled: bypass"))
    assert ("error", 5, "high", "disabled") in {row[:4] for row in rows}
    scaled = CHAIN.replace("filter.deadband, band: 10", "compute.scale, gain: 2, disabled: bypass")
    assert "without what compute.scale does to it" in found(scaled)[0][4]


def test_an_instance_can_be_bypassed_and_disabled() -> None:
    text = changed("hi: 75, name", "disabled: bypass, hi: 75, name")
    flow = Document.parse(text).expanded()
    assert all(flow.nodes[f"press/{n}"].disabled for n in ("clean", "named", "high"))
    assert "sim.out -> log.in" in {str(w) for w in flow.wires}
    off = Document.parse(changed("hi: 75, name", "disabled: true, hi: 75, name"))
    assert "sim.out -> log.in" not in {str(w) for w in off.expanded().wires}
