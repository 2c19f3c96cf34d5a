"""Level: the inside of a subflow as a tree of its own, there and back.

So everything that can be done to nodes and wires on the canvas can be done inside a subflow too,
by the same code. The ports of the subflow are ends of wires there and have boxes of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.flow.subflow import FAMILY, NESTED_MAX, SEPARATOR, subflow_of
from ui.editor.patch import same
from ui.editor.tree import Fields, Section, Tree
from ui.editor.wires import PORTS

SIDES: Final = ("inputs", "outputs")
_KNOWN_MAX: Final = 16
_known: dict[tuple[int, ...], tuple[tuple[Section, ...], dict[str, dict[str, Section]]]] = {}
"""Nodes, wires and ports by subflow, of the trees that were looked at last."""


def level_of(tree: Tree, name: str) -> Tree:
    """The inside of a subflow, or the flow itself for the empty name.

    Raises:
        ConfigError: There is no such subflow any more.
    """
    if not name:
        return tree
    if name not in tree["subflows"]:
        raise ConfigError(
            f"There is no subflow {name!r} any more.", hint="Somebody may have deleted it."
        )
    return {**tree, **_insides(tree)[name], **_layouts(tree)[name], "tests": {}}


def put_back(tree: Tree, name: str, level: Tree) -> Tree:
    """The tree with the inside of a subflow as it is after an edit.

    Args:
        tree: As it was.
        name: The subflow; empty for the flow itself.
        level: Its inside after the edit, as `level_of` gave it before.
    """
    if not name:
        return level
    head, before = name + SEPARATOR, level_of(tree, name)
    kept = ("head", "connections", "subflows", "remarks")
    new: Tree = {**tree, **{section: level[section] for section in kept}}
    for section, inner in (
        ("subnodes", "nodes"),
        ("subwires", "wires"),
        ("subboxes", "boxes"),
        ("subframes", "frames"),
    ):
        after = level[inner]
        if not same(after, before[inner]):
            new[section] = _spliced(level[section], head, after)
        else:
            new[section] = level[section]
    return new


def _insides(tree: Tree) -> dict[str, dict[str, Section]]:
    """Nodes, wires and ports of each subflow."""
    parts = tree["subflows"], tree["subnodes"], tree["subwires"]
    found = _remembered(parts)
    if found is None:
        found = {
            name: {"nodes": {}, "wires": {}, PORTS: ports_from(fields)}
            for name, fields in parts[0].items()
        }
        _share(found, parts[1:], ("nodes", "wires"))
        _known[tuple(map(id, parts))] = parts, found
    return found


def _layouts(tree: Tree) -> dict[str, dict[str, Section]]:
    """Boxes and frames of each subflow."""
    parts = tree["subflows"], tree["subboxes"], tree["subframes"]
    found = _remembered(parts)
    if found is None:
        found = {name: {"boxes": {}, "frames": {}} for name in parts[0]}
        _share(found, parts[1:], ("boxes", "frames"))
        _known[tuple(map(id, parts))] = parts, found
    return found


def _remembered(parts: tuple[Section, ...]) -> dict[str, dict[str, Section]] | None:
    """What was made of these very sections last time; none is ever changed in place."""
    found = _known.get(tuple(map(id, parts)))
    while len(_known) >= _KNOWN_MAX:
        del _known[next(iter(_known))]
    return found[1] if found is not None else None


def _share(
    found: dict[str, dict[str, Section]], sections: tuple[Section, ...], names: tuple[str, ...]
) -> None:
    """Rows of sections to the subflows whose names stand before their keys."""
    for section, inner in zip(sections, names, strict=True):
        for path, fields in section.items():
            name, _, rest = path.partition(SEPARATOR)
            if name in found:
                found[name][inner][rest] = fields


def ports_from(fields: Mapping[str, Any]) -> Section:
    """The ports of a subflow by name: ``side`` and ``carries``."""
    return {
        port: {"side": side, "carries": carries}
        for side in SIDES
        for port, carries in fields.get(side, {}).items()
    }


def _spliced(section: Section, head: str, rows: Section) -> Section:
    """The section with other rows under a head, where the first of them stood."""
    new = {head + key: row for key, row in rows.items()}
    found: Section = {}
    for key, row in section.items():
        if key.startswith(head):
            found.update(new)
            new = {}
        else:
            found[key] = row
    return {**found, **new}


def levels(tree: Tree) -> Iterator[tuple[str, Tree]]:
    """The flow itself under the empty name, and the inside of each subflow."""
    yield "", tree
    for name in tree["subflows"]:
        yield name, level_of(tree, name)


def boxed(tree: Tree) -> list[str]:
    """All that has a box: inputs of the subflow, nodes, outputs."""
    ports = tree.get(PORTS, {})
    first = [name for name, port in ports.items() if port["side"] == "inputs"]
    return [*first, *tree["nodes"], *(name for name in ports if name not in first)]


def nodes_of(tree: Tree, name: str) -> Section:
    """The nodes of the flow itself under the empty name, or those inside a subflow."""
    return _insides(tree)[name]["nodes"] if name else tree["nodes"]


def instances(tree: Tree, subflow: str) -> list[tuple[str, str]]:
    """Where a subflow is used: (level, node)."""
    return uses(tree).get(subflow, [])


def uses(tree: Tree) -> dict[str, list[tuple[str, str]]]:
    """Where each subflow is used: (level, node)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for level in ("", *tree["subflows"]):
        for node, fields in nodes_of(tree, level).items():
            if (kind := subflow_of(str(fields["type"]))) is not None:
                found.setdefault(kind, []).append((level, node))
    return found


