"""Look through the nodes of an OPC UA server, one level at a time."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from gateway import (
    Config,
    ConnectionName,
    Event,
    Events,
    Example,
    Outputs,
    Port,
    Rejected,
    Rows,
    Worker,
)
from nodes.opcua._address import Address
from nodes.opcua._browse import describe
from nodes.opcua.connection import OpcuaConnection


class OpcuaBrowseConfig(Config):
    connection: ConnectionName = Field(description="The opcua.connection to use.")
    root: Address = Field("/Objects", description="Node that is shown when an event names none.")
    children_max: Rows = Field(
        1000,
        description="How many children one answer may hold.",
        json_schema_extra={"advanced": True},
    )


class OpcuaBrowse(Worker[OpcuaBrowseConfig, Events]):
    """Answer an event that names a node with the node's children.

    An event ``{"node": "ns=2;s=Press1"}`` is answered by ``{"node": …, "children": […]}``, each
    child with name, browse_name, node and class, and for variables datatype, value, quality and
    unit. Nothing deeper is read before it is asked for, so that large servers open at once.

    Delivery: at least once: a question is asked again after a lost session, and changes nothing.
    Back pressure: one question at a time; the engine's queue drops the oldest and counts it.
    Source: OPC 10000-4 v1.05, 5.9.2 Browse.
    """

    Config = OpcuaBrowseConfig
    inputs: ClassVar[tuple[Port, ...]] = (Port("in", "events", "Names a node under `node`."),)
    outputs: ClassVar[tuple[Port, ...]] = (Port("out", "events", "The node's children."),)
    examples = (Example("From the top", {"connection": "plc"}),)

    async def connect(self) -> None:
        """Wait for the session."""
        self._connection()

    async def handle(self, message: Events, port: str) -> Outputs:
        """Answer each event."""
        answers = []
        for event in message:
            address = str(event.data.get("node") or self.config.root)
            data = {"node": address, **await self.children(address)}
            answers.append(Event(self.ctx.clock.now(), "opcua/children", data, id=event.id))
        return {"out": tuple(answers)}

    async def children(self, address: str) -> dict[str, Any]:
        """The children of a node, or an empty list and why: for the editor and the CLI too."""
        session = self._connection().session
        try:
            node = (await session.resolve([address]))[0]
            if isinstance(node, str):
                return {"children": [], "text": f"{address}: {node}."}
            rows = await describe(session, node, self.config.children_max)
        except (Rejected, ValueError) as error:
            return {"children": [], "text": str(error)}
        cut = len(rows) == self.config.children_max
        return {"children": rows, "text": f"Only the first {len(rows)}." if cut else ""}

    def _connection(self) -> OpcuaConnection:
        return self.ctx.connection(OpcuaConnection, self.config.connection)


__all__ = ["OpcuaBrowse", "OpcuaBrowseConfig"]
