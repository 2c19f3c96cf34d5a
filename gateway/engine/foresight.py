"""Foresight: what a deploy would do, found out by the code that does it, with nothing touched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gateway.data.tag import Tag, TagTable
from gateway.engine.change import closed, is_such, node_of
from gateway.engine.graph import Graph
from gateway.engine.host import FlowHost
from gateway.engine.ingress import Ingress
from gateway.errors import ConfigError
from gateway.flow.compare import compare
from gateway.flow.document import Document
from gateway.flow.lint import lint
from gateway.flow.variables import resolve

Fate = Literal["same", "keeps", "fresh", "changed", "reopened", "closed", "new", "gone"]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What becomes of one node or connection.

    Args:
        name: Its id.
        fate: same (nothing touches it), keeps (changed, keeps what it remembers), fresh (changed,
            starts from nothing), changed (it has nothing to remember), reopened (it is connected
            anew; what waits for it stays), closed (what waits for it is dropped), new, gone.
        text: The same in words.
    """

    name: str
    fate: Fate
    text: str = ""


async def plan(
    host: FlowHost | None, document: Document, variables: Mapping[str, str], tags: TagTable
) -> dict[str, Any]:
    """What would change if a text took the place of the flow that runs.

    Args:
        host: The flow that runs; None when there is none of this name.
        document: The new text, its variables not yet replaced.
        variables: Their values.
        tags: The gateway's tags; what only this text names is not added to them.

    Returns: ``revision`` that runs or null, ``can_run`` and ``errors``, ``difference`` as
    `Difference.data` and ``lines`` gives it, ``nodes`` and ``connections`` with their fate,
    ``durability`` and ``said``: what a person should read before pressing the button.
    """
    errors = [
        str(one)
        for one in await asyncio.to_thread(lint, document, variables)
        if one.severity == "error" and not one.field.startswith("tests")
    ]
    try:
        wanted = document.with_values(lambda value: resolve(value, variables))
    except ConfigError:
        wanted = document  # The missing variable is among the errors.
    before = host.document if host is not None else Document(document.name)
    if host is not None and wanted.durability != before.durability:
        errors.append("The durability of a flow that runs cannot change: stop the gateway for it.")
    difference = compare(before, wanted)
    nodes: list[Outlook] = []
    connections: list[Outlook] = []
    if not errors:
        try:
            nodes, connections = await _fates(host, wanted, tags)
        except ConfigError as error:
            errors.append(str(error))
    return {
        "flow": document.name,
        "revision": host.revision.number if host is not None else None,
        "can_run": not errors,
        "errors": errors,
        "is_same": not difference,
        "difference": difference.data(),
        "lines": difference.lines(),
        "nodes": [asdict(one) for one in nodes],
        "connections": [asdict(one) for one in connections],
        "durability": {
            "before": before.durability if host is not None else None,
            "after": wanted.durability,
        },
        "said": [one.text for one in (*nodes, *connections) if one.text],
    }


async def _fates(
    host: FlowHost | None, document: Document, tags: TagTable
) -> tuple[list[Outlook], list[Outlook]]:
    """The fate of each node and of each connection."""
    graph = await asyncio.to_thread(_graph, document, tags.limit, list(tags))
    if host is None:
        return (
            [Outlook(name, "new") for name in graph.classes],
            [Outlook(name, "new") for name in document.connections],
        )
    # From here on without a pause: the live graph stands between two steps.
    connections = list(_connections(host, document))
    same = {one.name for one in connections if one.fate == "same"}
    nodes = _transforms(host, graph) | _borders(host, document, graph, same)
    order = [name for name in (*document.nodes, *host.document.nodes) if name in nodes]
    return [nodes[name] for name in dict.fromkeys(order)], connections


def _graph(document: Document, limit: int, known: Sequence[Tag]) -> Graph:
    """The graph over tags of its own: the same codes, and room for what only it names."""
    tags = TagTable(limit)
    for tag in known:
        tags.add(tag)
    return Graph(document, tags)


def _transforms(host: FlowHost, graph: Graph) -> dict[str, Outlook]:
    """As `adopt` finds it; the new graph is thrown away, the old one is left as it is."""
    old = host.runner.graph
    before = old.transforms()
    configs = {name: node.config for name, node in before.items()}
    taken = graph.adopt(old)
    said = {text.partition(" ")[0]: text for text in taken.said}
    found = {}
    for name, node in graph.transforms().items():
        if name not in before:
            found[name] = Outlook(name, "new")
        elif name in taken.kept:
            is_changed = node.config != configs[name] or name in said
            found[name] = Outlook(name, "keeps" if is_changed else "same", said.get(name, ""))
        else:
            found[name] = Outlook(name, "fresh" if name in said else "changed", said.get(name, ""))
    gone = [name for name in before if name not in graph.classes]
    return found | {name: Outlook(name, "gone", f"{name} goes, with its memory.") for name in gone}


def _borders(
    host: FlowHost, document: Document, graph: Graph, same: set[str]
) -> dict[str, Outlook]:
    """Sources, sinks and workers."""
    running = host.borders()
    classes = {name: type(node_of(border)) for name, border in running.items()}
    new = {n: c for n, c in graph.classes.items() if c.kind in ("source", "sink", "worker")}
    ended = set(closed(classes, new))
    found: dict[str, Outlook] = {name: Outlook(name, "new") for name in new if name not in running}
    for name, border in running.items():
        node = node_of(border)
        connection = str(getattr(node.config, "connection", ""))
        stays = connection in same or connection not in host.drivers
        waiting = 0 if isinstance(border, Ingress) else border.queued_rows
        if name in new and stays and is_such(node, document, "nodes", name, document.nodes[name]):
            found[name] = Outlook(name, "same")
        elif name in ended:
            dropped = f": {waiting:,} rows that wait for it are dropped" if waiting else ""
            found[name] = Outlook(name, "closed", f"{name} is closed{dropped}.")
        elif name not in new:
            found[name] = Outlook(name, "gone", f"{name} reads nothing any more.")
        else:
            found[name] = Outlook(name, "reopened", f"{name} is connected anew.")
    return found


def _connections(host: FlowHost, document: Document) -> list[Outlook]:
    found = []
    for name, entry in document.connections.items():
        driver = host.drivers.get(name)
        if driver is None:
            found.append(Outlook(name, "new"))
        elif is_such(driver.connection, document, "connections", name, entry):
            found.append(Outlook(name, "same"))
        else:
            text = f"The connection {name} is closed and opened anew."
            found.append(Outlook(name, "reopened", text))
    gone = [name for name in host.drivers if name not in document.connections]
    return found + [Outlook(name, "gone", f"The connection {name} is closed.") for name in gone]


__all__ = ["Fate", "Outlook", "plan"]
