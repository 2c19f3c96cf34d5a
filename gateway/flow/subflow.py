"""Subflow: a part of a flow that is written once and used many times, each with own state.

A subflow has parameters, named inputs and outputs, nodes and wires. A node of the type
``subflow.NAME`` is an instance of it. Before a flow is checked or run its instances are replaced
by their nodes, whose ids are ``instance/inner``; see `gateway.flow.expand`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from gateway.flow.entries import Entry, entry_data
from gateway.flow.port import Carries

FAMILY: Final = "subflow"
"""Before the dot in the type of an instance; no family of nodes has this name."""
SEPARATOR: Final = "/"
"""Between the id of an instance and that of a node inside it."""
NESTED_MAX: Final = 8
"""How deep subflows may stand in each other. Chosen: nobody reads an id of nine parts."""
Kind = Literal["number", "text", "boolean", "list", "mapping"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
PARAMETER_KEYS: Final = ("default", "about", "unit", "type")
SUBFLOW_SECTIONS: Final = ("parameters", "inputs", "outputs", "nodes", "wires")
SUBFLOW_KEYS: Final = ("about", *SUBFLOW_SECTIONS)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value that each instance may set.

    Args:
        default: Its value where an instance says none.
        is_required: True where there is no default, so that each instance must say one.
        about: A sentence.
        unit: UCUM code, for the form.
        type: What it is; empty where the default says it.
    """

    default: Any = None
    is_required: bool = False
    about: str = ""
    unit: str = ""
    type: Kind | Literal[""] = ""

    @property
    def kind(self) -> Kind | None:
        """What values it takes; None where only the option that it fills knows."""
        return self.type or (None if self.is_required else kind_of(self.default))


@dataclass(frozen=True)
class Subflow:
    """One subflow as it is written.

    Args:
        about: What it is for.
        parameters: By name.
        inputs: What each carries, by name; a wire inside begins with the name.
        outputs: Likewise; a wire inside ends with the name.
        nodes: Its nodes; an option with ``${p}`` has the value of parameter p.
        chains: Its wires as text.
    """

    about: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    inputs: Mapping[str, Carries] = field(default_factory=dict)
    outputs: Mapping[str, Carries] = field(default_factory=dict)
    nodes: Mapping[str, Entry] = field(default_factory=dict)
    chains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a node of an expanded flow comes from.

    Args:
        subflow: The subflow it is written in.
        node: Its id there.
        instance: The id of the instance it stands in.
        given: Which parameters of the instance its options have their values from, by option.
    """

    subflow: str
    node: str
    instance: str
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def subflow_of(type_name: str) -> str | None:
    """The name of the subflow that a type means, or None for a node of another family.

    >>> subflow_of("subflow.hot"), subflow_of("filter.deadband")
    ('hot', None)
    """
    family, _, name = type_name.partition(".")
    return name if family == FAMILY else None


def kind_of(value: Any) -> Kind | None:
    """What a value is; None for an empty one, which may be anything."""
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case list() | tuple():
            return "list"
        case Mapping():
            return "mapping"
    return None


def subflow_data(subflow: Subflow) -> dict[str, Any]:
    """The subflow as plain values, as the flow file has it."""
    data: dict[str, Any] = {}
    if subflow.about:
        data["about"] = subflow.about
    if subflow.parameters:
        data["parameters"] = {n: _parameter_data(p) for n, p in subflow.parameters.items()}
    if subflow.inputs:
        data["inputs"] = dict(subflow.inputs)
    if subflow.outputs:
        data["outputs"] = dict(subflow.outputs)
    data["nodes"] = {name: entry_data(entry) for name, entry in subflow.nodes.items()}
    if subflow.chains:
        data["wires"] = list(subflow.chains)
    return data


def _parameter_data(parameter: Parameter) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if not parameter.is_required:
        data["default"] = parameter.default
    for key in ("type", "unit", "about"):
        if value := getattr(parameter, key):
            data[key] = value
    return data


__all__ = [
    "FAMILY",
    "KINDS",
    "NESTED_MAX",
    "PARAMETER_KEYS",
    "SEPARATOR",
    "SUBFLOW_KEYS",
    "SUBFLOW_SECTIONS",
    "Origin",
    "Parameter",
    "Subflow",
    "kind_of",
    "subflow_data",
    "subflow_of",
]
