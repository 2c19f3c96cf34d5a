"""Deviation alarm: a value too far from where it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gateway import AlarmEvent, Batch, Context, Example, Priority, TagName, amount
from nodes.alarm._base import LevelConfig, LevelNode, against
from nodes.alarm._desk import Alarm
from nodes.alarm._level import Level


class DeviationConfig(LevelConfig):
    setpoint: float | TagName = Field(
        examples=[70],
        description="Where the value should be: a number in its unit, or the name of a tag.",
    )
    limit: float = Field(
        gt=0, examples=[5], description="Alarm when the value is further away than this."
    )
    deadband: float = Field(
        0, ge=0, description="How far inside the limit an active alarm returns, in the tag's unit."
    )
    priority: Priority = Field("medium", description="Priority of the alarm.")


class _Setpoint:
    """The setpoint that holds now; NaN while it is unknown or bad."""

    def __init__(self, value: float) -> None:
        self.cell = np.array([value])

    def save(self) -> Mapping[str, NDArray[Any]]:
        return {"value": self.cell.copy()}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.cell[:] = state["value"]


class Deviation(LevelNode[DeviationConfig]):
    """Raise the alarm DEV when a value is further from its setpoint than `limit`.

    The setpoint is a constant or a tag on the same wire. When the setpoint moves, every
    value is compared again at once; while it is unknown or bad, every condition is held.
    The number of the alarm is the difference: negative below the setpoint.

    State: setpoint, last value and difference, delays and alarms, per tag.
    Cost: O(n) a batch, about 25 ns a row; a setpoint that moves costs O(tags).
    Source: OPC 10000-9 v1.05, 5.8.20 DeviationAlarmType.
    """

    Config = DeviationConfig
    tunable = frozenset(("limit", "deadband"))
    examples = (
        Example(
            "More than five from a constant",
            {"setpoint": 70, "limit": 5},
            given="TT101 0s 72 | 10s 64 | 20s 75",
            expect="10s TT101 DEV raised UNACK -6 5\n20s TT101 DEV returned RTNUN 5 5",
        ),
        Example(
            "A setpoint that moves",
            {"setpoint": "SP101", "limit": 5, "on_delay_s": 10},
            given="SP101 0s 70 | 20s 80\nTT101 5s 71 | 25s 73 | 40s 79",
            expect="30s TT101 DEV raised UNACK -7 5\n40s TT101 DEV returned RTNUN -1 5",
        ),
        Example(
            "A bad setpoint holds",
            {"setpoint": "SP101", "limit": 5},
            given="TT101 0s 99 | 2s 70 | 4s 99 | 7s 99\nSP101 1s 70 bad | 3s 70 | 5s 0 bad | 6s 99",
            expect="4s TT101 DEV raised UNACK 29 5\n6s TT101 DEV returned RTNUN 0 5",
        ),
    )

    def __init__(self, config: DeviationConfig, ctx: Context) -> None:
        level = Level("DEV", 0, config.limit, config.deadband, config.priority)
        super().__init__(config, ctx, [level])
        named = isinstance(config.setpoint, str)
        start = np.nan if isinstance(config.setpoint, str) else config.setpoint
        self._setpoint = self.keep("setpoint", _Setpoint(start)) if named else _Setpoint(start)
        self._value = self.per_tag("process", np.nan)
        self._code: int | None = None

    def _receive(self, message: Batch) -> list[AlarmEvent]:
        name = self.config.setpoint
        if self._code is None and isinstance(name, str) and name in self.ctx.tags:
            self._code = self.ctx.tags.code(name)
        if self._code is None:
            return self._compare(message)
        found: list[AlarmEvent] = []
        start = 0
        for row in np.flatnonzero(message.tag == self._code).tolist():
            found += self._compare(message.where(slice(start, row)))
            found += self._move(message, row)
            start = row + 1
        return found + self._compare(message.where(slice(start, None)))

    def _compare(self, rows: Batch) -> list[AlarmEvent]:
        """Compare values with the setpoint that holds now."""
        if len(rows) == 0:
            return []
        away = rows.value - self._setpoint.cell
        found = self._watch.feed(Batch(rows.tag, rows.ts, away, rows.quality))
        if isinstance(self.config.setpoint, str):
            at = rows.tag.astype(np.intp)
            newest = rows.ts == self._watch.newest(at)
            value = np.where(rows.good, rows.value, np.nan)
            self._value[at[newest]] = value[newest]
        return found

    def _move(self, message: Batch, row: int) -> list[AlarmEvent]:
        """The setpoint has a new value: compare the last value of every tag with it."""
        good = bool(message.good[row]) and np.isfinite(message.value[row])
        new = float(message.value[row]) if good else np.nan
        old = float(self._setpoint.cell[0])
        if new == old or (new != new and old != old):
            return []
        self._setpoint.cell[0] = new
        tag = np.flatnonzero(~np.isnan(self._value[: len(self.ctx.tags)]))
        ts = int(message.ts[row])
        found: list[AlarmEvent] = []
        for code, value in zip(tag.tolist(), self._value[tag].tolist(), strict=True):
            found += self._watch.reconsider(code, ts, value - new)
        return found

    def _watches(self, name: str) -> bool:
        return name != self.config.setpoint and self._fits(name)

    def _text(self, alarm: Alarm, level: Level, on: bool) -> str:
        setpoint = self.config.setpoint
        where = setpoint if isinstance(setpoint, str) else amount(setpoint, alarm.unit)
        value = amount(alarm.value, alarm.unit)
        more = "more than" if on else "no longer more than"
        return (
            f"{alarm.tag} is {value} from its setpoint {where}, "
            f"{more} {against(level, alarm.unit, on)}"
        )
