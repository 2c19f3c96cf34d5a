"""Subflows in the editor: kept to the byte, edited inside, made, taken apart, never recursive."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.engine.flowtest import run_tests
from gateway.errors import ConfigError
from gateway.flow.document import Document
from tests.flow.test_subflow import HOT, changed
from tests.ui.test_editor_graph import some_op, wire
from ui.editor.level import level_of, paths_of, place_of
from ui.editor.merge import whole
from ui.editor.ops import done
from ui.editor.patch import diff, patched, same
from ui.editor.place import placed
from ui.editor.tree import Tree, document_of, layout_of, tree_of
from ui.editor.view import view_of
from ui.editor.wires import links_of

NESTED = HOT.replace(
    "\nnodes:\n",
    """
  line:
    # Two ovens.
    inputs: {in: samples}
    outputs: {out: alarms}
    nodes:
      # The first one.
      one: {type: subflow.hot, hi: 60, name: one}
    wires:
      # Straight on.
      - in -> one
      - one.alarms -> out

nodes:
  both: {type: subflow.line}
""",
    1,
)


def tree_from(text: str) -> Tree:
    return placed(tree_of(Document.parse(text)))


def text_of(tree: Tree) -> str:
    return document_of(tree).text()


def keys(tree: Tree, level: str = "") -> set[str]:
    return {link.key for link in links_of(level_of(tree, level))}


def passes(tree: Tree) -> bool:
    """Whether its tests do; it fails itself with what they say."""
    failed = [result for result in run_tests(document_of(tree).expanded()) if not result.passed]
    assert not failed, failed
    return True


@pytest.mark.parametrize(
    "text",
    [
        HOT,
        Document.parse(NESTED).text(),
        changed("  log: {type", "  calm: {type: filter.quality, disabled: bypass}\n  log: {type"),
    ],
)
def test_a_flow_with_subflows_is_saved_as_it_was(text: str) -> None:
    document = Document.parse(text)
    layout = {"subflow.hot/clean": [300, 20], "subflow.hot/#1": {"kind": "note", "text": "x"}}
    tree = placed(tree_of(document, {**layout, "press": [10, 20]}))
    assert document_of(tree) == document
    assert document_of(tree).text() == document.text(), "with the comments inside subflows"
    again = tree_of(document_of(tree), layout_of(tree))
    assert same(again, tree)
    assert level_of(tree, "hot")["boxes"]["clean"] == {"x": 300.0, "y": 20.0}
    assert set(level_of(tree, "hot")["frames"]) == {"#1"}
    assert {"in", "clean", "named", "high", "out", "alarms"} <= set(level_of(tree, "hot")["boxes"])


def test_two_nodes_of_one_subflow_are_two_entries() -> None:
    tree = tree_from(HOT)
    other = tree_of(Document.parse(changed("band: 0.5", "band: 0.7")))
    found = {(one.section, one.id, one.field) for one in diff(tree_of(Document.parse(HOT)), other)}
    assert found == {("subnodes", "hot/clean", "band")}
    other = placed(tree_of(Document.parse(changed("default: 80", "default: 81"))))
    assert {(one.section, one.id, one.field) for one in diff(tree, other)} == {
        ("subflows", "hot", "parameters")
    }


def test_ports_and_wires_are_those_of_the_document() -> None:
    document = Document.parse(NESTED)
    tree = tree_of(document)
    for name, written in [("", document), *((n, document.body(n)) for n in document.subflows)]:
        ends = [(a.source, a.source_port, a.target, a.target_port) for a in written.wires]
        links = links_of(level_of(tree, name))
        assert [(a.source, a.source_port, a.target, a.target_port) for a in links] == ends
    assert "press.alarms>log.alarms" in keys(tree)
    assert "in.in>clean.in" in keys(tree, "hot")
    with pytest.raises(ConfigError, match=r"gives alarms, but press\.in takes samples"):
        done(tree, wire("mixer", "press", "alarms"))
    with pytest.raises(ConfigError, match="press has no output 'nothing'"):
        done(tree, wire("press", "log", "nothing"))


def test_an_edit_inside_changes_its_own_lines_only() -> None:
    tree = tree_from(HOT)
    text = text_of(tree)
    op = {"op": "set", "in": "hot", "id": "clean", "fields": {"band": 1.5}}
    after = text_of(done(tree, op))
    assert set(text.splitlines()) ^ set(after.splitlines()) == {
        "      clean: {type: filter.deadband, band: 0.5}",
        "      clean: {type: filter.deadband, band: 1.5}",
    }
    assert "# Without jitter." in after
    new = {"op": "add", "in": "hot", "type": "filter.range", "wire": "clean.out>high.in"}
    more = done(tree, new)
    assert {"clean.out>range.in", "range.out>high.in"} <= keys(more, "hot")
    assert "range" in level_of(more, "hot")["boxes"]
    gone = done(more, {"op": "del", "in": "hot", "nodes": ["range"], "heal": True})
    assert "clean.out>high.in" in keys(gone, "hot")
    link = done(tree, {"op": "add", "in": "hot", "type": "mqtt.sink"})
    assert link["connections"] == {"mqtt1": {"type": "mqtt.connection"}}
    assert view_of(link, None)["connections"]["mqtt1"]["used"] == 1


def test_names_inside_are_kept_in_step_with_tests_and_instances() -> None:
    tree = tree_from(HOT)
    tree = done(tree, {"op": "rename", "in": "hot", "id": "clean", "to": "calm"})
    tree = done(tree, {"op": "rename", "in": "hot", "id": "alarms", "to": "told"})
    tree = done(tree, {"op": "rename", "id": "press", "to": "oven"})
    text = text_of(tree)
    assert "oven.told -> log" in text
    assert "high.alarms -> told" in text
    assert "oven/calm: a 0s 70 | 5s 76" in text
    assert "oven.told: 5s a HI" in text
    assert "# Tell." in text
    assert "# Without jitter." in text
    renamed = done(tree, {"op": "subflow_rename", "id": "hot", "to": "warm"})
    assert "type: subflow.warm, hi: 75" in text_of(renamed)
    assert "# The limit." in text_of(renamed)
    assert keys(renamed, "warm") == keys(tree, "hot")
    with pytest.raises(ConfigError, match="is used by press, mixer"):
        done(tree_from(HOT), {"op": "subflow_del", "id": "hot"})


def test_a_port_that_goes_takes_its_wires_everywhere() -> None:
    tree = done(tree_from(HOT), {"op": "del", "in": "hot", "nodes": ["alarms"]})
    assert not any("alarms" in key for key in keys(tree) | keys(tree, "hot"))
    assert tree["subflows"]["hot"]["outputs"] == {"out": "samples"}
    assert "press.out>log.in" in keys(tree)
    more = done(tree, {"op": "port", "in": "hot", "side": "outputs", "carries": "alarms"})
    assert more["subflows"]["hot"]["outputs"] == {"out": "samples", "out_2": "alarms"}
    wired = done(more, {**wire("high", "out_2", "alarms", "out_2"), "in": "hot"})
    with pytest.raises(ConfigError, match="Take its wires away first"):
        done(wired, {"op": "set", "in": "hot", "id": "out_2", "fields": {"carries": "events"}})
    with pytest.raises(ConfigError, match="gives alarms, but"):
        done(more, {**wire("high", "out", "alarms", "out"), "in": "hot"})


def test_parameters_are_renamed_where_they_are_used() -> None:
    tree = tree_from(HOT)
    op = {"op": "parameter", "in": "hot", "id": "hi", "to": "limit", "fields": {"unit": "K"}}
    tree = done(tree, op)
    text = text_of(tree)
    assert 'hi: "${limit}"' in text
    assert "limit: 75" in text
    assert "limit: {default: 80, unit: K, about: Above this it is hot.}" in text
    assert "# The limit." in text
    with pytest.raises(ConfigError, match="named has a value from the parameter name"):
        done(tree, {"op": "parameter_del", "in": "hot", "id": "name"})
    free = done(tree, {"op": "parameter", "in": "hot", "id": "x", "fields": {"default": 3}})
    assert "x: {default: 3}" in text_of(free)
    must = {"op": "parameter", "in": "hot", "id": "x", "fields": {"required": True}}
    assert "x: {}" in text_of(done(free, must))
    assert text_of(done(free, {"op": "parameter_del", "in": "hot", "id": "x"})) == text


def test_a_subflow_never_contains_itself() -> None:
    tree = tree_from(NESTED)
    with pytest.raises(ConfigError, match="hot would contain itself: hot → hot"):
        done(tree, {"op": "add", "in": "hot", "type": "subflow.hot"})
    with pytest.raises(ConfigError, match="would contain itself: hot → line → hot"):
        done(tree, {"op": "add", "in": "hot", "type": "subflow.line"})
    text = json.dumps({"nodes": {"x": {"type": "subflow.line"}}})
    with pytest.raises(ConfigError, match="would contain itself"):
        done(tree, {"op": "paste", "in": "hot", "text": text})
    assert paths_of(tree, "hot") == ["press", "mixer", "both/one"]
    assert place_of(tree, "both/one/clean") == ("hot", "clean")


def test_a_selection_becomes_a_subflow_and_goes_back() -> None:
    flow = (
        HOT.split("subflows:")[0]
        + "nodes:\n"
        + """\
  sim: {type: simulate.source, tag: a, unit: Cel}
  # Calm.
  clean: {type: filter.deadband, band: 0.5}
  high: {type: alarm.limit, hi: 75}
  log: {type: log.sink}

