"""Collect what arrives, for tests and for a look at the last samples."""

from __future__ import annotations

from collections import deque

from pydantic import Field

from gateway import Config, Context, Example, Message, Port, Sink


class CollectConfig(Config):
    messages_max: int = Field(
        1_000, ge=1, le=1_000_000, description="Messages to keep; the oldest go first."
    )


class Collect(Sink[CollectConfig]):
    """Keep the last messages in memory, in `messages`.

    Delivery: every row; what is kept is gone after a restart.
    Back pressure: none; it always takes what comes.
    """

    Config = CollectConfig
    inputs = (
        Port("in", "samples", "Samples to keep."),
        Port("windows", "windows", "Windows to keep."),
        Port("alarms", "alarms", "Alarm events to keep."),
        Port("events", "events", "Events to keep."),
    )
    examples = (
        Example("The last thousand messages", {}),
        Example("The last one", {"messages_max": 1}),
        Example("Many", {"messages_max": 100_000}),
    )

    def __init__(self, config: CollectConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self.messages: deque[tuple[str, Message]] = deque(maxlen=config.messages_max)

    async def write(self, message: Message, port: str) -> None:
        self.messages.append((port, message))
