"""What the alarm nodes share: options, ports, operators' actions and timers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeVar

from pydantic import Field, model_validator

from gateway import (
    AlarmEvent,
    AlarmOptions,
    Alarms,
    Batch,
    Config,
    Context,
    Outputs,
    Port,
    Seconds,
    TagFilter,
    Transform,
    amount,
    pattern_of,
)
from nodes.alarm._desk import Alarm, Desk
from nodes.alarm._level import Level
from nodes.alarm._machine import Watch

OPERATOR = Port("operator", "events", "Acknowledge, reset, shelve and the like: `alarm/<action>`.")
ALARMS = Port("alarms", "alarms", "Every transition of this node's alarms.")


class DeskConfig(Config):
    latch: bool = Field(
        False,
        description="Keep the alarm after its condition has gone, until somebody resets it.",
        json_schema_extra={"advanced": True},
    )
    auto_ack: bool = Field(
        False,
        description="Close the alarm when its condition has gone, acknowledged or not.",
        json_schema_extra={"advanced": True},
    )
    realarm_s: Seconds = Field(
        0,
        description="Annunciate again what nobody acknowledged for this long; 0 never does.",
        json_schema_extra={"advanced": True},
    )
    shelve_max_s: Seconds = Field(
        8 * 3600,
        description="The longest time an operator may shelve it; 0 forbids shelving.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _one_ending(self) -> DeskConfig:
        if self.latch and self.auto_ack:
            raise ValueError("`latch` and `auto_ack` exclude each other: choose how the alarm ends")
        return self


class LevelConfig(DeskConfig):
    tags: TagFilter = Field("#", description="Which tags to watch; # is every tag of the wire.")
    on_delay_s: Seconds = Field(
        0, description="The condition must hold this long before the alarm is raised."
    )
    off_delay_s: Seconds = Field(
        0, description="The condition must be gone this long before the alarm returns."
    )


_TUNABLE: Final = frozenset(
    ("latch", "auto_ack", "realarm_s", "shelve_max_s", "on_delay_s", "off_delay_s", "priority")
)
C = TypeVar("C", bound=DeskConfig)
L = TypeVar("L", bound=LevelConfig)


class DeskNode(Transform[C, Any]):
    """A node with alarms: dispatches messages and fires timers in the order they are due."""

    inputs: ClassVar[tuple[Port, ...]] = (
        Port("in", "samples", "Samples to watch; they are not passed on."),
        OPERATOR,
    )
    outputs: ClassVar[tuple[Port, ...]] = (ALARMS,)
    tunable: ClassVar[frozenset[str]] = frozenset()
    """Options of a node's own that may change while its alarms are open."""

    def __init__(self, config: C, ctx: Context) -> None:
        super().__init__(config, ctx)
        options = AlarmOptions(config.latch, config.auto_ack, round(config.shelve_max_s * 1e9))
        self._desk = self.keep(
            "desk", Desk(ctx, options, round(config.realarm_s * 1e9), self._alarm_of)
        )

    def process(self, message: Any, port: str) -> Outputs:
        found = self._desk.act(message) if port == OPERATOR.name else self._receive(message)
        return _outputs(found)

    def wake_at(self) -> int | None:
        mine, desk = self._timer_at(), self._desk.wake_at()
        return desk if mine is None else mine if desk is None else min(mine, desk)

    def wake(self, now: int) -> Outputs:
        found: list[AlarmEvent] = []
        while (due := self.wake_at()) is not None and due <= now:
            found += self._timer(due)
            found += self._desk.wake(due)
        return _outputs(found)

    def keeps(self, old: C) -> bool:
        """Limits, delays, deadbands and priorities may change; what is watched may not.

        The next sample is held against what is new. A delay that runs ends as it was begun.
        """
        options = type(self.config).model_fields
        changed = {name for name in options if getattr(old, name) != getattr(self.config, name)}
        return changed <= _TUNABLE | self.tunable

    def clock_set(self, ns: int) -> None:
        super().clock_set(ns)
        self._desk.clock_set(ns)

    def _alarm_of(self, tag: str, condition: str) -> Alarm | None:
        """A fresh alarm when the tag and the condition are this node's own."""
        raise NotImplementedError

    def _receive(self, message: Any) -> list[AlarmEvent]:
        """Work on a message of the first port."""
        raise NotImplementedError

    def _timer_at(self) -> int | None:
        """When the node's own next timer is due [ns], or None."""
        raise NotImplementedError

    def _timer(self, now: int) -> list[AlarmEvent]:
        """Fire the node's own timers that are due at `now` [ns]."""
        raise NotImplementedError


