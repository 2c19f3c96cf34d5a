"""Stale alarm: a tag that should bring samples brings none."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gateway import (
    AlarmEvent,
    Batch,
    Context,
    Example,
    PositiveSeconds,
    Priority,
    TagFilter,
    amount,
    pattern_of,
    quality,
)
from nodes.alarm._base import DeskConfig, DeskNode
from nodes.alarm._desk import Alarm

_UNKNOWN: Final = 0
_ALIVE: Final = 1
_HELD: Final = 2
_STALE: Final = 3


class StaleConfig(DeskConfig):
    tags: TagFilter = Field("#", description="Which tags to watch; # is every tag of the wire.")
    after_s: PositiveSeconds = Field(
        examples=[60], description="Alarm when there was no sample for this long."
    )
    priority: Priority = Field("medium", description="Priority of the alarm.")


class Stale(DeskNode[StaleConfig]):
    """Raise the alarm STALE of a tag that brought no sample for `after_s`.

    The alarm's time is that of the last sample plus `after_s`, whether a timer or the next
    sample reveals the silence. A Bad sample says itself why there is no value, so the watch
    is held until the next one that is not: a lost device is one communication alarm and not
    one of each tag. A tag that never came is not missed. Its number is the silence [s].

    State: time and processing time of the last sample, whether it is stale, per tag.
    Cost: O(n) a batch, about 30 ns a row; O(tags) when a timer fires.
    """

    Config = StaleConfig
    tunable = frozenset(("after_s",))
    examples = (
        Example(
            "A sensor falls silent and comes back",
            {"after_s": 30},
            given="TT101 0s 20 | 20s 20 | 90s 21",
            expect="50s TT101 STALE raised UNACK 30 30\n90s TT101 STALE returned RTNUN 70 30",
        ),
        Example(
            "Nothing comes any more: a timer says so",
            {"after_s": 30},
            given="TT101 0s 20\nTT102 10s 20",
            expect="30s TT101 STALE raised UNACK 30 30\n40s TT102 STALE raised UNACK 30 30",
            until="2min",
        ),
        Example(
            "A Bad sample holds the watch: its device is known to be away",
            {"after_s": 30, "auto_ack": True},
            given="TT101 0s 20 | 20s 20 bad | 90s 21",
            expect="120s TT101 STALE raised UNACK 30 30",
            until="3min",
        ),
    )

    def __init__(self, config: StaleConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._after_ns = round(config.after_s * 1e9)
        self._fits = pattern_of(config.tags)
        self._last = self.per_tag("last", 0, np.int64)
        self._seen = self.per_tag("seen", 0, np.int64)
        self._state = self.per_tag("state", _UNKNOWN, np.uint8)
        self._watched = np.zeros(ctx.tags.limit, np.bool_)
        self._met = 0
        # Never later than the next timer; samples only move timers away, so it may be early.
        self._next: int | None = 0

    def _receive(self, message: Batch) -> list[AlarmEvent]:
        names = self.ctx.tags.names() if self._met < len(self.ctx.tags) else []
        for code in range(self._met, len(names)):
            self._watched[code] = self._fits(names[code])
            self._met = code + 1
        at = message.tag.astype(np.intp)
        state = self._state[at]
        brings = message.quality < quality.BAD
        alive = state == _ALIVE
        quiet = brings & alive & (message.ts - self._last[at] < self._after_ns)
        if quiet.all():
            self._remember(at, message.ts)
            return []
        known_bad = ~brings & ((state == _HELD) | (state == _STALE))
        loud = ~quiet & ~known_bad & self._watched[at]
        slow = np.isin(at, at[loud])
        rest = quiet & ~slow
        self._remember(at[rest], message.ts[rest])
        found: list[AlarmEvent] = []
        for row in np.flatnonzero(slow).tolist():
            found += self._row(int(at[row]), int(message.ts[row]), bool(brings[row]))
        return found

    def _remember(self, at: NDArray[np.intp], ts: NDArray[np.int64]) -> None:
        np.maximum.at(self._last, at, ts)
        self._seen[at] = self.ctx.now

    def _row(self, code: int, t: int, brings: bool) -> list[AlarmEvent]:
        """One row that may change something: first the silence before it, then the row."""
        state, last = int(self._state[code]), int(self._last[code])
        found: list[AlarmEvent] = []
        if state == _ALIVE and t - last >= self._after_ns:
            found += self._raise(code)
            state = _STALE
        if not brings:
            self._state[code] = _STALE if state == _STALE else _HELD
            return found
        if state == _STALE:
            end = max(t, last + self._after_ns)
            found += self._say(code, False, end, (end - last) / 1e9)
        self._state[code] = _ALIVE
        self._last[code] = t if state in (_UNKNOWN, _HELD) else max(last, t)
        self._seen[code] = now = self.ctx.now
        self._next = now + self._after_ns if self._next is None else self._next
        return found

    def _raise(self, code: int) -> list[AlarmEvent]:
        self._state[code] = _STALE
        due = int(self._last[code]) + self._after_ns
        return self._say(code, True, due, self.config.after_s)

    def _say(self, code: int, on: bool, ts: int, silent_s: float) -> list[AlarmEvent]:
        alarm = self._alarm(self.ctx.tags.name(code))
        alarm.value = silent_s
        silent = amount(silent_s, "s")
        if on:
            text = f"{alarm.tag} brought no sample for {silent}"
        else:
            text = f"{alarm.tag} is back after {silent}, the STALE limit is {amount(alarm.limit)} s"
        return self._desk.condition(alarm, on, ts, text)

    def _alarm(self, tag: str) -> Alarm:
        return Alarm(tag, "STALE", self.config.priority, self.config.after_s, "s")

    def _alarm_of(self, tag: str, condition: str) -> Alarm | None:
        mine = condition == "STALE" and tag in self.ctx.tags and self._fits(tag)
        return self._alarm(tag) if mine else None

    def paused(self, ns: int) -> None:
        self._seen[self._seen != 0] += ns
        self._next = None if self._next is None else self._next + ns

    def clock_set(self, ns: int) -> None:
        super().clock_set(ns)
        if ns < 0:  # What was stamped by a clock that was days ahead has the time it was seen.
            self._last[:] = np.where(self._last > self._seen - ns // 2, self._seen, self._last)

    def _timer_at(self) -> int | None:
        return self._next

    def _timer(self, now: int) -> list[AlarmEvent]:
        if self._next is None or now < self._next:
            return []
        found: list[AlarmEvent] = []
        alive = np.flatnonzero(self._state[: len(self.ctx.tags)] == _ALIVE)
        due = self._seen[alive] + self._after_ns
        for code in alive[due <= now].tolist():
            found += self._raise(code)
        later = due[due > now]
        self._next = int(later.min()) if later.size else None
        return found
