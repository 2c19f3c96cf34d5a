"""Ops on subflows: made of a selection or taken from another flow, renamed, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.entries import ends_of
from gateway.flow.expand import references
from gateway.flow.gather import gather as gathered
from gateway.flow.gather import take as taken
from gateway.flow.subflow import FAMILY, SEPARATOR
from gateway.flow.yaml_read import FLOW_BYTES_MAX
from gateway.flow.yaml_read import Path as Place
from ui.editor.level import instances, level_of, paths_of, put_back
from ui.editor.ops_canvas import TEXT_CHARS_MAX, reframed
from ui.editor.ops_nodes import ID, tests_renamed
from ui.editor.place import placed, snapped
from ui.editor.tree import (
    COMMENT,
    LAYOUT,
    Fields,
    Section,
    Tree,
    document_of,
    free_key,
    text_of_key,
    tree_of,
)
from ui.editor.wires import PORTS

Op = Mapping[str, Any]


def free_subflow(tree: Tree, wanted: str) -> str:
    """A name that no subflow has.

    Raises:
        ConfigError: It cannot be a name.
    """
    if not ID.match(wanted):
        raise ConfigError(
            f"{wanted!r} cannot be a name.",
            hint="Begin with a letter; use letters, digits, - and _, 64 at most.",
        )
    name, number = wanted, 1
    while name in tree["subflows"]:
        number += 1
        name = f"{wanted[:58]}_{number}"
    return name


def known_subflow(tree: Tree, name: str) -> Fields:
    """What is said of a subflow.

    Raises:
        ConfigError: It is not there any more.
    """
    level_of(tree, name)
    if not name:
        raise ConfigError("This is the flow itself.")
    return tree["subflows"][name]


def new(tree: Tree, op: Op) -> Tree:
    """An empty subflow, with an input and an output for what it is asked to carry."""
    name = free_subflow(tree, str(op.get("id") or "subflow"))
    fields: Fields = {"inputs": {"in": "samples"}, "outputs": {"out": "samples"}}
    return placed({**tree, "subflows": {**tree["subflows"], name: fields}})


def about(tree: Tree, op: Op) -> Tree:
    """What a subflow is for, in a sentence."""
    name = str(op["id"])
    fields = {key: value for key, value in known_subflow(tree, name).items() if key != "about"}
    text = str(op["about"]).strip()[:TEXT_CHARS_MAX]
    fields = {"about": text, **fields} if text else fields
    return {**tree, "subflows": {**tree["subflows"], name: fields}}


def rename(tree: Tree, op: Op) -> Tree:
    """Another name for a subflow, and for the type of all its instances."""
    before, after = str(op["id"]), str(op["to"]).strip()
    known_subflow(tree, before)
    if before == after:
        return tree
    if free_subflow(tree, after) != after:
        raise ConfigError(f"There is a subflow {after!r} already.", hint="Choose another name.")
    kind = {f"{FAMILY}.{before}": f"{FAMILY}.{after}"}
    for section in ("nodes", "subnodes"):
        rows = tree[section].items()
        typed = {
            key: {**row, "type": kind[row["type"]]} if row["type"] in kind else row
            for key, row in rows
        }
        tree = {**tree, section: typed}
    for section in ("subnodes", "subwires", "subboxes", "subframes"):
        tree = {**tree, section: _rehead(tree[section], before, after)}
    subflows = {after if key == before else key: row for key, row in tree["subflows"].items()}
    return {**tree, "subflows": subflows, "remarks": moved_remarks(tree, before, after)}


def _rehead(section: Section, before: str, after: str) -> Section:
    head = before + SEPARATOR
    return {
        after + key[len(before) :] if key.startswith(head) else key: row
        for key, row in section.items()
    }


def moved_remarks(tree: Tree, before: str, after: str | None, *inner: str) -> Section:
    """Comments of a subflow, or of something in it, elsewhere; nowhere for None."""
    head = ("subflows", before, *inner)
    found: Section = {}
    for key, row in tree["remarks"].items():
        place = tuple(row["place"])
        if place[: len(head)] != head:
            found[key] = row
        elif after is not None:
            place = (*head[:-1], after, *place[len(head) :])
            found[repr(place)] = {**row, "place": place}
    return found


def delete(tree: Tree, op: Op) -> Tree:
    """A subflow goes, when nothing uses it any more."""
    name = str(op["id"])
    known_subflow(tree, name)
    if used := instances(tree, name):
        words = ", ".join(SEPARATOR.join(filter(None, one)) for one in used[:5])
        raise ConfigError(
            f"The subflow {name} is used by {words}.", hint="Delete or unpack these first."
        )
    head = name + SEPARATOR
    for section in ("subnodes", "subwires", "subboxes", "subframes"):
        left = {key: row for key, row in tree[section].items() if not key.startswith(head)}
        tree = {**tree, section: left}
    subflows = {key: row for key, row in tree["subflows"].items() if key != name}
    return {**tree, "subflows": subflows, "remarks": moved_remarks(tree, name, None)}


def take(tree: Tree, op: Op) -> Tree:
    """A subflow of another flow, copied with those that it needs."""
    text = str(op["text"])
    if len(text) > FLOW_BYTES_MAX:
        raise ConfigError(f"The text is larger than {FLOW_BYTES_MAX:,} characters.")
    whole = taken(document_of(tree), Document.parse(text), str(op["name"]))
    return with_subflows(tree, tree_of(whole))


def with_subflows(tree: Tree, other: Tree) -> Tree:
    """The tree with the subflows of another one that it does not have."""
    for section in ("subflows", "subnodes", "subwires", "subboxes", "subframes", "remarks"):
        more = {key: row for key, row in other[section].items() if key not in tree[section]}
        if section == "remarks":
            more = {key: row for key, row in more.items() if row["place"][0] == "subflows"}
        if more:
            tree = {**tree, section: {**tree[section], **more}}
    return placed(tree)


def gather(tree: Tree, op: Op) -> Tree:
    """The chosen nodes become a subflow; an instance of it takes their place.

    Inside a subflow what they have of its parameters is handed on.
    """
    inside = str(op.get("in") or "")
    level = level_of(tree, inside)
    ids = [str(one) for one in op["ids"] if str(one) in level["nodes"]]
    if not ids:
        raise ConfigError("Select the nodes that are to be a subflow.")
    name, instance = str(op["name"]).strip(), str(op["instance"]).strip()
    if instance in level.get(PORTS, {}):
        raise ConfigError(f"There is a port {instance!r} already.", hint="Choose another name.")
    whole = document_of(tree)
    made = tree_of(gathered(_flat(whole, level, inside) if inside else whole, ids, name, instance))
    boxes = level["boxes"]
    inner = {name + SEPARATOR + one: boxes[one] for one in ids if one in boxes}
    given = _handed_on(tree["subflows"].get(inside, {}), level, ids)
    if given:
        made["subflows"][name] = {"parameters": given, **made["subflows"][name]}
        made["nodes"][instance] |= {key: f"${{{key}}}" for key in given}
    for path in paths_of(tree, inside) if inside else ():
        for one in ids:
            ends = path + SEPARATOR + one, SEPARATOR.join((path, instance, one))
            tree = tests_renamed(tree, *ends)
    base = {**tree, "subboxes": {**tree["subboxes"], **inner}}
    if not inside:
        base |= {section: rows for section, rows in made.items() if section not in LAYOUT}
    base = with_subflows(base, made)
    after = level_of(base, inside)
    after = {**after, "nodes": made["nodes"], "wires": _bare(made["wires"], after.get(PORTS, {}))}
    after = reframed(after, set(ids), set(ids))
    after["boxes"] = _middle(boxes, ids, instance)
    return placed(put_back(base, inside, after))


def _flat(whole: Document, level: Tree, name: str) -> Document:
    """The inside of a subflow with its comments."""
    said: dict[Place, list[str]] = {
        ("nodes", node): fields[COMMENT]
        for node, fields in level["nodes"].items()
        if COMMENT in fields
    }
    for i, fields in enumerate(level["wires"].values()):
        if COMMENT in fields:
            said["wires", i] = fields[COMMENT]
    return replace(whole.body(name), comments=said)


def _bare(wires: Section, ports: Section) -> Section:
    """Ends at ports of the subflow by their name alone."""
    found: Section = {}
    for key, fields in wires.items():
        ends = [
            node if node in ports or not port else f"{node}.{port}"
            for node, port in ends_of(text_of_key(key))
        ]
        found[free_key(found, " -> ".join(ends))] = fields
    return found


def _handed_on(fields: Fields, level: Tree, ids: list[str]) -> dict[str, Any]:
    """Parameters of the subflow around that the chosen nodes have values from."""
    used = {name for one in ids for name in references(level["nodes"][one])}
    known: dict[str, Any] = fields.get("parameters", {})
    return {name: said for name, said in known.items() if name in used}


def _middle(boxes: Section, gone: list[str], name: str) -> Section:
    """The boxes with one where several were."""
    old = [boxes[one] for one in gone if one in boxes]
    left = {key: at for key, at in boxes.items() if key not in gone}
    if not old:
        return left
    x, y = (snapped(sum(at[side] for at in old) / len(old)) for side in ("x", "y"))
    return {**left, name: {"x": x, "y": y}}


__all__ = [
    "about",
    "delete",
    "free_subflow",
    "gather",
    "known_subflow",
    "moved_remarks",
    "new",
    "rename",
    "take",
    "with_subflows",
]
