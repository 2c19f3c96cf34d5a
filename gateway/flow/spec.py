"""Spec: everything that is derived from a node class, so that nothing is written twice.

The form in the editor, the JSON schema, the help page and the description that a language
model reads all come from the one class that also runs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

from gateway.errors import ConfigError
from gateway.flow import registry
from gateway.flow.node import Node, Sink

Widget = Literal[
    "text",
    "number",
    "switch",
    "select",
    "secret",
    "tag",
    "tags",
    "connection",
    "expression",
    "list",
    "table",
    "group",
    "yaml",
]
_SHORT: Final = {"url": "URL", "ca": "CA", "id": "ID"}
HEADINGS = ("State", "Cost", "Delivery", "Back pressure", "Source")
"""Paragraphs of a docstring that stand under a heading of their own on the help page."""


@dataclass(frozen=True)
class Field:
    """One option of a node, as a form shows it.

    Args:
        name: The key in the flow file.
        label: The same in words.
        widget: How to ask for it.
        kind: What it holds: number, integer, text, boolean, list, mapping or group.
        sentence: What it means.
        unit: Its unit, or empty.
        required: True when there is no default.
        default: Its default; None when it is required, or when nothing is the default.
        optional: True when it may be left empty.
        low: Least value allowed.
        high: Greatest value allowed.
        exclusive: Which of `low` and `high` are not allowed themselves: "", "low", "high", "both".
        choices: The values to choose from.
        advanced: True when a form folds it away.
        secret: True when it is a reference to a secret.
        examples: Values to show as a hint.
        fields: Options inside it: of a group, or of each row of a table.
    """

    name: str
    label: str
    widget: Widget
    kind: str
    sentence: str = ""
    unit: str = ""
    required: bool = False
    default: Any = None
    optional: bool = False
    low: float | None = None
    high: float | None = None
    exclusive: str = ""
    choices: tuple[Any, ...] = ()
    advanced: bool = False
    secret: bool = False
    examples: tuple[Any, ...] = ()
    fields: tuple[Field, ...] = ()


class Spec:
    """What a node class says of itself.

    Args:
        name: Its type name, such as ``filter.deadband``.
        cls: The class.
    """

    def __init__(self, name: str, cls: type[Node[Any]]) -> None:
        self.name = name
        self.cls = cls
        self.kind = cls.kind
        self.stage = cls.stage
        self.inputs = cls.inputs
        self.outputs = cls.outputs
        self.examples = cls.examples
        self.writes = cls.writes
        self.delivery = cls.delivery if issubclass(cls, Sink) else ""

    @classmethod
    def of(cls, name: str) -> Spec:
        """The spec of a node type.

        Raises:
            ConfigError: There is no such node.
        """
        return cls(registry.MOVED.get(name, name), registry.node_class(name))

    @cached_property
    def paragraphs(self) -> dict[str, str]:
        """The docstring: the text under "", then each heading with its paragraph."""
        found: dict[str, list[str]] = {"": []}
        heading = ""
        for line in inspect.cleandoc(self.cls.__doc__ or "").splitlines():
            start = re.match(rf"({'|'.join(HEADINGS)}):\s*(.*)", line)
            if start is not None:
                heading = start[1]
                found[heading] = [start[2]]
            else:
                found[heading].append(line.strip() if heading else line)
        return {name: "\n".join(lines).strip() for name, lines in found.items()}

    @cached_property
    def summary(self) -> str:
        """The first sentence, on one line."""
        first = self.paragraphs[""].split("\n\n")[0].replace("\n", " ")
        return re.split(r"(?<=[.?!])\s+(?=[A-Z])", first)[0]

    @cached_property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of the config as it is stored."""
        return self.cls.Config.model_json_schema(mode="serialization")

    @cached_property
    def yaml_schema(self) -> dict[str, Any]:
        """The JSON schema of what a user may write, for editors of YAML."""
        return self.cls.Config.model_json_schema(mode="validation")

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The options in their order."""
        return _fields(self.yaml_schema, self.yaml_schema)

    @cached_property
    def tool(self) -> dict[str, Any]:
        """The node as a tool description, for a model that proposes flows."""
        schema = {k: v for k, v in self.yaml_schema.items() if k not in ("title", "description")}
        schema.setdefault("required", [])
        return {
            "type": "function",
            "function": {
                "name": self.name.replace(".", "_"),
                "description": self.summary,
                "parameters": schema,
            },
        }

    @cached_property
    def page(self) -> str:
        """The help page in Markdown."""
        from gateway.flow.page import page_of

        return page_of(self)


def all_specs() -> list[Spec]:
    """The spec of every node, by name."""
    return [Spec(name, cls) for name, cls in registry.node_classes()]


def find_spec(name: str) -> Spec | None:
    """The spec of a node type, or None."""
    try:
        return Spec.of(name)
    except ConfigError:
        return None


def _fields(whole: Mapping[str, Any], part: Mapping[str, Any]) -> tuple[Field, ...]:
    required = part.get("required", ())
    return tuple(
        _field(whole, name, option, name in required)
        for name, option in part.get("properties", {}).items()
    )


def _field(whole: Mapping[str, Any], name: str, option: Mapping[str, Any], must: bool) -> Field:
    branches = [_target(whole, b) for b in option.get("anyOf", option.get("oneOf", ()))]
    optional = any(b.get("type") == "null" for b in branches)
    real = [b for b in branches if b.get("type") != "null"]
    inner = real[0] if real else _target(whole, option)
    # What the field itself says goes before what its type says.
    about = {**inner, **{k: v for k, v in option.items() if k not in ("anyOf", "oneOf", "$ref")}}
    widget, kind, inside = _widget(whole, inner, about, several=len(real) > 1)
    low, high = about.get("minimum"), about.get("maximum")
    over, under = about.get("exclusiveMinimum"), about.get("exclusiveMaximum")
    return Field(
        name=name,
        label=_label(name),
        widget=widget,
        kind=kind,
        sentence=about.get("description", ""),
        unit=about.get("unit", ""),
        required=must,
        default=None if must else about.get("default"),
        optional=optional,
        low=over if low is None else low,
        high=under if high is None else high,
        exclusive={(1, 0): "low", (0, 1): "high", (1, 1): "both"}.get(
            (int(over is not None), int(under is not None)), ""
        ),
        choices=_choices(about, real),
        advanced=bool(about.get("advanced", False)),
        secret=widget == "secret",
        examples=tuple(about.get("examples", ())),
        fields=inside,
    )


def _widget(
    whole: Mapping[str, Any], inner: Mapping[str, Any], about: Mapping[str, Any], *, several: bool
) -> tuple[Widget, str, tuple[Field, ...]]:
    """The widget, what it holds, and the options inside it."""
    if set(inner.get("properties", ())) == {"secret"}:
        return "secret", "text", ()
    if "widget" in about:
        return about["widget"], "text", ()
    if "enum" in about or "const" in about:
        return "select", str(about.get("type", "text")).replace("string", "text"), ()
    if several:
        return "yaml", "text", ()
    match inner.get("type"):
        case "boolean":
            return "switch", "boolean", ()
        case "number" | "integer" as kind:
            return "number", str(kind), ()
        case "array":
            item = _target(whole, inner.get("items", {}))
            inside = _fields(whole, item)
            return ("table" if inside else "list"), "list", inside
        case "object" if "properties" in inner:
            return "group", "group", _fields(whole, inner)
        case "object":
            patterns = inner.get("patternProperties", {})
            below: Any = inner.get("additionalProperties") or next(iter(patterns.values()), {})
            item = _target(whole, below) if isinstance(below, Mapping) else {}
            return "table", "mapping", _fields(whole, item)
        case _:
            return "text", "text", ()


def _choices(about: Mapping[str, Any], real: list[dict[str, Any]]) -> tuple[Any, ...]:
    if "const" in about:
        return (about["const"],)
    named = about.get("enum", ())
    return tuple(named) or tuple(b["const"] for b in real if "const" in b)


def _target(whole: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """What a reference points at, with what stands beside the reference."""
    name = str(part.get("$ref", "")).rpartition("/")[2]
    rest = {key: value for key, value in part.items() if key != "$ref"}
    return {**whole.get("$defs", {}).get(name, {}), **rest} if name else dict(part)


def _label(name: str) -> str:
    """``on_delay_s`` in words: "On delay"; the unit stands beside it."""
    words = re.sub(r"_(s|hz|percent|rows|bytes)$", "", name).replace("_", " ")
    return _SHORT.get(words) or words[:1].upper() + words[1:]


__all__ = ["Field", "Spec", "all_specs", "find_spec"]
