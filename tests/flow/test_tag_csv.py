"""The tags of a node as a table, there and back, and what is wrong by row."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import ConfigError
from gateway.flow.document import Document
from gateway.flow.lint import lint
from gateway.flow.tag_csv import RowError, export, take

TEXT = """flow: f
version: 1

connections:
  bus: {type: modbus.connection, address: "tcp://10.0.0.5"}
  plc: {type: opcua.connection, url: "opc.tcp://10.0.0.6"}

nodes:
  # The meter in the hall.
  meter:
    type: modbus.source
    connection: bus
    tags:
      hall/power: input:0 float32 unit=kW
      hall/energy: {address: "input:2", type: uint32, scale: 0.1, about: "=not a formula"}
  press: {type: opcua.source, connection: plc, tags: {press/oil: ns=2;s=Oil}}
  all: {type: filter.duplicate}

wires:
- meter -> all
- press -> all
"""
DOCUMENT = Document.parse(TEXT)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_table_has_a_column_for_each_option() -> None:
    power, energy = rows(export(DOCUMENT, "meter"))
    assert {k: v for k, v in power.items() if v} == {
        "tag": "hall/power",
        "address": "input:0",
        "type": "float32",
        "unit": "kW",
    }
    assert (energy["scale"], energy["about"]) == ("0.1", "'=not a formula")
    assert rows(export(DOCUMENT, "press")) == [{"tag": "press/oil", "address": "ns=2;s=Oil"}]


@pytest.mark.parametrize("node", ["meter", "press"])
@pytest.mark.parametrize("mode", ["merge", "replace"])
def test_there_and_back_changes_no_byte(node: str, mode: str) -> None:
    taken = take(DOCUMENT, node, export(DOCUMENT, node), mode)  # type: ignore[arg-type]  # a mode
    assert taken.text == DOCUMENT.text()
    assert (taken.added, taken.changed, taken.removed) == (0, 0, 0)


def test_rows_are_added_changed_and_removed() -> None:
    table = "tag;address;type;scale\r\nhall/power;input:0;float32;0,5\r\nhall/new;holding:7;;\r\n"
    merged = take(DOCUMENT, "meter", table)
    assert (merged.added, merged.changed, merged.removed) == (1, 1, 0)
    assert merged.text is not None
    new = Document.parse(merged.text)
    assert new.nodes["meter"].config["tags"]["hall/new"] == {"address": "holding:7"}
    assert new.nodes["meter"].config["tags"]["hall/power"]["scale"] == 0.5
    assert "# The meter in the hall." in merged.text
    assert not [f for f in lint(new) if f.severity == "error"]
    replaced = take(DOCUMENT, "meter", table, "replace")
    assert replaced.removed == 1
    tabs = take(DOCUMENT, "press", "\ufefftag\taddress\na/b\t/Objects/2:A\n\n")
    assert tabs.text is not None and "a/b: /Objects/2:A" in tabs.text


def test_each_row_says_what_is_wrong() -> None:
    table = (
        "tag,address,type,scale,lowest\n"
        "a,input:0,float32,1,\n"
        "a b,input:0,,,\n"
        ",input:0,,,\n"
        "b,nowhere,,,\n"
        "c,input:0,float99,,\n"
        "d,input:0,,much,\n"
        "a,input:1,,,\n"
        "e,,,,\n"
    )
    taken = take(DOCUMENT, "meter", table)
    assert taken.text is None
    assert taken.errors[0] == RowError(
        1, "lowest", "There is no option 'lowest'. Did you mean low?"
    )
    said = {(error.row, error.column): error.text for error in taken.errors[1:]}
    assert said[3, "tag"] == "'a b' cannot be a tag's name: it has no spaces and no +."
    assert said[4, "tag"] == "The tag has no name."
    assert "is no Modbus address" in next(text for (row, _), text in said.items() if row == 5)
    assert "There is no type 'float99'" in next(t for (row, _), t in said.items() if row == 6)
    assert said[7, "scale"].startswith('"much" is not a number')
    assert said[8, "tag"] == "a stands in row 2 already."
    assert any(row == 9 for row, _ in said)
    wrong = take(DOCUMENT, "press", "tag,address\nx,nothing\ny,\n")
    assert [(e.row, e.column) for e in wrong.errors] == [(2, "address"), (3, "address")]
    assert "is no node" in wrong.errors[0].text


@pytest.mark.parametrize(
    ("node", "table", "text"),
    [
        ("meterr", "tag\n", "Did you mean meter?"),
        ("all", "tag\n", "lists no tags"),
        ("meter", "", "The table is empty."),
        ("meter", 'tag,address\n"a', "This is no table"),
    ],
)
def test_what_is_no_table_is_refused(node: str, table: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        take(DOCUMENT, node, table)


def test_a_missing_column_of_names_is_said() -> None:
    (error, *_) = take(DOCUMENT, "meter", "name,address\na,input:0\n").errors
    assert (error.row, error.column) == (1, "tag")


@given(st.text(max_size=300))
def test_any_text_gives_an_answer(text: str) -> None:
    try:
        taken = take(DOCUMENT, "meter", text)
    except ConfigError:
        return
    assert (taken.text is None) == bool(taken.errors)
