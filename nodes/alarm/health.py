"""Health alarm: a named condition that somebody tells of by events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast, get_args

from numpy.typing import NDArray
from pydantic import Field

from gateway import AlarmEvent, Context, Event, Events, Example, Port, Priority
from nodes.alarm._base import OPERATOR, DeskConfig, DeskNode
from nodes.alarm._desk import Alarm
from nodes.alarm._saved import pack, unpack

_PRIORITIES: Final = get_args(Priority)
WHATS_MAX: Final = 1_000
"""Conditions that are remembered; a stream of made-up names must not fill the memory."""


class HealthConfig(DeskConfig):
    priority: Priority = Field(
        "medium", description="Priority of an alarm whose event does not say another."
    )


class _Conditions:
    """What was told of, with the priority it had."""

    def __init__(self) -> None:
        self.priority: dict[str, Priority] = {}

    def save(self) -> Mapping[str, NDArray[Any]]:
        return {"json": pack(self.priority)}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.priority = {str(k): v for k, v in unpack(state["json"]).items()}


class Health(DeskNode[HealthConfig]):
    """Raise one alarm for each condition that `health/raised` names, until `health/cleared` does.

    Each event says in `what` which condition it is about, in `text` what happened and what to
    do, and may say in `priority` how urgent it is. The gateway has such a node of its own, in
    the flow `gateway`: its disk, its outboxes, its dead letters, its clock. Other flows may use
    one for whatever reports by events, such as a webhook or a log. Events without `what`, of
    another topic, or beyond 1,000 conditions are counted and passed over.

    State: the conditions and their alarms.
    Cost: O(1) an event.
    """

    Config = HealthConfig
    inputs = (Port("in", "events", "`health/raised` and `health/cleared`."), OPERATOR)
    examples = (
        Example(
            "The disk is full, and has room again",
            {},
            given='10s health/raised {"what": "gateway/disk", "text": "The disk is full."}\n'
            '52s health/cleared {"what": "gateway/disk", "text": "There is room again."}',
            expect="10s gateway/disk HEALTH raised UNACK nan nan\n"
            "52s gateway/disk HEALTH returned RTNUN nan nan",
        ),
        Example(
            "Told twice is one alarm; two conditions are two",
            {"auto_ack": True},
            given='1s health/raised {"what": "a"}\n2s health/raised {"what": "a"}\n'
            '3s health/raised {"what": "b"}\n4s health/cleared {"what": "a"}',
            expect="1s a HEALTH raised UNACK nan nan\n3s b HEALTH raised UNACK nan nan\n"
            "4s a HEALTH cleared NORM nan nan",
        ),
        Example(
            "What was never raised cannot return",
            {},
            given='1s health/cleared {"what": "a"}\n2s note {"what": "a"}',
            expect="",
        ),
    )

    def __init__(self, config: HealthConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._known = self.keep("known", _Conditions())

    def keeps(self, old: HealthConfig) -> bool:
        """An alarm that is open stays open, whatever its next priority."""
        return True

    def _receive(self, message: Events) -> list[AlarmEvent]:
        found: list[AlarmEvent] = []
        for event in message:
            if event.topic in ("health/raised", "health/cleared"):
                found += self._told(event, event.topic == "health/raised")
            else:
                self.ctx.count("passed_over")
        return found

    def _told(self, event: Event, on: bool) -> list[AlarmEvent]:
        what = event.data.get("what")
        known = self._known.priority
        if not isinstance(what, str) or not what or (what not in known and not on):
            self.ctx.count("passed_over")
            return []
        if on:
            if what not in known and len(known) >= WHATS_MAX:
                self.ctx.count("passed_over")
                return []
            wanted = event.data.get("priority")
            is_one = wanted in _PRIORITIES
            known[what] = cast(Priority, wanted) if is_one else self.config.priority
        text = str(event.data.get("text") or "")
        return self._desk.condition(self._alarm(what), on, event.ts, text)

    def _alarm(self, what: str) -> Alarm:
        return Alarm(what, "HEALTH", self._known.priority[what], float("nan"), "")

    def _alarm_of(self, tag: str, condition: str) -> Alarm | None:
        mine = condition == "HEALTH" and tag in self._known.priority
        return self._alarm(tag) if mine else None

    def _timer_at(self) -> int | None:
        return None

    def _timer(self, now: int) -> list[AlarmEvent]:
        return []
