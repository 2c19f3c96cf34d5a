"""The difference between two runs: alarms added, removed and moved; rows at every end.

Nothing here keeps all of a run. What is the same in one step is counted at once; the rest waits
for a partner in bounded room. So the same code compares a day replayed at full speed and a
shadow that runs beside a live flow for a year.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from gateway.engine.replay_alarms import ALARMS_KEPT, AlarmDiff
from gateway.engine.replay_ends import NOTHING, End, Ledger, NameIds, Seen
from gateway.engine.replay_rows import EndDiff


class Comparison:
    """Two runs over the same steps, compared as they go.

    Args:
        settle_ns: How long what has no partner waits [ns of steps]; None until the end.
        examples: Differences kept for each end.
        newest: Keep the newest differences instead of the first.
        writes: Sinks and workers that can change the plant.
    """

    def __init__(
        self,
        *,
        settle_ns: int | None = None,
        examples: int = 20,
        newest: bool = False,
        writes: Collection[str] = (),
    ) -> None:
        self.ids = NameIds()
        """The names of the tags of both runs."""
        kept = examples if newest else ALARMS_KEPT
        self.alarms = AlarmDiff(settle_ns=settle_ns, kept=kept, newest=newest)
        self.ledgers = Ledger(self.ids, writes), Ledger(self.ids, writes)
        self.ends: dict[End, EndDiff] = {}
        self._writes = frozenset(writes)
        self._new_end = partial(
            EndDiff, self.ids, settle_ns=settle_ns, examples=examples, newest=newest
        )

    def step(self, now: int, left: Seen, right: Seen) -> None:
        """Take what left each run in one step."""
        for side, seen in enumerate((left, right)):
            self.ledgers[side].take(now, seen)
            if seen.alarms:
                self.alarms.add(side, seen.alarms, now)
        for end in dict.fromkeys((*left.ends, *right.ends)):
            diff = self.ends.get(end)
            if diff is None:
                diff = self.ends[end] = self._new_end()
            here, there = left.ends.get(end, NOTHING), right.ends.get(end, NOTHING)
            if here.data == there.data:
                diff.same(here.n)
            else:
                diff.add(now, here, there)

    def settle(self, now: int, *, close: bool = False) -> None:
        """Decide what can be decided; everything when nothing more comes."""
        self.alarms.settle(now, close=close)
        for diff in self.ends.values():
            diff.settle(now, close=close)

    @property
    def differences(self) -> int:
        """Alarm events and rows that are not the same, as far as it is decided."""
        rows = sum(diff.counts.differences for diff in self.ends.values())
        return self.alarms.differences.total + rows

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values; rows at ends that can change the plant under `writes`."""
        ends: list[dict[str, Any]] = []
        writes: list[dict[str, Any]] = []
        tallies = [ledger.ends() for ledger in self.ledgers]
        for (node, port), diff in sorted(self.ends.items()):
            mine = [side.get((node, port), (0, "")) for side in tallies]
            counts = diff.counts
            row = {
                "end": f"{node}.{port}",
                "rows": [count for count, _ in mine],
                "same": counts.same,
                "changed": counts.changed,
                "only_left": counts.left,
                "only_right": counts.right,
                "largest_change": counts.largest,
                "crowded": diff.crowded,
                "is_same_order": mine[0] == mine[1] or diff.has_alarms,
                "examples": diff.examples(),
            }
            (writes if node in self._writes else ends).append(row)
        return {
            "differences": self.differences,
            "digests": [ledger.digest for ledger in self.ledgers],
            "alarms": self.alarms.as_dict(),
            "ends": ends,
            "writes": writes,
        }


__all__ = ["Comparison"]
