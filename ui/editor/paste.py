"""Paste: a piece of a flow as text, from this flow, another one, another machine or a mail.

It is YAML with ``nodes``, ``wires``, ``connections`` and ``layout``, in the words of the flow
file; a whole flow file is such a piece too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.flow.entries import ends_of
from gateway.flow.shape import NODES_MAX
from gateway.flow.subflow import FAMILY
from gateway.flow.yaml_read import FLOW_BYTES_MAX, read
from ui.editor.ops_nodes import free_name
from ui.editor.paste_subflows import with_pasted
from ui.editor.place import arranged, snapped
from ui.editor.tree import COMMENT, Tree, entry_of
from ui.editor.wires import Link, rewired

Op = Mapping[str, Any]
_HINT: Final = "Copy nodes in the editor, or take text like `nodes: {clean: {type: filter.rate}}`."


def paste(tree: Tree, op: Op) -> Tree:
    """What a text describes, under names that are free, its upper left corner at (x, y)."""
    text = str(op["text"])
    if len(text) > FLOW_BYTES_MAX:
        raise ConfigError(f"The text is larger than {FLOW_BYTES_MAX:,} characters.")
    data = read(text, "the clipboard").value
    if (
        not isinstance(data, Mapping)
        or not isinstance(data.get("nodes"), Mapping)
        or not data["nodes"]
    ):
        raise ConfigError("The clipboard holds no nodes.", hint=_HINT)
    if len(tree["nodes"]) + len(data["nodes"]) > NODES_MAX:
        raise ConfigError(f"A flow has at most {NODES_MAX:,} nodes (flow_nodes_max).")
    tree, connections = _connections(tree, data)
    tree, kinds = with_pasted(tree, data)
    names: dict[str, str] = {}
    for old, fields in data["nodes"].items():
        name = names[str(old)] = free_name(tree, str(old))
        new = {key: value for key, value in dict(fields).items() if key != COMMENT}
        kind = str(new.pop("type"))
        new = {"type": kinds.get(kind, kind), **new}
        if new.get("connection") in connections:
            new["connection"] = connections[new["connection"]]
        entry_of(name, new)
        tree = {**tree, "nodes": {**tree["nodes"], name: new}}
    tree = _wires(tree, data, names)
    return _layout(tree, data, names, float(op.get("x", 0)), float(op.get("y", 0)))


def _connections(tree: Tree, data: Mapping[str, Any]) -> tuple[Tree, dict[str, str]]:
    """Connections that the nodes name: those that are here already under that name are shared."""
    found: dict[str, str] = {}
    for old, fields in dict(data.get("connections") or {}).items():
        known = tree["connections"].get(str(old))
        if known is not None and known["type"] == fields["type"]:
            found[str(old)] = str(old)
            continue
        name = found[str(old)] = free_name(tree, str(old))
        entry_of(name, dict(fields))
        tree = {**tree, "connections": {**tree["connections"], name: dict(fields)}}
    return tree, found


def _wires(tree: Tree, data: Mapping[str, Any], names: Mapping[str, str]) -> Tree:
    """The wires between what was copied."""
    texts = []
    for chain in data.get("wires") or ():
        ends = ends_of(str(chain))
        if all(node in names for node, _ in ends):
            new = [f"{names[node]}.{port}" if port else names[node] for node, port in ends]
            texts.append(" -> ".join(new))
    wires = tree["wires"]
    for text in texts:
        wires = rewired(wires, {text: None})
    return {**tree, "wires": wires}


def _layout(
    tree: Tree, data: Mapping[str, Any], names: Mapping[str, str], x: float, y: float
) -> Tree:
    said = dict(data.get("layout") or {})
    given = {key: place for key, place in said.items() if not str(key).startswith(f"{FAMILY}.")}
    places = {
        new: (float(given[old][0]), float(given[old][1]))
        for old, new in names.items()
        if old in given
    }
    lost = [new for new in names.values() if new not in places]
    if lost:
        links = [
            Link(ends[i][0], "", ends[i + 1][0], "")
            for ends in (ends_of(key.partition("\t")[0]) for key in tree["wires"])
            for i in range(len(ends) - 1)
        ]
        places.update(arranged(lost, links))
    left, top = min(p[0] for p in places.values()), min(p[1] for p in places.values())
    boxes = {
        name: {"x": snapped(px - left + x), "y": snapped(py - top + y)}
        for name, (px, py) in places.items()
    }
    frames = dict(tree["frames"])
    for key, frame in given.items():
        if not isinstance(frame, Mapping):
            continue
        number = 1
        while f"#{number}" in frames:
            number += 1
        members = [names[name] for name in frame.get("nodes", ()) if name in names]
        at = {"x": snapped(frame["x"] - left + x), "y": snapped(frame["y"] - top + y)}
        if members or frame.get("kind") == "note" or str(key) in names:
            frames[f"#{number}"] = {**frame, **at, "nodes": members}
    return {**tree, "boxes": {**tree["boxes"], **boxes}, "frames": frames}


__all__ = ["paste"]
