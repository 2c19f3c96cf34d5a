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

    def settle(self, queued: int, reason: str) -> None:
        """After a loss: rows that nobody can account for are counted as lost, not hidden.

        Args:
            queued: Rows that wait.
            reason: What to call it; empty where what is missing was delivered by a version of
                this program that did not count.
        """
        missing = self.unbalanced(queued)
        if missing > 0 and not reason:
            self.delivered += missing
        elif missing > 0:
            self.dropped[reason] += missing
        else:
            self.offered -= missing

    def recount(self, queued: int, *, is_stale: bool) -> None:
        """After a replay: some of what was dropped waits again, or is dropped a second time.

        A row that gave way to a newer one, or found no room, has left no mark, so the replay
        makes it again. Of a sink that takes fresh rows only, all that is not known to have been
        taken is too old by now.

        Args:
            queued: Rows that wait.
            is_stale: True for such a sink.
        """
        twice = -self.unbalanced(queued)
        for reason in ("stale",) if is_stale else ("superseded", "full"):
            back = twice if is_stale else min(max(twice, 0), self.dropped[reason])
            if back:
                self.dropped[reason] -= back
                twice -= back

    def unbalanced(self, queued: int) -> int:
        """Rows nobody can account for; anything but 0 is a fault of ours."""
        return self.offered - self.delivered - self.dead - self.dropped.total() - queued
