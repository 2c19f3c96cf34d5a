"""Limit alarm: a value above or below what is allowed."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field, model_validator

from gateway import Context, Example, Priority, amount
from nodes.alarm._base import LevelConfig, LevelNode, against
from nodes.alarm._desk import Alarm
from nodes.alarm._level import Level


class LimitConfig(LevelConfig):
    hihi: float | None = Field(None, description="Alarm HIHI above this, in the tag's unit.")
    hi: float | None = Field(
        None, examples=[75], description="Alarm HI above this, in the tag's unit."
    )
    lo: float | None = Field(None, description="Alarm LO below this, in the tag's unit.")
    lolo: float | None = Field(None, description="Alarm LOLO below this, in the tag's unit.")
    hihi_priority: Priority = Field("high", description="Priority of HIHI.")
    hi_priority: Priority = Field("medium", description="Priority of HI.")
    lo_priority: Priority = Field("medium", description="Priority of LO.")
    lolo_priority: Priority = Field("high", description="Priority of LOLO.")
    deadband: float = Field(
        0,
        ge=0,
        description="How far inside the limit an active alarm returns, in the tag's unit.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> LimitConfig:
        named = (("lolo", self.lolo), ("lo", self.lo), ("hi", self.hi), ("hihi", self.hihi))
        given = [(name, value) for name, value in named if value is not None]
        if not given:
            raise ValueError("give at least one of `hihi`, `hi`, `lo` and `lolo`")
        for (low, a), (high, b) in pairwise(given):
            if a >= b:
                raise ValueError(f"`{low}` is {a:g}; it must be below `{high}`, which is {b:g}")
        highs = [value for name, value in given if name.startswith("hi")]
        lows = [value for name, value in given if name.startswith("lo")]
        if highs and lows and self.deadband >= highs[0] - lows[-1]:
            raise ValueError("`deadband` must be smaller than the room between the limits")
        return self


class Limit(LevelNode[LimitConfig]):
    """Raise an alarm when a value is above `hi` or `hihi`, or below `lo` or `lolo`.

    A value at the limit is still good. Each level is an alarm of its own: what is above HIHI
    is above HI too, so both are open, and each is acknowledged for itself. Crossing HIHI is
    thus announced although HI was acknowledged; on the way back HIHI returns first.
    Bad and Uncertain samples hold everything: they raise nothing and return nothing.

    State: last sample, delays and alarms, per tag.
    Cost: O(n) a batch, about 20 ns a row while nothing changes.
    Source: ANSI/ISA-18.2-2016; OPC 10000-9 v1.05, 5.8.19 NonExclusiveLimitAlarmType.
    """

    Config = LimitConfig
    stage = "stable"
    tunable = frozenset(
        f"{level}{what}" for level in ("hihi", "hi", "lo", "lolo") for what in ("", "_priority")
    ) | {"deadband"}
    examples = (
        Example(
            "Too hot for ten seconds",
            {"hi": 75, "on_delay_s": 10},
            given="TT101 0s 70 | 5s 76 | 12s 76.2 | 20s 77 | 30s 70",
            expect="15s TT101 HI raised UNACK 76.2 75\n30s TT101 HI returned RTNUN 70 75",
        ),
        Example(
            "A timer raises the alarm of a tag that fell silent",
            {"hi": 75, "on_delay_s": 10},
            given="TT101 5s 76",
            expect="15s TT101 HI raised UNACK 76 75",
            until="1min",
        ),
        Example(
            "The deadband keeps a value at the limit from chattering",
            {"hi": 75, "deadband": 2},
            given="TT101 0s 75 | 1s 76 | 2s 74 | 3s 76 | 4s 73",
            expect="1s TT101 HI raised UNACK 76 75\n4s TT101 HI returned RTNUN 73 75",
        ),
        Example(
            "HIHI beside HI, acknowledged each for itself",
            {"hi": 75, "hihi": 90},
            given={
                "in": "TT101 0s 80 | 10s 95 | 20s 85 | 30s 70",
                "operator": '5s alarm/ack {"alarm": "example/node:TT101:HI", "occurrence": 1}',
            },
            expect="0s TT101 HI raised UNACK 80 75\n5s TT101 HI acked ACKED 80 75\n"
            "10s TT101 HIHI raised UNACK 95 90\n20s TT101 HIHI returned RTNUN 85 90\n"
            "30s TT101 HI cleared NORM 70 75",
        ),
        Example(
            "A bad sample holds the condition and the delay starts over",
            {"lo": 2, "on_delay_s": 10},
            given="PT7 0s 1 | 5s 1 bad | 12s 1 | 22s 1 | 30s 9 bad",
            expect="22s PT7 LO raised UNACK 1 2",
        ),
        Example(
            "Shelved for a minute; still too high, it is announced anew",
            {"hi": 75},
            given={
                "in": "TT101 0s 80",
                "operator": '1s alarm/shelve {"alarm": "*", "for_s": 60, "reason": "repair"}',
            },
            expect="0s TT101 HI raised UNACK 80 75\n1s TT101 HI shelved UNACK/SHLVD 80 75\n"
            "61s TT101 HI unshelved UNACK 80 75",
            until="2min",
        ),
    )

    def __init__(self, config: LimitConfig, ctx: Context) -> None:
        c = config
        wanted = (
            ("HI", 1, c.hi, c.hi_priority),
            ("HIHI", 1, c.hihi, c.hihi_priority),
            ("LO", -1, c.lo, c.lo_priority),
            ("LOLO", -1, c.lolo, c.lolo_priority),
        )
        levels = [
            Level(condition, side, limit, config.deadband, priority)
            for condition, side, limit, priority in wanted
            if limit is not None
        ]
        super().__init__(config, ctx, levels)

    def keeps(self, old: LimitConfig) -> bool:
        """As long as no level is taken away, whose alarm nobody would end."""
        held = all(
            getattr(old, name) is None or getattr(self.config, name) is not None
            for name in ("hihi", "hi", "lo", "lolo")
        )
        return held and super().keeps(old)

    def _text(self, alarm: Alarm, level: Level, on: bool) -> str:
        is_ = "is" if on else "is no longer"
        side = "above" if level.side > 0 else "below"
        value = amount(alarm.value, alarm.unit)
        return f"{alarm.tag} {value} {is_} {side} {against(level, alarm.unit, on)}"
