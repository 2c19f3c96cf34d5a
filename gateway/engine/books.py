"""Books: what became of every row that a flow made for a sink."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.engine.lane import Waiting
from gateway.engine.wiring import rows


@dataclass(slots=True)
class Spill:
    """Messages of one lane that are about to be stored as a block of so many bytes."""

    items: Sequence[Waiting]
    bytes: int = 0

    @property
    def first(self) -> int:
        return self.items[0].number

    @property
    def last(self) -> int:
        return self.items[-1].number

    @property
    def rows(self) -> int:
        return sum(rows(item.message) for item in self.items)


@dataclass(slots=True)
class Books:
    """Rows of one sink since the state began: offered is the sum of all others and of what waits.

    Args:
        offered: Rows the flow made for it.
        delivered: Rows it has taken.
        dead: Rows it refused; they are dead letters.
        dropped: Rows that were given up, by reason.
    """

    offered: int = 0
    delivered: int = 0
    dead: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def unbalanced(self, queued: int) -> int:
        """Rows nobody can account for; anything but 0 is a fault of ours."""
        return self.offered - self.delivered - self.dead - self.dropped.total() - queued
