"""Subflows as the palette and the form of an editor show them, like any node of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from gateway.flow.document import Document
from gateway.flow.node import Port
from gateway.flow.spec import Field, Widget, find_spec
from gateway.flow.spec_data import field_data, port_data
from gateway.flow.subflow import FAMILY, NESTED_MAX, Parameter, Subflow, subflow_data, subflow_of

_WIDGETS: Final[dict[str, Widget]] = {
    "number": "number",
    "text": "text",
    "boolean": "switch",
    "list": "list",
    "mapping": "yaml",
}


def subflow_specs(document: Document) -> list[dict[str, Any]]:
    """The subflows of a flow in the form of `spec_data`, with their own text as ``subflow``."""
    return [_spec(document, name, one) for name, one in document.subflows.items()]


def _spec(document: Document, name: str, subflow: Subflow) -> dict[str, Any]:
    fields = [field_for(document, subflow, key, p) for key, p in subflow.parameters.items()]
    return {
        "type": f"{FAMILY}.{name}",
        "family": FAMILY,
        "name": name,
        "icon": FAMILY,
        "kind": FAMILY,
        "stage": "",
        "about": subflow.about,
        "doc": {},
        "inputs": [port_data(Port(n, c, "")) for n, c in subflow.inputs.items()],
        "outputs": [port_data(Port(n, c, "")) for n, c in subflow.outputs.items()],
        "fields": [field_data(field, family) for field, family in fields],
        "schema": {},
        "examples": [],
        "effect": "",
        "writes": False,
        "delivery": "",
        "browses": "",
        "subflow": subflow_data(subflow),
    }


def field_for(
    document: Document, subflow: Subflow, name: str, parameter: Parameter, depth: int = 0
) -> tuple[Field, str]:
    """How to ask for a parameter: as for the option that it fills, with its own words.

    Returns: the field, and the family of the node whose option it fills.
    """
    kind = parameter.kind or "text"
    found, family = Field(name, name.replace("_", " "), _WIDGETS[kind], kind), ""
    for filled, owner in _filled(document, subflow, name, depth):
        found, family = filled, owner
        break
    return (
        replace(
            found,
            name=name,
            label=name.replace("_", " "),
            sentence=parameter.about or found.sentence,
            unit=parameter.unit or found.unit,
            required=parameter.is_required,
            default=parameter.default,
            optional=False,
            advanced=False,
        ),
        family,
    )


def _filled(
    document: Document, subflow: Subflow, name: str, depth: int
) -> Iterator[tuple[Field, str]]:
    """The options whose whole value is a parameter, also through subflows inside."""
    for entry in subflow.nodes.values():
        for option, value in entry.config.items():
            if value != f"${{{name}}}":
                continue
            inner = document.subflows.get(str(subflow_of(entry.type)))
            if inner is not None:
                if option in inner.parameters and depth < NESTED_MAX:
                    yield field_for(document, inner, option, inner.parameters[option], depth + 1)
                continue
            spec = find_spec(entry.type)
            field = next((f for f in spec.fields if f.name == option), None) if spec else None
            if field is not None:
                yield field, entry.type.partition(".")[0]


__all__ = ["field_for", "subflow_specs"]
