"""Alarm book: the alarms as they stand, folded from the events of all flows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from gateway.data.alarm import AlarmEvent, AlarmState, Overlay, Priority
from gateway.engine.codec import plain

PRIORITIES: Final = get_args(Priority)
"""From the least to the most urgent."""
_BY_THE_PROCESS: Final = ("raised", "realarmed", "returned")
_HIDING: Final = {
    "shelved": Overlay.SHLVD,
    "suppressed": Overlay.DSUPR,
    "removed_from_service": Overlay.OOSRV,
}
_Key = tuple[str, int, str, str, str, int, str]


@dataclass(slots=True, eq=False)
class _Follower:
    """One who listens: what it has not yet read, and that there is something."""

    waiting: deque[AlarmEvent]
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class AlarmBook:
    """The newest event of every alarm that matters now, and the last events of all.

    It is a fold: the same events in the same order give the same book. An event that comes a
    second time, as after a restart, changes nothing while it is in the history.

    Args:
        history_rows_max: Events kept; the oldest go first.
        follower_rows_max: Events a slow follower may be behind; then it misses the oldest.
    """

    def __init__(self, *, history_rows_max: int = 10_000, follower_rows_max: int = 1_000) -> None:
        self._history: deque[AlarmEvent] = deque()
        self._history_rows_max = history_rows_max
        self._follower_rows_max = follower_rows_max
        self._known: set[_Key] = set()
        self._current: dict[str, AlarmEvent] = {}
        self._raised: dict[str, int] = {}
        self._reason: dict[str, str] = {}
        self._hiding: dict[str, dict[Overlay, AlarmEvent]] = {}
        self._followers: list[_Follower] = []
        self.version = 0
        """Grows with every change, so that readers know when to look again."""

    def __len__(self) -> int:
        return len(self._current)

    def apply(self, events: Iterable[AlarmEvent]) -> None:
        """Take events in, in the order in which they happened."""
        for event in events:
            key = _key(event)
            if key in self._known:
                continue
            self._known.add(key)
            self._history.append(event)
            if len(self._history) > self._history_rows_max:
                self._known.discard(_key(self._history.popleft()))
            self._fold(event)
            for follower in self._followers:
                follower.waiting.append(event)
                follower.ready.set()

    def _fold(self, event: AlarmEvent) -> None:
        self.version += 1
        if event.state is AlarmState.NORM and event.overlay is Overlay.NONE:
            self._current.pop(event.alarm, None)
            self._raised.pop(event.alarm, None)
            self._reason.pop(event.alarm, None)
            self._hiding.pop(event.alarm, None)
            return
        if event.change == "raised" or event.alarm not in self._raised:
            self._raised[event.alarm] = event.ts
        if event.change in _BY_THE_PROCESS or event.alarm not in self._reason:
            self._reason[event.alarm] = event.text
        if not _hidden(event):
            self._hiding.pop(event.alarm, None)
        elif event.change in _HIDING:
            self._hiding.setdefault(event.alarm, {})[_HIDING[event.change]] = event
        self._current[event.alarm] = event

    def open(self) -> list[AlarmEvent]:
        """Alarms an operator should look at: the most urgent first, then the newest."""
        return _sorted(e for e in self._current.values() if e.is_open and not _hidden(e))

    def hidden(self) -> list[AlarmEvent]:
        """Alarms that are shelved, suppressed or out of service, whatever their state."""
        return _sorted(e for e in self._current.values() if _hidden(e))

    def current(self) -> list[AlarmEvent]:
        """The newest event of every alarm that is open or hidden."""
        return list(self._current.values())

    def history(self) -> list[AlarmEvent]:
        """The last events of all alarms, oldest first."""
        return list(self._history)

    def get(self, alarm: str) -> AlarmEvent | None:
        """The newest event of an alarm that is open or hidden."""
        return self._current.get(alarm)

    def reason(self, event: AlarmEvent) -> str:
        """What the process did, also after a person has acted on the alarm."""
        return self._reason.get(event.alarm, event.text)

    def row(self, event: AlarmEvent) -> dict[str, Any]:
        """An alarm as JSON values, with its reason and the time since when it is raised.

        ``hid`` says of one that is hidden who hid it, when and why; else it is null.
        """
        raised = self._raised.get(event.alarm, event.ts)
        hiding = self._hiding.get(event.alarm, {}).get(event.overlay)
        hid = {"actor": hiding.actor, "ts": hiding.ts, "text": hiding.text} if hiding else None
        return {**plain(event), "reason": self.reason(event), "raised_ts": raised, "hid": hid}

    def counts(self) -> dict[str, int]:
        """Open alarms by priority, with ``unacknowledged`` and ``hidden`` besides."""
        found = dict.fromkeys(reversed(PRIORITIES), 0)
        unacknowledged = 0
        opened = self.open()
        for event in opened:
            found[event.priority] += 1
            unacknowledged += event.state not in (AlarmState.ACKED, AlarmState.LATACK)
        hidden = len(self._current) - len(opened)
        return {**found, "unacknowledged": unacknowledged, "hidden": hidden}

    async def follow(self) -> AsyncIterator[AlarmEvent]:
        """Every event from now on, as it is applied."""
        follower = _Follower(deque(maxlen=self._follower_rows_max))
        self._followers.append(follower)
        try:
            while True:
                await follower.ready.wait()
                follower.ready.clear()
                while follower.waiting:
                    yield follower.waiting.popleft()
        finally:
            self._followers.remove(follower)


def _key(event: AlarmEvent) -> _Key:
    return (
        event.alarm,
        event.ts,
        event.change,
        event.state.value,
        event.overlay.value,
        event.occurrence,
        event.actor,
    )


def _hidden(event: AlarmEvent) -> bool:
    return event.overlay is not Overlay.NONE


def _sorted(events: Iterable[AlarmEvent]) -> list[AlarmEvent]:
    return sorted(events, key=lambda e: (-PRIORITIES.index(e.priority), -e.ts, e.alarm))
