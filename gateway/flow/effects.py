"""Effects: what a flow does to the world outside, and which secrets it uses, in sentences.

So that somebody who looks at an edit sees at once that it writes to a machine it left alone, or
sends data to an address it never talked to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.flow.document import Document
from gateway.flow.entries import Entry
from gateway.flow.node import Node

_ADDRESSES: Final = ("url", "address", "endpoint", "host", "port", "path", "folder")
"""Options that say where something is; the first that a node has counts."""
_NAMED_MAX: Final = 5


def effects(document: Document) -> list[str]:
    """Sentences about what reaches outside, in the order of the file and each once."""
    found: dict[str, None] = {}
    places = {name: address_of(document, name, e) for name, e in document.connections.items()}
    for name, entry in document.connections.items():
        if places[name]:
            found[f"talks to {places[name]} ({entry.type})"] = None
        found |= dict.fromkeys(_secrets(entry.config))
    for name, entry in document.nodes.items():
        cls = document.class_of(name)
        if entry.disabled or cls is None:
            continue
        connection = str(entry.config.get("connection", ""))
        place = places.get(connection) or address_of(document, name, entry) or name
        if path := _door(cls, entry):
            found[f"{name} answers at /hook/{path} ({entry.type})"] = None
            found |= dict.fromkeys(_secrets(entry.config))
            continue
        if cls.writes:
            what = _what(entry)
            text = f"{name} can change the plant: it writes to {place}"
            if what:
                text = f"{name} can change the plant: it writes {what} to {place}"
            found[text] = None
        elif cls.kind == "sink":
            found[f"{name} sends to {place} ({entry.type})"] = None
        elif cls.kind == "worker":
            found[f"{name} asks {place} ({entry.type})"] = None
        elif cls.kind == "source" and not connection and place != name:
            found[f"{name} reads {place} ({entry.type})"] = None
        found |= dict.fromkeys(_secrets(entry.config))
    return list(found)


def _door(cls: type[Node[Any]], entry: Entry) -> str:
    """The path below /hook/ at which others come in to this node; empty where none do."""
    path = entry.config.get("path")
    return path if cls.answers and isinstance(path, str) else ""


def _what(entry: Entry) -> str:
    """The tags that are written, where the node lists them."""
    tags = entry.config.get("tags")
    names = list(tags) if isinstance(tags, Mapping | list) else []
    if not names:
        return ""
    first = ", ".join(map(str, names[:_NAMED_MAX]))
    rest = len(names) - _NAMED_MAX
    return f"{first} and {rest} more" if rest > 0 else first


def address_of(document: Document, name: str, entry: Entry) -> str:
    """Where a node or a connection is, as it is written or by default; empty for nowhere."""
    cls: type[Node[Any]] | None = document.class_of(name)
    for option in _ADDRESSES:
        value = entry.config.get(option)
        if value is None and cls is not None and option in cls.Config.model_fields:
            default = cls.Config.model_fields[option].default
            value = default if isinstance(default, str) else None
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return ""


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("secret"), str) and len(value) == 1:
            yield f"uses the secret {value['secret']}"
        for item in value.values():
            yield from _secrets(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _secrets(item)


__all__ = ["address_of", "effects"]
