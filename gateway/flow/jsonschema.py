"""Checks a JSON value against a schema: the part of JSON Schema that answers of models need.

A keyword that is not known here is refused, so that nothing is promised that is not checked.

Source: JSON Schema 2020-12, Validation, 6.1 to 6.5; Core, 8.2.3.1 and 10.3.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import ConfigError

DEPTH_MAX: Final = 32
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,),
    "null": (type(None),), "number": (int, float), "integer": (int, float),
}  # fmt: skip
_WORDS: Final = frozenset({"title", "description", "default", "examples", "$schema", "$id"})
"""They say something to people only."""
_CHECKED: Final = frozenset(
    {
        "type", "enum", "const", "properties", "required", "additionalProperties", "items",
        "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum",
        "exclusiveMinimum", "exclusiveMaximum", "anyOf", "$ref", "$defs",
    }
)  # fmt: skip


def check_schema(schema: Mapping[str, Any]) -> None:
    """Refuse a schema with a keyword that is not checked here.

    Raises:
        ConfigError: It has one, or is none.
    """
    _known(schema, 0)


def _known(schema: Any, depth: int) -> None:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping) or depth > DEPTH_MAX:
        raise ConfigError("A part of the schema is no object, or it is too deep.")
    if unknown := set(schema) - _WORDS - _CHECKED:
        raise ConfigError(
            f"The schema says {min(unknown)!r}, which is not checked here.",
            hint=f"Known are {', '.join(sorted(_CHECKED))}.",
        )
    if (kind := schema.get("type")) is not None:
        for one in kind if isinstance(kind, list) else [kind]:
            if one not in _TYPES:
                raise ConfigError(f"The schema names the type {one!r}, which there is not.")
    for part in ("properties", "$defs"):
        for inner in dict(schema.get(part, {})).values():
            _known(inner, depth + 1)
    for part in ("items", "additionalProperties"):
        if part in schema:
            _known(schema[part], depth + 1)
    for inner in schema.get("anyOf", ()):
        _known(inner, depth + 1)


def problem(value: Any, schema: Mapping[str, Any]) -> str:
    """What is wrong with a value, with its place; empty when nothing is.

    >>> problem({"n": 3}, {"type": "object", "properties": {"n": {"type": "string"}}})
    '$.n is no string'
    """
    return _problem(value, schema, "$", schema, 0)


def parsed(text: str, schema: Mapping[str, Any]) -> tuple[Any, str]:
    """The value in a text, and what is wrong with it.

    A model may put its JSON into a fence, or a sentence around it; what stands between the first
    bracket and the last is taken then.
    """
    try:
        value = json.loads(text)
    except ValueError:
        starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
        end = max(text.rfind("}"), text.rfind("]")) + 1
        if not starts or end <= min(starts):
            return None, "it is no JSON"
        try:
            value = json.loads(text[min(starts) : end])
        except (ValueError, RecursionError) as error:
            return None, f"it is no JSON: {error}"
    except RecursionError:
        return None, "it is too deep"
    return value, problem(value, schema)


def _problem(value: Any, schema: Any, at: str, root: Mapping[str, Any], depth: int) -> str:
    if isinstance(schema, bool):
        return "" if schema else f"{at} may not be"
    if depth > DEPTH_MAX:
        return f"{at} is too deep"
    if "$ref" in schema:
        return _problem(value, _behind(str(schema["$ref"]), root), at, root, depth + 1)
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if kinds and not any(_is(value, kind) for kind in kinds):
        return f"{at} is no {' or '.join(kinds)}"
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        return f"{at} is none of {json.dumps(schema['enum'], ensure_ascii=False)}"
    if "const" in schema and not _same(value, schema["const"]):
        return f"{at} is not {json.dumps(schema['const'], ensure_ascii=False)}"
    if "anyOf" in schema:
        found = [_problem(value, one, at, root, depth + 1) for one in schema["anyOf"]]
        if all(found):
            return found[0] if found else f"{at} fits nothing"
    return _bounds(value, schema, at) or _inside(value, schema, at, root, depth)


def _inside(value: Any, schema: Any, at: str, root: Mapping[str, Any], depth: int) -> str:
    if isinstance(value, list) and "items" in schema:
        for n, item in enumerate(value):
            if wrong := _problem(item, schema["items"], f"{at}[{n}]", root, depth + 1):
                return wrong
    if not isinstance(value, dict):
        return ""
    for name in schema.get("required", ()):
        if name not in value:
            return f"{at}.{name} is missing"
    known = schema.get("properties", {})
    for name, item in value.items():
        inner = known.get(name, schema.get("additionalProperties", True))
        if wrong := _problem(item, inner, f"{at}.{name}", root, depth + 1):
            return wrong
    return ""


def _bounds(value: Any, schema: Mapping[str, Any], at: str) -> str:
    size: float | None = None
    least, most = "minimum", "maximum"
    if isinstance(value, str):
        size, least, most = len(value), "minLength", "maxLength"
    elif isinstance(value, list):
        size, least, most = len(value), "minItems", "maxItems"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        size = value
        if not math.isfinite(value):
            return f"{at} is no finite number"
        if "exclusiveMinimum" in schema and not value > schema["exclusiveMinimum"]:
            return f"{at} is not above {schema['exclusiveMinimum']}"
        if "exclusiveMaximum" in schema and not value < schema["exclusiveMaximum"]:
            return f"{at} is not below {schema['exclusiveMaximum']}"
    if size is not None and least in schema and size < schema[least]:
        return f"{at} has less than {least} {schema[least]}"
    if size is not None and most in schema and size > schema[most]:
        return f"{at} has more than {most} {schema[most]}"
    return ""


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _behind(ref: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in ref.removeprefix("#/").split("/"):
        if not isinstance(found, Mapping) or part not in found:
            raise ConfigError(f"The schema points to {ref!r}, which there is not.")
        found = found[part]
    return found


__all__ = ["check_schema", "parsed", "problem"]
