"""Events of its own making: for trying a flow before the feed is there."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from pydantic import Field, StringConstraints, field_validator

from gateway import (
    Config,
    Context,
    Event,
    Example,
    Gap,
    Message,
    Port,
    PositiveSeconds,
    Reading,
    Source,
)


def _document(text: str) -> dict[str, Any]:
    """An item as the data of an event; a text that is no JSON object is a text in one."""
    if text.lstrip().startswith("{"):
        found = orjson.loads(text)
        assert isinstance(found, dict), "it begins like an object"
        return found
    return {"text": text}


class SimulateEventsConfig(Config):
    items: list[Annotated[str, StringConstraints(min_length=1, max_length=10_000)]] = Field(
        min_length=1,
        max_length=1_000,
        examples=[["hello", '{"level": "error", "text": "no route to db"}']],
        description="What to say, each a JSON object or a text.",
    )
    topic: str = Field("", max_length=255, description="Topic; empty takes the node's name.")
    every_s: PositiveSeconds = Field(1.0, description="Time between two events.")
    order: Literal["in_order", "random"] = Field(
        "in_order", description="One after another and again from the first, or thrown."
    )
    number: str = Field(
        "",
        pattern=r"^([A-Za-z_]\w{0,63})?$",
        description="Field that counts the events from 0; empty: none.",
    )
    seed: int = Field(
        1,
        ge=0,
        description="Start of the random numbers; one seed, one order.",
        json_schema_extra={"advanced": True},
    )

    @field_validator("items")
    @classmethod
    def _can_be_read(cls, items: list[str]) -> list[str]:
        for i, text in enumerate(items):
            try:
                _document(text)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"item {i + 1} is no JSON: {error}") from error
        return items


class SimulateEvents(Source[SimulateEventsConfig]):
    """Make events of texts and JSON objects, over and over, in order or thrown.

    Event number k is a function of the seed and of k alone, so a run can be repeated. Time is
    the gateway's, on a grid of `every_s`.

    Delivery: at most once; what falls into a stop of the gateway was never made.
    Back pressure: making waits while the inbox is full; then the grid goes on from now, and
    what was left out is a gap.
    """

    Config = SimulateEventsConfig
    outputs = (
        Port("events", "events", "The events."),
        Port("status", "events", "What was not made because the flow was busy."),
    )
    examples = (
        Example("Messages of customers", {"items": ["Where is my order?", "Thanks!"]}),
        Example(
            "Log lines of a shop, thrown, ten a second",
            {
                "items": [
                    '{"service": "pay", "level": "error", "text": "timeout"}',
                    '{"service": "web", "level": "info", "text": "ok"}',
                ],
                "order": "random",
                "every_s": 0.1,
                "number": "n",
            },
        ),
    )

    def __init__(self, config: SimulateEventsConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._items = [_document(text) for text in config.items]
        self._topic = config.topic or ctx.node_id
        self._k = 0
        self._due_s = 0.0
        self._made_at = 0

    async def connect(self) -> None:
        self._due_s = self.ctx.clock.monotonic()

    async def read(self) -> Reading:
        outputs: dict[str, Message] = {}
        pause_s = self._due_s - self.ctx.clock.monotonic()
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        elif pause_s < -self.config.every_s and self._made_at:
            missed, now = int(-pause_s / self.config.every_s), self.ctx.clock.now()
            gap = Gap(self.ctx.node_id, "poll_missed", self._made_at, now, missing=missed)
            outputs["status"] = (gap.event(),)
            self._due_s = self.ctx.clock.monotonic()
        else:
            await asyncio.sleep(0)
        self._due_s += self.config.every_s
        self._made_at = self.ctx.clock.now()
        outputs["events"] = (Event(self._made_at, self._topic, self.item(self._k)),)
        self._k += 1
        return Reading(outputs)

    def item(self, k: int) -> dict[str, Any]:
        """The data of event number `k`."""
        place = k % len(self._items)
        if self.config.order == "random":
            dice = np.random.Philox(key=self.config.seed, counter=[k, 0, 0, 0])
            place = int(np.random.Generator(dice).integers(len(self._items)))
        data = dict(self._items[place])
        return {**data, self.config.number: k} if self.config.number else data


__all__ = ["SimulateEvents", "SimulateEventsConfig"]
