"""The catalogue: every node and connection as plain values, for the editor and for programs.

Everything comes from the one class that also runs; a node of a stranger is in it by being there.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any, Final

from gateway.flow.node import Connection, Example, Node, Port
from gateway.flow.spec import Field, Spec, all_specs

_EFFECTS: Final = {
    "source": "reads from outside",
    "sink": "sends to the outside",
    "worker": "asks somebody outside",
    "connection": "talks to something outside",
}


def spec_data(spec: Spec) -> dict[str, Any]:
    """One node as plain JSON values.

    Args:
        spec: The node.

    Returns: its type, family, kind and stage; ``about`` (a sentence) and ``doc`` (the text, and
    the paragraphs under a heading); ports; ``fields`` as a form shows them and ``schema`` (JSON
    schema of what may be written); examples; ``effect`` and ``writes``; what it can be asked.
    """
    family, _, name = spec.name.partition(".")
    return {
        "type": spec.name,
        "family": family,
        "name": name.replace("_", " "),
        "icon": family,
        "kind": spec.kind,
        "stage": spec.stage,
        "about": spec.summary,
        "doc": {heading or "text": text for heading, text in spec.paragraphs.items()},
        "inputs": [port_data(port) for port in spec.inputs],
        "outputs": [port_data(port) for port in spec.outputs],
        "fields": [field_data(field, family) for field in spec.fields],
        "schema": plain(spec.yaml_schema),
        "examples": [_example(example) for example in spec.examples],
        "effect": effect_of(spec.cls),
        "writes": spec.writes,
        "delivery": spec.delivery,
        "browses": spec.cls.browses if issubclass(spec.cls, Connection) else "",
    }


def effect_of(cls: type[Node[Any]]) -> str:
    """What nodes of this class do to the world outside, in a few words; empty for nothing."""
    return "can change the plant" if cls.writes else _EFFECTS.get(cls.kind, "")


def plain(value: Any) -> Any:
    """The value as JSON has it: a number that is not finite is null, a tuple is a list."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)


@cache
def catalogue() -> tuple[bytes, str]:
    """Every node as JSON, sorted by type, and a hash of it, for a cache.

    It imports every node once, which takes seconds: not for the engine's own thread.
    """
    nodes = [spec_data(spec) for spec in all_specs()]
    text = json.dumps({"nodes": nodes}, ensure_ascii=False, separators=(",", ":"), default=str)
    data = text.encode()
    return data, hashlib.sha256(data).hexdigest()[:32]


def port_data(port: Port) -> dict[str, str]:
    """A port as plain values."""
    return {"name": port.name, "carries": port.carries, "about": port.about}


def field_data(field: Field, family: str) -> dict[str, Any]:
    """A field; one that names a connection says of which type."""
    row: dict[str, Any] = dict(plain(asdict(field)))
    row["fields"] = [field_data(inner, family) for inner in field.fields]
    if field.widget == "connection":
        row["connection"] = f"{family}.connection"
    return row


def _example(example: Example) -> dict[str, Any]:
    return {
        "title": example.title,
        "config": plain(example.config),
        "given": plain(example.given),
        "expect": plain(example.expect),
        "tags": plain(example.tags),
        "until": example.until,
    }


__all__ = ["catalogue", "effect_of", "field_data", "plain", "port_data", "spec_data"]
