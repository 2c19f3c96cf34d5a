"""Availability: a topic on which a device, or the broker in its place, says whether it is there.

Usually the last will of the device: the broker publishes it when the device goes without a word.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from gateway import Batch, Config, Context, Event, quality
from nodes.mqtt._intake import Part


class AvailabilityConfig(Config):
    topic: str = Field(
        min_length=1,
        pattern=r"^[^#+{}]+$",
        description="Topic of the device's state, such as that of its last will.",
    )
    online: str = Field("online", description="What is said there while the device is there.")
    offline: str = Field("offline", description="What is said there when it has gone.")
    device: str = Field(
        "", max_length=200, description="The device's name in alarms; empty is the node's id."
    )


class Availability:
    """Turns what a device says of itself into status events and Bad samples of its tags.

    Args:
        config: The topic and its two words.
        ctx: The node's context.
    """

    def __init__(self, config: AvailabilityConfig, ctx: Context) -> None:
        self._config = config
        self._ctx = ctx
        self._topic = config.topic.encode()
        self._words = {config.online.encode(): "back", config.offline.encode(): "lost"}
        self._seen = np.zeros(ctx.tags.limit, np.bool_)
        self._is_lost = False

    def saw(self, batch: Batch) -> None:
        """Note whose samples come from the device."""
        self._seen[batch.tag] = True

    def split(self, part: Part) -> tuple[Part, list[Event], Batch | None]:
        """What is left of a part, and what the device said of itself in it."""
        if self._topic not in part.topics:
            return part, [], None
        events: list[Event] = []
        bad: Batch | None = None
        others = []
        for row, topic in enumerate(part.topics):
            if topic != self._topic:
                others.append(row)
                continue
            change = self._words.get(part.payloads[row].strip())
            if change is None:
                self._ctx.count("availability_unknown")
                continue
            events.append(self._event(change, part.arrival))
            if change == "lost" and not self._is_lost:
                bad = self._all_bad(part.arrival)
            self._is_lost = change == "lost"
        return part.pick(others), events, bad

    def _event(self, change: str, now: int) -> Event:
        device = self._config.device or self._ctx.node_id
        word = self._config.offline if change == "lost" else self._config.online
        text = f"{device} is {word}, says {self._config.topic}."
        data = {"source": self._ctx.node_id, "device": device, "text": text}
        return Event(now, f"device/{change}", data)

    def _all_bad(self, now: int) -> Batch | None:
        codes = np.flatnonzero(self._seen).astype(np.uint16)
        if not len(codes):
            return None
        status = np.full(len(codes), quality.BAD_NO_COMMUNICATION, np.uint32)
        return Batch.columns(codes, np.full(len(codes), now), np.full(len(codes), np.nan), status)
