"""Nodes that become a subflow: the flow computes the same; and how the editor sees subflows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import ConfigError
from gateway.flow.document import Document
from gateway.flow.gather import gather
from gateway.flow.layout import layout_path, save_layout
from gateway.flow.lint import lint, lint_file
from gateway.flow.spec_subflow import subflow_specs

FLOW = """\
flow: oven
version: 1

nodes:
  sim: {type: simulate.source, tag: a}
  # Without jitter.
  clean: {type: filter.deadband, band: 0.5}
  high: {type: alarm.limit, hi: 75}
  log: {type: log.sink}

wires:
  # The way.
  - sim -> clean -> high
  - clean -> log
  # Tell.
  - high.alarms -> log

tests:
  - title: Hot
    given: {clean: a 0s 70 | 5s 76}
    expect: {high.alarms: 5s a HI raised UNACK 76 75}
    config: {high: {hi: 75}}
"""


def test_nodes_become_a_subflow_with_what_belongs_to_them() -> None:
    made = gather(Document.parse(FLOW), ["clean", "high"], "watch", "one")
    assert (
        made.text()
        == """\
flow: oven
version: 1

subflows:
  watch:
    inputs:
      in: samples
    outputs:
      out: samples
      alarms: alarms
    nodes:
      # Without jitter.
      clean: {type: filter.deadband, band: 0.5}
      high: {type: alarm.limit, hi: 75}
    wires:
      - in -> clean.in
      - clean -> high
      - clean.out -> out
      - high.alarms -> alarms

nodes:
  sim: {type: simulate.source, tag: a}
  one: {type: subflow.watch}
  log: {type: log.sink}

wires:
  # The way.
  - sim.out -> one.in
  - one.out -> log.in
  # Tell.
  - one.alarms -> log.alarms

tests:
  - title: Hot
    given: {one/clean: a 0s 70 | 5s 76}
    expect: {one/high.alarms: 5s a HI raised UNACK 76 75}
    config: {one/high: {hi: 75}}
"""
    )
    assert lint(Document.parse(made.text())) == []


@pytest.mark.parametrize(
    ("nodes", "name", "instance", "said"),
    [
        ([], "a", "b", "no node to gather"),
        (["nobody"], "a", "b", "no node 'nobody'"),
        (["high"], "a b", "b", "cannot be an id"),
        (["high"], "a", "log", "a node 'log' already"),
    ],
)
def test_what_cannot_be_gathered_is_refused(
    nodes: list[str], name: str, instance: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        gather(Document.parse(FLOW), nodes, name, instance)
    again = gather(Document.parse(FLOW), ["high"], "watch", "high")
    with pytest.raises(ConfigError, match="a subflow 'watch' already"):
        gather(again, ["clean"], "watch", "b")


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_part_of_any_flow_can_be_gathered(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 6))
    names = ["src", *(f"n{i}" for i in range(count))]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    wires = data.draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=10, unique=True))
    chains = [f"{a}{data.draw(st.sampled_from(['', '.out']))} -> {b}" for a, b in wires]
    nodes = "".join(f"  n{i}: {{type: compute.scale, gain: {i + 2}}}\n" for i in range(count))
    text = f"flow: x\nnodes:\n  src: {{type: simulate.source, tag: a}}\n{nodes}wires: {chains}\n"
    document = Document.parse(text)
    some = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    made = gather(document, some, "part", "one")
    again = Document.parse(made.text())
    assert again == made
    assert not [f for f in lint(again) if "subflow" in f.field and f.severity == "error"]
    flat = again.expanded()
    assert {n.removeprefix("one/"): e for n, e in flat.nodes.items()} == document.nodes
    plain = {str(wire).replace("one/", "") for wire in flat.wires}
    assert plain == {str(wire) for wire in document.wires}


def test_a_form_asks_for_a_parameter_as_for_the_option_it_fills() -> None:
    text = """\
flow: x
subflows:
  inner:
    parameters: {limit: {about: The limit of the inner one.}}
    nodes: {high: {type: alarm.limit, hi: "${limit}"}}
  hot:
    about: Watches.
    parameters:
      limit: {default: 70, unit: Cel}
      band: {default: 0.5, about: How wide.}
      which: {default: "#"}
      free: {type: list}
      word: {type: text, about: Any.}
    inputs: {in: samples}
    outputs: {alarms: alarms}
    nodes:
      clean: {type: filter.deadband, band: "${band}"}
      high: {type: alarm.limit, tags: "${which}", hi: 1, about: "${word}"}
      deep: {type: subflow.inner, limit: "${limit}"}
nodes: {}
"""
    (_, hot) = subflow_specs(Document.parse(text))
    assert (hot["type"], hot["kind"], hot["about"]) == ("subflow.hot", "subflow", "Watches.")
    assert [(p["name"], p["carries"]) for p in hot["inputs"]] == [("in", "samples")]
    fields = {field["name"]: field for field in hot["fields"]}
    assert (fields["band"]["low"], fields["band"]["sentence"]) == (0, "How wide.")
    assert (fields["band"]["default"], fields["band"]["required"]) == (0.5, False)
    assert fields["limit"]["kind"] == "number", "through the subflow inside"
    assert (fields["limit"]["unit"], fields["limit"]["default"]) == ("Cel", 70)
    assert fields["which"]["widget"] == "tags"
    assert (fields["free"]["widget"], fields["free"]["required"]) == ("list", True)
    assert fields["word"]["widget"] == "text"


def test_a_layout_may_place_what_stands_inside(tmp_path: object) -> None:
    from pathlib import Path

    file = Path(str(tmp_path)) / "oven.flow.yaml"
    made = gather(Document.parse(FLOW), ["clean", "high"], "watch", "one")
    made.save(file)
    save_layout(file, {"one": (1, 2), "subflow.watch/clean": (1, 2), "subflow.watch/in": (0, 0)})
    assert layout_path(file).exists()
    assert lint_file(file) == []
    save_layout(file, {"subflow.watch/gone": (1, 2)})
    assert "no such node" in lint_file(file)[0].text
