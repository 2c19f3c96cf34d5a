"""The form of a node: a control for every option, and edits that change nothing but their value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.spec import all_specs, find_spec
from gateway.flow.spec_data import plain
from ui.editor import form_edit
from ui.editor.form_context import upstream_tags
from ui.editor.form_schema import Control, controls_of, outbox_controls
from ui.editor.ops import done
from ui.editor.tree import document_of, tree_of

KINDS = {
    *("number", "integer", "text", "any", "switch", "choice", "secret", "tag", "tags"),
    *("connection", "expression", "address", "list", "map", "group", "tuple", "union"),
}
SPECS = {spec.name: spec for spec in all_specs()}
EXAMPLES = [
    pytest.param(name, example, id=f"{name}: {example.title}")
    for name, spec in SPECS.items()
    for example in spec.examples
]
PRESS = """flow: press
version: 1
connections:
  line: {type: modbus.connection, address: "tcp://127.0.0.1:1502"}
nodes:
  meter:
    type: modbus.source
    connection: line
    tags:
      a/current: "holding:0 float32 CDAB scale=0.1 unit=A"
      a/b.c: {address: "40010", unit: bar}
      a/wrong: "nowhere"
  high: {type: alarm.limit, hi: 5}
wires:
  - meter -> high
"""


def inner(control: Control) -> Iterator[Control]:
    yield control
    for part in ("fields", "items", "variants"):
        for below in control.get(part, ()):
            yield from inner(below)
    if "item" in control:
        yield from inner(control["item"])


def leaves(value: Any, path: form_edit.Path = ()) -> Iterator[tuple[form_edit.Path, Any]]:
    if path:
        yield path, value
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from leaves(item, (*path, place))


@pytest.mark.parametrize("name", SPECS)
def test_every_option_has_a_control(name: str) -> None:
    controls = controls_of(name)
    assert controls is not None
    fields = SPECS[name].cls.Config.model_fields
    assert sorted(control["name"] for control in controls) == sorted(fields)
    must = [control["required"] for control in controls]
    assert must == sorted(must, reverse=True), "what must be given comes first"
    for control in controls:
        assert control["label"]
        for part in inner(control):
            assert part["kind"] in KINDS
            assert plain(part) == part, "it goes to the browser as it is"
    required = {control["name"] for control in controls if control["required"]}
    fields = SPECS[name].cls.Config.model_fields
    assert required == {key for key, field in fields.items() if field.is_required()}


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_putting_what_is_there_changes_nothing(name: str, example: Any) -> None:
    """Every value of every example, at any depth: the same value at the same place is no change."""
    fields = {"type": name, **plain(example.config)}
    assert form_edit.problems(fields) == []
    for path, value in leaves({k: v for k, v in fields.items() if k != "type"}):
        option, after = form_edit.changed(fields, path, value)
        assert option == path[0]
        assert after == fields[option]


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_what_is_taken_away_is_missed_or_has_a_default(name: str, example: Any) -> None:
    fields = {"type": name, **plain(example.config)}
    controls = {control["name"]: control for control in controls_of(name) or ()}
    for option in [key for key in fields if key != "type" and controls[key]["required"]]:
        left = {key: value for key, value in fields.items() if key != option}
        found = form_edit.problems(left)
        assert [option] in [row["path"] for row in found]


def test_kinds_that_a_box_of_text_could_not_do() -> None:
    def of(node: str, *path: str) -> Control:
        found = next(c for c in controls_of(node) or () if c["name"] == path[0])
        for name in path[1:]:
            inside = found.get("fields") or found["item"]["fields"]
            found = next(c for c in inside if c["name"] == name)
        return found

    assert [v["label"] for v in of("alarm.deviation", "setpoint")["variants"]] == ["number", "tag"]
    assert [v["label"] for v in of("mqtt.source", "fields")["variants"]] == ["*", "table"]
    assert of("mqtt.connection", "password")["kind"] == "secret"
    assert of("serial.sink", "tags", "line")["escaped"], r"a line ends with \r\n"
    assert not of("serial.source", "pattern")["escaped"], r"\d of a pattern stays"
    assert of("modbus.source", "tags", "order")["kind"] == "choice"
    assert of("opcua.source", "browse")["optional"]
    assert of("compute.scale", "raw")["kind"] == "tuple"
    assert (of("detect.ewma", "weight")["low"], of("detect.ewma", "weight")["open"]) == (
        0,
        [True, False],
    )
    mail = [c["name"] for c in controls_of("email.sink") or ()]
    assert mail[:4] == ["host", "sender", "to", "port"]
    own = [c["name"] for c in controls_of("alarm.score") or ()]
    assert own.index("limit") < own.index("priority") < own.index("on_delay_s")
    assert of("alarm.limit", "latch")["advanced"]
    assert not of("alarm.limit", "hi")["advanced"]
    labels = {control["name"]: control["label"] for control in outbox_controls()}
    assert labels["backfill_rows_per_s"] == "Backfill rows per s"


def meter() -> dict[str, Any]:
    return dict(tree_of(Document.parse(PRESS))["nodes"]["meter"])


def test_a_row_in_short_form_is_shown_apart_and_stays_short_until_it_is_changed() -> None:
    fields = meter()
    wide = form_edit.expanded(fields)
    assert wide == {
        "tags": {
            "a/current": {
                "address": "holding:0",
                "type": "float32",
                "order": "CDAB",
                "scale": 0.1,
                "unit": "A",
            },
            "a/wrong": {"address": "nowhere"},
        }
    }
    _, tags = form_edit.changed(fields, ("tags", "a/current", "unit"), "mA")
    assert tags["a/current"] == {**wide["tags"]["a/current"], "unit": "mA"}
    assert tags["a/b.c"] is fields["tags"]["a/b.c"]
    _, tags = form_edit.changed(fields, ("tags", "a/b.c", "unit"), "mbar")
    assert tags["a/current"] == fields["tags"]["a/current"], "this one was not touched"
    assert tags["a/b.c"] == {"address": "40010", "unit": "mbar"}
    assert list(tags) == list(fields["tags"])


def test_rows_get_other_names_in_their_place() -> None:
    fields = meter()
    _, tags = form_edit.rekeyed(fields, ("tags", "a/b.c"), "a/pressure")
    assert list(tags) == ["a/current", "a/pressure", "a/wrong"]
    assert form_edit.rekeyed(fields, ("tags", "a/b.c"), "a/b.c")[1] == fields["tags"]
    for key, why in (("a/current", "There is a row"), ("", "A row needs a name")):
        with pytest.raises(ConfigError, match=why):
            form_edit.rekeyed(fields, ("tags", "a/b.c"), key)
    with pytest.raises(ConfigError, match="not there any more"):
        form_edit.rekeyed(fields, ("tags", "gone"), "other")


def test_lists_grow_and_shrink_by_one() -> None:
    fields = {"type": "feature.statistics", "percentiles": [5, 95]}
    change = form_edit.changed
    assert change(fields, ("percentiles", 2), 99) == ("percentiles", [5, 95, 99])
    assert change(fields, ("percentiles", 0), None) == ("percentiles", [95])
    assert change({"type": "feature.statistics"}, ("percentiles", 0), 50)[1] == [50]
    with pytest.raises(ConfigError, match="not there any more"):
        change(fields, ("percentiles", 7), 1)
    with pytest.raises(ConfigError, match="names no option"):
        change(fields, (), 1)


def test_two_people_at_two_rows_of_one_table_both_keep_what_they_wrote() -> None:
    tree = tree_of(Document.parse(PRESS))
    for path, value in ((("tags", "a/current", "unit"), "mA"), (("tags", "a/b.c", "unit"), "kPa")):
        option, after = form_edit.changed(tree["nodes"]["meter"], path, value)
        tree = done(tree, {"op": "set", "id": "meter", "fields": {option: after}})
    tags = document_of(tree).nodes["meter"].config["tags"]
    assert (tags["a/current"]["unit"], tags["a/b.c"]["unit"]) == ("mA", "kPa")


def test_the_outbox_of_a_sink_is_set_like_any_option_and_goes_with_its_last_one() -> None:
    text = "flow: f\nversion: 1\nnodes:\n  out: {type: sqlite.sink}\n"
    tree = tree_of(Document.parse(text))

    def put(value: Any) -> None:
        nonlocal tree
        option, after = form_edit.changed(tree["nodes"]["out"], ("outbox", "when_full"), value)
        tree = done(tree, {"op": "set", "id": "out", "fields": {option: after}})

    put("drop_newest")
    options = document_of(tree).nodes["out"].outbox
    assert options is not None
    assert options.when_full == "drop_newest"
    with pytest.raises(ConfigError, match="is not one of"):
        put("explode")
    put(None)
    assert document_of(tree).nodes["out"].outbox is None


def test_problems_stand_at_their_field_and_go_when_they_are_mended() -> None:
    fields = meter()
    found = form_edit.problems(fields)
    assert [row["path"] for row in found] == [["tags", "a/wrong", "address"]]
    known: set[tuple[str, str]] = set()
    lint = [
        {"severity": "error", "field": "tags.a/wrong.address", **_words(found[0])},
        {"severity": "warning", "field": "tags.a/b.c.unit", "text": "A clash.", "hint": "Look."},
    ]
    both = form_edit.all_problems(fields, lint, known)
    assert [row["path"] for row in both] == [
        ["tags", "a/wrong", "address"],
        ["tags", "a/b.c", "unit"],
    ]
    del fields["tags"]["a/wrong"]
    left = form_edit.all_problems(fields, lint, known)
    assert [row["text"] for row in left] == ["A clash."], "lint repeats what is mended already"
    fields["scan_s"] = "${scan}"
    assert form_edit.problems(fields) == [], "lint knows the value of a variable, the form does not"


def _words(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("text", "hint")}


def test_tags_that_come_over_the_wires_are_proposed() -> None:
    tree = tree_of(Document.parse(PRESS))
    assert upstream_tags(tree, "high") == ["a/b.c", "a/current", "a/wrong"]
    assert upstream_tags(tree, "meter") == []


def test_a_node_that_is_not_known_here_has_no_controls() -> None:
    assert controls_of("no.such") is None
    assert find_spec("no.such") is None
    assert form_edit.problems({"type": "no.such", "x": 1}) == []
    assert form_edit.expanded({"type": "no.such", "tags": {"a": "b"}}) == {}
    assert "modbus.source" in dict(registry.node_classes())
