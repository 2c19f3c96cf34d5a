"""Call a method of an OPC UA server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from gateway import (
    Config,
    ConnectionName,
    Context,
    Disconnected,
    Event,
    Events,
    Example,
    Outputs,
    Port,
    PositiveSeconds,
    Rejected,
    Worker,
)
from nodes.opcua._address import Address
from nodes.opcua._call import Method, call, find_method
from nodes.opcua.connection import OpcuaConnection


class OpcuaMethodConfig(Config):
    connection: ConnectionName = Field(description="The opcua.connection to use.")
    object: Address = Field(description="Node of the object whose method is called.")
    method: Address = Field(description="Node of the method.")
    arguments: list[str] = Field(
        default_factory=list,
        description="Keys of the event's data that hold the arguments, in the method's order; "
        "empty takes the list under `arguments`.",
    )
    max_age_s: PositiveSeconds = Field(
        30.0,
        description="An older event is not acted on: an action must never be late.",
        json_schema_extra={"advanced": True},
    )


class OpcuaMethod(Worker[OpcuaMethodConfig, Events]):
    """Call a method once for each event and answer with its result.

    The answer has `ok`, `result` (a list) and `text`, and the id of the event. Events that are
    too old or whose arguments do not fit are answered, not called.

    Delivery: at most once. When the answer is lost on the way, that is the answer, for the
    method may have run; it is never called again.
    Back pressure: one call at a time; the engine's queue drops the oldest event and counts it.
    Source: OPC 10000-4 v1.05, 5.12.2 Call.
    """

    Config = OpcuaMethodConfig
    inputs: ClassVar[tuple[Port, ...]] = (Port("in", "events", "Each calls the method once."),)
    outputs: ClassVar[tuple[Port, ...]] = (Port("out", "events", "What came of it."),)
    writes = True
    examples = (
        Example(
            "Start a recipe by number",
            {
                "connection": "plc",
                "object": "ns=2;s=Press1",
                "method": "ns=2;s=Press1.StartRecipe",
                "arguments": ["recipe", "pieces"],
            },
        ),
    )

    def __init__(self, config: OpcuaMethodConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._method: Method | None = None

    async def connect(self) -> None:
        """Look the method and the types of its arguments up."""
        session = self.ctx.connection(OpcuaConnection, self.config.connection).session
        try:
            self._method = await find_method(session, self.config.object, self.config.method)
        except Rejected as error:
            raise Disconnected(str(error), retry_after_s=10.0) from error

    async def handle(self, message: Events, port: str) -> Outputs:
        """Call the method for each event, in order."""
        answers = []
        for event in message:
            data = await self._answer(event)
            answers.append(Event(self.ctx.clock.now(), "opcua/method", data, id=event.id))
        return {"out": tuple(answers)}

    async def _answer(self, event: Event) -> dict[str, Any]:
        assert self._method is not None, "handle comes after connect"
        age_s = (self.ctx.clock.now() - event.ts) / 1e9
        if age_s > self.config.max_age_s:
            self.ctx.count("dropped_stale")
            return {"ok": False, "result": [], "text": f"Not called: {age_s:.1f} s old."}
        session = self.ctx.connection(OpcuaConnection, self.config.connection).session
        try:
            given = self._given(event.data)
            result = await call(session, self._method, given)
        except (Rejected, ValueError) as error:
            self.ctx.count("refused")
            return {"ok": False, "result": [], "text": str(error)}
        except Disconnected as error:
            self.ctx.count("unknown_results")
            text = f"The link was lost while it was called; it may have run. {error}"
            return {"ok": False, "result": [], "text": text}
        return {"ok": True, "result": result, "text": ""}

    def _given(self, data: Mapping[str, Any]) -> list[Any]:
        if not self.config.arguments:
            listed = data.get("arguments", [])
            if not isinstance(listed, list):
                raise ValueError("`arguments` of the event must be a list.")
            return listed
        if missing := [key for key in self.config.arguments if key not in data]:
            raise ValueError(f"The event has no {', '.join(missing)}.")
        return [data[key] for key in self.config.arguments]


__all__ = ["OpcuaMethod", "OpcuaMethodConfig"]