def used_in(level: Tree, subflow: str) -> list[str]:
    """The instances of a subflow in one level."""
    kind = f"{FAMILY}.{subflow}"
    return [node for node, fields in level["nodes"].items() if fields["type"] == kind]


def paths_of(
    tree: Tree,
    subflow: str,
    at_most: int = 1_000_000,
    used: Mapping[str, list[tuple[str, str]]] | None = None,
) -> list[str]:
    """Under which ids its nodes run: ``press`` for ``press/clean``, one for each instance."""
    return _paths(tree, uses(tree) if used is None else used, subflow, at_most, 0)


def _paths(
    tree: Tree,
    used: Mapping[str, list[tuple[str, str]]],
    subflow: str,
    at_most: int,
    depth: int,
) -> list[str]:
    """The instances in the flow itself, and those in each instance of what they stand in."""
    found: list[str] = []
    for level, node in used.get(subflow, ()) if depth < NESTED_MAX else ():
        outer = _paths(tree, used, level, at_most, depth + 1) if level else [""]
        for head in outer:
            if len(found) >= at_most:
                return found
            found.append(head + SEPARATOR + node if head else node)
    return found


def place_of(tree: Tree, path: str) -> tuple[str, str]:
    """(level, node) of an id under which something runs; the path itself where there is none."""
    level = ""
    *outer, node = path.split(SEPARATOR)
    for step in outer:
        fields: Fields = nodes_of(tree, level).get(step, {})
        kind = subflow_of(str(fields.get("type", "")))
        if kind is None or kind not in tree["subflows"]:
            return "", path
        level = kind
    return level, node


def refuse_rings(tree: Tree) -> None:
    """See that no subflow contains itself.

    Raises:
        ConfigError: One does; the sentence shows the way.
    """
    inner = {
        name: [
            kind
            for fields in nodes_of(tree, name).values()
            if (kind := subflow_of(str(fields["type"]))) is not None
        ]
        for name in tree["subflows"]
    }

    good: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            ring = " → ".join((*way[way.index(name) :], name))
            raise ConfigError(
                f"The subflow {name} would contain itself: {ring}.",
                hint="Put it beside, not into itself.",
            )
        for kind in () if name in good else inner.get(name, ()):
            walk(kind, (*way, name))
        good.add(name)

    for name in inner:
        walk(name, ())


__all__ = [
    "SIDES",
    "boxed",
    "instances",
    "level_of",
    "levels",
    "nodes_of",
    "paths_of",
    "place_of",
    "ports_from",
    "put_back",
    "refuse_rings",
    "used_in",
    "uses",
]
