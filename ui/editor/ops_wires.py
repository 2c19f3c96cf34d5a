"""Ops on wires."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.errors import ConfigError
from ui.editor.ops_canvas import move
from ui.editor.tree import Tree
from ui.editor.wires import (
    Link,
    chain_text,
    class_of,
    inputs_of,
    links_of,
    misfit,
    outputs_of,
    rewired,
    without,
)

Op = Mapping[str, Any]
_ON_SCORES: Final = "alarm.score"
_DETECTORS: Final = "detect."


def wire(tree: Tree, op: Op) -> Tree:
    """A new wire; one that does not fit is refused with the reason."""
    link = link_of(op)
    if reason := misfit(tree, link, links_of(tree)):
        raise ConfigError(reason)
    return added(tree, link)


def link_of(op: Op) -> Link:
    """The wire that an op speaks of."""
    return Link(
        str(op["source"]), str(op["source_port"]), str(op["target"]), str(op["target_port"])
    )


def insert(tree: Tree, op: Op) -> Tree:
    """A node that is there already goes between the ends of a wire."""
    name = str(op["id"])
    if "x" in op:
        tree = move(tree, {"pos": {name: [op["x"], op["y"]]}})
    return spliced(tree, name, str(op["wire"]))


def spliced(tree: Tree, name: str, key: str) -> Tree:
    """The node between the ends of a wire, through the first ports that fit."""
    old = next((link for link in links_of(tree) if link.key == key), None)
    if old is None:
        raise ConfigError("The wire is not there any more.")
    others = [link for link in links_of(tree) if link.key != key]
    cut = cut_out(tree, [link for link in links_of(tree) if link.key == key])
    for into in inputs_of(tree, name):
        first = Link(old.source, old.source_port, name, into.name)
        for out in outputs_of(tree, name):
            last = Link(name, out.name, old.target, old.target_port)
            if not misfit(tree, first, others) and not misfit(tree, last, [*others, first]):
                return added(added(cut, first), last)
    raise ConfigError(
        f"{name} does not fit on this wire: it does not take and give what the wire carries.",
        hint="Wire it by hand.",
    )


def joined(tree: Tree, name: str, end: Op) -> Tree:
    """The new node at the loose end of a wire."""
    node, port, is_source = str(end["node"]), str(end["port"]), bool(end["is_source"])
    ports = inputs_of(tree, name) if is_source else outputs_of(tree, name)
    reason = ""
    for own in ports:
        link = Link(node, port, name, own.name) if is_source else Link(name, own.name, node, port)
        reason = misfit(tree, link, links_of(tree))
        if not reason:
            return added(tree, link)
    raise ConfigError(reason or f"{name} has nothing to wire there.")


def cut_out(tree: Tree, links: Iterable[Link]) -> Tree:
    """The tree without some wires."""
    places: dict[str, list[int]] = {}
    for link in links:
        places.setdefault(link.chain, []).append(link.place)
    wires = tree["wires"]
    for chain, cut in places.items():
        wires = without(wires, chain, cut)
    return {**tree, "wires": wires}


def added(tree: Tree, link: Link) -> Tree:
    """The tree with one wire more."""
    tree = {**tree, "wires": rewired(tree["wires"], {chain_text(tree, link): None})}
    return _named_scores(tree, link)


def _named_scores(tree: Tree, link: Link) -> Tree:
    """An alarm on scores takes those of the detector that is wired to it, by their name.

    Without that it would wait for scores of another name, and never be raised.
    """
    fields = tree["nodes"].get(link.target, {})
    source = class_of(tree, link.source)
    output = source.Config.model_fields.get("output") if source is not None else None
    is_scored = str(tree["nodes"].get(link.source, {}).get("type", "")).startswith(_DETECTORS)
    if fields.get("type") != _ON_SCORES or "feature" in fields or not is_scored or output is None:
        return tree
    name = tree["nodes"][link.source].get("output", output.default)
    nodes = {**tree["nodes"], link.target: {**fields, "feature": name}}
    return {**tree, "nodes": nodes}


__all__ = ["added", "cut_out", "insert", "joined", "link_of", "spliced", "wire"]
