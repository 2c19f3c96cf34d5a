"""Paste: the subflows that pasted nodes are instances of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.entries import entry_data
from gateway.flow.shape_subflow import subflow_from
from gateway.flow.subflow import FAMILY, Subflow, subflow_of
from ui.editor.ops_subflow import free_subflow, rename, with_subflows
from ui.editor.tree import Tree, document_of, tree_of


def with_pasted(tree: Tree, data: Mapping[str, Any]) -> tuple[Tree, dict[str, str]]:
    """The tree with the subflows that nodes in a text need.

    One that is here already under its name and is the same is shared; another one under a name
    that is taken gets a free one.

    Args:
        tree: What they come into.
        data: The text: ``nodes``, ``subflows`` and ``layout``.

    Returns: the tree, and types that are to be written otherwise.

    Raises:
        ConfigError: The shape of one is wrong, or one is missing.
    """
    given = data.get("subflows")
    said = given if isinstance(given, Mapping) else {}
    known = document_of({**tree, "nodes": {}, "wires": {}, "tests": {}}).subflows
    needed: dict[str, Subflow] = {}
    waiting = [dict(fields).get("type", "") for fields in dict(data["nodes"]).values()]
    while waiting:
        name = subflow_of(str(waiting.pop()))
        if name is None or name in needed:
            continue
        if name not in said:
            if name in known:
                continue
            raise ConfigError(
                f"The text has no subflow {name!r}, and neither has this flow.",
                hint="Copy it together with its subflow.",
            )
        needed[name] = subflow_from(name, dict(said[name]))
        waiting += [entry_data(entry)["type"] for entry in needed[name].nodes.values()]
    if not needed:
        return tree, {}
    piece = tree_of(Document("", subflows=needed), dict(data.get("layout") or {}))
    kinds: dict[str, str] = {}
    for name, subflow in needed.items():
        if name in known and known[name] != subflow:
            both = {**tree, "subflows": {**piece["subflows"], **tree["subflows"]}}
            free = free_subflow(both, name)
            piece = rename(piece, {"id": name, "to": free})
            kinds[f"{FAMILY}.{name}"] = f"{FAMILY}.{free}"
    return with_subflows(tree, piece), kinds


__all__ = ["with_pasted"]