wires:
  - sim -> clean -> high
  - clean -> log
  - high.alarms -> log.alarms

tests:
  - title: It is hot
    given: {clean: a 0s 70 | 5s 76}
    expect: {high.alarms: 5s a HI raised UNACK 76 75}
"""
    )
    tree = tree_from(flow)
    op = {"op": "gather", "ids": ["clean", "high"], "name": "hot", "instance": "press"}
    made = done(tree, op)
    assert list(made["nodes"]) == ["sim", "press", "log"]
    assert "# Calm." in text_of(made)
    assert passes(made)
    assert level_of(made, "hot")["boxes"]["clean"] == tree["boxes"]["clean"]
    back = done(made, {"op": "unpack", "id": "press"})
    assert passes(back)
    assert keys(back) == keys(tree)
    assert back["nodes"].keys() == tree["nodes"].keys()
    assert "# Calm." in text_of(back)
    with pytest.raises(ConfigError, match="There is a subflow 'hot' already"):
        done(made, {**op, "ids": ["log"]})


def test_unpacking_writes_the_values_of_the_parameters_out() -> None:
    tree = done(tree_from(HOT), {"op": "unpack", "id": "press"})
    assert tree["nodes"]["high"] == {"type": "alarm.limit", "hi": 75}
    assert tree["nodes"]["named"]["names"] == {"a": "press/checked"}
    assert {"sim.out>clean.in", "named.out>log.in", "high.alarms>log.alarms"} <= keys(tree)
    assert "expect" in tree["tests"]["Each instance has its own limit"]
    assert "clean: a 0s 70 | 5s 76" in text_of(tree)


def test_a_part_of_a_subflow_becomes_one_with_the_parameters_it_needs() -> None:
    tree = tree_from(HOT)
    op = {"op": "gather", "in": "hot", "ids": ["clean", "high"], "name": "watch", "instance": "w"}
    made = done(tree, op)
    assert level_of(made, "hot")["nodes"]["w"] == {"type": "subflow.watch", "hi": "${hi}"}
    assert "press/w/clean: a 0s 70 | 5s 76" in text_of(made)
    assert "# Without jitter." in text_of(made)
    results = {r.title: r.passed for r in run_tests(document_of(made).expanded())}
    assert results["Each instance has its own limit"], text_of(made)


def test_what_is_pasted_brings_its_subflows() -> None:
    tree = tree_from(HOT)
    other = tree_from("flow: other\nversion: 1\nnodes: {}\n")
    piece = {
        "nodes": {"both": {"type": "subflow.line"}},
        "subflows": json.loads(json.dumps(_subflows(NESTED))),
    }
    pasted = done(other, {"op": "paste", "text": json.dumps(piece)})
    assert list(pasted["subflows"]) == ["line", "hot"]
    assert "both" in pasted["boxes"]
    assert "one" in level_of(pasted, "line")["boxes"]
    shared = done(tree, {"op": "paste", "text": json.dumps(piece)})
    assert list(shared["subflows"]) == ["hot", "line"]
    edited = done(tree, {"op": "set", "in": "hot", "id": "clean", "fields": {"band": 9}})
    apart = done(edited, {"op": "paste", "text": json.dumps(piece)})
    assert list(apart["subflows"]) == ["hot", "line", "hot_2"]
    assert level_of(apart, "line")["nodes"]["one"]["type"] == "subflow.hot_2"
    with pytest.raises(ConfigError, match="has no subflow 'hot'"):
        done(other, {"op": "paste", "text": json.dumps({"nodes": {"x": {"type": "subflow.hot"}}})})
    taken = done(other, {"op": "take", "text": NESTED, "name": "line"})
    assert list(taken["subflows"]) == ["line", "hot"]
    assert "# Straight on." in text_of(taken)


def _subflows(text: str) -> dict[str, Any]:
    from gateway.flow.subflow import subflow_data

    return {name: subflow_data(one) for name, one in Document.parse(text).subflows.items()}


def test_what_is_bypassed_passes_on() -> None:
    tree = done(tree_from(HOT), {"op": "disable", "in": "hot", "ids": ["clean"], "on": "bypass"})
    assert "clean: {type: filter.deadband, disabled: bypass, band: 0.5}" in text_of(tree)
    with pytest.raises(ConfigError, match="cannot be bypassed"):
        done(tree, {"op": "disable", "in": "hot", "ids": ["high"], "on": "bypass"})


KINDS = ("port", "parameter", "subflow_rename", "gather", "unpack", "inside", "inside", "inside")


@st.composite
def some_subflow_op(draw: st.DrawFn, tree: Tree) -> dict[str, Any]:
    level = draw(st.sampled_from(["", *tree["subflows"]]))
    inner = level_of(tree, level)
    nodes = list(inner["nodes"]) or ["nothing"]
    match kind := draw(st.sampled_from(KINDS)):
        case "port":
            side = draw(st.sampled_from(["inputs", "outputs"]))
            return {"op": "port", "in": level, "side": side, "carries": "samples"}
        case "parameter":
            names = st.sampled_from(["hi", "name", "new"])
            fields = draw(st.sampled_from([{"default": 1}, {"required": True}, {"about": "x"}]))
            op = {"op": "parameter", "in": level, "id": draw(names), "fields": fields}
            return op | ({"to": draw(names)} if draw(st.booleans()) else {})
        case "subflow_rename":
            return {"op": kind, "id": level or "hot", "to": draw(st.sampled_from(["b", "hot2"]))}
        case "gather":
            ids = draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3))
            return {
                "op": kind,
                "in": level,
                "ids": ids,
                "name": f"g{len(tree['subflows'])}",
                "instance": "gathered",
            }
        case "unpack":
            return {"op": kind, "in": level, "id": draw(st.sampled_from(nodes))}
    op = draw(some_op({**inner, "connections": tree["connections"]}))
    return {**op, "in": level}


@settings(max_examples=30, deadline=None)
@given(data=st.data(), start=st.sampled_from([HOT, Document.parse(NESTED).text()]))
def test_all_that_was_done_can_be_undone_to_the_byte(data: st.DataObject, start: str) -> None:
    tree = first = tree_from(start)
    before = (text_of(tree), json.dumps(layout_of(tree)))
    steps = []
    for _ in range(data.draw(st.integers(1, 10))):
        try:
            new = whole(done(tree, data.draw(some_subflow_op(tree))))
        except ConfigError:
            continue
        steps.append((diff(new, tree), diff(tree, new), text_of(new)))
        tree = new
        assert Document.parse(text_of(tree)) == document_of(tree)
        view_of(tree, first)
    for back, _, _ in reversed(steps):
        tree = patched(tree, back)
    assert (text_of(tree), json.dumps(layout_of(tree))) == before
    for _, forth, text in steps:
        tree = patched(tree, forth)
        assert text_of(tree) == text


def test_what_moved_among_its_neighbours_is_taken_back_too() -> None:
    """A group of a group takes its name, and stands at the end for it."""
    tree = first = tree_from(Document.parse(NESTED).text())
    node = next(iter(tree["nodes"]))
    gather = {"op": "gather", "in": "", "instance": "gathered"}
    steps = []
    for op in (
        {**gather, "ids": [node], "name": "g1"},
        {**gather, "ids": ["gathered"], "name": "g2"},
        {"op": "unpack", "in": "", "id": "gathered"},
    ):
        new = whole(done(tree, op))
        steps.append((diff(new, tree), text_of(tree)))
        tree = new
    for back, text in reversed(steps):
        tree = patched(tree, back)
        assert text_of(tree) == text
    assert tree == first
