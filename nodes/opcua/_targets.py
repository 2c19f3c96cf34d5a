"""Variables that are written: their types, the write itself, and reading back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nodes.opcua._errors import explain
from nodes.opcua._session import Session, content
from nodes.opcua._ua import NodeId, VariantType, ua
from nodes.opcua._values import to_variant, type_of

_WRITE_BIT: Final = 0x02  # AccessLevel CurrentWrite: OPC 10000-3 v1.05, 8.57.
_SINGLE: Final = 1e-6  # What a single-precision variable may differ by, relative.


@dataclass(frozen=True, slots=True)
class Target:
    """One variable and what it wants."""

    tag: str
    address: str
    node: NodeId
    kind: VariantType


async def find_targets(
    session: Session, tags: Mapping[str, str]
) -> tuple[dict[str, Target], dict[str, str]]:
    """The variables behind tags, and why others cannot be written."""
    nodes = await session.resolve(list(tags.values()))
    refused = {tag: f"{tags[tag]}: {n}" for tag, n in zip(tags, nodes, strict=True) if _no(n)}
    listed = [(tag, node) for tag, node in zip(tags, nodes, strict=True) if not _no(node)]
    ids = [node for _, node in listed]
    values = await session.read(ids)
    kinds = await session.read(ids, ua.AttributeIds.DataType)
    levels = await session.read(ids, ua.AttributeIds.UserAccessLevel)
    targets: dict[str, Target] = {}
    for (tag, node), value, datatype, level in zip(listed, values, kinds, levels, strict=True):
        address = tags[tag]
        if content(level) is None:
            refused[tag] = f"{address}: {explain(int(level.StatusCode.value))}"
        elif not int(content(level)) & _WRITE_BIT:
            refused[tag] = f"{address} is read-only for this user"
        elif (kind := type_of(value, content(datatype))) is None:
            refused[tag] = f"{address} is an array or a structure"
        else:
            targets[tag] = Target(tag, address, node, kind)
    return targets, refused


def _no(node: NodeId | str) -> bool:
    return isinstance(node, str)


async def write_all(session: Session, chosen: list[tuple[Target, float]]) -> list[str]:
    """Write values; sentences about those that do not fit or that the server refused.

    Only the value is sent: many servers refuse a write that brings a time or a status.
    """
    refused: list[str] = []
    ready: list[Target] = []
    values = []
    for target, number in chosen:
        try:
            variant = to_variant(number, target.kind)
        except ValueError as error:
            refused.append(f"{target.tag} was not written: {error}")
            continue
        ready.append(target)
        values.append(ua.DataValue(variant))
    if ready:
        codes = await session.write([target.node for target in ready], values)
        refused += [
            f"{target.address} refused {target.tag}: {explain(code)}"
            for target, code in zip(ready, codes, strict=True)
            if code >> 30 >= 2
        ]
    return refused


async def read_back(
    session: Session, chosen: list[tuple[Target, float]], after_s: float
) -> list[str]:
    """Sentences about variables that do not show what was written."""
    if after_s > 0:
        await asyncio.sleep(after_s)
    values = await session.read([target.node for target, _ in chosen])
    refused = []
    for (target, number), value in zip(chosen, values, strict=True):
        try:
            wanted = to_variant(number, target.kind).Value
        except ValueError:
            continue  # It was not written, and that was said.
        shown = content(value)
        same = shown == wanted
        if not same and isinstance(shown, float) and isinstance(wanted, float):
            same = math.isclose(shown, wanted, rel_tol=_SINGLE, abs_tol=0.0)
        if not same:
            refused.append(f"{target.tag} was written as {wanted}, but {target.address} is {shown}")
    return refused


__all__ = ["Target", "find_targets", "read_back", "write_all"]
