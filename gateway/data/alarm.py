"""Alarms: the state machine of ISA-18.2 and the events that record each transition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

from gateway.data.table import number

Priority = Literal["low", "medium", "high", "urgent"]


class AlarmState(StrEnum):
    """Where the process side of one alarm stands.

    Source: ANSI/ISA-18.2-2016, alarm state diagram; OPC 10000-9 v1.05, 4.8.
    """

    NORM = "NORM"
    UNACK = "UNACK"
    ACKED = "ACKED"
    RTNUN = "RTNUN"
    LATUN = "LATUN"
    LATACK = "LATACK"


class Overlay(StrEnum):
    """What hides an alarm from the operator while its process state runs on."""

    NONE = "NONE"
    SHLVD = "SHLVD"
    DSUPR = "DSUPR"
    OOSRV = "OOSRV"


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """One transition of one alarm; never edited. An alarm's state is its last event.

    Args:
        alarm: Names the alarm for ever: ``<flow>/<node>:<tag>:<condition>``.
        tag: The tag's name; for a lost device the source's id.
        ts: Event time of the transition [ns since 1970-01-01 UTC].
        change: What happened: raised, returned, cleared, acked, reset, shelved, unshelved,
            suppressed, unsuppressed, removed_from_service, returned_to_service, realarmed,
            removed (its node or its source is gone from the flow, or starts fresh).
        state: The process state after it.
        overlay: The overlay after it.
        occurrence: Counts annunciations; an acknowledgement names the one it means.
        priority: low, medium, high or urgent.
        condition: What is wrong, such as HIHI, HI, LO, LOLO, DEV, RATE, SCORE, STALE, COMM.
        value: The value that decided it, in `unit`.
        limit: What it was compared with, in `unit`.
        unit: UCUM code of both.
        text: The reason in words and numbers.
        actor: ``node:<id>`` or ``user:<name>``.
        until: While it is shelved: when that ends by itself [ns]; else 0.
    """

    alarm: str
    tag: str
    ts: int
    change: str
    state: AlarmState
    overlay: Overlay = Overlay.NONE
    occurrence: int = 0
    priority: Priority = "medium"
    condition: str = ""
    value: float = float("nan")
    limit: float = float("nan")
    unit: str = ""
    text: str = ""
    actor: str = ""
    until: int = 0

    @property
    def is_open(self) -> bool:
        """True while someone should still look at it."""
        return self.state is not AlarmState.NORM


@dataclass(frozen=True, slots=True)
class AlarmStatus:
    """All that the state machine knows of one alarm.

    The process state and the three reasons to hide it are independent of each other.

    Args:
        state: The process state.
        occurrence: Annunciations so far; an acknowledgement names the one it means.
        shelved_until: When shelving ends [ns since 1970-01-01 UTC]; 0 when not shelved.
        shelved_reason: Why an operator shelved it.
        suppressed: True while a rule suppresses it by design.
        out_of_service: True while it is out of service for maintenance.
    """

    state: AlarmState = AlarmState.NORM
    occurrence: int = 0
    shelved_until: int = 0
    shelved_reason: str = ""
    suppressed: bool = False
    out_of_service: bool = False

    @property
    def overlay(self) -> Overlay:
        """The one overlay that is shown: what lasts longest wins where several apply."""
        if self.out_of_service or self.suppressed:
            return Overlay.OOSRV if self.out_of_service else Overlay.DSUPR
        return Overlay.SHLVD if self.shelved_until else Overlay.NONE

    @property
    def is_active(self) -> bool:
        """True while the condition holds, seen or hidden."""
        return self.state in (AlarmState.UNACK, AlarmState.ACKED)


ConditionChange = Literal["condition_true", "condition_false"]
OperatorAction = Literal["ack", "reset", "shelve", "unshelve"]
OverlayAction = Literal["suppress", "unsuppress", "remove_from_service", "return_to_service"]
StimulusKind = ConditionChange | OperatorAction | OverlayAction


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One thing that happens to an alarm.

    Args:
        kind: What happens.
        occurrence: For ack: the occurrence that is meant.
        now: For shelve: the time of the action [ns].
        until: For shelve: when it ends by itself [ns].
        reason: For shelve: why, in the operator's words.
    """

    kind: StimulusKind
    occurrence: int = 0
    now: int = 0
    until: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AlarmOptions:
    """How one alarm behaves.

    Args:
        latch: After the condition has gone the alarm stays until somebody resets it.
        auto_ack: An alarm whose condition has gone needs no acknowledgement.
        shelve_max_ns: The longest shelving [ns]; 0 forbids it.
    """

    latch: bool = False
    auto_ack: bool = False
    shelve_max_ns: int = 8 * 3600 * 10**9


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stimulus did.

    Args:
        status: The status after it; the same object when nothing changed.
        change: The word for the transition, as in `AlarmEvent.change`; None without one.
        refused: Why an action was refused, as one sentence; empty when it was not.
    """

    status: AlarmStatus
    change: str | None = None
    refused: str = ""


def transition(
    status: AlarmStatus, stimulus: Stimulus, options: AlarmOptions | None = None
) -> Outcome:
    """The state machine of an alarm: total, pure, and the only place that changes a status.

    A condition is given after its delays and deadband. A hidden alarm runs on unseen; when
    the last overlay goes while the condition holds, it is annunciated anew: state UNACK, and
    a new occurrence. A refused action leaves the status as it was and says why.

    Source: ANSI/ISA-18.2-2016, alarm state diagram; OPC 10000-9 v1.05, 4.8 and 5.8.

    >>> raised = transition(AlarmStatus(), Stimulus("condition_true"))
    >>> raised.change, raised.status.state.value, raised.status.occurrence
    ('raised', 'UNACK', 1)
    >>> transition(raised.status, Stimulus("ack", occurrence=1)).status.state.value
    'ACKED'
    >>> transition(raised.status, Stimulus("reset")).refused
    'There is nothing to reset: the alarm is not latched.'
    """
    options = options or _PLAIN
    match stimulus.kind:
        case "condition_true":
            if status.is_active:
                return Outcome(status)
            return Outcome(_annunciated(status), "raised")
        case "condition_false":
            return _condition_false(status, options)
        case "ack":
            return _ack(status, stimulus.occurrence)
        case "reset":
            return _reset(status)
        case "shelve":
            return _shelve(status, stimulus, options)
        case "unshelve":
            if not status.shelved_until:
                return Outcome(status, refused="The alarm is not shelved.")
            return _uncovered(replace(status, shelved_until=0, shelved_reason=""), "unshelved")
        case _:
            return _overlaid(status, stimulus.kind)


_PLAIN: Final = AlarmOptions()
_UNACKNOWLEDGED: Final = {
    AlarmState.UNACK: AlarmState.ACKED,
    AlarmState.RTNUN: AlarmState.NORM,
    AlarmState.LATUN: AlarmState.LATACK,
}


def _annunciated(status: AlarmStatus) -> AlarmStatus:
    return replace(status, state=AlarmState.UNACK, occurrence=status.occurrence + 1)


def _overlaid(status: AlarmStatus, action: OverlayAction) -> Outcome:
    """Suppression by design and service: on or off, without a time."""
    on = action in ("suppress", "remove_from_service")
    if action in ("suppress", "unsuppress"):
        before, after = status.suppressed, replace(status, suppressed=on)
        change = f"{action}ed"
    else:
        before, after = status.out_of_service, replace(status, out_of_service=on)
        change = "removed_from_service" if on else "returned_to_service"
    if before == on:
        is_, by_rule = "is already" if on else "is not", action in ("suppress", "unsuppress")
        hidden = "suppressed" if by_rule else "out of service"
        return Outcome(status, refused=f"The alarm {is_} {hidden}.")
    return Outcome(after, change) if on else _uncovered(after, change)


def _uncovered(status: AlarmStatus, change: str) -> Outcome:
    """One overlay is gone: an active alarm is annunciated when it was the last."""
    if status.overlay is Overlay.NONE and status.is_active:
        status = _annunciated(status)
    return Outcome(status, change)


def _condition_false(status: AlarmStatus, options: AlarmOptions) -> Outcome:
    if status.state is AlarmState.UNACK:
        if options.latch:
            return Outcome(replace(status, state=AlarmState.LATUN), "returned")
        if options.auto_ack:
            return Outcome(replace(status, state=AlarmState.NORM), "cleared")
        return Outcome(replace(status, state=AlarmState.RTNUN), "returned")
    if status.state is AlarmState.ACKED:
        if options.latch:
            return Outcome(replace(status, state=AlarmState.LATACK), "returned")
        return Outcome(replace(status, state=AlarmState.NORM), "cleared")
    return Outcome(status)


def _ack(status: AlarmStatus, occurrence: int) -> Outcome:
    after = _UNACKNOWLEDGED.get(status.state)
    if after is None:
        normal = status.state is AlarmState.NORM
        why = "The alarm is not raised." if normal else "The alarm is acknowledged already."
        return Outcome(status, refused=why)
    if occurrence != status.occurrence:
        current = f"the current one, which is {status.occurrence}"
        return Outcome(status, refused=f"Occurrence {occurrence} is not {current}: look again.")
    return Outcome(replace(status, state=after), "acked")


def _reset(status: AlarmStatus) -> Outcome:
    if status.state is AlarmState.LATACK:
        return Outcome(replace(status, state=AlarmState.NORM), "reset")
    if status.state is AlarmState.LATUN:
        return Outcome(status, refused="Acknowledge the alarm before you reset it.")
    return Outcome(status, refused="There is nothing to reset: the alarm is not latched.")


def _shelve(status: AlarmStatus, stimulus: Stimulus, options: AlarmOptions) -> Outcome:
    if options.shelve_max_ns <= 0:
        return Outcome(status, refused="This alarm must not be shelved.")
    if not stimulus.reason.strip():
        return Outcome(status, refused="Shelving needs a reason.")
    if stimulus.until <= stimulus.now:
        return Outcome(status, refused="Shelving must end in the future.")
    if stimulus.until - stimulus.now > options.shelve_max_ns:
        size, word = (3600e9, "h") if options.shelve_max_ns >= 3600e9 else (60e9, "min")
        longest = f"{number(options.shelve_max_ns / size)} {word}"
        return Outcome(status, refused=f"Shelving lasts at most {longest}.")
    shelved = replace(status, shelved_until=stimulus.until, shelved_reason=stimulus.reason.strip())
    return Outcome(shelved, "shelved")
