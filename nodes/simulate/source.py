"""A signal of its own making: for trying a flow before the machine is there."""

from __future__ import annotations

import asyncio
import math
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from gateway import (
    Batch,
    Config,
    Context,
    Example,
    Gap,
    Message,
    PositiveSeconds,
    Reading,
    Seconds,
    Source,
    Tag,
    TagName,
)


class SimulateConfig(Config):
    tag: TagName = Field(examples=["demo/tank/level"], description="The tag to make.")
    shape: Literal["sine", "ramp", "square", "walk", "constant"] = Field(
        "sine", description="sine, ramp (saw-tooth), square, walk (random walk) or constant."
    )
    every_s: PositiveSeconds = Field(1.0, description="Time between two samples.")
    low: float = Field(0.0, description="Lowest value of the shape, in `unit`.")
    high: float = Field(100.0, description="Highest value of the shape, in `unit`.")
    period_s: PositiveSeconds = Field(60.0, description="Length of one period of the shape.")
    noise: float = Field(
        0.0, ge=0, description="Standard deviation of noise added to the shape, in `unit`."
    )
    count: int = Field(
        1, ge=1, le=10_000, description="Tags to make; numbered /1, /2, … when many."
    )
    unit: str = Field("", max_length=32, description="Unit of the tag (UCUM).")
    seed: int = Field(
        1,
        ge=0,
        description="Start of the random numbers; one seed, one signal.",
        json_schema_extra={"advanced": True},
    )
    phase_s: Seconds = Field(
        0.0,
        description="How far into the period the signal begins.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _ends_in_order(self) -> SimulateConfig:
        if self.low >= self.high:
            raise ValueError("`low` must be below `high`.")
        return self


class Simulate(Source[SimulateConfig]):
    """Make a signal: sine, ramp, square wave, random walk or constant, with noise.

    Sample number k is a function of the seed and of k alone, so a run can be repeated. Time is
    the gateway's, on a grid of `every_s`.

    Delivery: at most once; what falls into a stop of the gateway was never made.
    Back pressure: making waits while the inbox is full; then the grid goes on from now, and
    what was left out is a gap.
    """

    Config = SimulateConfig
    examples = (
        Example(
            "A tank that fills and empties every ten minutes",
            {"tag": "demo/tank/level", "period_s": 600, "unit": "%", "noise": 0.5},
        ),
        Example("A thousand sensors at 1 Hz", {"tag": "demo/sensor", "count": 1000, "noise": 1}),
        Example("A random walk", {"tag": "demo/price", "shape": "walk", "low": 90, "high": 110}),
    )

    def __init__(self, config: SimulateConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        names = [config.tag]
        if config.count > 1:
            names = [f"{config.tag}/{i}" for i in range(1, config.count + 1)]
        span = config.high - config.low
        tags = [Tag(n, config.unit, config.low - span / 10, config.high + span / 10) for n in names]
        self._names = names
        self._codes = np.array([ctx.tags.add(tag) for tag in tags], np.uint16)
        self._k = 0
        self._due_s = 0.0
        self._made_at = 0
        self._walk = np.full(len(names), (config.low + config.high) / 2)

    def tag_names(self) -> list[str]:
        return self._names

    async def connect(self) -> None:
        self._due_s = self.ctx.clock.monotonic()

    async def read(self) -> Reading:
        gap: Gap | None = None
        pause = self._due_s - self.ctx.clock.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        elif pause < -self.config.every_s:
            gap = self._late(-pause) if self._made_at else None
            self._due_s = self.ctx.clock.monotonic()
        else:
            await asyncio.sleep(0)
        self._due_s += self.config.every_s
        value = self.sample(self._k)
        self._k += 1
        now = self.ctx.clock.now()
        ts = np.full(len(self._codes), now, np.int64)
        outputs: dict[str, Message] = {"out": Batch.columns(self._codes, ts, value)}
        if gap is not None:
            outputs["status"] = (gap.event(),)
        self._made_at = now
        return Reading(outputs)

    def _late(self, late_s: float) -> Gap:
        """What was not made because the flow was busy."""
        missed, now = int(late_s / self.config.every_s), self.ctx.clock.now()
        return Gap(self.ctx.node_id, "poll_missed", self._made_at, now, missing=missed)

    def sample(self, k: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Values of all tags at sample number `k`, (tags,)."""
        config = self.config
        random = np.random.Generator(np.random.Philox(key=config.seed, counter=[k, 0, 0, 0]))
        noise = random.standard_normal(len(self._codes))
        span, middle = config.high - config.low, (config.high + config.low) / 2
        if config.shape == "walk":
            step = noise * span / 100
            self._walk = np.clip(self._walk + step, config.low, config.high)
            return self._walk.copy()
        turn = ((k * config.every_s + config.phase_s) / config.period_s) % 1.0
        match config.shape:
            case "sine":
                base = middle + span / 2 * math.sin(2 * math.pi * turn)
            case "ramp":
                base = config.low + span * turn
            case "square":
                base = config.high if turn < 0.5 else config.low
            case _:
                base = middle
        return base + config.noise * noise
