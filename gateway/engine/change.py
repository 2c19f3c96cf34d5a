"""Change: what is new, what stays and what goes when a revision takes the place of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.engine.assembly import Border
from gateway.engine.connections import ConnectionDriver
from gateway.engine.graph import Graph
from gateway.engine.ingress import Ingress
from gateway.errors import ConfigError
from gateway.flow.document import Document, Entry

if TYPE_CHECKING:
    from gateway.engine.host import FlowHost


@dataclass(slots=True, eq=False)
class Change:
    """One change of a flow, prepared: everything is made, nothing is touched yet.

    Args:
        graph: The new revision.
        drivers: All connections it has, those that stay among them.
        borders: All its sources, sinks and workers.
        made: Those of them that are new.
        running: Those of the old revision.
        old_drivers: The connections of the old revision.
    """

    graph: Graph
    drivers: dict[str, ConnectionDriver]
    borders: dict[str, Border]
    made: dict[str, Border]
    running: dict[str, Border]
    old_drivers: dict[str, ConnectionDriver]

    @property
    def leaving(self) -> dict[str, Border]:
        """Borders that go, or whose place another takes."""
        return {n: b for n, b in self.running.items() if self.borders.get(n) is not b}

    @property
    def closed(self) -> list[str]:
        """Sinks and workers whose queue nobody will empty any more."""
        return [
            node_id
            for node_id, border in self.running.items()
            if not isinstance(border, Ingress)
            and type(self.borders.get(node_id)) is not type(border)
        ]


def prepare(host: FlowHost, document: Document) -> Change:
    """Make all that is new in a revision; nothing that runs is touched.

    Raises:
        ConfigError: It cannot run.
    """
    old = host.document
    if document.durability != old.durability:
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
        if _alike(entry, old.connections.get(name))
    }
    drivers = {
        name: host.drivers[name] if name in same else assembly.connection(document, name)
        for name in document.connections
    }
    running = host.borders()
    borders: dict[str, Border] = {}
    made: dict[str, Border] = {}
    for node_id, entry in document.nodes.items():
        if entry.disabled:
            continue
        border = running.get(node_id)
        connection = str(entry.config.get("connection", ""))
        stays = connection in same or connection not in document.connections
        if border is None or not stays or not _alike(entry, old.nodes.get(node_id)):
            new = assembly.border(document, node_id, host.runner, drivers, None)
            if new is None:
                continue
            border = made[node_id] = new
        borders[node_id] = border
    return Change(graph, drivers, borders, made, running, dict(host.drivers))


def _alike(entry: Entry, other: Entry | None) -> bool:
    """True when two entries make the same node."""
    return other is not None and (entry.type, entry.config, entry.disabled, entry.outbox) == (
        other.type,
        other.config,
        other.disabled,
        other.outbox,
    )


__all__ = ["Change", "prepare"]
