"""Desk: the alarms of one node, what operators do with them, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from gateway import (
    AlarmEvent,
    AlarmOptions,
    AlarmState,
    AlarmStatus,
    Context,
    Event,
    Overlay,
    Priority,
    Stimulus,
    amount,
    transition,
)
from nodes.alarm._action import action_text, stimulus_of
from nodes.alarm._saved import pack, unpack


@dataclass(slots=True)
class Alarm:
    """One alarm: what it watches, the number that decided it last, and its status."""

    tag: str
    condition: str
    priority: Priority
    limit: float
    unit: str
    value: float = float("nan")
    status: AlarmStatus = field(default_factory=AlarmStatus)
    realarm_at: int = 0
    """When it is annunciated again [ns]; 0 when it is not."""

    @property
    def due(self) -> int:
        """Its next timer: shelving that ends or a re-alarm [ns]; 0 without one."""
        until = self.status.shelved_until
        return (
            min(until, self.realarm_at) if until and self.realarm_at else until or self.realarm_at
        )


class Desk:
    """Applies conditions and operators' actions to the alarms of one node.

    Shelving and re-alarms run in processing time, because they are promises to people;
    the delays of conditions run in event time and are not here.

    State: one `Alarm` for each that was ever raised or acted on.

    Args:
        ctx: The node's context.
        options: How each alarm behaves.
        realarm_ns: Annunciate again what nobody acknowledges [ns]; 0 never does.
        find: Makes the alarm of a tag and a condition; None when this node has no such alarm.
    """

    def __init__(
        self,
        ctx: Context,
        options: AlarmOptions,
        realarm_ns: int,
        find: Callable[[str, str], Alarm | None],
    ) -> None:
        self._ctx = ctx
        self._options = options
        self._realarm_ns = realarm_ns
        self._find = find
        self._prefix = f"{ctx.flow}/{ctx.node_id}:"
        self._alarms: dict[str, Alarm] = {}
        self._timers: dict[str, int] = {}
        self._next: int | None = None

    def get(self, tag: str, condition: str) -> Alarm | None:
        """The alarm, when it was ever raised or acted on."""
        return self._alarms.get(f"{self._prefix}{tag}:{condition}")

    # ------------------------------------------------------------------ conditions

    def condition(self, alarm: Alarm, on: bool, ts: int, text: str) -> list[AlarmEvent]:
        """The condition of an alarm holds, or holds no longer, since `ts` [ns].

        Args:
            alarm: What is known now: its status is ignored in favour of the desk's own.
            on: True when the condition holds.
            ts: Event time [ns].
            text: Why, in words and numbers.
        """
        name = f"{self._prefix}{alarm.tag}:{alarm.condition}"
        known = self._alarms.get(name)
        if known is None:
            if not on:
                return []
            known = self._alarms[name] = alarm
        known.value, known.limit, known.unit = alarm.value, alarm.limit, alarm.unit
        known.priority = alarm.priority
        done = transition(
            known.status,
            Stimulus("condition_true" if on else "condition_false"),
            self._options,
        )
        if done.change is None:
            return []
        self._take(name, known, done.status)
        return [self._event(name, known, ts, done.change, text, f"node:{self._ctx.node_id}")]

    def end(self, tag: str, condition: str, ts: int, text: str) -> list[AlarmEvent]:
        """What an alarm was about is gone from the flow: nothing is left to respond to."""
        known = self.get(tag, condition)
        if known is None or not _is_shown(known):
            return []
        name = f"{self._prefix}{tag}:{condition}"
        self._take(name, known, AlarmStatus(occurrence=known.status.occurrence))
        return [self._event(name, known, ts, "removed", text, f"node:{self._ctx.node_id}")]

    # ------------------------------------------------------------------ operators

    def act(self, events: Iterable[Event]) -> list[AlarmEvent]:
        """Apply operators' actions; what is not about this node's alarms is passed over."""
        out: list[AlarmEvent] = []
        for event in events:
            wanted = event.data.get("alarm")
            if wanted == "*":
                for name, alarm in sorted(self._alarms.items()):
                    if _is_shown(alarm):
                        out += self._act_on(name, alarm, event, loud=False)
            elif isinstance(wanted, str) and wanted.startswith(self._prefix):
                tag, _, condition = wanted.removeprefix(self._prefix).rpartition(":")
                found = self._alarms.get(wanted) or self._find(tag, condition)
                if found is None:
                    self._refuse(event, wanted, "This node has no such alarm.")
                else:
                    out += self._act_on(wanted, found, event, loud=True)
        return out

    def _act_on(self, name: str, alarm: Alarm, event: Event, *, loud: bool) -> list[AlarmEvent]:
        stimulus = stimulus_of(event, alarm.status.occurrence, self._ctx.now)
        if isinstance(stimulus, str):
            if loud:
                self._refuse(event, name, stimulus)
            return []
        done = transition(alarm.status, stimulus, self._options)
        if done.change is None:
            if loud:
                self._refuse(event, name, done.refused)
            return []
        self._alarms[name] = alarm
        self._take(name, alarm, done.status)
        actor = str(event.data.get("actor") or "user:unknown")
        what = f"the {alarm.condition} alarm of {alarm.tag}"
        text = action_text(what, done.change, actor, stimulus, event)
        return [self._event(name, alarm, event.ts, done.change, text, actor)]

    def _refuse(self, event: Event, name: str, why: str) -> None:
        self._ctx.count("actions_refused")
        actor = event.data.get("actor") or "user:unknown"
        self._ctx.say("warning", f"{event.topic} of {name} by {actor} is refused. {why}")

    # ------------------------------------------------------------------ timers

    def wake_at(self) -> int | None:
        """When shelving ends or a re-alarm is due [ns], or None."""
        if self._next is None and self._timers:
            self._next = min(self._timers.values())
        return self._next

    def wake(self, now: int) -> list[AlarmEvent]:
        """End shelving and annunciate again what is due at `now` [ns]."""
        out: list[AlarmEvent] = []
        due = sorted((at, name) for name, at in self._timers.items() if at <= now)
        for at, name in due:
            alarm = self._alarms[name]
            actor = f"node:{self._ctx.node_id}"
            what = f"the {alarm.condition} alarm of {alarm.tag}"
            if alarm.status.shelved_until == at:
                done = transition(alarm.status, Stimulus("unshelve"), self._options)
                assert done.change is not None
                self._take(name, alarm, done.status)
                still = ", and its condition still holds" if alarm.status.is_active else ""
                text = f"Shelving of {what} is over{still}"
                out.append(self._event(name, alarm, at, done.change, text, actor))
            else:
                alarm.realarm_at = max(now, self._ctx.now) + self._realarm_ns
                self._set_timer(name, alarm)
                late = amount(self._realarm_ns / 1e9, "s")
                text = f"Nobody acknowledged {what} for {late}"
                out.append(self._event(name, alarm, at, "realarmed", text, actor))
        return out

    def clock_set(self, ns: int) -> None:
        """The clock was set by so much [ns]: nobody had more or less time to acknowledge.

        Shelving ends at the time of day that the operator was told, but for one that was begun
        while the clock was days ahead: it would hide the alarm for as long.
        """
        for name, alarm in self._alarms.items():
            if alarm.realarm_at:
                alarm.realarm_at += ns
            if ns < 0 and alarm.status.shelved_until:
                until = max(alarm.status.shelved_until + ns, 1)
                alarm.status = replace(alarm.status, shelved_until=until)
            self._set_timer(name, alarm)

    def _take(self, name: str, alarm: Alarm, status: AlarmStatus) -> None:
        """Give an alarm its new status and set its timers."""
        anew = status.occurrence != alarm.status.occurrence
        alarm.status = status
        calls = status.state is AlarmState.UNACK and status.overlay is Overlay.NONE
        if not calls or not self._realarm_ns:
            alarm.realarm_at = 0
        elif anew or not alarm.realarm_at:
            alarm.realarm_at = self._ctx.now + self._realarm_ns
        self._set_timer(name, alarm)

    def _set_timer(self, name: str, alarm: Alarm) -> None:
        self._next = None
        if alarm.due:
            self._timers[name] = alarm.due
        else:
            self._timers.pop(name, None)

    def _event(
        self, name: str, alarm: Alarm, ts: int, change: str, text: str, actor: str
    ) -> AlarmEvent:
        return AlarmEvent(
            alarm=name,
            tag=alarm.tag,
            ts=ts,
            change=change,
            state=alarm.status.state,
            overlay=alarm.status.overlay,
            occurrence=alarm.status.occurrence,
            priority=alarm.priority,
            condition=alarm.condition,
            value=alarm.value,
            limit=alarm.limit,
            unit=alarm.unit,
            text=text,
            actor=actor,
            until=alarm.status.shelved_until if alarm.status.overlay is Overlay.SHLVD else 0,
        )

    # ------------------------------------------------------------------ state

    def save(self) -> Mapping[str, NDArray[Any]]:
        """All alarms, as JSON in bytes."""
        return {"json": pack([asdict(alarm) for _, alarm in sorted(self._alarms.items())])}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `save` gave."""
        self._alarms, self._timers, self._next = {}, {}, None
        for row in unpack(state["json"]):
            status = dict(row.pop("status"))
            status["state"] = AlarmState(status["state"])
            alarm = replace(Alarm(**row), status=AlarmStatus(**status))
            if not self._realarm_ns:  # A flow may have been edited meanwhile.
                alarm.realarm_at = 0
            name = f"{self._prefix}{alarm.tag}:{alarm.condition}"
            self._alarms[name] = alarm
            self._set_timer(name, alarm)


def _is_shown(alarm: Alarm) -> bool:
    """Whether it is open, or hidden by somebody."""
    return alarm.status.state is not AlarmState.NORM or alarm.status.overlay is not Overlay.NONE
