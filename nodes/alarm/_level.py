"""Levels: limits with a deadband, and what one tag remembers about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway import Priority

NEVER: Final = int(np.iinfo(np.int64).max)
UNSEEN: Final = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True)
class Level:
    """One limit on a value.

    Args:
        condition: Its name, such as HI.
        side: 1 holds above the limit, -1 below it, 0 for magnitudes above it.
        limit: What the value is compared with; the limit itself is still good.
        deadband: An active condition ends at this distance inside the limit.
        priority: Of its alarm.
    """

    condition: str
    side: int
    limit: float
    deadband: float = 0.0
    priority: Priority = "medium"

    def edge(self, active: bool) -> float:
        """Where the condition changes: at the limit, or inside it once it is active."""
        return self.limit - (self.side or 1) * self.deadband if active else self.limit

    def holds(self, value: float, active: bool) -> bool:
        """True while the value is beyond the edge."""
        edge = self.edge(active)
        if self.side < 0:
            return value < edge
        return (value if self.side else abs(value)) > edge

    def zone(self, holds: bool, active: bool, value: float) -> tuple[float, float]:
        """(low, high): values between them, ends included, leave `holds` as it is."""
        edge = self.edge(active)
        if self.side < 0:
            return (-math.inf, math.nextafter(edge, -math.inf)) if holds else (edge, math.inf)
        if self.side > 0:
            return (math.nextafter(edge, math.inf), math.inf) if holds else (-math.inf, edge)
        if not holds:
            return -edge, edge
        if value > 0:
            return math.nextafter(edge, math.inf), math.inf
        return -math.inf, math.nextafter(-edge, -math.inf)


class Point:
    """What one tag remembers beside its arrays; only tags that were once in trouble have it."""

    __slots__ = ("active", "clock", "due", "late", "moved")

    def __init__(self, levels: int) -> None:
        self.active = [False] * levels
        self.due = [NEVER] * levels
        self.clock = UNSEEN
        self.late = 0
        self.moved = False
