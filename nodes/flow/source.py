"""Take what another flow of this gateway gives."""

from __future__ import annotations

from typing import Any

from gateway import Context, Disconnected, Example, Port, Reading, Source
from nodes.flow._hub import Given, Receiver, hub_of, position_of
from nodes.flow.sink import FlowSinkConfig


class FlowSourceConfig(FlowSinkConfig):
    """The stream, named as in the flow.sink that gives it."""


class FlowSource(Source[FlowSourceConfig]):
    """Take the stream of a flow.sink: each message once and in order, journalled like any input.

    Delivery: what is taken is in this flow's journal before the other flow lets go of it; the
    position that is stored with it says so after a crash.
    Back pressure: the rows wait in the outbox of the flow.sink, which has a limit.
    """

    Config = FlowSourceConfig
    tells_gaps = True  # What was not taken waits in the outbox of the other flow.
    outputs = (
        Port("out", "samples", "Samples of the other flow."),
        Port("windows", "windows", "Its windows."),
        Port("events", "events", "Its events."),
        Port("status", "events", "When it is taken again."),
    )
    examples = (
        Example("What the press line has cleaned", {"stream": "press/clean"}),
        Example("A stream of its own for a second reader", {"stream": "press/clean-for-energy"}),
        Example("Events of another flow", {"stream": "shifts"}),
    )

    def __init__(self, config: FlowSourceConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._hub = hub_of(ctx)
        sender, number = position_of(ctx.position)
        self._receiver = Receiver(f"{ctx.flow}/{ctx.node_id}", sender, number)

    async def connect(self) -> None:
        self._hub.receive(self.config.stream, self._receiver)

    async def read(self) -> Reading:
        receiver = self._receiver
        while not receiver.waiting:
            receiver.filled.clear()
            await receiver.filled.wait()
        given = receiver.waiting.popleft()
        port = "out" if given.port == "in" else given.port
        position = {"from": given.sender, "number": given.number}
        return Reading({port: given.message}, given, position)

    async def acknowledge(self, token: Any) -> None:
        assert isinstance(token, Given)
        self._receiver.sender, self._receiver.number = token.sender, token.number
        if not token.done.done():
            token.done.set_result(None)

    async def close(self) -> None:
        self._hub.end(self.config.stream, self._receiver)

    async def leave(self) -> None:
        self._receiver.fail(str(Disconnected("The flow has no such source any more.")))
