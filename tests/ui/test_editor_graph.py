"""The graph of the editor: whatever is done and undone, the file is the same to the byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.flow.document import Document
from ui.editor.merge import clashes, merged, whole
from ui.editor.ops import done
from ui.editor.patch import Stale, diff, patched, same
from ui.editor.place import arranged, placed
from ui.editor.tree import Tree, document_of, layout_of, tree_of
from ui.editor.view import catalogue, changed, view_of
from ui.editor.wires import links_of

FLOWS = sorted((Path(__file__).resolve().parents[2] / "flows").glob("*.flow.yaml"))
COMMENTED = """\
# The line in hall 3.
flow: hall3
version: 1
about: A press.

connections:
  # Behind the door.
  plc: {type: opcua.connection, url: "opc.tcp://10.0.0.5:4840"}

nodes:
  # Everything comes from here.
  press: {type: opcua.source, connection: plc, tags: {plant/press/oil: ns=2;s=Oil}}
  slow: {type: filter.rate, every_s: 10}
  # Wear begins here.
  hot: {type: alarm.limit, hi: 80, deadband: 1}
  out:
    type: mqtt.sink
    outbox: {bytes_max: 1000000}
    connection: cloud

wires:
  # The long way.
  - press -> slow -> hot
  - slow -> out
  - hot.alarms -> out.alarms

tests:
  # As in July.
  - title: Hot oil is an alarm
    given: {press: plant/press/oil 0s 20 | 1s 90}
    expect:
      hot.alarms: |
        1s plant/press/oil HI raised UNACK 90 80
    config: {hot: {on_delay_s: 0}}
# The end.
"""


def tree_from(text: str) -> Tree:
    return placed(tree_of(Document.parse(text)))


def text_of(tree: Tree) -> str:
    return document_of(tree).text()


def wire(source: str, target: str, out: str = "out", into: str = "in") -> dict[str, Any]:
    ends = {"source": source, "source_port": out, "target": target, "target_port": into}
    return {"op": "wire", **ends}


def test_an_alarm_on_scores_takes_those_of_the_detector_that_is_wired_to_it() -> None:
    flow = """\
flow: f
version: 1
nodes:
  a: {type: simulate.source, tag: x}
  sigma: {type: detect.sigma}
  odd: {type: detect.ewma, output: odd}
  own: {type: alarm.score, limit: 3, feature: mine}
