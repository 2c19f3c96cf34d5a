"""Setpoints: which values of a batch may be written, and which not and why.

Not a family: `modbus` and `serial` both write setpoints, and the rule of safety is one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Protocol

from pydantic import Field

from gateway import Batch, Context, PositiveSeconds

MaxAge = Annotated[
    PositiveSeconds,
    Field(description="An older value is dropped: a setpoint that comes late does harm."),
]
Least = Annotated[
    float | None, Field(description="A value below it is refused, in the tag's unit.")
]
Greatest = Annotated[
    float | None, Field(description="A value above it is refused, in the tag's unit.")
]


class Limits(Protocol):
    """What a setpoint may be; a tag's config has it."""

    @property
    def min(self) -> float | None: ...

    @property
    def max(self) -> float | None: ...


def newest_allowed(
    batch: Batch, tags: Mapping[str, Limits], max_age_s: float, ctx: Context
) -> tuple[dict[str, float], list[str]]:
    """The newest value of each tag that may be written, and sentences about those refused.

    Bad, old and unknown ones are counted and dropped. A value outside its limits is refused
    and not clamped: a clamped setpoint is one that nobody asked for.
    """
    oldest = ctx.clock.now() - round(max_age_s * 1e9)
    found: dict[str, tuple[int, float]] = {}
    for code, ts, value, status in batch.rows():
        name = ctx.tags.name(code)
        if name not in tags:
            ctx.count("unmapped")
        elif status >> 30 or not math.isfinite(value):
            ctx.count("dropped_bad")
        elif ts < oldest:
            ctx.count("dropped_stale")
            ctx.say("warning", f"{name} = {value:g} was too old and is not written.")
        elif name not in found or ts >= found[name][0]:
            found[name] = (ts, value)
    allowed: dict[str, float] = {}
    refused: list[str] = []
    for name, (_, value) in found.items():
        least, greatest = tags[name].min, tags[name].max
        low = -math.inf if least is None else least
        high = math.inf if greatest is None else greatest
        if low <= value <= high:
            allowed[name] = value
        else:
            ctx.count("dropped_limit")
            refused.append(f"{name} = {value:g} is outside its limits {low:g} to {high:g}")
    return allowed, refused
