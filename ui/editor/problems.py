"""Problems: where on the canvas a finding of lint belongs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.flow.subflow import SEPARATOR
from ui.editor.level import place_of
from ui.editor.tree import Tree

_SECTIONS: Final = ("nodes", "inputs", "outputs")


def placed_problem(tree: Tree, row: Mapping[str, Any]) -> dict[str, Any]:
    """A finding with ``in``, the subflow in which it is; empty for the flow itself.

    Args:
        tree: The flow.
        row: As lint gives it: what is inside a subflow has either the id under which it runs
            (``press/clean``), or no node and the field ``subflows.hot.nodes.clean.band``.
    """
    node, field = str(row["node"]), str(row["field"])
    if SEPARATOR in node:
        level, inner = place_of(tree, node)
        return {**row, "in": level, "node": inner}
    steps = field.split(".")
    if node or steps[0] != "subflows" or len(steps) < 2 or steps[1] not in tree["subflows"]:
        return {**row, "in": ""}
    found = {**row, "in": steps[1], "field": ".".join(steps[2:])}
    if len(steps) > 3 and steps[2] in _SECTIONS:
        found |= {"node": steps[3], "field": ".".join(steps[4:])}
    return found


__all__ = ["placed_problem"]
