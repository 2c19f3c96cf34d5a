"""Ops on the canvas: where things stand, groups and comments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import ConfigError
from ui.editor.level import boxed
from ui.editor.place import arranged, free_place, snapped, surrounding
from ui.editor.tree import HEAD, Section, Tree
from ui.editor.wires import links_of

Op = Mapping[str, Any]
TEXT_CHARS_MAX: Final = 2_000
_HEAD_FIELDS: Final = ("about", "allow_write", "durability")


def move(tree: Tree, op: Op) -> Tree:
    """Boxes and frames to other places."""
    boxes, frames = dict(tree["boxes"]), dict(tree["frames"])
    moved: set[str] = set()
    for name, (x, y) in dict(op["pos"]).items():
        at = {"x": snapped(float(x)), "y": snapped(float(y))}
        if name in frames:
            frames[name] = {**frames[name], **at}
        elif name in boxes:
            boxes[name] = at
            moved.add(name)
    return reframed({**tree, "boxes": boxes, "frames": frames}, moved)


def reframed(tree: Tree, touched: set[str], gone: set[str] | None = None) -> Tree:
    """Frames of groups around what is in them; a group with nothing in it is none."""
    frames: Section = {}
    for key, frame in tree["frames"].items():
        members = frame.get("nodes", [])
        if frame.get("kind") != "group" or not touched & set(members):
            frames[key] = frame
            continue
        left = [name for name in members if name not in (gone or ())]
        around = surrounding(tree["boxes"][name] for name in left if name in tree["boxes"])
        if around is not None:
            frames[key] = {**frame, **around, "nodes": left}
    return {**tree, "frames": frames}


def tidy(tree: Tree, op: Op) -> Tree:
    """All boxes, or some, where the layers put them."""
    every = boxed(tree)
    chosen = [name for name in every if name in set(op.get("ids") or every)]
    old = [tree["boxes"][name] for name in chosen if name in tree["boxes"]]
    left = min((at["x"] for at in old), default=0.0)
    top = min((at["y"] for at in old), default=0.0)
    places = arranged(chosen, links_of(tree))
    return move(tree, {"pos": {name: (x + left, y + top) for name, (x, y) in places.items()}})


def group(tree: Tree, op: Op) -> Tree:
    """A frame around some nodes, which move with it; a node is in one group at most."""
    ids = [name for name in op["ids"] if name in tree["nodes"]]
    if not ids:
        raise ConfigError("Select the nodes that are to be a group.")
    chosen = set(ids)
    tree = reframed(tree, chosen, chosen)
    around = surrounding(tree["boxes"][name] for name in ids)
    frame = {"kind": "group", "text": _text(op.get("text", "")), "nodes": ids, **(around or {})}
    return {**tree, "frames": {**tree["frames"], _frame_id(tree): frame}}


def ungroup(tree: Tree, op: Op) -> Tree:
    """Groups are none any more; their nodes stay."""
    gone = set(op["ids"])
    frames = tree["frames"].items()
    return {
        **tree,
        "frames": {
            key: frame
            for key, frame in frames
            if frame.get("kind") != "group" or not (key in gone or gone & set(frame["nodes"]))
        },
    }


def note(tree: Tree, op: Op) -> Tree:
    """A comment on the canvas."""
    x, y = free_place(tree, float(op["x"]), float(op["y"]), is_chosen=not op.get("anywhere"))
    at = {"x": x, "y": y, "w": 220.0, "h": 80.0}
    frame = {"kind": "note", "text": _text(op.get("text", "")), "nodes": [], **at}
    return {**tree, "frames": {**tree["frames"], _frame_id(tree): frame}}


def set_frame(tree: Tree, op: Op) -> Tree:
    """The text or the size of a frame."""
    key = str(op["id"])
    frame = tree["frames"].get(key)
    if frame is None:
        raise ConfigError("It is not there any more.")
    new = {**frame}
    if "text" in op:
        new["text"] = _text(op["text"])
    for side in ("w", "h"):
        if side in op:
            new[side] = max(snapped(float(op[side])), 40.0)
    return {**tree, "frames": {**tree["frames"], key: new}}


def _text(value: Any) -> str:
    return str(value)[:TEXT_CHARS_MAX]


def _frame_id(tree: Tree) -> str:
    number = 1
    while f"#{number}" in tree["frames"]:
        number += 1
    return f"#{number}"


def set_head(tree: Tree, op: Op) -> Tree:
    """What is said of the flow itself."""
    head = dict(tree["head"][HEAD])
    for key, value in dict(op["fields"]).items():
        if key not in _HEAD_FIELDS:
            raise ConfigError(f"A flow has no {key!r}.")
        if key == "durability" and value not in ("journal", "memory"):
            raise ConfigError(f"{value!r} is no durability.", hint="It is journal or memory.")
        head[key] = bool(value) if key == "allow_write" else str(value)
    return {**tree, "head": {HEAD: head}}


__all__ = ["group", "move", "note", "reframed", "set_frame", "set_head", "tidy", "ungroup"]
