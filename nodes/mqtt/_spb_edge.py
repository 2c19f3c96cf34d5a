"""The publishing side of Sparkplug B: what an edge node says of itself and of its devices.

Source: Eclipse Sparkplug 3.0.0, 6.4.17 to 6.4.25.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway import Batch, TagTable, quality
from nodes.mqtt._sparkplug import DataType, Metric, Payload, Value, encode
from nodes.mqtt._topics import TopicMap
from nodes.mqtt._wire import Outgoing

REBIRTH = "Node Control/Rebirth"
_METRICS_MAX = 2_000  # a data message; a birth must hold all
_AWAY = quality.BAD_NO_COMMUNICATION


@dataclass(slots=True)
class _Device:
    """What is known of a device; the edge node itself is the one without a name."""

    codes: set[int] = field(default_factory=set)
    is_born: bool = False


class EdgeNode:
    """Numbers its messages and knows what was born.

    A device all of whose tags are without communication has died, and is born again with the
    first that is not.

    Args:
        group, edge: Ids in the topics.
        device: Id of the one device, or empty.
        devices: Templates of tag names; what ``{device}`` captures is the id of a device.
        facts: Properties of the edge node that every birth says, as texts.
    """

    def __init__(
        self,
        group: str,
        edge: str,
        device: str = "",
        devices: Sequence[str] = (),
        facts: Mapping[str, str] | None = None,
    ) -> None:
        self._group, self._edge, self._device = group, edge, device
        self._map = TopicMap(list(devices), "{device}") if devices else None
        self._facts = dict(facts or {})
        self._birth_seq = -1
        self._seq = 0
        self._devices: dict[str, _Device] = {device: _Device()}
        self._device_of: dict[int, str] = {}
        self._last: dict[int, tuple[int, float, int]] = {}
        self.command_topic = self._topic("NCMD", "")

    def next_death(self) -> Outgoing:
        """The death certificate of the coming session; births and it share a bdSeq."""
        self._birth_seq = (self._birth_seq + 1) % 256
        return self.death()

    def death(self) -> Outgoing:
        """The death certificate. It has no sequence number, since nobody knows when it comes."""
        return Outgoing(
            self._topic("NDEATH", ""), encode(Payload(metrics=(self._birth_metric(),))), 1
        )

    def meet(self, codes: Iterable[int], tags: TagTable) -> list[str]:
        """Note tags; returns the devices that have new ones, so that a birth is due."""
        fresh = []
        for code in codes:
            if code in self._device_of:
                continue
            name = (self._map(tags.name(code)) if self._map else None) or self._device
            name = name.translate(_UNFIT)
            self._device_of[code] = name
            self._devices.setdefault(name, _Device()).codes.add(code)
            if name not in fresh:
                fresh.append(name)
        return fresh

    def births(self, tags: TagTable, now: int) -> list[Outgoing]:
        """NBIRTH, and DBIRTH for each device that lives; the sequence begins anew."""
        self._seq = 0
        now_ms = now // 10**6
        own = [
            self._birth_metric(),
            Metric(REBIRTH, ts_ms=now_ms, datatype=DataType.BOOLEAN, value=False),
        ]
        own += [
            Metric(f"Properties/{name}", ts_ms=now_ms, datatype=DataType.STRING, value=text)
            for name, text in self._facts.items()
        ]
        if "" in self._devices:
            own += self._metrics(self._devices[""], tags, now_ms)
        messages = [self._message("NBIRTH", Payload(now_ms, tuple(own), self._next_seq()), "")]
        for device in self._devices.values():
            device.is_born = False
        living = [name for name in sorted(self._devices) if name and self._lives(name)]
        return [*messages, *(self._birth(name, tags, now_ms) for name in living)]

    def births_of(self, names: Sequence[str], tags: TagTable, now: int) -> list[Outgoing]:
        """The births that new tags of these devices ask for."""
        if "" in names:
            return self.births(tags, now)
        living = [name for name in names if self._lives(name)]
        return [self._birth(name, tags, now // 10**6) for name in living]

    def data(self, batch: Batch, tags: TagTable, now: int, old_ns: int) -> list[Outgoing]:
        """Rows by alias; those before `old_ns`, or before one that was sent, are historical.

        A host does not take a historical row for the value of now, so that what an outage left
        may be sent behind newer rows.
        """
        metrics: dict[str, list[Metric]] = {}
        for code, ts, value, status in batch.rows():
            is_newest = ts >= self._last.get(code, (ts,))[0]
            if is_newest:
                self._last[code] = (ts, value, status)
            metric = Metric(
                alias=code + 1,
                ts_ms=ts // 10**6,
                datatype=DataType.DOUBLE,
                value=value,
                is_historical=ts < old_ns or not is_newest,
                is_null=value != value,
                properties=_properties(status),
            )
            metrics.setdefault(self._device_of[code], []).append(metric)
        messages = []
        for name, found in metrics.items():
            messages += self._of_device(name, found, tags, now // 10**6)
        return messages

    def _of_device(
        self, name: str, metrics: list[Metric], tags: TagTable, now_ms: int
    ) -> list[Outgoing]:
        """Data of one device, with its birth or its death where that is due."""
        device = self._devices[name]
        messages = []
        if name and self._lives(name) and not device.is_born:
            messages.append(self._birth(name, tags, now_ms))
        if not name or device.is_born:
            for start in range(0, len(metrics), _METRICS_MAX):
                part = tuple(metrics[start : start + _METRICS_MAX])
                payload = Payload(now_ms, part, self._next_seq())
                messages.append(self._message("DDATA" if name else "NDATA", payload, name))
        if name and device.is_born and not self._lives(name):
            device.is_born = False
            messages.append(self._message("DDEATH", Payload(now_ms, (), self._next_seq()), name))
        return messages

    def _lives(self, name: str) -> bool:
        """Whether some tag of a device has communication, or nothing was heard of it yet."""
        codes = self._devices[name].codes
        known = [self._last[code][2] for code in codes if code in self._last]
        return len(known) < len(codes) or not codes or any(one != _AWAY for one in known)

    def _birth(self, name: str, tags: TagTable, now_ms: int) -> Outgoing:
        device = self._devices[name]
        device.is_born = True
        metrics = tuple(self._metrics(device, tags, now_ms))
        return self._message("DBIRTH", Payload(now_ms, metrics, self._next_seq()), name)

    def _metrics(self, device: _Device, tags: TagTable, now_ms: int) -> list[Metric]:
        return [self._metric(tags, code, now_ms) for code in sorted(device.codes)]

    def _metric(self, tags: TagTable, code: int, now_ms: int) -> Metric:
        """One tag in a birth, with the last value that was sent."""
        tag = tags[code]
        ts, value, status = self._last.get(code, (now_ms * 10**6, float("nan"), quality.GOOD))
        properties: dict[str, Value] = dict(_properties(status))
        if tag.unit:
            properties["engUnit"] = tag.unit
        if tag.low == tag.low and tag.high == tag.high:
            properties |= {"engLow": tag.low, "engHigh": tag.high}
        return Metric(
            tag.name,
            code + 1,
            ts // 10**6,
            DataType.DOUBLE,
            value,
            is_null=value != value,
            properties=properties,
        )

    def _birth_metric(self) -> Metric:
        return Metric("bdSeq", datatype=DataType.INT64, value=self._birth_seq)

    def _next_seq(self) -> int:
        seq, self._seq = self._seq, (self._seq + 1) % 256
        return seq

    def _topic(self, kind: str, device: str) -> str:
        end = f"/{device}" if device else ""
        return f"spBv1.0/{self._group}/{kind}/{self._edge}{end}"

    def _message(self, kind: str, payload: Payload, device: str) -> Outgoing:
        return Outgoing(self._topic(kind, device), encode(payload))


_UNFIT = str.maketrans("/+#", "___")


def _properties(status: int) -> dict[str, Value]:
    """The Quality property, only where it is not good: 0 is bad, 500 stale."""
    if status < quality.UNCERTAIN:
        return {}
    return {"Quality": 500 if status == _AWAY else 0}