wires: [a -> sigma, a -> odd]
"""
    tree = tree_from(flow)
    end = {"node": "sigma", "port": "out", "is_source": True}
    tree = done(tree, {"op": "add", "type": "alarm.score", "id": "one", "end": end})
    assert tree["nodes"]["one"]["feature"] == "sigma"
    tree = done(tree, {"op": "add", "type": "alarm.score", "id": "two"})
    assert "feature" not in tree["nodes"]["two"]
    tree = done(tree, wire("odd", "two"))
    assert tree["nodes"]["two"]["feature"] == "odd"
    assert done(tree, wire("sigma", "own"))["nodes"]["own"]["feature"] == "mine"
    assert "feature" not in done(tree, {"op": "wire", **wire("a", "own")})["nodes"]["a"]


@pytest.mark.parametrize("text", [*(path.read_text() for path in FLOWS), COMMENTED])
def test_a_flow_that_is_opened_is_saved_as_it_was(text: str) -> None:
    document = Document.parse(text)
    tree = placed(tree_of(document, {"unknown": [1, 2], "#1": {"kind": "note", "text": "x"}}))
    assert document_of(tree).text() == document.text()
    assert document_of(tree) == document
    again = tree_of(document_of(tree), layout_of(tree))
    assert same(again["boxes"], tree["boxes"])
    assert again["frames"] == {"#1": {"kind": "note", "text": "x"}}


def test_wires_are_those_of_the_document() -> None:
    for path in FLOWS:
        document = Document.parse(path.read_text())
        ends = [(a.source, a.source_port, a.target, a.target_port) for a in document.wires]
        links = links_of(tree_of(document))
        assert [(a.source, a.source_port, a.target, a.target_port) for a in links] == ends


def changed_lines(before: str, after: str) -> tuple[set[str], set[str]]:
    return (
        set(before.splitlines()) - set(after.splitlines()),
        set(after.splitlines()) - set(before.splitlines()),
    )


def test_an_edit_changes_its_own_lines_only() -> None:
    tree = tree_from(COMMENTED)
    text = text_of(tree)
    set_hi = done(tree, {"op": "set", "id": "hot", "fields": {"hi": 75}})
    assert changed_lines(text, text_of(set_hi)) == (
        {"  hot: {type: alarm.limit, hi: 80, deadband: 1}"},
        {"  hot: {type: alarm.limit, hi: 75, deadband: 1}"},
    )
    moved = done(tree, {"op": "move", "pos": {"hot": [400, 33]}})
    assert text_of(moved) == text
    assert moved["boxes"]["hot"] == {"x": 400.0, "y": 30.0}
    cut = done(tree, {"op": "del", "wires": ["press.out>slow.in"]})
    assert changed_lines(text, text_of(cut)) == (
        {"  - press -> slow -> hot"},
        {"  - slow -> hot"},
    )
    assert "# The long way." in text_of(cut)


def test_a_name_changes_everywhere() -> None:
    tree = done(tree_from(COMMENTED), {"op": "rename", "id": "hot", "to": "too_hot"})
    text = text_of(tree)
    assert "hot:" not in text.replace("too_hot:", "")
    assert "too_hot.alarms -> out.alarms" in text
    assert "press -> slow -> too_hot" in text
    assert "config: {too_hot: {on_delay_s: 0}}" in text
    assert text.index("# Wear begins here.") < text.index("too_hot: {type")
    link = done(tree, {"op": "rename", "id": "plc", "to": "main_plc"})
    assert "connection: main_plc" in text_of(link)
    with pytest.raises(ConfigError, match="is taken"):
        done(tree, {"op": "rename", "id": "slow", "to": "press"})


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        (wire("press", "slow"), "is there already"),
        (wire("hot", "slow", "alarms"), "gives alarms, but slow.in takes samples"),
        (wire("slow", "press"), "press has no input"),
        (wire("slow", "slow"), "circle"),
        (wire("press", "nobody"), "no node 'nobody'"),
        ({"op": "add", "type": "filter.nothing"}, "There is no node"),
        ({"op": "rename", "id": "slow", "to": "1st"}, "cannot be a name"),
        ({"op": "set", "id": "slow", "fields": {"type": "filter.range"}}, "type of a node"),
        ({"op": "set", "id": "out", "fields": {"outbox": {"bytes_max": 1}}}, "bytes_max"),
        ({"op": "fly"}, "does not know how"),
        ({"op": "wire"}, "not complete"),
        ({"op": "paste", "text": "hello"}, "no nodes"),
    ],
)
def test_what_cannot_be_is_refused_in_words(op: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        done(tree_from(COMMENTED), op)


def test_samples_do_not_go_where_windows_are_taken() -> None:
    tree = done(tree_from(COMMENTED), {"op": "add", "type": "feature.statistics"})
    with pytest.raises(ConfigError, match=r"Put a window node between, such as window\.tumbling"):
        done(tree, wire("press", "statistics"))
    circle = done(tree_from(COMMENTED), {"op": "add", "type": "filter.range", "id": "r"})
    circle = done(done(circle, wire("slow", "r")), {"op": "add", "type": "filter.rate", "id": "q"})
    circle = done(circle, wire("r", "q"))
    with pytest.raises(ConfigError, match="close a circle"):
        done(circle, wire("q", "slow"))


def test_a_new_source_brings_its_connection() -> None:
    tree = tree_from("flow: f\nversion: 1\nnodes: {}\n")
    tree = done(tree, {"op": "add", "type": "mqtt.source", "x": 12, "y": 17})
    tree = done(tree, {"op": "add", "type": "mqtt.sink", "x": 12, "y": 17})
    assert tree["connections"] == {"mqtt1": {"type": "mqtt.connection"}}
    assert [f["connection"] for f in tree["nodes"].values()] == ["mqtt1", "mqtt1"]
    assert tree["boxes"] == {"mqtt": {"x": 10.0, "y": 20.0}, "mqtt_out": {"x": 30.0, "y": 40.0}}


@pytest.mark.parametrize(
    ("zone", "found"), [("Asia/Tokyo", "Asia/Tokyo"), ("UTC", None), ("Tokyo/../x", None)]
)
def test_a_new_node_has_the_time_zone_of_who_puts_it_there(zone: str, found: str | None) -> None:
    tree = tree_from("flow: f\nversion: 1\nnodes: {}\n")
    for kind in ("email.sink", "filter.rate"):
        tree = done(tree, {"op": "add", "type": kind, "id": kind[:4], "zone": zone})
    assert tree["nodes"]["emai"].get("time_zone") == found
    assert "time_zone" not in tree["nodes"]["filt"]


def test_a_node_goes_onto_a_wire_and_a_gap_heals() -> None:
    tree = tree_from(COMMENTED)
    tree = done(tree, {"op": "add", "type": "filter.range", "wire": "slow.out>hot.in"})
    keys = {link.key for link in links_of(tree)}
    assert {"slow.out>range.in", "range.out>hot.in"} <= keys
    assert "slow.out>hot.in" not in keys
    healed = done(tree, {"op": "del", "nodes": ["slow", "range"], "heal": True})
    assert {link.key for link in links_of(healed)} == {
        "press.out>hot.in",
        "press.out>out.in",
        "hot.alarms>out.alarms",
    }
    with pytest.raises(ConfigError, match="does not fit on this wire"):
        done(tree, {"op": "add", "type": "filter.rate", "wire": "hot.alarms>out.alarms"})


def test_copied_text_is_pasted_under_free_names() -> None:
    tree = tree_from(COMMENTED)
    piece = {
        "connections": {"plc": {"type": "opcua.connection", "url": "opc.tcp://elsewhere"}},
        "nodes": {k: v for k, v in view_of(tree, None)["nodes"].items() if k in ("press", "slow")},
        "wires": ["press -> slow -> hot", "press -> slow"],
        "layout": {"press": [0, 0], "slow": [300, 50]},
    }
    piece["nodes"] = {k: v["fields"] for k, v in piece["nodes"].items()}
    pasted = done(tree, {"op": "paste", "text": json.dumps(piece), "x": 500, "y": 500})
    assert list(pasted["nodes"])[4:] == ["press_2", "slow_2"]
    assert pasted["connections"] == tree["connections"]
    assert list(pasted["wires"])[3:] == ["press_2 -> slow_2"]
    assert pasted["boxes"]["slow_2"] == {"x": 800.0, "y": 550.0}
    other = tree_from("flow: other\nversion: 1\nnodes: {}\n")
    whole_file = done(other, {"op": "paste", "text": COMMENTED})
    assert list(whole_file["nodes"]) == ["press", "slow", "hot", "out"]
    assert len(links_of(whole_file)) == 4
    assert whole_file["connections"] == {
        "plc": {"type": "opcua.connection", "url": "opc.tcp://10.0.0.5:4840"}
    }


def test_a_group_surrounds_its_nodes() -> None:
    tree = tree_from(COMMENTED)
    tree = done(tree, {"op": "group", "ids": ["slow", "hot"], "text": "Heat"})
    frame = tree["frames"]["#1"]
    tree = done(tree, {"op": "move", "pos": {"hot": [2000, 900]}})
    assert tree["frames"]["#1"]["w"] > frame["w"]
    tree = done(tree, {"op": "del", "nodes": ["slow"]})
    assert tree["frames"]["#1"]["nodes"] == ["hot"]
    assert done(tree, {"op": "del", "nodes": ["hot"]})["frames"] == {}
    assert done(tree, {"op": "ungroup", "ids": ["#1"]})["frames"] == {}


def test_boxes_stand_behind_their_sources() -> None:
    tree = tree_of(Document.parse(FLOWS[1].read_text()))
    places = arranged(list(tree["nodes"]), links_of(tree))
    for link in links_of(tree):
        assert places[link.source][0] < places[link.target][0]
    assert len(set(places.values())) == len(places)


# ---------------------------------------------------------------------- whatever is done

TYPES = (
    "simulate.source",
    "mqtt.source",
    "filter.rate",
    "filter.quality",
    "window.tumbling",
    "feature.statistics",
    "alarm.limit",
    "log.sink",
    "mqtt.connection",
)


KINDS = (
    *("add", "add", "add", "del", "heal", "rename", "set", "set", "disable", "wire", "wire"),
    *("wire", "insert", "move", "group", "ungroup", "note", "tidy", "paste", "head"),
)


@st.composite
def some_op(draw: st.DrawFn, tree: Tree) -> dict[str, Any]:  # noqa: C901 - a table
    names = [*tree["nodes"], *tree["connections"]] or ["nothing"]
    name = st.sampled_from(names)
    keys = [link.key for link in links_of(tree)] or ["a.out>b.in"]
    number = st.integers(-500, 2000)
    value = st.sampled_from([1, 1.0, True, "x", [1, 2], {"a": 1}, None])
    kind = draw(st.sampled_from(KINDS))
    match kind:
        case "add":
            op: dict[str, Any] = {"type": draw(st.sampled_from(TYPES))}
            op |= {"x": draw(number), "y": draw(number)}
            if draw(st.booleans()):
                op["wire"] = draw(st.sampled_from(keys))
        case "del" | "heal":
            op = {"nodes": draw(st.lists(name, max_size=3)), "heal": kind == "heal"}
            op["wires"] = draw(st.lists(st.sampled_from(keys), max_size=2))
            kind = "del"
        case "rename":
            op = {"id": draw(name), "to": draw(st.sampled_from(["a", "b", "c-d", "hot"]))}
        case "set":
            field = st.sampled_from(["hi", "every_s", "about", "tags"])
            op = {"id": draw(name), "fields": draw(st.dictionaries(field, value, max_size=2))}
        case "disable":
            op = {"ids": draw(st.lists(name, max_size=2)), "on": draw(st.booleans())}
        case "wire":
            ports = st.sampled_from(["out", "alarms", "late", "in"])
            op = wire(draw(name), draw(name), draw(ports), draw(ports))
        case "insert":
            op = {"id": draw(name), "wire": draw(st.sampled_from(keys))}
        case "move":
            place = st.tuples(number, number)
            op = {"pos": draw(st.dictionaries(name, place, max_size=3))}
        case "group" | "ungroup" | "tidy":
            op = {"ids": draw(st.lists(name, max_size=4))}
        case "note":
            op = {"x": draw(number), "y": draw(number), "text": "Look here."}
        case "paste":
            op = {"text": COMMENTED, "x": draw(number), "y": draw(number)}
        case _:
            op = {"fields": {"about": draw(st.sampled_from(["", "Another."]))}}
    return {"op": kind, **op}


@settings(max_examples=30, deadline=None)
@given(data=st.data(), start=st.sampled_from([COMMENTED, FLOWS[2].read_text()]))
def test_all_that_was_done_can_be_undone_to_the_byte(data: st.DataObject, start: str) -> None:
    tree = first = tree_from(start)
    before = (text_of(tree), json.dumps(layout_of(tree)))
    steps = []
    for _ in range(data.draw(st.integers(1, 12))):
        try:
            new = whole(done(tree, data.draw(some_op(tree))))
        except ConfigError:
            continue
        steps.append((diff(new, tree), diff(tree, new), text_of(new)))
        tree = new
        assert Document.parse(text_of(tree)) == document_of(tree)
    for back, _, _ in reversed(steps):
        tree = patched(tree, back)
    assert (text_of(tree), json.dumps(layout_of(tree))) == before
    assert same(tree, first)
    for _, forth, text in steps:
        tree = patched(tree, forth)
        assert text_of(tree) == text


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_view_is_the_one_before_and_what_changed(data: st.DataObject) -> None:
    tree = first = tree_from(COMMENTED)
    for _ in range(6):
        try:
            new = done(tree, data.draw(some_op(tree)))
        except ConfigError:
            continue
        shown, wanted = view_of(tree, first), view_of(new, first)
        for part, rows in changed(shown, wanted).items():
            if part == "head":
                shown[part] = rows
                continue
            kept = {key: row for key, row in shown[part].items() if key not in rows}
            shown[part] = kept | {key: row for key, row in rows.items() if row is not None}
        assert {k: dict(sorted(v.items())) for k, v in shown.items()} == {
            k: dict(sorted(v.items())) for k, v in wanted.items()
        }
        tree = new


# ---------------------------------------------------------------------- several people


def test_a_step_that_somebody_else_has_overtaken_is_refused() -> None:
    tree = tree_from(COMMENTED)
    added = done(tree, {"op": "add", "type": "filter.range", "id": "mine"})
    wired = done(added, wire("press", "mine"))
    with pytest.raises(Stale, match="left without its node 'mine'"):
        whole(patched(wired, diff(added, tree)))
    renamed = done(added, {"op": "rename", "id": "mine", "to": "yours"})
    with pytest.raises(Stale, match="'mine' is not there any more"):
        patched(renamed, diff(added, tree))


def test_what_two_people_changed_is_put_together_and_clashes_are_asked() -> None:
    base = tree_from(COMMENTED)
    mine = done(base, {"op": "set", "id": "hot", "fields": {"hi": 75, "lo": 5}})
    mine = done(mine, {"op": "del", "nodes": ["slow"]})
    theirs = done(base, {"op": "set", "id": "hot", "fields": {"hi": 85, "deadband": 2}})
    theirs = done(theirs, {"op": "set", "id": "press", "fields": {"sampling_s": 0.5}})
    found = clashes(base, mine, theirs)
    assert [(c.about, c.base, c.mine, c.theirs) for c in found] == [
        ("The node 'hot': hi", "80", "75", "85")
    ]
    key = found[0].row()["key"]
    with pytest.raises(ConfigError, match="is not decided"):
        merged(base, mine, theirs, {})
    kept = merged(base, mine, theirs, {key: "mine"})
    assert kept["nodes"]["hot"] == base["nodes"]["hot"] | {"hi": 75, "lo": 5, "deadband": 2}
    assert kept["nodes"]["press"]["sampling_s"] == 0.5
    assert "slow" not in kept["nodes"]
    taken = merged(base, mine, theirs, {key: "theirs"})
    assert taken["nodes"]["hot"]["hi"] == 85


def test_one_deletes_what_another_changes() -> None:
    base = tree_from(COMMENTED)
    mine = done(base, {"op": "del", "nodes": ["out"]})
    theirs = done(base, {"op": "set", "id": "out", "fields": {"topic": "plant"}})
    (found,) = clashes(base, mine, theirs)
    assert (found.about, found.mine) == ("The node 'out'", "")
    assert "out" not in merged(base, mine, theirs, {found.row()["key"]: "mine"})["nodes"]
    taken = merged(base, mine, theirs, {found.row()["key"]: "theirs"})
    assert taken["nodes"]["out"]["topic"] == "plant"


def test_the_catalogue_has_every_node_with_its_ports() -> None:
    found = catalogue()
    assert found["alarm.limit"]["category"] == "alarm"
    assert found["test.inject"]["category"] == "test"
    assert found["mqtt.source"]["label"] == "MQTT source"
    assert [port[:2] for port in found["window.tumbling"]["outputs"]] == [
        ["out", "windows"],
        ["late", "samples"],
    ]
