"""Communication alarm: a device is away; one alarm a device, not one a source or a tag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from numpy.typing import NDArray
from pydantic import Field

from gateway import (
    AlarmEvent,
    Context,
    Event,
    Events,
    Example,
    Port,
    Priority,
    Seconds,
    amount,
)
from nodes.alarm._base import OPERATOR, DeskConfig, DeskNode
from nodes.alarm._desk import Alarm
from nodes.alarm._saved import pack, unpack


class CommunicationConfig(DeskConfig):
    on_delay_s: Seconds = Field(
        5, description="How long a device must be away before the alarm is raised."
    )
    priority: Priority = Field("high", description="Priority of the alarm.")


@dataclass(slots=True)
class _Link:
    """What is known of the device behind one source."""

    since: int
    """Event time of the last change [ns]."""
    seen: int
    """Processing time of it [ns]."""
    sources: list[str] = field(default_factory=list)
    """Sources that miss the device now, in the order in which they lost it."""
    raised: bool = False
    why: str = ""


class _Links:
    """The links by device."""

    def __init__(self) -> None:
        self.by_device: dict[str, _Link] = {}

    def save(self) -> Mapping[str, NDArray[Any]]:
        return {"json": pack({name: asdict(link) for name, link in self.by_device.items()})}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        rows = unpack(state["json"])
        self.by_device = {name: _Link(**row) for name, row in rows.items()}


class Communication(DeskNode[CommunicationConfig]):
    """Raise the alarm COMM when a device has been away for `on_delay_s`.

    It reads the `status` port of sources: `source/lost`, `device/lost` or `unit/lost`, and the
    same with `/back`, each with the source's id and, in `text`, what happened. Other events
    are passed over. Sources that share a connection share its alarm: it is raised when the
    first of them loses the device and returns when the last has it back. The alarm's tag is
    the name of the connection, or of the source where there is none, with the unit behind a
    colon on a bus. Its number is the time the device was away [s]. Every flow has such a node
    without being told; write one to choose the delay and the priority.

    State: the link of each device and its alarm.
    Cost: O(1) an event; samples do not come here.
    """

    Config = CommunicationConfig
    stage = "stable"
    inputs: ClassVar[tuple[Port, ...]] = (
        Port("in", "events", "The `status` of sources: lost and back."),
        OPERATOR,
    )
    examples = (
        Example(
            "A device is switched off, and on again",
            {"on_delay_s": 5},
            given='10s source/lost {"source": "press1", "text": "No answer from 10.0.0.5:4840."}\n'
            '52s source/back {"source": "press1"}',
            expect="15s press1 COMM raised UNACK 5 5\n52s press1 COMM returned RTNUN 42 5",
        ),
        Example(
            "A short loss is no alarm",
            {"on_delay_s": 5},
            given='10s source/lost {"source": "scale"}\n13s source/back {"source": "scale"}',
            expect="",
            until="1min",
        ),
        Example(
            "A source leaves the flow while its device is away",
            {"on_delay_s": 5},
            given='10s source/lost {"source": "scale"}\n60s source/removed {"source": "scale"}',
            expect="15s scale COMM raised UNACK 5 5\n60s scale COMM removed NORM 5 5",
        ),
        Example(
            "Two sources on one connection, and one unit of a bus",
            {"on_delay_s": 0},
            given='1s source/lost {"source": "fast", "device": "plc"}\n'
            '2s source/lost {"source": "slow", "device": "plc"}\n'
            '3s unit/lost {"source": "meter", "device": "line", "unit": 7}\n'
            '4s source/back {"source": "fast", "device": "plc"}\n'
            '5s source/back {"source": "slow", "device": "plc"}',
            expect="1s plc COMM raised UNACK 0 0\n3s line:7 COMM raised UNACK 0 0\n"
            "5s plc COMM returned RTNUN 4 0",
        ),
        Example(
            "One alarm however often the loss is reported, for each source its own",
            {"on_delay_s": 0, "auto_ack": True},
            given='1s source/lost {"source": "a"}\n2s source/lost {"source": "a"}\n'
            '3s source/lost {"source": "b"}\n9s source/back {"source": "a"}',
            expect="1s a COMM raised UNACK 0 0\n3s b COMM raised UNACK 0 0\n"
            "9s a COMM cleared NORM 8 0",
        ),
    )

    def __init__(self, config: CommunicationConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._delay_ns = round(config.on_delay_s * 1e9)
        self._links = self.keep("links", _Links())

    def _receive(self, message: Events) -> list[AlarmEvent]:
        found: list[AlarmEvent] = []
        for event in message:
            who, _, change = event.topic.partition("/")
            known = who in ("source", "device", "unit") and change in ("lost", "back")
            if not known and event.topic != "source/removed":
                continue
            source = event.data.get("source")
            if isinstance(source, str) and source and change == "removed":
                found += self._removed(source, event)
            elif isinstance(source, str) and source:
                found += self._report(source, event, lost=change == "lost")
            else:
                self.ctx.count("status_without_source")
        return found

    def _report(self, source: str, event: Event, *, lost: bool) -> list[AlarmEvent]:
        device = str(event.data.get("device") or source)
        if "unit" in event.data:
            device += f":{event.data['unit']}"
        link = self._links.by_device.get(device)
        if link is None:
            if not lost:
                return []
            link = self._links.by_device[device] = _Link(event.ts, self.ctx.now)
        ts = max(event.ts, link.since)
        found = self._raise_due(device, link, ts)
        if lost:
            if not link.sources:
                link.since, link.seen = ts, self.ctx.now
                link.why = str(event.data.get("text") or "")
            if source not in link.sources:
                link.sources.append(source)
            found += self._raise_due(device, link, ts)
        elif source in link.sources:
            link.sources.remove(source)
            if not link.sources:
                found += self._back(device, link, ts)
        return found

    def _removed(self, source: str, event: Event) -> list[AlarmEvent]:
        """The flow has the source no longer, so nobody will say that its devices are back."""
        found: list[AlarmEvent] = []
        for device, link in self._links.by_device.items():
            if source not in link.sources:
                continue
            ts = max(event.ts, link.since)
            found += self._raise_due(device, link, ts)
            link.sources.remove(source)
            if not link.sources:
                self._links.by_device[device] = _Link(ts, self.ctx.now)
                text = f"{source} is no longer in the flow: nobody asks for {device}"
                found += self._desk.end(device, "COMM", ts, text)
        return found

    def _raise_due(self, device: str, link: _Link, until: int) -> list[AlarmEvent]:
        """Raise the alarm when the delay is over at `until` [ns], in event time."""
        due = link.since + self._delay_ns
        if not link.sources or link.raised or due > until:
            return []
        link.raised = True
        alarm = self._alarm(device)
        alarm.value = self.config.on_delay_s
        away = amount(alarm.value, "s")
        text = f"{device} has been away for {away}"
        text = f"{device} has been away for {away}: {link.why}" if link.why else text
        return self._desk.condition(alarm, True, due, text)

    def _back(self, device: str, link: _Link, ts: int) -> list[AlarmEvent]:
        alarm = self._alarm(device)
        alarm.value = (ts - link.since) / 1e9
        raised = link.raised
        self._links.by_device[device] = _Link(ts, self.ctx.now)
        if not raised:
            return []
        text = f"{device} is back after {amount(alarm.value, 's')}"
        return self._desk.condition(alarm, False, max(ts, link.since + self._delay_ns), text)

    def _alarm(self, device: str) -> Alarm:
        return Alarm(device, "COMM", self.config.priority, self.config.on_delay_s, "s")

    def _alarm_of(self, tag: str, condition: str) -> Alarm | None:
        mine = condition == "COMM" and tag in self._links.by_device
        return self._alarm(tag) if mine else None

    def paused(self, ns: int) -> None:
        for link in self._links.by_device.values():
            link.seen += ns

    def clock_set(self, ns: int) -> None:
        super().clock_set(ns)
        for link in self._links.by_device.values():
            # The engine says when a device was lost, by the gateway's clock.
            link.since = link.since + ns if ns > 0 else min(link.since, link.seen)

    def _timer_at(self) -> int | None:
        if not self._links.by_device:
            return None
        waiting = [
            link.seen + self._delay_ns
            for link in self._links.by_device.values()
            if link.sources and not link.raised
        ]
        return min(waiting, default=None)

    def _timer(self, now: int) -> list[AlarmEvent]:
        found: list[AlarmEvent] = []
        for device, link in self._links.by_device.items():
            found += self._raise_due(device, link, link.since + now - link.seen)
        return found
