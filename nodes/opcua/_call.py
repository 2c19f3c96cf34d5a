"""Finds a method with the types of its arguments, and calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway import ConfigError, Rejected
from nodes.opcua._browse import plain, properties_of
from nodes.opcua._errors import explain
from nodes.opcua._session import Session
from nodes.opcua._ua import NodeId, ua
from nodes.opcua._values import argument, built_in


@dataclass(frozen=True, slots=True)
class Method:
    """A method, its object, and what it wants."""

    address: str
    object: NodeId
    node: NodeId
    inputs: tuple[Any, ...]


async def find_method(session: Session, parent: str, method: str) -> Method:
    """The method behind two addresses.

    Raises:
        ConfigError: One of them is not there.
    """
    nodes = await session.resolve([parent, method])
    for text, node in zip((parent, method), nodes, strict=True):
        if isinstance(node, str):
            raise ConfigError(f"{text} cannot be called: {node}.")
    classes = await session.read(nodes[1:], ua.AttributeIds.NodeClass)
    if classes[0].Value is None or classes[0].Value.Value != ua.NodeClass.Method:
        raise ConfigError(f"{method} is no method.", hint="Browse the object to find its methods.")
    found = (await properties_of(session, nodes[1:], ("InputArguments",)))[0]
    return Method(method, nodes[0], nodes[1], tuple(found.get("InputArguments") or ()))


async def call(session: Session, method: Method, given: list[Any]) -> list[Any]:
    """Call it and return its results as JSON values.

    Raises:
        ValueError: The arguments do not fit; nothing was called.
        Rejected: The server refused, or the method failed.
        Disconnected: No answer came; it may have run.
    """
    if len(given) != len(method.inputs):
        raise ValueError(
            f"{method.address} wants {len(method.inputs)} arguments, not {len(given)}."
        )
    request = ua.CallMethodRequest()
    request.ObjectId, request.MethodId = method.object, method.node
    for want, value in zip(method.inputs, given, strict=True):
        try:
            variant = argument(value, built_in(want.DataType), int(want.ValueRank) >= 0)
        except ValueError as error:
            raise ValueError(f"The argument {want.Name!r} {error}.") from error
        request.InputArguments.append(variant)
    work = session.client.uaclient.session.call([request])
    result = (await session.ask(f"calling {method.address}", work))[0]
    status = int(result.StatusCode.value)
    if status >> 30 >= 2:
        raise Rejected(f"{method.address} failed: {explain(status)}.")
    return [plain(output.Value) for output in result.OutputArguments or []]


__all__ = ["Method", "call", "find_method"]
