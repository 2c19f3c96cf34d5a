"""The alarm events of two runs: the same, changed, moved in time, added or removed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.data.alarm import AlarmEvent
from gateway.engine.codec import plain
from gateway.engine.replay_ends import Kept

MOVED_MAX_NS: Final = 3600 * 10**9  # An alarm that moved further is another alarm.
WAITING_ALARMS_MAX: Final = 100_000
ALWAYS: Final = 2**62
ALARMS_KEPT: Final = 10_000
AlarmKind = Literal["added", "removed", "moved", "changed"]
_COMPARED: Final = ("state", "overlay", "priority", "value", "limit", "unit")
"""Facts; the text only says them in words, and names the occurrence."""


@dataclass(frozen=True, slots=True)
class AlarmDifference:
    """One alarm event that is not the same in two runs.

    Args:
        kind: added (only the second run has it), removed (only the first), moved (another
            time), changed (the same time, but something else of it differs).
        left: The event of the first run; None when it was added.
        right: The event of the second run; None when it was removed.
    """

    kind: AlarmKind
    left: AlarmEvent | None
    right: AlarmEvent | None

    @property
    def ts(self) -> int:
        """When it happened, in the second run if it is there [ns]."""
        event = self.right or self.left
        return 0 if event is None else event.ts

    def as_dict(self) -> dict[str, Any]:
        """As plain values; `moved_s` is how much later the second run has it [s]."""
        row: dict[str, Any] = {"kind": self.kind}
        for side, event in (("left", self.left), ("right", self.right)):
            row[side] = None if event is None else plain(event)
        if self.left is not None and self.right is not None:
            row["moved_s"] = (self.right.ts - self.left.ts) / 1e9
            row["fields"] = changed_fields(self.left, self.right)
        return row


def changed_fields(left: AlarmEvent, right: AlarmEvent) -> list[str]:
    """What differs between two events besides time and occurrence.

    The occurrence counts from when a run began, so it says nothing about two runs.
    """
    found = []
    for name in _COMPARED:
        a, b = getattr(left, name), getattr(right, name)
        are_numbers = isinstance(a, float) and isinstance(b, float)
        if a != b and not (are_numbers and math.isnan(a) and math.isnan(b)):
            found.append(name)
    return found


_Seen = tuple[int, AlarmEvent]
"""The time of the step that made an event [ns], and the event."""


class _Waiting:
    """Events of one alarm and one kind of change without a partner, by side and time."""

    __slots__ = ("sides",)

    def __init__(self) -> None:
        self.sides: tuple[dict[int, list[_Seen]], dict[int, list[_Seen]]] = ({}, {})

    def put(self, side: int, seen: _Seen) -> None:
        """One more waits."""
        self.sides[side].setdefault(seen[1].ts, []).append(seen)

    def take(self, side: int, ts: int) -> AlarmEvent | None:
        """The oldest event of a side with this very time; it waits no longer."""
        found = self.sides[side].get(ts)
        if found is None:
            return None
        (_, event) = found.pop(0)
        if not found:
            del self.sides[side][ts]
        return event

    def empty(self) -> tuple[list[_Seen], list[_Seen]]:
        """All that wait, by time; none waits any longer."""
        left, right = ([s for _, some in sorted(d.items()) for s in some] for d in self.sides)
        self.sides = ({}, {})
        return left, right

    def __len__(self) -> int:
        return sum(len(some) for side in self.sides for some in side.values())


class AlarmDiff:
    """Matches the alarm events of two runs.

    An event belongs to the one of the same alarm and change with the same time, else to the
    nearest in time that is no more than an hour away.

    Args:
        settle_ns: How long an event waits for its partner [ns of steps]; None until the end.
        kept: How many differences are kept.
        newest: Keep the newest differences instead of the first.
    """

    def __init__(
        self, *, settle_ns: int | None = None, kept: int = ALARMS_KEPT, newest: bool = False
    ) -> None:
        self.counts = dict.fromkeys(("same", "moved", "changed", "added", "removed"), 0)
        self.left = self.right = 0
        """Events of each run."""
        self.differences: Kept[AlarmDifference] = Kept(kept, newest=newest)
        self.crowded = 0
        self._settle_ns = settle_ns
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._count = 0

    def add(self, side: int, events: Iterable[AlarmEvent], now: int) -> None:
        """Take events of a run (0 or 1), made in the step at `now` [ns]."""
        for event in events:
            key = (event.alarm, event.change)
            self.left, self.right = self.left + (not side), self.right + side
            waiting = self._waiting.setdefault(key, _Waiting())
            other = waiting.take(1 - side, event.ts)
            if other is None:
                waiting.put(side, (now, event))
                self._count += 1
                continue
            self._count -= 1
            self._pair(*((other, event) if side else (event, other)))
            if not any(waiting.sides):
                del self._waiting[key]
        if self._count > WAITING_ALARMS_MAX:
            self.crowded += self._count
            self.settle(now, close=True)

    def settle(self, now: int, *, close: bool = False) -> None:
        """Decide on events that have waited long enough; on all when nothing more comes."""
        if self._settle_ns is None and not close:
            return
        before = ALWAYS if close else now - (self._settle_ns or 0)
        for key, waiting in list(self._waiting.items()):
            self._settle_one(waiting, before)
            if not any(waiting.sides):
                del self._waiting[key]
        self._count = sum(len(waiting) for waiting in self._waiting.values())

    def _settle_one(self, waiting: _Waiting, before: int) -> None:
        """Pair what is near, oldest first; what came after `before` may still find another."""
        left, right = waiting.empty()
        i = j = 0
        while i < len(left) or j < len(right):
            side = _lonely(left, right, i, j)
            if side is None:
                a, b = left[i], right[j]
                if min(a[0], b[0]) <= before:
                    self._pair(a[1], b[1])
                else:
                    waiting.put(0, a)
                    waiting.put(1, b)
                i, j = i + 1, j + 1
                continue
            seen = right[j] if side else left[i]
            if seen[0] > before:
                waiting.put(side, seen)
            elif side:
                self._note("added", None, seen[1])
            else:
                self._note("removed", seen[1], None)
            i, j = i + (not side), j + side

    def _pair(self, left: AlarmEvent, right: AlarmEvent) -> None:
        if left.ts != right.ts:
            self._note("moved", left, right)
        elif changed_fields(left, right):
            self._note("changed", left, right)
        else:
            self.counts["same"] += 1

    def _note(self, kind: AlarmKind, left: AlarmEvent | None, right: AlarmEvent | None) -> None:
        self.counts[kind] += 1
        self.differences.add(AlarmDifference(kind, left, right))

    @property
    def is_same(self) -> bool:
        """True when no difference was found."""
        return not self.differences.total

    def as_dict(self) -> dict[str, Any]:
        """Counts and the differences that were kept, in order of time, as plain values."""
        kept = sorted(self.differences.items, key=lambda difference: difference.ts)
        return {
            "left": self.left,
            "right": self.right,
            **self.counts,
            "waiting": self._count,
            "crowded": self.crowded,
            "differences": [difference.as_dict() for difference in kept],
        }


def _lonely(left: list[_Seen], right: list[_Seen], i: int, j: int) -> int | None:
    """Which side's next event has no partner: 0, 1, or None when the two belong together.

    Where both sides have as many, they are paired in order, which is the nearest on the whole.
    """
    if i >= len(left) or j >= len(right):
        return 0 if i < len(left) else 1
    a, b = left[i][1].ts, right[j][1].ts
    apart = abs(a - b)
    if apart > MOVED_MAX_NS:
        return 0 if a < b else 1
    spare = (len(right) - j) - (len(left) - i)
    if spare > 0 and abs(right[j + 1][1].ts - a) < apart:
        return 1
    if spare < 0 and abs(left[i + 1][1].ts - b) < apart:
        return 0
    return None


__all__ = ["ALARMS_KEPT", "ALWAYS", "AlarmDiff", "AlarmDifference", "changed_fields"]
