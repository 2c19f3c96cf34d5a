"""The flow file: its shape, its canonical text, its wires and its layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import ConfigError
from gateway.flow.document import Document, Entry
from gateway.flow.layout import layout_path, load_layout, save_layout
from gateway.flow.variables import resolve

TEXT = """\
# Press line 1
flow: press-line
version: 1
about: Oil too hot.
allow_write: true
durability: memory

connections:
  plc: {type: opcua.connection, url: "${url:-opc.tcp://10.0.0.5:4840}"}

nodes:
  # The oil
  oil: {type: simulate.source, disabled: true, about: North., tag: press/oil}
  clean: {type: filter.deadband, band: 0.2}
  high: {type: alarm.limit, hi: 75}
  log: {type: log.sink}

wires:
  - oil -> clean -> high
  # Everybody shall know.
  - high.alarms -> log

tests:
  - title: Two lines
    given: {clean: press/oil 0s 70 | 5s 76}
    expect:
      high.alarms: |
        5s press/oil HI raised UNACK 76 75
        6s press/oil HI acked ACKED 76 75
    until: 1h
    tags:
      press/oil: {unit: bar}
# The end
"""


def test_canonical_text_is_a_fixed_point(tmp_path: Path) -> None:
    document = Document.parse(TEXT)
    assert "given: {clean: press/oil 0s 70 | 5s 76}" in document.text()
    file = tmp_path / "press.yaml"
    document.save(file)
    first = file.read_bytes()
    again = Document.load(file)
    assert again == document
    again.save(file)
    assert file.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["press.yaml"], "nothing is left beside it"
    for comment in ("# Press line 1", "# The oil", "# Everybody shall know.", "# The end"):
        assert first.decode().count(comment) == 1


def test_order_and_form_do_not_matter() -> None:
    shuffled = "nodes: {a: {band: 1, type: filter.deadband}}\nwires: ['a->a.in']\nflow: x\n"
    assert Document.parse(shuffled).text() == (
        "flow: x\nversion: 1\n\nnodes:\n  a: {type: filter.deadband, band: 1}\n\n"
        "wires:\n  - a -> a.in\n"
    )


def test_wires_have_ports() -> None:
    document = Document.parse(TEXT)
    assert [str(wire) for wire in document.wires] == [
        "oil.out -> clean.in",
        "clean.out -> high.in",
        "high.alarms -> log.alarms",
    ]
    assert document.wires[2].line == 21


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("nodes: {}", "f.yaml:1", "no name"),
        ("flow: 1a", "f.yaml:1 flow", "no flow name"),
        ("flow: [a]", "f.yaml:1 flow", "must be text"),
        ("flow: a\nversion: 7", "f.yaml:2 version", "format 7"),
        ("flow: a\nnode: {}", "f.yaml:2 node", "no key 'node'"),
        ("flow: a\nnodes: []", "f.yaml:2 nodes", "must be a mapping"),
        ("flow: a\nnodes:\n  b: {}", "f.yaml:3 nodes.b", "type is missing"),
        ("flow: a\nnodes:\n  b.c: {type: x.y}", "f.yaml:3 nodes.b.c", "cannot be an id"),
        ("flow: a\nnodes: {b: {type: 1}}", "f.yaml:2 nodes.b.type", "must be text"),
        ("flow: a\nwires:\n  - b", "f.yaml:3 wires.0", "is no wire"),
        ("flow: a\nwires: [a -> b.c -> d]", "f.yaml:2 wires.0", "split the chain"),
        ("flow: a\nwires: a -> b", "f.yaml:2 wires", "must be a list"),
        ("flow: a\nallow_write: yes", "f.yaml:2 allow_write", "true or false"),
        ("flow: a\ndurability: disk", "f.yaml:2 durability", "no durability"),
        ("flow: a\ntests: [{title: t}]", "f.yaml:2 tests.0", "has no `given`"),
        (
            "flow: a\nnodes: {b: {type: x.y}}\nconnections: {b: {type: x.y}}",
            "f.yaml:2",
            "both named",
        ),
    ],
)
def test_wrong_shapes_are_told(text: str, where: str, says: str) -> None:
    with pytest.raises(ConfigError) as error:
        Document.parse(text, "f.yaml")
    assert error.value.where.startswith(where)
    assert says in str(error.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Document.load(tmp_path / "absent.yaml")
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"flow: \xff")
    with pytest.raises(ConfigError, match="Byte 6 is no UTF-8"):
        Document.load(file)
    file.write_bytes(b"\xef\xbb\xbfflow: bom\n")
    assert Document.load(file).name == "bom"
    file.write_bytes(b"#" * 3_000_000)
    with pytest.raises(ConfigError, match="flow_bytes_max"):
        Document.load(file)


def test_variables_and_test_configs() -> None:
    document = Document.parse(TEXT).with_values(lambda v: resolve(v, {"url": "opc.tcp://x"}))
    assert document.connections["plc"].config["url"] == "opc.tcp://x"
    changed = document.with_config({"clean": {"band": 9}})
    assert changed.nodes["clean"] == Entry("filter.deadband", {"band": 9})
    assert document.nodes["clean"].config["band"] == 0.2
    with pytest.raises(ConfigError, match="no node 'x'"):
        document.with_config({"x": {}})
    loose = Document.parse("flow: a\nnodes:\n  b: {type: x.y, url: '${nowhere}'}", "f.yaml")
    with pytest.raises(ConfigError, match=r"f\.yaml:3 nodes\.b\.url: The variable 'nowhere'"):
        loose.with_values(lambda v: resolve(v, {}))


def test_moving_a_box_changes_no_byte_of_the_flow(tmp_path: Path) -> None:
    file = tmp_path / "press.flow.yaml"
    Document.parse(TEXT).save(file)
    before = file.read_bytes()
    assert load_layout(file) == {}
    save_layout(file, {"oil": (3, 1.5), "clean": (0, 0)})
    assert layout_path(file).name == "press.layout.json"
    assert load_layout(file) == {"oil": (3, 1.5), "clean": (0, 0)}
    first = layout_path(file).read_bytes()
    save_layout(file, load_layout(file))
    assert layout_path(file).read_bytes() == first
    assert file.read_bytes() == before
    layout_path(file).write_text("{", "utf-8")
    with pytest.raises(ConfigError, match="no layout"):
        load_layout(file)
