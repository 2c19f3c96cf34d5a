"""The judge: which scripted faults were alarmed in time, and which alarms had no fault.

Pure: the script, the alarms and how long it ran go in, the verdict comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.plant.faults import Fault

SLACK_S = 1.0  # Clocks of device and gateway are read at different moments.


@dataclass(frozen=True, slots=True)
class Raised:
    """One annunciation.

    Args:
        at_s: When, in seconds of the plant.
        tag: The alarm's tag; for a lost device the source's id.
        text: What it says.
    """

    at_s: float
    tag: str
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """One fault and the alarm that found it, or None."""

    fault: Fault
    by: Raised | None

    @property
    def after_s(self) -> float | None:
        """Seconds from the fault to the alarm."""
        return None if self.by is None else self.by.at_s - self.fault.start_s


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run was worth: it is good when all was found and nothing was false."""

    found: Sequence[Found] = ()
    false: Sequence[Raised] = ()
    consequences: int = 0
    pending: Sequence[Fault] = field(default=())

    @property
    def missed(self) -> list[Fault]:
        """Faults without an alarm in time."""
        return [one.fault for one in self.found if one.by is None]

    @property
    def good(self) -> bool:
        """All found, none false, and there was something to find."""
        return bool(self.found) and not self.missed and not self.false


def judge(
    faults: Iterable[Fault],
    alarms: Sequence[Raised],
    ran_s: float,
    devices: Mapping[str, str],
) -> Verdict:
    """Match faults with alarms.

    Args:
        faults: The script, as far as it was played.
        alarms: Every annunciation, in order.
        ran_s: How long the gateway watched, in seconds of the plant.
        devices: The device behind each source id, for communication alarms.
    """
    found: list[Found] = []
    pending: list[Fault] = []
    explained: set[int] = set()
    played = [fault for fault in faults if fault.start_s < ran_s]
    for fault in played:
        mine = [
            i
            for i, alarm in enumerate(alarms)
            if _names(fault, alarm, devices)
            and fault.start_s - SLACK_S <= alarm.at_s <= fault.end_s + fault.settle_s
        ]
        expected = [i for i in mine if _expects(fault, alarms[i], devices)]
        in_time = [
            i for i in expected if alarms[i].at_s <= fault.start_s + fault.detect_within_s + SLACK_S
        ]
        explained.update(mine)
        if in_time or fault.start_s + fault.detect_within_s + SLACK_S <= ran_s:
            found.append(Found(fault, alarms[in_time[0]] if in_time else None))
        else:
            pending.append(fault)
    false = [alarm for i, alarm in enumerate(alarms) if i not in explained]
    first = {id(one.by) for one in found if one.by is not None}
    consequences = sum(1 for i in explained if id(alarms[i]) not in first)
    return Verdict(tuple(found), tuple(false), consequences, tuple(pending))


def _expects(fault: Fault, alarm: Raised, devices: Mapping[str, str]) -> bool:
    """Whether it finds the fault. A device that is off is one alarm, not one a tag of it."""
    if fault.kind == "power_off":
        return devices.get(alarm.tag) == fault.device
    return _measured(alarm.tag) in fault.expect_tags


def _names(fault: Fault, alarm: Raised, devices: Mapping[str, str]) -> bool:
    return _expects(fault, alarm, devices) or _measured(alarm.tag) in fault.related_tags


def _measured(tag: str) -> str:
    """The measured tag behind a derived one: an alarm on its mean is an alarm on it."""
    return tag.partition("#")[0]
