"""Step time: when the next step of a flow is, and how much of its time was nobody's silence.

A clock that is set forward by an hour must not end every delay, age every tag and close every
window at once. Nor must a flow that stood still, because its disk or a sink took nothing. So a
step that comes after it begins with an input that says by how much: the timers that were due
before fire, then what nodes remember in time of the gateway's own moves along, and goes on from
there. It is journalled like all input, so that a replay does the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from gateway.data.event import Event
from gateway.engine.clock import BACK_MAX_NS, SystemClock
from gateway.engine.wiring import RESUMED, Input
from gateway.flow.node import Clock, Transform

SET_BY: Final = "set_by"
"""Key of the event's data: by how much the clock was set [ns]."""
STOOD: Final = "stood"
"""Key of the event's data: for how long the flow stood still [ns]."""
RESTART: Final = "engine/resumed"
STOOD_MIN_S: Final = 1.0
"""A commit, and the wait for it, take less."""


class StepTime:
    """The time of one flow's steps.

    Args:
        clock: The gateway's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known = self._leapt()
        self._stood = 0

    def _leapt(self) -> int:
        return self._clock.leapt if isinstance(self._clock, SystemClock) else 0

    @contextmanager
    def standing(self) -> Iterator[None]:
        """While this is open the flow cannot go on; what takes long counts as standing still.

        Also when it ends with an error: the flow stood all the same.
        """
        began = self._clock.monotonic()
        try:
            yield
        finally:
            if (stood_s := self._clock.monotonic() - began) > STOOD_MIN_S:
                self._stood += round(stood_s * 1e9)

    def settled(self, done: int) -> int:
        """The time now, without what is not yet told of [ns].

        Args:
            done: The time of the last step [ns].
        """
        return max(self._clock.now() - (self._leapt() - self._known) - self._stood, done)

    def next(self, done: int) -> tuple[int, list[Input]]:
        """The time of the next step [ns], and the input that says what of it does not count.

        Args:
            done: The time of the last step [ns].
        """
        now = max(self._clock.now(), done)
        by, self._known = self._leapt() - self._known, self._leapt()
        stood, self._stood = max(min(self._stood, now - by - done), 0), 0
        return now, [_marker(now, by, stood)] if by or stood else []

    def resumed(self, done: int) -> tuple[int, list[Input]]:
        """The time of the first step after a start [ns], and the input that says so.

        Time goes back here, and only here, when the last run was days ahead of a clock that is
        right by now; see `SystemClock.begin`.

        Args:
            done: The time of the last step before [ns].
        """
        now = self._clock.now()
        self._known, self._stood = self._leapt(), 0
        if done - now > BACK_MAX_NS:
            return now, [(*RESUMED, (Event(now, RESTART, {SET_BY: now - done}),))]
        now = max(now, done)
        return now, [(*RESUMED, (Event(now, RESTART),))]


def _marker(now: int, by: int, stood: int) -> Input:
    data = {key: ns for key, ns in ((SET_BY, by), (STOOD, stood)) if ns}
    topic = "engine/clock_set" if by else "engine/stood"
    return (*RESUMED, (Event(now, topic, data),))


def is_restart(marker: Input) -> bool:
    """Whether an input of `RESUMED` says that the gateway was off."""
    return _event(marker).topic == RESTART


def _event(marker: Input) -> Event:
    events = marker[2]
    assert isinstance(events, tuple)
    (event,) = events
    assert isinstance(event, Event)
    return event


def told(marker: Input, done: int, now: int) -> tuple[int, int]:
    """By how much the clock was set and for how long nothing was heard, [ns] both.

    Args:
        marker: An input of `RESUMED`; without numbers it says that the gateway was off.
        done: The time of the last step [ns].
        now: The time of this one [ns].
    """
    data = _event(marker).data
    by, stood = int(data.get(SET_BY, 0)), int(data.get(STOOD, 0))
    return (by, stood) if by or stood else (0, max(now - done, 0))


def go_on(node: Transform[Any, Any], by: int, stood: int) -> None:
    """Have a node move what it remembers in time of the gateway's own; see `told`."""
    if by:
        node.clock_set(by)
    if stood:
        node.paused(stood)


__all__ = ["StepTime", "go_on", "is_restart", "told"]
