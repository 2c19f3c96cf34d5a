"""Ops on what an instance of a subflow sees of it: its inputs, outputs and parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from gateway.errors import ConfigError
from gateway.flow.entries import ends_of
from gateway.flow.expand import references
from gateway.flow.node import Carries
from gateway.flow.shape_subflow import subflow_from
from gateway.flow.subflow import PARAMETER_KEYS
from ui.editor.level import SIDES, level_of, levels, paths_of, put_back, used_in
from ui.editor.ops_nodes import end_renamed, free_name
from ui.editor.ops_subflow import known_subflow, moved_remarks
from ui.editor.ops_wires import cut_out
from ui.editor.place import free_place
from ui.editor.tree import Fields, Section, Tree, free_key, text_of_key
from ui.editor.wires import PORTS, links_of
from ui.editor.wires import renamed as renamed_ends

Op = Mapping[str, Any]
_CARRIES: Final = get_args(Carries)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


def _with(tree: Tree, name: str, fields: Fields) -> Tree:
    """The tree with other things said of a subflow.

    Raises:
        ConfigError: They do not fit together.
    """
    order = ("about", "parameters", "inputs", "outputs")
    kept = {key: fields[key] for key in order if fields.get(key)}
    subflow_from(name, {**kept, "nodes": {}, "wires": []})
    return {**tree, "subflows": {**tree["subflows"], name: kept}}


# ---------------------------------------------------------------------- inputs and outputs


def add_port(tree: Tree, op: Op) -> Tree:
    """One input or output more."""
    name, side = str(op["in"]), str(op["side"])
    fields = known_subflow(tree, name)
    if side not in SIDES or op["carries"] not in _CARRIES:
        raise ConfigError("A subflow has no such port.", hint="Reload the page.")
    level = level_of(tree, name)
    wanted = str(op.get("id") or ("in" if side == "inputs" else "out"))
    port = free_name(level, wanted)
    ports = {**fields.get(side, {}), port: str(op["carries"])}
    tree = _with(tree, name, {**fields, side: ports})
    level = level_of(tree, name)
    ends = [at["x"] for at in level["boxes"].values()]
    if "x" in op:
        at = free_place(level, float(op["x"]), float(op["y"]))
    else:
        x = (min(ends, default=0.0) if side == "inputs" else max(ends, default=0.0)) or 0.0
        at = free_place(level, x, 0.0, is_chosen=False)
    level = {**level, "boxes": {**level["boxes"], port: {"x": at[0], "y": at[1]}}}
    return put_back(tree, name, level)


def drop_port(tree: Tree, name: str, port: str) -> Tree:
    """A port goes, with the wires at it inside and at each instance."""
    side = level_of(tree, name)[PORTS][port]["side"]
    for level_name, level in list(levels(tree)):
        used = set(used_in(level, name))
        is_inside = level_name == name
        cut = [
            link
            for link in links_of(level)
            if (is_inside and port in (link.source, link.target))
            or (side == "inputs" and link.target in used and link.target_port == port)
            or (side == "outputs" and link.source in used and link.source_port == port)
        ]
        if cut:
            tree = put_back(tree, level_name, cut_out(level_of(tree, level_name), cut))
    fields = tree["subflows"][name]
    left = {key: carries for key, carries in fields[side].items() if key != port}
    tree = _with(tree, name, {**fields, side: left})
    level = level_of(tree, name)
    boxes = {key: at for key, at in level["boxes"].items() if key != port}
    tree = put_back(tree, name, {**level, "boxes": boxes})
    return {**tree, "remarks": moved_remarks(tree, name, None, side, port)}


def rename_port(tree: Tree, name: str, before: str, after: str) -> Tree:
    """Another name for a port, inside, at each instance and in tests."""
    level = level_of(tree, name)
    if before == after:
        return tree
    if not _NAME.match(after):
        raise ConfigError(f"{after!r} cannot be a port.", hint="Use letters, digits and _.")
    if free_name(level, after) != after:
        raise ConfigError(f"The name {after!r} is taken.", hint="Choose another one.")
    side = level[PORTS][before]["side"]
    for level_name in ("", *tree["subflows"]):
        level = level_of(tree, level_name)
        wires = _instances_renamed(level, name, side, before, after)
        tree = put_back(tree, level_name, {**level, "wires": wires})
    for path in paths_of(tree, name):
        tree = end_renamed(tree, f"{path}.{before}", f"{path}.{after}")
    level = level_of(tree, name)
    boxes = {after if key == before else key: at for key, at in level["boxes"].items()}
    wires = renamed_ends(level["wires"], before, after)
    tree = put_back(tree, name, {**level, "boxes": boxes, "wires": wires})
    fields = tree["subflows"][name]
    ports = {after if key == before else key: c for key, c in fields[side].items()}
    tree = {**tree, "remarks": moved_remarks(tree, name, after, side, before)}
    return _with(tree, name, {**fields, side: ports})


def _instances_renamed(level: Tree, name: str, side: str, before: str, after: str) -> Section:
    """The wires of a level with a port of the instances in it by its new name."""
    used = set(used_in(level, name))
    wires: Section = {}
    for key, fields in level["wires"].items():
        ends = ends_of(text_of_key(key))
        texts = []
        for i, (node, port) in enumerate(ends):
            # A name stands for an input where a wire ends, for an output where one begins.
            is_side = i > 0 if side == "inputs" else i < len(ends) - 1
            is_meant = is_side and node in used and port == before
            new = after if is_meant else port
            texts.append(f"{node}.{new}" if new else node)
        text = " -> ".join(texts)
        wires[key if text == text_of_key(key) else free_key(wires, text)] = fields
    return wires


def set_port(tree: Tree, name: str, port: str, carries: str) -> Tree:
    """What a port carries, as long as no wire is at it."""
    fields = known_subflow(tree, name)
    side = level_of(tree, name)[PORTS][port]["side"]
    if carries not in _CARRIES:
        raise ConfigError(f"No port carries {carries!r}.")
    for level_name, level in levels(tree):
        used = set(used_in(level, name))
        for link in links_of(level):
            is_here = (link.target in used and link.target_port == port) or (
                link.source in used and link.source_port == port
            )
            if is_here or (level_name == name and port in (link.source, link.target)):
                raise ConfigError(
                    f"A wire is at {port}: {link.key}.", hint="Take its wires away first."
                )
    return _with(tree, name, {**fields, side: {**fields[side], port: carries}})


# ---------------------------------------------------------------------- parameters


def parameter(tree: Tree, op: Op) -> Tree:
    """A parameter is added or changed: ``id``, ``fields``, and ``to`` for another name.

    In `fields` ``required`` is true where each instance must say a value.
    """
    name, key = str(op["in"]), str(op["id"])
    fields = known_subflow(tree, name)
    known = dict(fields.get("parameters", {}))
    to = str(op.get("to") or key)
    if not _NAME.match(to):
        raise ConfigError(f"{to!r} cannot be a parameter.", hint="Use letters, digits and _.")
    if to != key and to in known:
        raise ConfigError(f"There is a parameter {to!r} already.", hint="Choose another name.")
    said = dict(known.get(key, {"default": ""}))
    for option, value in dict(op.get("fields") or {}).items():
        if option == "required":
            if value:
                said.pop("default", None)
            else:
                said.setdefault("default", "")
        elif option not in PARAMETER_KEYS:
            raise ConfigError(f"A parameter has no {option!r}.")
        elif value in (None, "") and option != "default":
            said.pop(option, None)
        else:
            said[option] = value
    said = {one: said[one] for one in ("default", "type", "unit", "about") if one in said}
    named = {to if one == key else one: row for one, row in known.items()}
    named[to] = said
    tree = _with(tree, name, {**fields, "parameters": named})
    if to != key:
        tree = {**tree, "remarks": moved_remarks(tree, name, to, "parameters", key)}
        tree = _renamed_uses(tree, name, key, to)
    return tree


def drop_parameter(tree: Tree, op: Op) -> Tree:
    """A parameter goes, when nothing inside has its value from it."""
    name, key = str(op["in"]), str(op["id"])
    fields = known_subflow(tree, name)
    for node, row in level_of(tree, name)["nodes"].items():
        if key in references({k: v for k, v in row.items() if k != "#"}):
            raise ConfigError(
                f"{node} has a value from the parameter {key}.", hint="Give it a value of its own."
            )
    left = {one: row for one, row in fields.get("parameters", {}).items() if one != key}
    tree = _with(tree, name, {**fields, "parameters": left})
    tree = {**tree, "remarks": moved_remarks(tree, name, None, "parameters", key)}
    return _at_instances(tree, name, lambda row: {k: v for k, v in row.items() if k != key})


def _renamed_uses(tree: Tree, name: str, before: str, after: str) -> Tree:
    """The values inside and at instances that name a parameter."""
    old, new = f"${{{before}", f"${{{after}"

    def changed(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(old + "}", new + "}").replace(old + ":-", new + ":-")
        if isinstance(value, Mapping):
            return {changed(key): changed(item) for key, item in value.items()}
        return [changed(item) for item in value] if isinstance(value, list) else value

    level = level_of(tree, name)
    nodes = {
        node: {k: v if k == "#" else changed(v) for k, v in row.items()}
        for node, row in level["nodes"].items()
    }
    tree = put_back(tree, name, {**level, "nodes": nodes})
    return _at_instances(
        tree, name, lambda row: {after if k == before else k: v for k, v in row.items()}
    )


def _at_instances(tree: Tree, name: str, change: Callable[[Fields], Fields]) -> Tree:
    for level_name, level in list(levels(tree)):
        used = used_in(level, name)
        if used:
            level = level_of(tree, level_name)
            nodes = {**level["nodes"], **{one: change(level["nodes"][one]) for one in used}}
            tree = put_back(tree, level_name, {**level, "nodes": nodes})
    return tree


__all__ = [
    "add_port",
    "drop_parameter",
    "drop_port",
    "parameter",
    "rename_port",
    "set_port",
]
