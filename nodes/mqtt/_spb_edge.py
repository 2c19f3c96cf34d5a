"""The publishing side of Sparkplug B: what an edge node says of itself.

Source: Eclipse Sparkplug 3.0.0, 6.4.17 to 6.4.25.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway import Batch, TagTable, quality
from nodes.mqtt._sparkplug import DataType, Metric, Payload, Value, encode
from nodes.mqtt._wire import Outgoing

REBIRTH = "Node Control/Rebirth"
_METRICS_MAX = 2_000  # a data message; a birth must hold all


class EdgeNode:
    """Numbers its messages and knows what was born.

    Args:
        group, edge: Ids in the topics.
        device: Id of the one device, or empty.
    """

    def __init__(self, group: str, edge: str, device: str = "") -> None:
        self._group, self._edge, self._device = group, edge, device
        self._birth_seq = -1
        self._seq = 0
        self._born: set[int] = set()
        self._last: dict[int, tuple[int, float, int]] = {}
        self.command_topic = self._topic("NCMD", False)

    def next_death(self) -> Outgoing:
        """The death certificate of the coming session; births and it share a bdSeq."""
        self._birth_seq = (self._birth_seq + 1) % 256
        return self.death()

    def death(self) -> Outgoing:
        """The death certificate. It has no sequence number, since nobody knows when it comes."""
        return Outgoing(
            self._topic("NDEATH", False), encode(Payload(metrics=(self._birth_metric(),))), 1
        )

    def meet(self, codes: Sequence[int]) -> bool:
        """Note tags; True when one is new, so that a birth is due."""
        before = len(self._born)
        self._born.update(codes)
        return len(self._born) > before

    def births(self, tags: TagTable, now: int) -> list[Outgoing]:
        """NBIRTH, and DBIRTH where there is a device; the sequence begins anew."""
        self._seq = 0
        now_ms = now // 10**6
        metrics = tuple(self._metric(tags, code, now_ms) for code in sorted(self._born))
        own = (
            self._birth_metric(),
            Metric(REBIRTH, ts_ms=now_ms, datatype=DataType.BOOLEAN, value=False),
        )
        node = own if self._device else own + metrics
        messages = [self._message("NBIRTH", Payload(now_ms, node, self._next_seq()), False)]
        if self._device:
            payload = Payload(now_ms, metrics, self._next_seq())
            messages.append(self._message("DBIRTH", payload, True))
        return messages

    def data(self, batch: Batch, now: int, old_ns: int) -> list[Outgoing]:
        """Rows by alias; those before `old_ns`, or before one that was sent, are historical.

        A host does not take a historical row for the value of now, so that what an outage left
        may be sent behind newer rows.
        """
        kind = "DDATA" if self._device else "NDATA"
        metrics = []
        for code, ts, value, status in batch.rows():
            is_newest = ts >= self._last.get(code, (ts,))[0]
            if is_newest:
                self._last[code] = (ts, value, status)
            metrics.append(
                Metric(
                    alias=code + 1,
                    ts_ms=ts // 10**6,
                    datatype=DataType.DOUBLE,
                    value=value,
                    is_historical=ts < old_ns or not is_newest,
                    is_null=value != value,
                    properties=_properties(status),
                )
            )
        messages = []
        for start in range(0, len(metrics), _METRICS_MAX):
            part = tuple(metrics[start : start + _METRICS_MAX])
            payload = Payload(now // 10**6, part, self._next_seq())
            messages.append(self._message(kind, payload, bool(self._device)))
        return messages

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

    def _topic(self, kind: str, has_device: bool) -> str:
        end = f"/{self._device}" if has_device else ""
        return f"spBv1.0/{self._group}/{kind}/{self._edge}{end}"

    def _message(self, kind: str, payload: Payload, has_device: bool) -> Outgoing:
        return Outgoing(self._topic(kind, has_device), encode(payload))


def _properties(status: int) -> dict[str, Value]:
    """The Quality property, only where it is not good: 0 is bad, 500 stale."""
    if status < quality.UNCERTAIN:
        return {}
    return {"Quality": 500 if status == quality.BAD_NO_COMMUNICATION else 0}
