"""The shape of the section `subflows`: which keys there are and what stands under each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, get_args

from gateway.flow.findings import near
from gateway.flow.node import Carries
from gateway.flow.subflow import (
    KINDS,
    PARAMETER_KEYS,
    SUBFLOW_KEYS,
    Parameter,
    Subflow,
    kind_of,
)
from gateway.flow.yaml_read import Parsed, Path

if TYPE_CHECKING:
    from gateway.flow.shape import Shape

SUBFLOWS_MAX: Final = 200  # Chosen: a library of parts is a page or two.
_CARRIES: Final = get_args(Carries)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
"""What may stand between ``${`` and ``}``, or name a port."""


def subflows(shape: Shape, value: Any) -> dict[str, Subflow]:
    """The subflows of a flow file.

    Raises:
        ConfigError: Something is missing, unknown or of the wrong type.
    """
    found = shape.mapping(("subflows",), value if value is not None else {})
    if len(found) > SUBFLOWS_MAX:
        text = f"More than {SUBFLOWS_MAX} subflows (subflows_max)."
        raise shape.wrong(("subflows",), text, "Split the flow.")
    return {name: subflow(shape, ("subflows", name), item) for name, item in found.items()}


def subflow(shape: Shape, place: Path, value: Any) -> Subflow:
    """One subflow."""
    shape.id(place)
    data = shape.mapping(place, value)
    shape.only(data, SUBFLOW_KEYS, place)
    nodes = shape.entries((*place, "nodes"), data.get("nodes"))
    ports = {side: _ports(shape, (*place, side), data.get(side)) for side in ("inputs", "outputs")}
    for name in ports["outputs"]:
        if name in ports["inputs"]:
            text = f"An input and an output are both named {name!r}."
            raise shape.wrong((*place, "outputs", name), text, "Rename one.")
    for side, names in ports.items():
        for name in names:
            if name in nodes:
                text = f"{name!r} is a node and one of the {side}."
                raise shape.wrong((*place, side, name), text, "Rename one.")
    parameters = shape.mapping((*place, "parameters"), data.get("parameters") or {})
    return Subflow(
        about=shape.text((*place, "about"), data.get("about", "")),
        parameters={
            name: _parameter(shape, (*place, "parameters", name), item)
            for name, item in parameters.items()
        },
        inputs=ports["inputs"],
        outputs=ports["outputs"],
        nodes=nodes,
        chains=shape.chains((*place, "wires"), data.get("wires")),
    )


def subflow_from(name: str, data: Mapping[str, Any]) -> Subflow:
    """A subflow from plain values, as `subflow_data` gives them.

    Raises:
        ConfigError: Its shape is wrong.
    """
    from gateway.flow.shape import Shape

    return subflow(Shape(Parsed(None, {}), ""), ("subflows", name), data)


def _ports(shape: Shape, place: Path, value: Any) -> dict[str, Carries]:
    found: dict[str, Carries] = {}
    for name, text in shape.texts(place, value if value is not None else {}).items():
        carries = next((one for one in _CARRIES if one == text), None)
        if not _NAME.match(name):
            said = f"{name!r} cannot be a port."
            raise shape.wrong((*place, name), said, "Use letters, digits and _.")
        if carries is None:
            hint = near(text, _CARRIES, f"There is {', '.join(_CARRIES)}.")
            raise shape.wrong((*place, name), f"No port carries {text!r}.", hint)
        found[name] = carries
    return found


def _parameter(shape: Shape, place: Path, value: Any) -> Parameter:
    if not _NAME.match(str(place[-1])):
        text = f"{place[-1]!r} cannot be a parameter."
        raise shape.wrong(place, text, "Use letters, digits and _.")
    data = shape.mapping(place, value if value is not None else {})
    shape.only(data, PARAMETER_KEYS, place)
    kind = shape.text((*place, "type"), data.get("type", ""))
    known = next((one for one in KINDS if one == kind), None)
    if kind and known is None:
        hint = f"There is {', '.join(KINDS)}."
        raise shape.wrong((*place, "type"), f"{kind!r} is no type.", hint)
    default = data.get("default")
    if known and default is not None and kind_of(default) != known:
        text = f"The default is a {kind_of(default)}, but the parameter takes a {known}."
        raise shape.wrong((*place, "default"), text, "Change one of them.")
    return Parameter(
        default=default,
        is_required="default" not in data,
        about=shape.text((*place, "about"), data.get("about", "")),
        unit=shape.text((*place, "unit"), data.get("unit", "")),
        type=known or "",
    )


__all__ = ["SUBFLOWS_MAX", "subflow", "subflow_from", "subflows"]
