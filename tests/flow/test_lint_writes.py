"""Lint of values that would be written whatever they are."""

from __future__ import annotations

import pytest

from gateway.flow.document import Document
from gateway.flow.lint import lint

FLOW = """\
flow: line
allow_write: true
connections:
  c: {{type: {family}.connection, {where}}}
nodes:
  wanted: {{type: simulate.source, tag: a}}
  write: {{type: {family}.sink, connection: c, {tags}}}
wires: [wanted -> write]
"""
MODBUS = ("modbus", 'address: "tcp://10.0.0.5:502"')
OPCUA = ("opcua", 'url: "opc.tcp://10.0.0.5:4840"')


def said(kind: tuple[str, str], tags: str, more: str = "") -> list[str]:
    text = FLOW.format(family=kind[0], where=kind[1], tags=tags) + more
    found = [f for f in lint(Document.parse(text)) if f.node == "write" and f.field == "tags"]
    assert all(f.severity == "warning" and f.line == 7 for f in found)
    return [f.text for f in found]


@pytest.mark.parametrize(
    ("kind", "tags", "free"),
    [
        (MODBUS, 'tags: {a: "holding:1"}', "a"),
        (MODBUS, 'tags: {a: {address: "holding:1", min: 0}}', "a"),
        (MODBUS, 'tags: {a: {address: "holding:1", min: 0, max: 1}}', ""),
        (MODBUS, 'tags: {a: "coil:1", b: "holding:1.3", c: {address: "00007"}}', ""),
        (OPCUA, 'tags: {a: "i=1", b: "i=2", c: "i=3", d: "i=4"}', "a, b, c, ..."),
        (OPCUA, 'tags: {a: "i=1", b: "i=2"}, limits: {a: {min: 0, max: 9}}', "b"),
        (OPCUA, 'tags: {a: "i=1"}, limits: {a: {min: 0, max: 9}}', ""),
    ],
)
def test_what_has_no_limits(kind: tuple[str, str], tags: str, free: str) -> None:
    text = f"Any number is written to {free}: there is no smallest and no largest value."
    assert said(kind, tags) == ([text] if free else [])
