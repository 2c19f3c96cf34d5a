"""View: a tree as the canvas shows it, and what changed between two views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.flow import registry
from gateway.flow.node import Node
from ui.editor.level import level_of, paths_of, uses
from ui.editor.patch import same
from ui.editor.tree import COMMENT, HEAD, Fields, Tree
from ui.editor.wires import PORTS, links_of, outputs_of, port_of

View = dict[str, Any]
PARTS: Final = ("nodes", "wires", "frames", "connections", "ghosts", "subflows", "head")
PATHS_MAX: Final = 200
"""Instances of a subflow that one can look into."""
CATEGORIES: Final = (
    "source",
    "filter",
    "compute",
    "window",
    "feature",
    "detect",
    "alarm",
    "worker",
    "sink",
    "link",
    "subflow",
    "test",
    "connection",
)
"""In the order in which data takes its way."""
_SUMMARY_CHARS: Final = 40
_NOTHING: Final[Tree] = {
    part: {} for part in ("nodes", "connections", "boxes", "wires", "subflows")
}
_PORT: Final = {"about": "", "disabled": False, "fields": {}, "summary": "", "change": ""}
"""What the port of a subflow has in common with nodes on the canvas."""
_NAMES: Final = {
    "mqtt": "MQTT",
    "opcua": "OPC UA",
    "sqlite": "SQLite",
    "http": "HTTP",
    "websocket": "WebSocket",
    "csv": "CSV",
    "jsonl": "JSONL",
    "llm": "LLM",
    "json": "JSON",
    "cusum": "CUSUM",
    "ewma": "EWMA",
}
"""Names that are not written like other words."""


def category_of(kind: str, family: str) -> str:
    """Under which heading of the palette a node stands.

    >>> category_of("source", "opcua"), category_of("transform", "alarm")
    ('source', 'alarm')
    """
    if family == "test":
        return "test"
    if kind in ("source", "sink", "worker", "connection"):
        return kind
    return family if family in CATEGORIES else "compute"


def catalogue() -> dict[str, Any]:
    """What the browser must know of each node type to draw it and to say what fits."""
    found: dict[str, Any] = {}
    for name, cls in registry.node_classes():
        found[name] = card_of(name, cls)
    return found


def card_of(name: str, cls: type[Node[Any]]) -> dict[str, Any]:
    """One node type in short."""
    family, _, last = name.partition(".")
    about = " ".join((cls.__doc__ or "").split("\n\n")[0].split())
    return {
        "family": family,
        "kind": cls.kind,
        "category": category_of(cls.kind, family),
        "label": label_of(family, last, cls.kind),
        "about": about,
        "stage": cls.stage,
        "writes": cls.writes,
        "inputs": [[p.name, p.carries, p.about] for p in cls.inputs],
        "outputs": [[p.name, p.carries, p.about] for p in cls.outputs],
    }


def label_of(family: str, name: str, kind: str) -> str:
    """A node type in words.

    >>> label_of("mqtt", "source", "source"), label_of("filter", "swinging_door", "transform")
    ('MQTT source', 'Swinging door')
    """
    words = " ".join(_NAMES.get(word, word) for word in name.split("_"))
    if family == "link":
        return f"Link: {words}"
    if kind == "transform":
        return words[:1].upper() + words[1:]
    return f"{_NAMES.get(family, family.capitalize())} {words}"


def view_of(tree: Tree, deployed: Tree | None) -> View:
    """What the canvas shows.

    Args:
        tree: The flow that is edited.
        deployed: The one that runs, to mark what differs; None when none does.

    Returns: ``nodes``, ``wires``, ``frames``, ``connections`` and ``ghosts`` (nodes that run and
    are not here any more) by their ids, ``head``, and ``subflows`` by name, each with what its
    inside shows in the same form.
    """
    old = deployed or _NOTHING
    connections = {
        name: _row(fields, old["connections"].get(name)) | {"used": _users(tree, name)}
        for name, fields in tree["connections"].items()
    }
    head = {key: value for key, value in tree["head"][HEAD].items() if key != COMMENT}
    used = uses(tree)
    subflows = {
        name: _subflow(tree, deployed, name, used)
        | {"used": [list(at) for at in used.get(name, ())]}
        for name in tree["subflows"]
    }
    own = _level(tree, deployed)
    return {**own, "connections": connections, "head": head, "subflows": subflows}


def _level(tree: Tree, deployed: Tree | None) -> View:
    """The flow itself, or the inside of a subflow."""
    old = deployed or _NOTHING
    before = {link.key for link in links_of(old)} if deployed is not None else set()
    nodes = {
        name: {"type": f"port.{port['side']}", "carries": port["carries"], **_PORT}
        for name, port in tree.get(PORTS, {}).items()
    }
    nodes |= {name: _row(row, old["nodes"].get(name)) for name, row in tree["nodes"].items()}
    for name, row in nodes.items():
        at = tree["boxes"].get(name, {"x": 0.0, "y": 0.0})
        row |= {"x": at["x"], "y": at["y"]}
    wires = {}
    for link in links_of(tree):
        port = port_of(outputs_of(tree, link.source), link.source_port)
        wires[link.key] = {
            "source": link.source,
            "source_port": link.source_port,
            "target": link.target,
            "target_port": link.target_port,
            "carries": port.carries if port is not None else "",
            "change": "" if link.key in before else "added",
        }
    ghosts = {
        name: {"type": fields["type"], **old["boxes"].get(name, {"x": 0.0, "y": 0.0})}
        for name, fields in old["nodes"].items()
        if name not in tree["nodes"]
    }
    frames = {key: dict(frame) for key, frame in tree["frames"].items()}
    return {"nodes": nodes, "wires": wires, "frames": frames, "ghosts": ghosts}


def _subflow(
    tree: Tree, deployed: Tree | None, name: str, used: Mapping[str, list[tuple[str, str]]]
) -> View:
    """One subflow: its inside, what an instance sees of it, and where it is used."""
    fields = tree["subflows"][name]
    is_old = deployed is not None and name in deployed["subflows"]
    before = level_of(deployed, name) if deployed is not None and is_old else None
    return {
        **_level(level_of(tree, name), before),
        "about": fields.get("about", ""),
        "parameters": fields.get("parameters", {}),
        "inputs": fields.get("inputs", {}),
        "outputs": fields.get("outputs", {}),
        "paths": paths_of(tree, name, PATHS_MAX, used),
    }


def _users(tree: Tree, connection: str) -> int:
    rows = [*tree["nodes"].values(), *tree["subnodes"].values()]
    return sum(fields.get("connection") == connection for fields in rows)


def _row(fields: Fields, deployed: Fields | None) -> dict[str, Any]:
    own = {key: value for key, value in fields.items() if key != COMMENT}
    change = "added"
    if deployed is not None:
        before = {key: value for key, value in deployed.items() if key != COMMENT}
        change = "" if same(_sorted(own), _sorted(before)) else "changed"
    return {
        "type": fields["type"],
        "about": fields.get("about", ""),
        "disabled": fields.get("disabled", False),
        "fields": own,
        "summary": summary_of(own),
        "change": change,
    }


def _sorted(fields: Fields) -> list[tuple[str, Any]]:
    return sorted(fields.items())


def summary_of(fields: Fields) -> str:
    """The options of a node in a few words, for under its name.

    >>> summary_of({"type": "alarm.limit", "hi": 3.5, "deadband": 0.3, "about": "Wear."})
    'hi 3.5 · deadband 0.3'
    """
    words = []
    for key, value in fields.items():
        if key in ("type", "about", "disabled", "outbox", "connection"):
            continue
        if isinstance(value, Mapping):
            words.append(f"{len(value)} {key}" if len(value) != 1 else f"{key} {next(iter(value))}")
        elif isinstance(value, list):
            words.append(f"{key} {', '.join(map(str, value[:3]))}{'…' if len(value) > 3 else ''}")
        else:
            words.append(f"{key} {value}")
    text = " · ".join(words)
    return text if len(text) <= _SUMMARY_CHARS else f"{text[: _SUMMARY_CHARS - 1]}…"


def changed(before: View, after: View) -> View:
    """What makes one view of another: rows by id, None for those that are gone."""
    found: View = {}
    for part in PARTS:
        if part == "head":
            if before.get(part) != after[part]:
                found[part] = after[part]
            continue
        old, new = before.get(part, {}), after[part]
        rows = {key: row for key, row in new.items() if not same(old.get(key), row)}
        rows |= dict.fromkeys((key for key in old if key not in new), None)
        if rows:
            found[part] = rows
    return found


__all__ = ["CATEGORIES", "View", "card_of", "catalogue", "category_of", "changed", "view_of"]
