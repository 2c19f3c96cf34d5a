"""Ops: everything that can be done to a flow on the canvas, each from one tree to the next.

An op is a plain mapping with the key ``op``, as the browser sends it. It either gives the new
tree or refuses with a sentence; nothing is changed halfway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.errors import ConfigError
from ui.editor import ops_ports, ops_subflow, ops_tests
from ui.editor.level import level_of, paths_of, put_back, refuse_rings
from ui.editor.ops_canvas import group, move, note, set_frame, set_head, tidy, ungroup
from ui.editor.ops_nodes import add, delete, disable, rename, set_fields, tests_renamed
from ui.editor.ops_unpack import unpack
from ui.editor.ops_wires import insert, wire
from ui.editor.paste import paste
from ui.editor.tree import Tree, check_subflow
from ui.editor.wires import PORTS, links_of

Op = Mapping[str, Any]
_CAN_CLOSE_A_RING: Final = ("add", "paste", "take", "many")


def done(tree: Tree, op: Op) -> Tree:
    """The tree after an op.

    Args:
        tree: The whole flow.
        op: What to do; ``in`` is the subflow inside which it is done, empty for the flow itself.

    Raises:
        ConfigError: It cannot be done; the sentence says why.
    """
    name = str(op.get("op"))
    if name not in OPS and name not in WHOLE:
        raise ConfigError(f"The editor does not know how to {name!r}.", hint="Reload the page.")
    try:
        after = _done(tree, name, op)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ConfigError(
            f"This {name!r} is not complete ({error!r}).", hint="Reload the page."
        ) from error
    if name in _CAN_CLOSE_A_RING and after["subnodes"] is not tree["subnodes"]:
        refuse_rings(after)
    return after


def _done(tree: Tree, name: str, op: Op) -> Tree:
    inside = str(op.get("in") or "")
    if name == "many":
        for one in op["ops"]:
            tree = done(tree, {"in": inside, **one})
        return tree
    if name in WHOLE:
        return WHOLE[name](tree, op)
    if not inside:
        return OPS[name](tree, op)
    if name in _AT_PORTS and (after := _AT_PORTS[name](tree, inside, op)) is not None:
        return after
    if name in ("rename", "set") and str(op["id"]) in tree["connections"]:
        return OPS[name](tree, op)
    if name == "del":
        gone = [str(one) for one in op.get("nodes", ())]
        for port in [one for one in gone if one in level_of(tree, inside)[PORTS]]:
            tree = ops_ports.drop_port(tree, inside, port)
            gone.remove(port)
        there = {link.key for link in links_of(level_of(tree, inside))}
        keys = [str(key) for key in op.get("wires", ()) if str(key) in there]
        op = {**op, "nodes": gone, "wires": keys}
    before = tree["subnodes"]
    tree = put_back(tree, inside, OPS[name](level_of(tree, inside), op))
    if tree["subnodes"] is not before:
        check_subflow(tree, inside)
    if name == "rename":
        for path in paths_of(tree, inside):
            ends = [f"{path}/{one}" for one in (str(op["id"]), str(op["to"]))]
            tree = tests_renamed(tree, ends[0], ends[1])
    return tree


def _rename_port(tree: Tree, inside: str, op: Op) -> Tree | None:
    before, after = str(op["id"]), str(op["to"]).strip()
    if before not in level_of(tree, inside)[PORTS]:
        return None
    return ops_ports.rename_port(tree, inside, before, after)


def _set_port(tree: Tree, inside: str, op: Op) -> Tree | None:
    port = str(op["id"])
    if port not in level_of(tree, inside)[PORTS]:
        return None
    return ops_ports.set_port(tree, inside, port, str(op["fields"]["carries"]))


_AT_PORTS: Final[dict[str, Callable[[Tree, str, Op], Tree | None]]] = {
    "rename": _rename_port,
    "set": _set_port,
}
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
}
"""In the flow itself or inside a subflow."""
WHOLE: Final[dict[str, Callable[[Tree, Op], Tree]]] = {
    "many": lambda tree, op: tree,
    "subflow": ops_subflow.new,
    "subflow_about": ops_subflow.about,
    "subflow_rename": ops_subflow.rename,
    "subflow_del": ops_subflow.delete,
    "take": ops_subflow.take,
    "gather": ops_subflow.gather,
    "unpack": unpack,
    "port": ops_ports.add_port,
    "parameter": ops_ports.parameter,
    "parameter_del": ops_ports.drop_parameter,
    "test": ops_tests.add,
    "test_del": ops_tests.delete,
}
"""On the whole flow; ``in`` is one of their values."""

__all__ = ["OPS", "WHOLE", "Op", "done"]
