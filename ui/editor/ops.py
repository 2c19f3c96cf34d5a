"""Ops: everything that can be done to a flow on the canvas, each from one tree to the next.

An op is a plain mapping with the key ``op``, as the browser sends it. It either gives the new
tree or refuses with a sentence; nothing is changed halfway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.errors import ConfigError
from ui.editor.ops_canvas import group, move, note, set_frame, set_head, tidy, ungroup
from ui.editor.ops_nodes import add, delete, disable, rename, set_fields
from ui.editor.ops_wires import insert, wire
from ui.editor.paste import paste
from ui.editor.tree import Tree

Op = Mapping[str, Any]


def done(tree: Tree, op: Op) -> Tree:
    """The tree after an op.

    Raises:
        ConfigError: It cannot be done; the sentence says why.
    """
    name = str(op.get("op"))
    if name not in OPS:
        raise ConfigError(f"The editor does not know how to {name!r}.", hint="Reload the page.")
    try:
        return OPS[name](tree, op)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ConfigError(
            f"This {name!r} is not complete ({error!r}).", hint="Reload the page."
        ) from error


def many(tree: Tree, op: Op) -> Tree:
    """Several ops that are one for whoever undoes them."""
    for one in op["ops"]:
        tree = done(tree, one)
    return tree


OPS: Final[dict[str, Callable[[Tree, Op], Tree]]] = {
    "add": add,
    "del": delete,
    "rename": rename,
    "set": set_fields,
    "disable": disable,
    "wire": wire,
    "insert": insert,
    "move": move,
    "tidy": tidy,
    "group": group,
    "ungroup": ungroup,
    "note": note,
    "frame": set_frame,
    "head": set_head,
    "paste": paste,
    "many": many,
}

__all__ = ["OPS", "Op", "done"]
