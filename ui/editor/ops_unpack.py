"""Unpack: an instance of a subflow becomes its nodes, and the flow computes the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import ConfigError
from gateway.flow.entries import BYPASS
from gateway.flow.expand import fill
from gateway.flow.subflow import SEPARATOR, subflow_of
from ui.editor.level import level_of, paths_of, put_back
from ui.editor.ops_canvas import reframed
from ui.editor.ops_nodes import free_name, tests_renamed
from ui.editor.ops_wires import added, cut_out
from ui.editor.place import snapped
from ui.editor.tree import COMMENT, Fields, Tree
from ui.editor.wires import PORTS, Link, links_of

Op = Mapping[str, Any]
End = tuple[str, str]


def unpack(tree: Tree, op: Op) -> Tree:
    """The instance goes; its nodes stand in its place under names that are free."""
    inside, instance = str(op.get("in") or ""), str(op["id"])
    level = level_of(tree, inside)
    fields = level["nodes"].get(instance)
    name = subflow_of(str(fields["type"])) if fields is not None else None
    if fields is None or name is None or name not in tree["subflows"]:
        raise ConfigError(f"{instance} is no instance of a subflow.")
    if fields.get("disabled") == BYPASS:
        raise ConfigError(f"{instance} is bypassed.", hint="Switch it on, or disable it, first.")
    body, links = level_of(tree, name), links_of(level)
    cut = cut_out(level, [one for one in links if instance in (one.source, one.target)])
    nodes = {key: row for key, row in cut["nodes"].items() if key != instance}
    level = reframed({**cut, "nodes": nodes}, {instance}, {instance})
    names: dict[str, str] = {}
    for node, row in _filled(tree["subflows"][name], body, fields).items():
        names[node] = free_name(level, node)
        level = {**level, "nodes": {**level["nodes"], names[node]: row}}
    level["boxes"] = _places(level["boxes"], body["boxes"], instance, names)
    for ends in _ends(body, links, instance, names):
        level = added(level, Link(*ends))
    tree = put_back(tree, inside, level)
    heads = [path + SEPARATOR for path in paths_of(tree, inside)] if inside else [""]
    for head in heads:
        for node, new in names.items():
            tree = tests_renamed(tree, head + instance + SEPARATOR + node, head + new)
    return tree


def _filled(said: Fields, body: Tree, instance: Fields) -> dict[str, Fields]:
    """The nodes with the values of the parameters; what cannot be filled is refused."""
    known: Mapping[str, Mapping[str, Any]] = said.get("parameters", {})
    values = {
        key: instance.get(key, row.get("default"))
        for key, row in known.items()
        if key in instance or "default" in row
    }
    found: dict[str, Fields] = {}
    for node, row in body["nodes"].items():
        try:
            plain = {key: value for key, value in row.items() if key != COMMENT}
            found[node] = fill(plain, values) | {k: v for k, v in row.items() if k == COMMENT}
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if instance.get("disabled"):
            found[node] = {**found[node], "disabled": True}
    return found


def _places(
    boxes: Mapping[str, Any], inner: Mapping[str, Any], instance: str, names: Mapping[str, str]
) -> dict[str, Any]:
    """The nodes as they stood inside, around where the instance stood."""
    at = boxes.get(instance, {"x": 0.0, "y": 0.0})
    known = {node: inner[node] for node in names if node in inner}
    left = min((one["x"] for one in known.values()), default=0.0)
    top = min((one["y"] for one in known.values()), default=0.0)
    found = {key: one for key, one in boxes.items() if key != instance}
    for node, new in names.items():
        one = known.get(node, {"x": left, "y": top})
        x, y = at["x"] + one["x"] - left, at["y"] + one["y"] - top
        found[new] = {"x": snapped(x), "y": snapped(y)}
    return found


def _ends(
    body: Tree, outer: list[Link], instance: str, names: Mapping[str, str]
) -> list[tuple[str, str, str, str]]:
    """The wires that were inside, and those that went through its ports, each once."""
    into: dict[str, list[End]] = {}
    out: dict[str, list[End]] = {}
    for link in outer:
        if link.target == instance:
            into.setdefault(link.target_port, []).append((link.source, link.source_port))
        elif link.source == instance:
            out.setdefault(link.source_port, []).append((link.target, link.target_port))
    ports = body[PORTS]
    found: dict[tuple[str, str, str, str], None] = {}
    for link in links_of(body):
        sources = [(names.get(link.source, link.source), link.source_port)]
        targets = [(names.get(link.target, link.target), link.target_port)]
        if link.source in ports:
            sources = into.get(link.source, [])
        if link.target in ports:
            targets = out.get(link.target, [])
        for source in sources:
            for target in targets:
                found[(*source, *target)] = None
    return list(found)


__all__ = ["unpack"]
