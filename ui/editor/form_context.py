"""Form context: what the form of one node must know of the rest of the flow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.flow.node import Connection, Sink
from ui.editor.form_edit import problems
from ui.editor.form_schema import controls_of
from ui.editor.session import Session
from ui.editor.tree import COMMENT, Fields, Tree
from ui.editor.view import View
from ui.editor.wires import class_of, links_of

TAGS_MAX: Final = 2_000
"""Names of tags that are proposed from the nodes before one."""


def context_of(session: Session, tree: Tree, node: str) -> dict[str, Any]:
    """What the form shows besides the node itself.

    Args:
        session: Of the flow.
        tree: The flow, or the inside of the subflow in which the node stands.
        node: Its id.

    Returns: ``connections`` of the flow by name (``type``, ``config``, ``runs``, ``browses``, and
    ``must``: the texts it cannot be without), ``used_by`` (nodes that name this one as their
    connection), ``tags`` (names that come from the nodes before this one), and ``has_outbox``.
    """
    cls = class_of(tree, node)
    is_fresh = cls is not None and issubclass(cls, Sink) and cls.delivery == "fresh"
    return {
        "connections": dict(_connections(session)),
        "used_by": [n for n, f in tree["nodes"].items() if f.get("connection") == node],
        "tags": upstream_tags(tree, node),
        "has_outbox": getattr(cls, "kind", "") in ("sink", "worker") and not is_fresh,
    }


def _connections(session: Session) -> Iterator[tuple[str, dict[str, Any]]]:
    view: View = session.view()
    runs = session.running is not None and session.running.state == "running"
    for name, fields in session.tree["connections"].items():
        cls = class_of(session.tree, name)
        changed = view["connections"].get(name, {}).get("change", "added")
        yield (
            name,
            {
                "type": fields["type"],
                "config": config_of(fields),
                "runs": runs and changed == "" and not fields.get("disabled"),
                "browses": cls.browses if cls is not None and issubclass(cls, Connection) else "",
                "must": list(_musts(fields)),
            },
        )


def _musts(fields: Fields) -> Iterator[dict[str, Any]]:
    """The texts that a connection cannot be without, each with what is wrong with it."""
    wrong = {row["path"][0]: row["text"] for row in problems(fields) if row["path"]}
    for control in controls_of(str(fields["type"])) or ():
        name = control["name"]
        if control["required"] and control["kind"] == "text":
            about = {key: control[key] for key in ("name", "label", "sentence", "examples")}
            yield {**about, "value": str(fields.get(name, "")), "wrong": wrong.get(name, "")}


def config_of(fields: Mapping[str, Any]) -> Fields:
    """The options of a node without what the flow says of it."""
    own = ("type", "about", "disabled", "outbox", COMMENT)
    return {key: value for key, value in fields.items() if key not in own}


def upstream_tags(tree: Tree, node: str) -> list[str]:
    """Names of tags that nodes before this one, and itself if it is a source, say they make."""
    before: dict[str, set[str]] = {}
    for link in links_of(tree):
        before.setdefault(link.target, set()).add(link.source)
    seen, todo, found = {node}, [node], dict[str, None]()
    while todo:
        name = todo.pop()
        if name != node:
            found |= dict.fromkeys(_made_by(tree["nodes"].get(name, {})))
        fresh = before.get(name, set()) - seen
        seen |= fresh
        todo += sorted(fresh)
    return sorted(found)[:TAGS_MAX]


def _made_by(fields: Mapping[str, Any]) -> Iterator[str]:
    for control in controls_of(str(fields.get("type", ""))) or ():
        value = fields.get(control["name"])
        if control["name"] in ("tags", "values") and isinstance(value, Mapping):
            yield from map(str, value)
        if control["name"] in ("tag", "output") and control["kind"] == "tag" and value:
            yield str(value)


__all__ = ["config_of", "context_of", "upstream_tags"]
