"""Rate alarm: a value that rises or falls too fast."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from gateway import AlarmEvent, Batch, Context, Example, PositiveSeconds, Priority, amount
from models.rate import Rate as RateKernel
from nodes.alarm._base import LevelConfig, LevelNode, against
from nodes.alarm._desk import Alarm
from nodes.alarm._level import Level


class RateConfig(LevelConfig):
    limit: float = Field(
        gt=0,
        examples=[0.5],
        description="Alarm when the value rises or falls faster than this, in its unit per second.",
    )
    horizon_s: PositiveSeconds = Field(
        10, description="The time over which the change is measured."
    )
    deadband: float = Field(
        0,
        ge=0,
        description="How far inside the limit an active alarm returns, in units per second.",
    )
    priority: Priority = Field("medium", description="Priority of the alarm.")


class Rate(LevelNode[RateConfig]):
    """Raise the alarm RATE when a value changes faster than `limit` over `horizon_s`.

    The rate is the difference to the sample one horizon ago, divided by the time between
    them; before half a horizon has been seen there is none. Its sign is kept in the alarm:
    a negative rate falls.

    State: up to 32 samples over the horizon, last rate, delays and alarms, per tag.
    Cost: O(n) a batch; the rate is most of it, about 60 µs a round of tags.
    Source: the same measure as `detect.rate`, see `models/rate.py`.
    """

    Config = RateConfig
    tunable = frozenset(("limit", "deadband"))
    examples = (
        Example(
            "Oil heats up too fast",
            {"limit": 0.5, "horizon_s": 10},
            given="TT101 0s 20 | 5s 20 | 10s 24 | 15s 30 | 20s 31 | 30s 31",
            expect="15s TT101 RATE raised UNACK 1 0.5\n30s TT101 RATE returned RTNUN 0 0.5",
        ),
        Example(
            "A pressure that falls, for at least four seconds",
            {"limit": 1, "horizon_s": 4, "on_delay_s": 4},
            given="PT7 0s 90 | 2s 90 | 4s 80 | 6s 70 | 8s 60 | 10s 60 | 12s 60",
            expect="8s PT7 RATE raised UNACK -5 1\n12s PT7 RATE returned RTNUN 0 1",
        ),
        Example(
            "A bad sample is no change",
            {"limit": 1, "horizon_s": 4},
            given="PT7 0s 90 | 2s 90 | 3s 0 bad | 4s 90",
            expect="",
        ),
    )

    def __init__(self, config: RateConfig, ctx: Context) -> None:
        level = Level("RATE", 0, config.limit, config.deadband, config.priority)
        super().__init__(config, ctx, [level])
        self._rate = self.keep("rate", RateKernel(ctx.tags.limit, horizon_s=config.horizon_s))

    def _receive(self, message: Batch) -> list[AlarmEvent]:
        good = message.good & np.isfinite(message.value)
        usable = np.flatnonzero(good)
        part = message.where(usable)
        rate = np.full(len(message), np.nan)
        for rows in part.rounds():
            rate[usable[rows]] = self._rate.score(part.tag[rows], part.ts[rows], part.value[rows])
        # A bad row holds the condition; a good one without a rate yet says nothing.
        said = ~good | ~np.isnan(rate)
        rated = Batch(message.tag, message.ts, rate, message.quality)
        return self._watch.feed(rated if said.all() else rated.where(said))

    def _unit(self, code: int) -> str:
        unit = self.ctx.tags[code].unit
        return f"{unit}/s" if unit else "/s"

    def _text(self, alarm: Alarm, level: Level, on: bool) -> str:
        value = amount(alarm.value, alarm.unit)
        faster = "faster than" if on else "no longer faster than"
        return f"{alarm.tag} changes by {value}, {faster} {against(level, alarm.unit, on)}"
