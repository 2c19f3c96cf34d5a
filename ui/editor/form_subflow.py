"""Form of an instance of a subflow: a control for each parameter, as for the option it fills."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.flow.subflow import NESTED_MAX, kind_of, subflow_of
from ui.editor.form_schema import Control, controls_of
from ui.editor.level import nodes_of
from ui.editor.tree import Fields, Tree

_KINDS: Final = {"number": "number", "boolean": "switch", "text": "text"}


def instance_controls(tree: Tree, type_name: str, depth: int = 0) -> list[Control] | None:
    """The controls of an instance in the order of the parameters; None for any other node.

    Args:
        tree: The flow.
        type_name: Such as ``subflow.oven``.
        depth: How deep subflows stand in each other here.
    """
    name = subflow_of(type_name)
    if name is None or name not in tree["subflows"] or depth >= NESTED_MAX:
        return None
    said: dict[str, Fields] = tree["subflows"][name].get("parameters", {})
    return [_control(tree, name, key, row, depth) for key, row in said.items()]


def _control(tree: Tree, name: str, key: str, said: Fields, depth: int) -> Control:
    filled = next(_filled(tree, name, key, depth), {})
    default: Any = said.get("default")
    kind = str(said.get("type") or kind_of(default) or "")
    found: Control = {
        "kind": _KINDS.get(kind, "any" if kind else "text"),
        "sentence": "",
        "unit": "",
        "optional": False,
        "low": None,
        "high": None,
        "open": [False, False],
        "examples": [],
        "escaped": False,
        **filled,
    }
    words = key.replace("_", " ")
    # Its name is the engineer's own word, and is shown as it is written.
    found |= {
        "name": key,
        "label": words[:1].upper() + words[1:],
        "sentence": said.get("about") or found["sentence"],
        "unit": said.get("unit") or found["unit"],
        "default": default,
        "required": "default" not in said,
        "own": True,
        "advanced": False,
    }
    return found


def _filled(tree: Tree, name: str, key: str, depth: int) -> Iterator[Control]:
    """The controls of options whose whole value is the parameter, also further inside."""
    for fields in nodes_of(tree, name).values():
        kind = str(fields["type"])
        for option, value in fields.items():
            if value != f"${{{key}}}":
                continue
            known = instance_controls(tree, kind, depth + 1) or controls_of(kind) or ()
            yield from (one for one in known if one["name"] == option)


__all__ = ["instance_controls"]
