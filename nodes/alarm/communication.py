"""Communication alarm: a source lost its device; one alarm a source, not one a tag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
    away: bool = False
    raised: bool = False
    why: str = ""


class _Links:
    """The links by source id."""

    def __init__(self) -> None:
        self.by_source: dict[str, _Link] = {}

    def save(self) -> Mapping[str, NDArray[Any]]:
        return {"json": pack({name: asdict(link) for name, link in self.by_source.items()})}

    def load(self, state: Mapping[str, NDArray[Any]]) -> None:
        rows = unpack(state["json"])
        self.by_source = {name: _Link(**row) for name, row in rows.items()}


class Communication(DeskNode[CommunicationConfig]):
    """Raise the alarm COMM when a source has lost its device for `on_delay_s`.

    It reads the `status` port of sources: `source/lost` and `source/back`, each with the
    source's id and, in `text`, what happened. Other events are passed over. The alarm's tag
    is the source's id, its number the time the device was away [s]. Every flow has such a
    node without being told; write one to choose the delay and the priority.

    State: the link of each source and its alarm.
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
            if event.topic in ("source/lost", "source/back"):
                source = event.data.get("source")
                if isinstance(source, str) and source:
                    found += self._report(source, event)
                else:
                    self.ctx.count("status_without_source")
        return found

    def _report(self, source: str, event: Event) -> list[AlarmEvent]:
        lost = event.topic == "source/lost"
        link = self._links.by_source.get(source)
        if link is None:
            if not lost:
                return []
            link = self._links.by_source[source] = _Link(event.ts, self.ctx.now)
        ts = max(event.ts, link.since)
        found = self._raise_due(source, link, ts)
        if lost and not link.away:
            link.away, link.since, link.seen = True, ts, self.ctx.now
            link.why = str(event.data.get("text") or "")
            found += self._raise_due(source, link, ts)
        elif not lost and link.away:
            found += self._back(source, link, ts)
        return found

    def _raise_due(self, source: str, link: _Link, until: int) -> list[AlarmEvent]:
        """Raise the alarm when the delay is over at `until` [ns], in event time."""
        due = link.since + self._delay_ns
        if not link.away or link.raised or due > until:
            return []
        link.raised = True
        alarm = self._alarm(source)
        alarm.value = self.config.on_delay_s
        text = f"{source} has had no connection to its device for {amount(alarm.value, 's')}"
        if link.why:
            text += f": {link.why}"
        return self._desk.condition(alarm, True, due, text)

    def _back(self, source: str, link: _Link, ts: int) -> list[AlarmEvent]:
        alarm = self._alarm(source)
        alarm.value = (ts - link.since) / 1e9
        raised = link.raised
        self._links.by_source[source] = _Link(ts, self.ctx.now)
        if not raised:
            return []
        text = f"{source} has its device back after {amount(alarm.value, 's')}"
        return self._desk.condition(alarm, False, max(ts, link.since + self._delay_ns), text)

    def _alarm(self, source: str) -> Alarm:
        return Alarm(source, "COMM", self.config.priority, self.config.on_delay_s, "s")

    def _alarm_of(self, tag: str, condition: str) -> Alarm | None:
        mine = condition == "COMM" and tag in self._links.by_source
        return self._alarm(tag) if mine else None

    def _timer_at(self) -> int | None:
        waiting = (
            link.seen + self._delay_ns
            for link in self._links.by_source.values()
            if link.away and not link.raised
        )
        return min(waiting, default=None)

    def _timer(self, now: int) -> list[AlarmEvent]:
        found: list[AlarmEvent] = []
        for source, link in self._links.by_source.items():
            found += self._raise_due(source, link, link.since + now - link.seen)
        return found
