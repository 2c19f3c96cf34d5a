"""Finds the nodes of a source: those that are named, and those below a root."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway import ConfigError, Context, Event, pattern_of
from nodes.opcua._browse import variables_below
from nodes.opcua._session import Session
from nodes.opcua._ua import NodeId

_NOT_IN_TAGS = re.compile(r"[\s+#]+")


class Root(Protocol):
    """What is browsed; see the option `browse` of `opcua.source`."""

    root: str
    filter: str
    template: str
    nodes_max: int


@dataclass(frozen=True, slots=True)
class Found:
    """One tag, its address as people wrote it, and its node; or why there is none."""

    tag: str
    address: str
    node: NodeId | None
    reason: str = ""


async def find(
    ctx: Context, session: Session, tags: Mapping[str, str], root: Root | None
) -> tuple[list[Found], list[Event]]:
    """The nodes of all tags, and events about what a root holds too much of."""
    nodes = await session.resolve(list(tags.values()))
    found = [
        Found(tag, address, None, node) if isinstance(node, str) else Found(tag, address, node)
        for (tag, address), node in zip(tags.items(), nodes, strict=True)
    ]
    notes: list[Event] = []
    if root is not None:
        await _below(ctx, session, root, found, notes)
    return found, notes


async def _below(
    ctx: Context, session: Session, root: Root, found: list[Found], notes: list[Event]
) -> None:
    start = (await session.resolve([root.root]))[0]
    if isinstance(start, str):
        raise ConfigError(f"The root {root.root} is not there: {start}.", where="browse.root")
    variables, is_all = await variables_below(session, start, root.nodes_max)
    fits = pattern_of(root.filter)
    names = {f.tag for f in found}
    nodes = {f.node for f in found}
    for path, node in variables:
        if not fits(path) or node in nodes:
            continue
        name = root.template.format(path=path, name=path.rpartition("/")[2])
        tag = _NOT_IN_TAGS.sub("_", name).lower()
        if tag in names:
            data = {"source": ctx.node_id, "tag": tag, "node": node.to_string()}
            data["text"] = "Another node has this tag already; it is left out."
            notes.append(Event(ctx.clock.now(), "node/refused", data))
            continue
        names.add(tag)
        found.append(Found(tag, node.to_string(), node))
    if not is_all:
        text = f"{root.root} holds more than {root.nodes_max} variables; raise nodes_max."
        ctx.say("warning", text)
        notes.append(Event(ctx.clock.now(), "browse/cut", {"source": ctx.node_id, "text": text}))


__all__ = ["Found", "find"]
