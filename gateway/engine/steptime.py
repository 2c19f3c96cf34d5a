"""Step time: when the next step of a flow is, and by how much its time was only set.

A clock that is set forward by an hour must not end every delay, age every tag and close every
window at once. So a step that comes after it begins with an input that says by how much: the
timers that were due before fire, then what nodes remember in time of the gateway's own moves
along, and goes on from there. It is journalled like all input, so that a replay does the same.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.data.event import Event
from gateway.engine.clock import BACK_MAX_NS, SystemClock
from gateway.engine.wiring import RESUMED, Input
from gateway.flow.node import Clock

SET_BY: Final = "set_by"
"""Key of the event's data: by how much the clock was set [ns]; absent after a stop."""


class StepTime:
    """The time of one flow's steps.

    Args:
        clock: The gateway's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known = self._leapt()

    def _leapt(self) -> int:
        return self._clock.leapt if isinstance(self._clock, SystemClock) else 0

    def settled(self, done: int) -> int:
        """The time now, without what the clock was set forward by since the last step [ns].

        Args:
            done: The time of the last step [ns].
        """
        return max(self._clock.now() - (self._leapt() - self._known), done)

    def next(self, done: int) -> tuple[int, list[Input]]:
        """The time of the next step [ns], and the input that says the clock was set, if it was.

        Args:
            done: The time of the last step [ns].
        """
        now = max(self._clock.now(), done)
        by, self._known = self._leapt() - self._known, self._leapt()
        return now, [_set(now, by)] if by else []

    def resumed(self, done: int) -> tuple[int, list[Input]]:
        """The time of the first step after a start [ns], and the input that says so.

        Time goes back here, and only here, when the last run was days ahead of a clock that is
        right by now; see `SystemClock.begin`.

        Args:
            done: The time of the last step before [ns].
        """
        now = self._clock.now()
        self._known = self._leapt()
        if done - now > BACK_MAX_NS:
            return now, [_set(now, now - done)]
        now = max(now, done)
        return now, [(*RESUMED, (Event(now, "engine/resumed"),))]


def _set(now: int, by: int) -> Input:
    return (*RESUMED, (Event(now, "engine/clock_set", {SET_BY: by}),))


def set_by(marker: Input) -> int:
    """By how much the clock was set [ns], by an input of RESUMED; 0 when it was not."""
    event: Any = marker[2][0]  # type: ignore[index]  # such an input is one event
    return int(event.data.get(SET_BY, 0)) if isinstance(event, Event) else 0


__all__ = ["StepTime", "set_by"]
