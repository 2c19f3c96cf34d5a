"""Findings: what lint says, and the plain sentences that stand for pydantic's errors."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.errors import ConfigError
from gateway.flow.config import TAG_PATTERN

ConfigType = TypeVar("ConfigType", bound=BaseModel)
Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend: where it is, what is wrong and what to do.

    Args:
        severity: error (the flow does not run) or warning (it runs; look at it).
        file: The file's name.
        line: Counted from 1.
        node: The node or connection; empty for the flow itself.
        field: The option inside the node, with dots; empty for the node itself.
        text: What is wrong, in one sentence.
        hint: What to do, in one sentence.
    """

    severity: Severity
    file: str
    line: int
    node: str
    field: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        place = ".".join(part for part in (self.node, self.field) if part)
        head = f"{self.file}:{self.line}: {self.severity}: "
        return head + (f"{place}: " if place else "") + f"{self.text} {self.hint}".strip()


def near(wanted: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint that names what is spelled nearly so, or all there is when that is little."""
    names = list(known)
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    if otherwise or not names:
        return otherwise
    return f"There is {', '.join(names)}." if len(names) <= 12 else ""


def config_problems(
    model: type[BaseModel], config: Mapping[str, Any]
) -> list[tuple[tuple[str | int, ...], str, str]]:
    """(path, text, hint) for every option that is wrong; empty when all is well."""
    try:
        model.model_validate(dict(config))
    except ValidationError as error:
        return _told(model, error, config)
    return []


def valid_config(
    model: type[ConfigType], config: Mapping[str, Any], where: Callable[..., str]
) -> ConfigType:
    """The validated config.

    Args:
        model: The class of the config.
        config: What the user wrote.
        where: Names the place of an option, such as ``functools.partial(document.where,
            "nodes", "clean")``.

    Raises:
        ConfigError: An option is wrong; the message says which, where and what to do.
    """
    try:
        return model.model_validate(dict(config))
    except ValidationError as error:
        path, text, hint = _told(model, error, config)[0]
        raise ConfigError(text, where=where(*path), hint=hint) from error


def _told(
    model: type[BaseModel], error: ValidationError, config: Mapping[str, Any]
) -> list[tuple[tuple[str | int, ...], str, str]]:
    schema = model.model_json_schema()
    found: dict[tuple[str | int, ...], tuple[str, str]] = {}
    for item in error.errors(include_url=False):
        path, about = _walk(schema, item["loc"])
        text, hint = _sentence(dict(item), path, about)
        if not path:  # A rule between options: its sentence names the one to mend first.
            path = next(((n,) for n in re.findall(r"`(\w+)`", text) if n in config), ())
            text = re.sub(r"^`\w+`: ", "", text) if path else text
        if path in found and found[path][0] != text:
            # A union: every branch says why it is not meant.
            first, other = found[path][0].rstrip("."), text[:1].lower() + text[1:]
            text = f"{first}, or: {other}"
        found[path] = (text, hint)
    return [(path, text, hint) for path, (text, hint) in found.items()]


def _walk(
    schema: Mapping[str, Any], loc: tuple[int | str, ...]
) -> tuple[tuple[str | int, ...], Mapping[str, Any]]:
    """The path a user wrote (without the names of union branches) and the schema at its end."""
    here: Mapping[str, Any] = schema
    path: list[str | int] = []
    for step in loc:
        options = [
            _target(schema, o) for o in (here, *here.get("anyOf", ()), *here.get("oneOf", ()))
        ]
        below: Mapping[str, Any] | None = None
        for option in options:
            if isinstance(step, str) and step in option.get("properties", {}):
                below = option["properties"][step]
            elif isinstance(step, str) and isinstance(option.get("additionalProperties"), Mapping):
                below = option["additionalProperties"]
            elif isinstance(step, str) and "patternProperties" in option:
                below = next(iter(option["patternProperties"].values()))
            elif isinstance(step, int) and "items" in option:
                below = option["items"]
            if below is not None:
                break
        if below is None and len(options) > 1 and path:
            continue  # the name of a branch, which the user did not write
        if step == "[key]":
            continue
        path.append(step)
        here = _target(schema, below or {})
    return tuple(path), here


def _target(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(part.get("$ref", "")).rpartition("/")[2]
    if not name:
        return part
    return {
        **schema.get("$defs", {}).get(name, {}),
        **{k: v for k, v in part.items() if k != "$ref"},
    }


def _sentence(
    item: Mapping[str, Any], path: tuple[str | int, ...], about: Mapping[str, Any]
) -> tuple[str, str]:
    """What is wrong with one option and what to do, from pydantic's error type."""
    context: Mapping[str, Any] = item.get("ctx") or {}
    value = item.get("input")
    name = str(path[-1]) if path else ""
    in_unit = str(about.get("unit") or "")
    unit = f" {in_unit}" if in_unit else ""
    wish = str(about.get("description", ""))
    shown = _show(value) + (unit if isinstance(value, int | float) else "")
    if _is_secret(about):
        return "This is no reference to a secret.", "Write {secret: a_name}."
    match item["type"]:
        case "missing":
            return f"The option `{name}` is missing.", wish
        case "extra_forbidden":
            return f"There is no option {name!r}.", ""
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal" as kind:
            sort = {
                "greater_than": "greater than",
                "greater_than_equal": "at least",
                "less_than": "less than",
                "less_than_equal": "at most",
            }[kind]
            bound = next(iter(context.values()), "")
            return f"{shown} must be {sort} {bound:g}{unit}.", wish
        case "literal_error" | "enum":
            choices = str(context.get("expected", ""))
            return f"{shown} is not one of {choices}.", wish
        case "value_error":
            text = str(context.get("error", item["msg"]))
            return text[:1].upper() + text[1:].rstrip(".") + ".", wish
        case "finite_number":
            return f"{shown} is not finite.", "Write a number."
        case "string_pattern_mismatch" if context.get("pattern") == TAG_PATTERN:
            return f"{shown} cannot be a tag's name: it has no spaces and no +.", ""
        case "string_pattern_mismatch":
            return f"{shown} has not the form {context.get('pattern')}.", wish
        case "string_too_short" | "too_short":
            return f"{shown} is too short; it needs {_limit(context, 'min_length')} or more.", wish
        case "string_too_long" | "too_long":
            return f"{shown} is too long; {_limit(context, 'max_length')} is the most.", wish
    return _type_sentence(str(item["type"]), shown, in_unit, str(item["msg"])), wish


_TYPES = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "none": "empty",
}


def _type_sentence(kind: str, shown: str, unit: str, message: str) -> str:
    sort = _TYPES.get(kind.partition("_")[0])
    if sort is None:
        return f"{shown}: {message.rstrip('.')}."
    return f"{shown} is not {sort}{f' (in {unit})' if unit else ''}."


def _is_secret(about: Mapping[str, Any]) -> bool:
    """True for an option that takes {secret: name}; what stands there must not be shown."""
    refs = [str(part.get("$ref", "")) for part in (about, *about.get("anyOf", ()))]
    return about.get("title") == "Secret" or any(ref.endswith("/Secret") for ref in refs)


def _limit(context: Mapping[str, Any], key: str) -> str:
    return str(context.get(key, "more"))


def _show(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:60]


__all__ = ["Finding", "Severity", "config_problems", "near", "valid_config"]
