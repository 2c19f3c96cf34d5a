"""Looks through a server's address space: children of a node, or all variables below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway import Rejected
from nodes.opcua._session import Session, content
from nodes.opcua._ua import NodeClass, NodeId, ReferenceDescription, ua

_IDS = ua.ObjectIds
_ATTRIBUTES = ua.AttributeIds
_PROPERTY: Final = ua.NodeId(_IDS.HasProperty)
_TEXT_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Child:
    """One node as a browser shows it."""

    node: NodeId
    name: str
    namespace: int
    cls: NodeClass
    reference: NodeId


async def children_of(
    session: Session, ids: Sequence[NodeId], *, mask: int = 0, reference: int | None = None
) -> list[list[Child] | int]:
    """The children of each node, or the StatusCode that says why there are none."""
    found: list[list[Child] | int] = []
    for part in session.chunks("browse", ids):
        found += await _browse_part(session, part, mask, reference or _IDS.HierarchicalReferences)
    return found


async def _browse_part(
    session: Session, ids: list[NodeId], mask: int, reference: int
) -> list[list[Child] | int]:
    params = ua.BrowseParameters()
    params.RequestedMaxReferencesPerNode = 0
    for node in ids:
        wanted = ua.BrowseDescription()
        wanted.NodeId = node
        wanted.BrowseDirection = ua.BrowseDirection.Forward
        wanted.ReferenceTypeId = ua.NodeId(reference)
        wanted.IncludeSubtypes = True
        wanted.NodeClassMask = mask
        wanted.ResultMask = ua.BrowseResultMask.All
        params.NodesToBrowse.append(wanted)
    ua_session = session.client.uaclient.session
    what = f"browsing {len(ids)} nodes"
    results = await session.ask(what, ua_session.browse(params))
    found: list[list[Child] | int] = []
    for result in results:
        if not result.StatusCode.is_good():
            found.append(int(result.StatusCode.value))
            continue
        listed = [_child(r) for r in result.References or []]
        while result.ContinuationPoint:
            more = ua.BrowseNextParameters()
            more.ContinuationPoints = [result.ContinuationPoint]
            more.ReleaseContinuationPoints = False
            result = (await session.ask(what, ua_session.browse_next(more)))[0]
            listed += [_child(r) for r in result.References or []]
        found.append(listed)
    return found


def _child(reference: ReferenceDescription) -> Child:
    target = reference.NodeId
    node = ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)
    name = reference.BrowseName
    return Child(
        node,
        str(name.Name),
        int(name.NamespaceIndex),
        ua.NodeClass(reference.NodeClass),
        reference.ReferenceTypeId,
    )


async def variables_below(
    session: Session, root: NodeId, nodes_max: int
) -> tuple[list[tuple[str, NodeId]], bool]:
    """All variables below a node as (path of names, node), and whether all were taken.

    Properties are left out: they describe variables. A node with two parents counts once.
    """
    seen = {root}
    found: list[tuple[str, NodeId]] = []
    level: list[tuple[str, NodeId]] = [("", root)]
    mask = int(ua.NodeClass.Object) | int(ua.NodeClass.Variable)
    while level:
        lists = await children_of(session, [node for _, node in level], mask=mask)
        deeper: list[tuple[str, NodeId]] = []
        for (path, _), children in zip(level, lists, strict=True):
            if isinstance(children, int):
                continue
            for child in children:
                if child.reference == _PROPERTY or child.node in seen:
                    continue
                seen.add(child.node)
                here = f"{path}/{child.name}" if path else child.name
                deeper.append((here, child.node))
                if child.cls == ua.NodeClass.Variable:
                    found.append((here, child.node))
                    if len(found) >= nodes_max:
                        return found, False
        level = deeper
    return found, True


async def describe(session: Session, node: NodeId, children_max: int) -> list[dict[str, Any]]:
    """The children of a node with class, data type, value and unit, as JSON values."""
    listed = (await children_of(session, [node]))[0]
    if isinstance(listed, int):
        raise Rejected(f"{node.to_string()} cannot be browsed: {ua.StatusCode(listed).name}.")
    listed = listed[:children_max]
    rows: list[dict[str, Any]] = [
        {
            "name": child.name,
            "browse_name": f"{child.namespace}:{child.name}",
            "node": child.node.to_string(),
            "class": child.cls.name.lower(),
        }
        for child in listed
    ]
    places = [i for i, child in enumerate(listed) if child.cls == ua.NodeClass.Variable]
    ids = [listed[i].node for i in places]
    if not ids:
        return rows
    values = await session.read(ids)
    types = await session.read(ids, _ATTRIBUTES.DataType)
    units = await units_of(session, ids)
    for i, value, kind, unit in zip(places, values, types, units, strict=True):
        rows[i]["datatype"] = _type_name(content(kind))
        rows[i]["value"] = plain(content(value))
        rows[i]["quality"] = value.StatusCode.name if value.StatusCode is not None else "Good"
        rows[i]["unit"] = unit
    return rows


async def units_of(session: Session, ids: Sequence[NodeId]) -> list[str]:
    """The unit each variable shows, as the server writes it; empty where there is none."""
    properties = await properties_of(session, ids, ("EngineeringUnits",))
    return [
        str(getattr(getattr(found.get("EngineeringUnits"), "DisplayName", None), "Text", "") or "")
        for found in properties
    ]


async def properties_of(
    session: Session, ids: Sequence[NodeId], names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Values of the named properties of each node.

    By name in any namespace: many servers do not put them into the standard one.
    """
    lists = await children_of(session, ids, reference=_IDS.HasProperty)
    wanted: list[tuple[int, str, NodeId]] = []
    for i, children in enumerate(lists):
        if not isinstance(children, int):
            wanted += [(i, c.name, c.node) for c in children if c.name in names]
    found: list[dict[str, Any]] = [{} for _ in ids]
    values = await session.read([node for _, _, node in wanted]) if wanted else []
    for (i, name, _), value in zip(wanted, values, strict=True):
        if content(value) is not None:
            found[i][name] = content(value)
    return found


def _type_name(node: Any) -> str:
    if not isinstance(node, ua.NodeId):
        return ""
    if node.NamespaceIndex == 0 and isinstance(node.Identifier, int):
        return str(ua.ObjectIdNames.get(node.Identifier, node.to_string()))
    return str(node.to_string())


def plain(value: Any) -> Any:
    """A value as JSON: numbers, texts and lists as they are, all else as text, cut to a line."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value[:_TEXT_MAX]]
    if isinstance(value, ua.LocalizedText | ua.QualifiedName):
        return str(value.Text if isinstance(value, ua.LocalizedText) else value.Name)
    if isinstance(value, bytes):
        return value[:_TEXT_MAX].hex()
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return text[: 20 * _TEXT_MAX]


__all__ = ["Child", "children_of", "describe", "plain", "properties_of", "variables_below"]
