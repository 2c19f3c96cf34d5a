"""Notify: which alarms people are told of, in which words, and what was sent already.

Not a family: mail, webhooks and chat stand on it, and it knows the protocol of none.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Final, Literal

from gateway import (
    FIELDS,
    AlarmEvent,
    AlarmState,
    Overlay,
    Record,
    Rejected,
    Template,
    amount,
)

Changes = Literal["raised", "raised_and_over", "all"]
"""Which changes of alarms are told: those that need somebody, also their end, or every one."""
SENT_MAX: Final = 20_000
_OVER: Final = ("returned", "cleared", "removed")
_SHOWN_AGAIN: Final = ("unshelved", "unsuppressed", "returned_to_service")
ALL_FIELDS: Final = frozenset().union(*FIELDS.values())


def is_told(item: AlarmEvent, changes: Changes) -> bool:
    """Whether people are told of this change. A hidden alarm (shelved, suppressed) is not told."""
    if changes == "all":
        return True
    if item.overlay is not Overlay.NONE:
        return False
    if item.change in ("raised", "realarmed"):
        return True
    if item.change in _SHOWN_AGAIN:
        return item.state is AlarmState.UNACK
    return changes == "raised_and_over" and item.change in _OVER


def told(found: Iterable[Record], changes: Changes) -> list[Record]:
    """The records that people are told of."""
    return [r for r in found if not isinstance(r.item, AlarmEvent) or is_told(r.item, changes)]


def check_template(text: str) -> str:
    """A template that asks only for fields there can be.

    Raises:
        ValueError: It asks for another.
    """
    Template(text).check(ALL_FIELDS)
    return text


_LINES: Final = {
    "sample": Template("{tag} {value} {unit} {quality}"),
    "event": Template("{topic} {data}"),
    "alarm": Template("{priority} {condition} {change}: {tag} {value}, limit {limit}"),
}


def line_of(record: Record) -> str:
    """One record in a line: what happened, where, how much."""
    data = dict(record.data)
    if record.kind == "alarm":
        text, unit = str(data["text"]), str(data["unit"] or "")
        if text.startswith(f"{data['tag']}: "):  # It says value and limit itself.
            head = f"{data['priority']} {data['condition']} {data['change']}"
            return f"{head}: {' '.join(text.split())}"
        for name in ("value", "limit"):  # As every alarm text writes them.
            if isinstance(data[name], int | float):
                data[name] = amount(data[name], unit)
    line = " ".join(_LINES[record.kind].fill(data).split())
    if record.kind == "alarm":
        line = line.removesuffix(", limit") + (f" ({text})" if text else "")
    return line


def sentence(found: list[Record]) -> str:
    """How many of what, such as ``37 alarms, 2 urgent`` for a heading.

    >>> sentence([Record("k", "event", {}), Record("l", "event", {})])
    '2 events'
    """
    counts = Counter(r.kind for r in found)
    words = [f"{n} {kind}{'s' * (n > 1)}" for kind, n in sorted(counts.items())]
    urgent = sum(r.data.get("priority") == "urgent" for r in found)
    return ", ".join([*words, *([f"{urgent} urgent"] if urgent else [])])


class Sent:
    """What the receiver has taken, or refused, of a write that is not over.

    When the tenth message of a write fails, the write is done again; the nine before it are not
    sent again. And while the engine looks for the row that was refused, in halves and halves of
    halves, the receiver is not asked about each of them.
    """

    def __init__(self) -> None:
        self._taken: OrderedDict[str, None] = OrderedDict()
        self._refused: OrderedDict[str, str] = OrderedDict()

    def begin(self) -> None:
        """A write begins that is no search for what was refused: ask the receiver again."""
        self._refused.clear()

    def wanted(self, found: Iterable[Record]) -> list[Record]:
        """The records that the receiver does not have yet and has not refused just now."""
        known = (self._taken, self._refused)
        return [r for r in found if all(r.key not in keys for keys in known)]

    def add(self, keys: Iterable[str]) -> None:
        """The receiver has them."""
        self._taken.update(dict.fromkeys(keys))
        while len(self._taken) > SENT_MAX:
            self._taken.popitem(last=False)

    def refuse(self, keys: Iterable[str], text: str) -> None:
        """The receiver refuses them for good."""
        self._refused.update(dict.fromkeys(keys, text))
        while len(self._refused) > SENT_MAX:
            self._refused.popitem(last=False)

    def finish(self, keys: Iterable[str]) -> None:
        """A write of these is over: what was taken of them the outbox knows from here on.

        Raises:
            Rejected: Some of them are refused.
        """
        keys = list(keys)
        for key in keys:
            if key in self._refused:
                raise Rejected(self._refused[key])
        for key in keys:
            self._taken.pop(key, None)


class Allowance:
    """How many messages may be sent now: some at once, then one each time [s].

    Args:
        burst: So many at once after a quiet time.
        every_s: One more each time; 0 sets no limit.
    """

    def __init__(self, burst: int, every_s: float) -> None:
        self._burst = burst
        self._every_s = every_s
        self._left = float(burst)
        self._at_s: float | None = None

    def left(self, now_s: float) -> int:
        """How many may be sent at a time of the monotonic clock [s]."""
        if not self._every_s:
            return self._burst
        if self._at_s is not None:
            gained = max(now_s - self._at_s, 0.0) / self._every_s
            self._left = min(self._left + gained, float(self._burst))
        self._at_s = now_s
        return int(self._left + 1e-9)

    def wait_s(self, now_s: float) -> float:
        """How long until one may be sent [s]."""
        return 0.0 if self.left(now_s) else (1.0 - self._left) * self._every_s

    def spend(self, count: int = 1) -> None:
        """So many were sent."""
        if self._every_s:
            self._left = max(self._left - count, 0.0)


__all__ = [
    "ALL_FIELDS",
    "Allowance",
    "Changes",
    "Sent",
    "check_template",
    "is_told",
    "line_of",
    "sentence",
    "told",
]