def _outputs(found: list[AlarmEvent]) -> Outputs:
    alarms: Alarms = tuple(found)
    return {ALARMS.name: alarms} if alarms else {}


class LevelNode(DeskNode[L]):
    """A node whose conditions are levels on a number per tag.

    Args:
        levels: What to compare the number with, innermost first.
    """

    def __init__(self, config: L, ctx: Context, levels: Sequence[Level]) -> None:
        self._fits = pattern_of(config.tags)
        self._levels = {level.condition: level for level in levels}
        super().__init__(config, ctx)
        self._watch: Watch[AlarmEvent] = self.keep(
            "watch",
            Watch(
                self,
                levels,
                (config.on_delay_s, config.off_delay_s),
                self._watches,
                self._decided,
            ),
        )

    def paused(self, ns: int) -> None:
        self._watch.paused(ns)

    def clock_set(self, ns: int) -> None:
        super().clock_set(ns)
        self._watch.clock_set(ns)

    def _receive(self, message: Batch) -> list[AlarmEvent]:
        return self._watch.feed(message)

    def _timer_at(self) -> int | None:
        return self._watch.wake_at()

    def _timer(self, now: int) -> list[AlarmEvent]:
        return self._watch.wake(now)

    def _alarm_of(self, tag: str, condition: str) -> Alarm | None:
        name, level = self._watched_name(tag), self._levels.get(condition)
        if level is None or name not in self.ctx.tags or not self._watches(name):
            return None
        unit = self._unit(self.ctx.tags.code(name))
        return Alarm(tag, condition, level.priority, level.limit, unit)

    def _decided(
        self, code: int, level: Level, on: bool, ts: int, value: float
    ) -> list[AlarmEvent]:
        tag = self._alarm_name(code)
        alarm = Alarm(tag, level.condition, level.priority, level.limit, self._unit(code), value)
        text = self._lasting(self._text(alarm, level, on), on)
        return self._desk.condition(alarm, on, ts, text)

    def _lasting(self, whole: str, on: bool) -> str:
        """A text, and how long the condition held or was gone."""
        delay_s = self.config.on_delay_s if on else self.config.off_delay_s
        return f"{whole} for {amount(delay_s, 's')}" if delay_s else whole

    def _watches(self, name: str) -> bool:
        """Whether samples of this tag are watched."""
        return self._fits(name)

    def _watched_name(self, tag: str) -> str:
        """The tag whose samples decide the alarm of `tag`."""
        return tag

    def _alarm_name(self, code: int) -> str:
        """The tag an alarm is about."""
        return self.ctx.tags.name(code)

    def _unit(self, code: int) -> str:
        """Unit of the number that is compared."""
        return self.ctx.tags[code].unit

    def _text(self, alarm: Alarm, level: Level, on: bool) -> str:
        """Why the condition holds or holds no longer, without the delay."""
        raise NotImplementedError


def against(level: Level, unit: str, on: bool) -> str:
    """``the HI limit 75 Cel``; once it is over with the deadband that had to be passed."""
    condition, limit = level.condition, amount(level.limit, unit)
    if on or not level.deadband:
        return f"the {condition} limit {limit}"
    return f"the {condition} limit {limit} with deadband {amount(level.deadband, unit)}"
