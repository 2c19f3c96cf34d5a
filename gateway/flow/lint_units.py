"""Lint of units: the same tag in two units, a limit in a unit its tags do not have.

A config says a tag's unit wherever a mapping under the tag's name has a ``unit``, as the
address tables of sources do: ``tags: {press/oil: {address: 40001, unit: bar}}``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.data.tag import pattern_of
from gateway.flow import units
from gateway.flow.document import Document
from gateway.flow.findings import Finding
from gateway.flow.yaml_read import Path

# Families that pass values on in the unit in which they came.
_KEEPS = ("filter", "alarm", "detect", "link", "log", "window")


@dataclass(frozen=True)
class _Said:
    """A unit that some node says a tag has."""

    node: str
    path: Path
    unit: str


def unit_clashes(document: Document, configs: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings about units; `configs` are the validated ones, by node."""
    declared: dict[str, _Said] = {}
    by_node: dict[str, dict[str, str]] = {}
    for node, entry in document.nodes.items():
        cls = document.class_of(node)
        if cls is None or cls.kind != "source" or entry.disabled:
            continue
        config = configs[node].model_dump(mode="json") if node in configs else entry.config
        is_path = cls.Config.model_json_schema()["properties"].get("unit", {}).get("is_path")
        for tag, path, unit in _tag_units(config, ()):
            if is_path and path == ("unit",):
                continue  # Such as of mqtt.source: where the unit stands in each message.
            said = _Said(node, path, unit)
            by_node.setdefault(node, {})[tag] = unit
            yield from _known(document, said)
            other = declared.setdefault(tag, said)
            yield from _between(document, tag, said, other)
    yield from _downstream(document, by_node)


def _known(document: Document, said: _Said) -> Iterator[Finding]:
    if not units.known(said.unit):
        text = f"{said.unit!r} is no UCUM unit known here."
        hint = "Write a UCUM code: Cel, bar, kPa, mm/s, %, m3/h, {parts}/min."
        yield _found(document, "warning", said, text, hint)


def _between(document: Document, tag: str, one: _Said, other: _Said) -> Iterator[Finding]:
    if one.unit == other.unit or units.same(one.unit, other.unit):
        return
    text = f"Tag {tag!r} is in {one.unit} here, but in {other.unit} in {other.node!r}."
    if units.comparable(one.unit, other.unit):
        hint = "Convert one with compute.unit, or give it a name of its own."
    else:
        hint = "These cannot be the same variable: rename one."
    yield _found(document, "error", one, text, hint)


def _downstream(document: Document, by_node: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """A transform's own `unit` against the units of the tags that reach it unchanged."""
    for node, entry in document.nodes.items():
        cls = document.class_of(node)
        unit = entry.config.get("unit")
        if cls is None or cls.kind == "source" or not isinstance(unit, str) or not unit:
            continue
        said = _Said(node, ("unit",), unit)
        if not units.known(unit):
            yield from _known(document, said)
            continue
        if entry.type.partition(".")[0] not in _KEEPS:
            continue  # Here `unit` is what comes out, not what goes in.
        fits = pattern_of(str(entry.config.get("tags", "#")))
        for tag, other in sorted(_arriving(document, node, by_node).items()):
            if not fits(tag) or units.same(unit, other) or not units.known(other):
                continue
            text = f"Its unit is {unit}, but {tag!r} arrives in {other}."
            hint = f"Write its limits in {other}, or convert with compute.unit before it."
            yield _found(document, "error", said, text, hint)


def _arriving(
    document: Document, node: str, by_node: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Tags with the unit in which they reach a node, over nodes that change no unit."""
    found: dict[str, str] = {}
    seen = {node}
    waiting = [node]
    while waiting:
        here = waiting.pop()
        for wire in document.wires:
            if wire.target != here or wire.source in seen or wire.source not in document.nodes:
                continue
            seen.add(wire.source)
            found.update(by_node.get(wire.source, {}))
            if document.nodes[wire.source].type.partition(".")[0] in _KEEPS:
                waiting.append(wire.source)
    return found


def _tag_units(value: Any, path: Path) -> Iterator[tuple[str, Path, str]]:
    """(tag, path, unit) wherever a config says what unit a tag has."""
    if isinstance(value, Mapping):
        unit = value.get("unit")
        if isinstance(unit, str) and unit:
            named = value.get("tag") or value.get("name") or (path[-1] if path else None)
            if isinstance(named, str) and named != "unit" and "{" not in named:
                yield named, (*path, "unit"), unit
        for key, item in value.items():
            yield from _tag_units(item, (*path, str(key)))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _tag_units(item, (*path, i))


def _found(document: Document, severity: Any, said: _Said, text: str, hint: str) -> Finding:
    line = document.line("nodes", said.node, *said.path)
    field = ".".join(map(str, said.path))
    return Finding(severity, document.file, line, said.node, field, text, hint)


__all__ = ["unit_clashes"]
