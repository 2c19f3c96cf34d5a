"""Rows of two runs side by side: which are the same, which changed, which only one run has.

A row of one run belongs to the row of the other with the same tag and time. They need not come
in the same step: a window that waits longer gives its rows later. So rows without a partner
wait, in bounded room, and are counted as one-sided only when they have waited long enough.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.engine.replay_alarms import ALWAYS, AlarmDiff
from gateway.engine.replay_ends import ROW, Content, Kept, NameIds

JOIN_ROWS: Final = 20_000  # New rows before a join: sorting fewer at a time costs more a row.
WAITING_ROWS_MAX: Final = 100_000  # Rows of an end that wait for a partner: 4 MB.
WAITING_TEXTS_MAX: Final = 20_000
_WAITING = np.dtype([*ROW.descr, ("at", "<i8"), ("side", "u1")])


@dataclass(slots=True)
class RowCounts:
    """Rows of one end by what became of the comparison.

    Args:
        same: The same tag, time, value and quality.
        changed: The same tag and time, another value or quality.
        left: Only in the first run.
        right: Only in the second run.
        largest: The largest change of a value, in the tag's unit.
    """

    same: int = 0
    changed: int = 0
    left: int = 0
    right: int = 0
    largest: float = 0.0

    @property
    def differences(self) -> int:
        """Rows that are not the same."""
        return self.changed + self.left + self.right


class EndDiff:
    """Compares what reaches one end in two runs.

    Args:
        ids: The names of the tags of both runs.
        settle_ns: How long a row waits for its partner [ns of steps]; None until the end.
        examples: How many differences are kept.
        newest: Keep the newest differences instead of the first.
    """

    def __init__(
        self,
        ids: NameIds,
        *,
        settle_ns: int | None = None,
        examples: int = 20,
        newest: bool = False,
    ) -> None:
        self._counts = RowCounts()
        self._examples: Kept[dict[str, Any]] = Kept(examples, newest=newest)
        self.crowded = 0
        """Rows that were given up because too many waited: they may have had a partner."""
        self._ids = ids
        self._settle_ns = settle_ns
        self._parts: list[NDArray[Any]] = []
        self._fresh = 0
        self._texts: dict[tuple[str, int], list[int]] = {}
        """Waiting items by (text, side): the steps they came in."""
        self._alarms = AlarmDiff(settle_ns=settle_ns, kept=examples, newest=newest)

    def add(self, now: int, left: Content, right: Content) -> None:
        """Take what reached the end in one step of each run; it was not the same."""
        if left.kind == right.kind == "samples" and left.n == right.n:
            first, second = left.rows(), right.rows()
            if _is_same_row(first, second).all():  # Only values differ: there is no search.
                self._pair(first, second)
                return
        for side, content in enumerate((left, right)):
            if content.kind == "samples":
                self._take_rows(side, content, now)
            elif content.kind == "alarms":
                self._alarms.add(side, content.alarms(), now)
            else:
                for text in content.texts():
                    self._take_text(side, text, now)
        if self._fresh >= JOIN_ROWS:
            self.settle(now)

    def _take_rows(self, side: int, content: Content, now: int) -> None:
        if not content.n:
            return
        part = np.empty(content.n, _WAITING)
        part[list(ROW.names or ())] = content.rows()
        part["at"], part["side"] = now, side
        self._parts.append(part)
        self._fresh += len(part)

    @property
    def counts(self) -> RowCounts:
        """What became of the rows so far.

        An alarm that moved or changed reached the end in both runs: that is told once, where
        the alarms are.
        """
        counts, alarms = replace(self._counts), self._alarms.counts
        counts.same += alarms["same"] + alarms["moved"] + alarms["changed"]
        counts.left += alarms["removed"]
        counts.right += alarms["added"]
        return counts

    @property
    def has_alarms(self) -> bool:
        """True when some alarm events that reached the end were not the same."""
        return bool(self._alarms.left or self._alarms.right)

    def same(self, n: int) -> None:
        """Take `n` rows that reached the end in one step of both runs and were the same."""
        self._counts.same += n

    def examples(self) -> list[dict[str, Any]]:
        """The differences that were kept."""
        rows = list(self._examples.items)
        for found in self._alarms.differences.items:
            if found.left is None or found.right is None:
                event = found.left or found.right
                assert event is not None, "one of the two is there"
                side = "left" if found.right is None else "right"
                text = f"{event.condition} {event.change}"
                rows.append({"tag": event.tag, "ts": event.ts, side: text})
        return rows

    def settle(self, now: int, *, close: bool = False) -> None:
        """Decide all that can be decided.

        Args:
            now: The time of the step [ns].
            close: Nothing more comes: what has no partner now has none.
        """
        waits = ALWAYS if self._settle_ns is None else self._settle_ns
        before = ALWAYS if close else now - waits
        if self._parts:
            waiting = np.concatenate(self._parts)
            self._fresh = 0
            rest = self._join(waiting)
            old = rest["at"] <= before
            if not old.all() and len(rest) - np.count_nonzero(old) > WAITING_ROWS_MAX:
                spare = len(rest) - WAITING_ROWS_MAX // 2
                self.crowded += spare - int(np.count_nonzero(old[:spare]))
                old[:spare] = True
            self._give_up(rest[old])
            self._parts = [rest[~old]] if not old.all() else []
        self._alarms.settle(now, close=close)
        for (text, side), steps in list(self._texts.items()):
            while steps and steps[0] <= before:
                self._give_up_text(text, side, steps.pop(0))
            if not steps:
                del self._texts[text, side]

    # ------------------------------------------------------------------ samples

    def _join(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Count the pairs among rows; returns the others in the order they came."""
        sides = rows["side"]
        if not sides.any() or sides.all():
            return rows
        order = np.lexsort((sides, rows["ts"], rows["id"]))
        order = order[np.lexsort(_keys(rows[order]))]
        found = rows[order]
        pair = _is_same_row(found[:-1], found[1:]) & (found["side"][:-1] < found["side"][1:])
        at = np.flatnonzero(pair)
        self._pair(found[at], found[at + 1])
        alone = np.ones(len(rows), np.bool_)
        alone[order[at]] = alone[order[at + 1]] = False
        return rows[alone]

    def _pair(self, first: NDArray[Any], second: NDArray[Any]) -> None:
        """Count rows of the two runs that belong together one by one."""
        is_equal = (first["value"] == second["value"]) | (
            first["value"].view(np.int64) == second["value"].view(np.int64)
        )
        is_equal &= first["quality"] == second["quality"]
        self._counts.same += int(np.count_nonzero(is_equal))
        if not is_equal.all():
            self._changed(first[~is_equal], second[~is_equal])

    def _changed(self, first: NDArray[Any], second: NDArray[Any]) -> None:
        self._counts.changed += len(first)
        with np.errstate(invalid="ignore"):  # Infinity less infinity is no number.
            change = np.abs(second["value"] - first["value"])
        change = change[np.isfinite(change)]
        self._counts.largest = max(self._counts.largest, float(change.max(initial=0.0)))
        some = self._examples.wanted(len(first))
        for a, b in zip(first[some], second[some], strict=True):
            self._examples.add({**self._row(a, "left"), **self._row(b, "right")})

    def _give_up(self, rows: NDArray[Any]) -> None:
        left = int(np.count_nonzero(rows["side"] == 0))
        self._counts.left += left
        self._counts.right += len(rows) - left
        for row in rows[self._examples.wanted(len(rows))]:
            self._examples.add(self._row(row, "right" if row["side"] else "left"))

    def _row(self, row: Any, side: str) -> dict[str, Any]:
        name = self._ids.names.get(int(row["id"]), "")
        value, quality = float(row["value"]), int(row["quality"])
        return {"tag": name, "ts": int(row["ts"]), side: [value, quality]}

    # ------------------------------------------------------------------ all else

    def _take_text(self, side: int, text: str, now: int) -> None:
        partners = self._texts.get((text, 1 - side))
        if partners:
            partners.pop(0)
            if not partners:
                del self._texts[text, 1 - side]
            self._counts.same += 1
            return
        self._texts.setdefault((text, side), []).append(now)
        if len(self._texts) > WAITING_TEXTS_MAX:
            (first, its_side), steps = next(iter(self._texts.items()))
            del self._texts[first, its_side]
            self.crowded += len(steps)
            for step in steps:
                self._give_up_text(first, its_side, step)

    def _give_up_text(self, text: str, side: int, at: int) -> None:
        if side:
            self._counts.right += 1
        else:
            self._counts.left += 1
        self._examples.add({"ts": at, "right" if side else "left": text})


def _keys(rows: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Keys that bring partners together: tag, time, how many such before, side.

    `rows` are sorted by tag, time and side; where one side has a tag and time twice, its first
    belongs to the other's first.
    """
    is_new = np.ones(len(rows), np.bool_)
    is_new[1:] = ~_is_same_row(rows[1:], rows[:-1]) | (rows["side"][1:] != rows["side"][:-1])
    index = np.arange(len(rows))
    nth = index - np.maximum.accumulate(np.where(is_new, index, 0))
    return (rows["side"], nth, rows["ts"], rows["id"])


def _is_same_row(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (a["id"] == b["id"]) & (a["ts"] == b["ts"])
    return same


__all__ = ["EndDiff", "RowCounts"]
