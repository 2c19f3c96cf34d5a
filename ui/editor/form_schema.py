"""Form schema: the options of a node as a tree of controls, each of which may hold others.

It is made from the JSON schema of the Config, so that lists in tables and choices between forms
of a value have a control of their own instead of a box of YAML.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from gateway.flow import registry
from gateway.flow.entries import OutboxOptions
from gateway.flow.spec import Field, Spec, find_spec
from gateway.flow.spec_data import plain

Control = dict[str, Any]
"""``name``, ``label``, ``kind``, ``sentence``, ``unit`` and, where they mean something,
``required``, ``default``, ``optional``, ``low``, ``high``, ``open``, ``choices``, ``advanced``,
``places``, ``examples``, ``escaped``, ``connection``, ``item`` (of a list), ``key`` (of a map),
``fields`` (of a group), ``items`` (of a tuple) and ``variants`` (of a union)."""
Schema = Mapping[str, Any]

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_LEAVES: Final = {
    "boolean": "switch",
    "number": "number",
    "integer": "integer",
    "string": "text",
}
_SHORT: Final = {"url": "URL", "ca": "CA", "id": "ID"}
_WIDGETS: Final = ("tag", "tags", "connection", "expression")


@cache
def controls_of(type_name: str) -> list[Control] | None:
    """The controls of a node type; None where there is no such type here.

    What must be given comes first, then what makes this node itself, then what all of its kind
    have.
    """
    spec = find_spec(type_name)
    return None if spec is None else _controls(spec)


@cache
def outbox_controls() -> list[Control]:
    """The controls of the outbox of a sink or a worker."""
    whole = OutboxOptions.model_json_schema(mode="validation")
    return _fields(whole, whole, "")


def _controls(spec: Spec) -> list[Control]:
    family = spec.name.partition(".")[0]
    found = _fields(spec.yaml_schema, spec.yaml_schema, family)
    known: dict[str, Field] = {field.name: field for field in spec.fields}
    for control in found:
        control["label"] = known[control["name"]].label
    own = inspect.get_annotations(registry.node_class(spec.name).Config)
    return sorted(found, key=lambda one: (not one["required"], one["name"] not in own))


def _fields(whole: Schema, part: Schema, family: str) -> list[Control]:
    must = part.get("required", ())
    return [
        {
            **control(whole, option, family),
            "name": name,
            "label": label_of(name),
            "required": name in must,
        }
        for name, option in part.get("properties", {}).items()
    ]


def label_of(name: str) -> str:
    """An option in words; the unit stands beside it.

    >>> label_of("on_delay_s"), label_of("peak_hz")
    ('On delay', 'Peak')
    """
    words = re.sub(r"(?<!_per)_(s|hz|percent|rows|bytes)$", "", name).replace("_", " ")
    return _SHORT.get(words) or words[:1].upper() + words[1:]


def control(whole: Schema, option: Schema, family: str) -> Control:
    """The control of one value."""
    branches = [_target(whole, b) for b in option.get("anyOf", option.get("oneOf", ()))]
    real = [b for b in branches if b.get("type") != "null"]
    inner = real[0] if real else _target(whole, option)
    outer = {k: v for k, v in option.items() if k not in ("anyOf", "oneOf", "$ref")}
    about = {**inner, **outer}
    low, high = about.get("minimum"), about.get("maximum")
    over, under = about.get("exclusiveMinimum"), about.get("exclusiveMaximum")
    found: Control = {
        "sentence": str(about.get("description", "")),
        "unit": str(about.get("unit", "")),
        "default": plain(about.get("default")),
        "optional": len(real) < len(branches),
        "low": over if low is None else low,
        "high": under if high is None else high,
        "open": [low is None and over is not None, high is None and under is not None],
        "advanced": bool(about.get("advanced", False)),
        "examples": plain(about.get("examples", ())),
        "places": bool(about.get("places", False)),
    }
    if len(real) > 1:
        found["kind"] = "union"
        found["variants"] = [control(whole, branch, family) for branch in real]
        for variant in found["variants"]:
            variant["label"] = _word(variant)
        return found
    found |= _kind(whole, inner, about, family)
    texts = [found["default"], *found["examples"]]
    found["escaped"] = any(isinstance(text, str) and _CONTROL.search(text) for text in texts)
    return found


def _kind(whole: Schema, inner: Schema, about: Schema, family: str) -> Control:
    """What it holds, and what is inside."""
    if set(inner.get("properties", ())) == {"secret"}:
        return {"kind": "secret"}
    widget = str(about.get("widget", ""))
    if widget in _WIDGETS:
        return {"kind": widget, "connection": f"{family}.connection"}
    if widget:  # A family's own, such as the node of an OPC UA server.
        return {"kind": "address", "connection": f"{family}.connection"}
    if "enum" in about or "const" in about:
        return {"kind": "choice", "choices": list(about.get("enum", (about.get("const"),)))}
    match inner.get("type"):
        case "array" if "prefixItems" in inner:
            return {
                "kind": "tuple",
                "items": [control(whole, item, family) for item in inner["prefixItems"]],
            }
        case "array":
            return {"kind": "list", "item": control(whole, inner.get("items", {}), family)}
        case "object" if "properties" in inner:
            return {"kind": "group", "fields": _fields(whole, inner, family)}
        case "object":
            patterns = inner.get("patternProperties", {})
            below: Any = inner.get("additionalProperties") or next(iter(patterns.values()), {})
            item = below if isinstance(below, Mapping) else {}
            return {
                "kind": "map",
                "key": _key(inner),
                "item": control(whole, item, family),
            }
        case str(name) if name in _LEAVES:
            return {"kind": _LEAVES[name]}
        case _:
            return {"kind": "any"}


def _key(inner: Schema) -> str:
    """``tag`` where the keys of a map are names of tags."""
    names = inner.get("propertyNames", {})
    is_tag = names.get("widget") == "tag" or "patternProperties" in inner
    return "tag" if is_tag else "text"


def _target(whole: Schema, part: Schema) -> dict[str, Any]:
    """What a reference points at, with what stands beside the reference."""
    name = str(part.get("$ref", "")).rpartition("/")[2]
    rest = {key: value for key, value in part.items() if key != "$ref"}
    return {**whole.get("$defs", {}).get(name, {}), **rest} if name else dict(part)


def _word(variant: Control) -> str:
    """A form of a value in a word."""
    if variant["kind"] == "choice" and len(variant["choices"]) == 1:
        return str(variant["choices"][0])
    return {"map": "table", "integer": "number"}.get(variant["kind"], str(variant["kind"]))


__all__ = ["Control", "control", "controls_of", "label_of", "outbox_controls"]
