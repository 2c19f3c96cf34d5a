"""Quality alarm: a sensor that says itself that its value cannot be used."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from gateway import AlarmEvent, Batch, Context, Example, Priority, quality
from nodes.alarm._base import LevelConfig, LevelNode
from nodes.alarm._desk import Alarm
from nodes.alarm._level import Level

_AWAY = np.array(
    [
        quality.BAD_NO_COMMUNICATION,
        quality.BAD_NOT_CONNECTED,
        quality.BAD_COMMUNICATION,
        quality.BAD_WAITING,
    ],
    np.uint32,
)


class QualityConfig(LevelConfig):
    worse_than: Literal["good", "uncertain"] = Field(
        "uncertain", description="Worst quality that is still no alarm."
    )
    priority: Priority = Field("medium", description="Priority of the alarm.")


class Quality(LevelNode[QualityConfig]):
    """Raise the alarm BAD of a tag whose samples have a bad quality for `on_delay_s`.

    A broken wire or a failed sensor is told by the device in the quality of its samples. That
    the device itself is away is no news of the sensor: samples that say so hold everything,
    because alarm.communication raises one alarm for the whole device. The alarm's number is the
    severity: 0 good, 1 uncertain, 2 bad.

    State: last quality, delays and alarms, per tag.
    Cost: O(n) a batch, about 40 ns a row while nothing changes.
    Source: OPC 10000-4 v1.05, 7.38 StatusCode severity.
    """

    Config = QualityConfig
    examples = (
        Example(
            "A sensor is unplugged for ten seconds",
            {"on_delay_s": 2},
            given="TT1 0s 20 | 5s nan Bad_SensorFailure | 6s nan Bad_SensorFailure | 15s 20",
            expect="7s TT1 BAD raised UNACK 2 1\n15s TT1 BAD returned RTNUN 0 1",
        ),
        Example(
            "A lost device is not the sensor's failure",
            {},
            given="TT1 0s 20 | 5s nan Bad_NoCommunication | 15s 20",
            expect="",
        ),
        Example(
            "Uncertain counts when it is told to",
            {"worse_than": "good"},
            given="TT1 0s 20 | 5s 20 uncertain | 6s 20",
            expect="5s TT1 BAD raised UNACK 1 0\n6s TT1 BAD returned RTNUN 0 0",
        ),
    )

    def __init__(self, config: QualityConfig, ctx: Context) -> None:
        # What is compared is the whole code, so that the text can name the one that decided.
        worst = 1 if config.worse_than == "uncertain" else 0
        self._limit = float(worst)
        level = Level("BAD", 1, float(((worst + 1) << 30) - 1), 0.0, config.priority)
        super().__init__(config, ctx, [level])

    def _receive(self, message: Batch) -> list[AlarmEvent]:
        speaks = ~np.isin(message.quality, _AWAY)
        rows = message if speaks.all() else message.where(speaks)
        good = np.zeros(len(rows), np.uint32)
        return self._watch.feed(Batch(rows.tag, rows.ts, rows.quality.astype(np.float64), good))

    def _alarm_of(self, tag: str, condition: str) -> Alarm | None:
        mine = condition == "BAD" and tag in self.ctx.tags and self._watches(tag)
        return Alarm(tag, condition, self.config.priority, self._limit, "") if mine else None

    def _decided(
        self, code: int, level: Level, on: bool, ts: int, value: float
    ) -> list[AlarmEvent]:
        tag, status = self.ctx.tags.name(code), int(value)
        severity = float(min(status >> 30, 2))
        alarm = Alarm(tag, "BAD", self.config.priority, self._limit, "", severity)
        if on:
            text = f"{tag} has no value that can be used; its sensor says {quality.name(status)}"
        else:
            text = f"{tag} has values that can be used again"
        return self._desk.condition(alarm, on, ts, self._lasting(text, on))
