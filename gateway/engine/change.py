"""Change: what is new, what stays and what goes when a revision takes the place of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.engine.assembly import Border, outbox_options
from gateway.engine.connections import ConnectionDriver
from gateway.engine.egress import Egress
from gateway.engine.graph import Graph
from gateway.engine.ingress import Ingress
from gateway.errors import ConfigError
from gateway.flow import registry
from gateway.flow.document import Document
from gateway.flow.entries import Entry, OutboxOptions
from gateway.flow.findings import valid_config
from gateway.flow.node import Node, Sink

if TYPE_CHECKING:
    from gateway.engine.host import FlowHost


@dataclass(slots=True, eq=False)
class Change:
    """One change of a flow, prepared: everything is made, nothing is touched yet.

    Args:
        graph: The new revision.
        drivers: All connections it has, those that stay among them.
        running: The sources, sinks and workers of the old revision.
        old_drivers: The connections of the old revision.
        borders: All sources, sinks and workers of the new one.
        made: Those of them that are new.
        options: Outbox options of those that stay.
    """

    graph: Graph
    drivers: dict[str, ConnectionDriver]
    running: dict[str, Border]
    old_drivers: dict[str, ConnectionDriver]
    borders: dict[str, Border] = field(default_factory=dict)
    made: dict[str, Border] = field(default_factory=dict)
    options: dict[str, OutboxOptions | None] = field(default_factory=dict)

    @property
    def leaving(self) -> dict[str, Border]:
        """Borders that go, or whose place another takes."""
        return {n: b for n, b in self.running.items() if self.borders.get(n) is not b}

    @property
    def sources(self) -> dict[str, Ingress]:
        """The sources among those that leave."""
        return {n: b for n, b in self.leaving.items() if isinstance(b, Ingress)}

    @property
    def ended_drivers(self) -> list[ConnectionDriver]:
        """Connections that go, or whose place another takes."""
        return [d for n, d in self.old_drivers.items() if self.drivers.get(n) is not d]

    @property
    def closed(self) -> list[str]:
        """Sinks and workers whose queue nobody will empty any more."""
        old = {n: type(node_of(b)) for n, b in self.running.items()}
        return closed(old, {n: type(node_of(b)) for n, b in self.borders.items()})

    def is_elsewhere(self, node_id: str) -> bool:
        """True when the node is gone, or reads from another place: nothing of it will be used."""
        new, old = self.borders.get(node_id), self.running[node_id]
        if new is None:
            return True
        a, b = node_of(old), node_of(new)
        wired = getattr(a.config, "connection", ""), getattr(b.config, "connection", "")
        return type(a) is not type(b) or wired[0] != wired[1]


def node_of(border: Border) -> Node[Any]:
    """The node that a loop drives."""
    if isinstance(border, Ingress):
        return border.source
    return border.sink if isinstance(border, Egress) else border.worker


def closed(old: Mapping[str, type[Node[Any]]], new: Mapping[str, type[Node[Any]]]) -> list[str]:
    """Sinks and workers whose queue does not go on in a node of the same name.

    It goes on where the new node takes all that the old one took, and means the same by it:
    rows that waited for a historian must never become setpoints.
    """
    return [
        node_id
        for node_id, cls in old.items()
        if cls.kind in ("sink", "worker") and not _takes_over(cls, new.get(node_id))
    ]


def _takes_over(old: type[Node[Any]], new: type[Node[Any]] | None) -> bool:
    if new is None or new.kind != old.kind:
        return False
    if issubclass(old, Sink) and issubclass(new, Sink) and old.delivery != new.delivery:
        return False
    ports = {(port.name, port.carries) for port in new.inputs}
    return all((port.name, port.carries) in ports for port in old.inputs)


def classes_of(document: Document) -> dict[str, type[Node[Any]]]:
    """The classes of the nodes that run; a type that is not known is left out."""
    found = {n: document.class_of(n) for n, e in document.nodes.items() if not e.disabled}
    return {node_id: cls for node_id, cls in found.items() if cls is not None}


def changed_sources(old: Graph, document: Document) -> list[str]:
    """Sources of a graph that a document has not, or has with other options."""
    before = old.document

    def is_same(node_id: str) -> bool:
        entry, was = document.nodes.get(node_id), before.nodes[node_id]
        if entry is None or (entry.type, entry.config) != (was.type, was.config):
            return False
        name = str(was.config.get("connection", ""))
        return not entry.disabled and document.connections.get(name) == before.connections.get(name)

    return [n for n, cls in old.classes.items() if cls.kind == "source" and not is_same(n)]


def prepare(host: FlowHost, document: Document) -> Change:
    """Make all that is new in a revision; nothing that runs is touched.

    Raises:
        ConfigError: It cannot run.
    """
    if document.durability != host.document.durability:
        raise ConfigError(
            "The durability of a flow that runs cannot change.",
            where=document.where("durability"),
            hint="Stop the gateway, edit the flow and start it again.",
        )
    assembly = host.assembly
    graph = assembly.graph(document)
    same = {
        name
        for name, entry in document.connections.items()
        if name in host.drivers
        and host.drivers[name].is_off == entry.disabled
        and is_such(host.drivers[name].connection, document, "connections", name, entry)
    }
    drivers = {
        name: host.drivers[name] if name in same else assembly.connection(document, name)
        for name in document.connections
    }
    change = Change(graph, drivers, host.borders(), dict(host.drivers))
    for node_id, entry in document.nodes.items():
        if entry.disabled:
            continue
        border = change.running.get(node_id)
        if border is not None:
            node = node_of(border)
            connection = str(getattr(node.config, "connection", ""))
            stays = connection in same or connection not in host.drivers
            if stays and is_such(node, document, "nodes", node_id, entry):
                change.borders[node_id] = border
                change.options[node_id] = outbox_options(document, node_id)
                continue
        new = assembly.border(document, node_id, host.runner, drivers, None)
        if new is not None:
            change.borders[node_id] = change.made[node_id] = new
    return change


def is_such(node: Node[Any], document: Document, section: str, name: str, entry: Entry) -> bool:
    """True when an entry makes the very node that runs; a default that is written is none."""
    cls = registry.node_class(entry.type)
    if type(node) is not cls:
        return False

    def where(*place: str | int) -> str:
        return document.where(section, name, *place)

    return bool(node.config == valid_config(cls.Config, entry.config, where))


__all__ = [
    "Change",
    "changed_sources",
    "classes_of",
    "closed",
    "is_such",
    "node_of",
    "prepare",
]
