"""Give samples, windows or events to another flow of this gateway."""

from __future__ import annotations

import asyncio

from pydantic import Field

from gateway import Config, Context, Example, Message, Port, Sink
from nodes.flow._hub import Given, Receiver, hub_of


class FlowSinkConfig(Config):
    stream: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_./-]*$",
        max_length=128,
        description="The name under which a flow.source takes it.",
    )


class FlowSink(Sink[FlowSinkConfig]):
    """Give what arrives to the flow.source of the same stream, in order and each message once.

    Delivery: every row exactly once inside the gateway, also after a crash: what the other flow
    has is known from its journal. Both flows must have `durability: journal`.
    Back pressure: rows wait in the outbox while no flow takes the stream, or its disk is busy.
    """

    Config = FlowSinkConfig
    delivery = "every"
    inputs = (
        Port("in", "samples", "Samples to give."),
        Port("windows", "windows", "Windows to give."),
        Port("events", "events", "Events to give."),
    )
    examples = (
        Example("To whoever computes with it", {"stream": "press/clean"}),
        Example("A second reader has a stream of its own", {"stream": "press/clean-for-energy"}),
        Example("Events as well", {"stream": "shifts"}),
    )

    def __init__(self, config: FlowSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._hub = hub_of(ctx)
        self._name = f"{ctx.flow}/{ctx.node_id}"
        self._taker: Receiver | None = None

    async def connect(self) -> None:
        self._hub.sends(self.config.stream, self._name)
        self._taker = await self._hub.taker_soon(self.config.stream)

    def received(self, offered: int) -> int:
        taker = self._taker
        if taker is None or taker.sender != self._name:
            return 0
        if taker.number > offered:  # The outbox was closed once, and counts from the beginning.
            taker.number = 0
        return taker.number

    async def write(self, message: Message, port: str) -> None:
        taker = self._hub.taker(self.config.stream)
        if taker.sender == self._name and self.ctx.number <= taker.number:
            return  # It is in the other flow's journal.
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        given = Given(self._name, self.ctx.number, port, message, done)
        taker.waiting.append(given)
        taker.filled.set()
        try:
            await done
        finally:
            if given in taker.waiting:
                taker.waiting.remove(given)

    async def close(self) -> None:
        self._hub.sends_no_more(self.config.stream, self._name)
        self._taker = None
