"""Sparkplug B payloads, read and written by the public field numbers.

Source: Eclipse Sparkplug 3.0.0, 6.4 Sparkplug B MQTT Payload (ISO/IEC 20237:2023).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from gateway import protobuf as pb

Value = float | int | bool | str | bytes | None


class DataType(IntEnum):
    """Types of metrics. Source: Sparkplug 3.0.0, 6.4.16 Data Types."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19


_SIGNED = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_LONG = {DataType.INT64, DataType.UINT64, DataType.DATETIME}
NUMERIC = {t for t in DataType if DataType.INT8 <= t <= DataType.BOOLEAN} | {DataType.DATETIME}
_TEXTS = {DataType.STRING, DataType.TEXT, DataType.UUID}


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of a Sparkplug payload.

    Args:
        name: Its name; empty when only the alias travels.
        alias: Stands for the name after a birth.
        ts_ms: Its timestamp [ms]; None takes the payload's.
        datatype: Its type; UNKNOWN in data messages, where the birth's holds.
        value: The value; integers as they travel, unsigned, until `signed`.
        is_historical: It is older than what was sent before.
        is_null: There is no value.
        properties: Such as ``engUnit`` and ``Quality``.
    """

    name: str = ""
    alias: int | None = None
    ts_ms: int | None = None
    datatype: DataType = DataType.UNKNOWN
    value: Value = None
    is_historical: bool = False
    is_null: bool = False
    properties: dict[str, Value] = field(default_factory=dict)

    def typed(self, datatype: DataType) -> Metric:
        """The metric with the birth's datatype: negative integers get their sign back.

        >>> Metric(value=4294967289).typed(DataType.INT32).value
        -7
        """
        value = self.value
        bits = _SIGNED.get(datatype)
        if bits and isinstance(value, int):
            value &= (1 << bits) - 1
            value -= (value >> (bits - 1)) << bits
        return replace(self, datatype=datatype, value=value)


@dataclass(frozen=True, slots=True)
class Payload:
    """A Sparkplug B payload.

    Args:
        ts_ms: When it was made [ms].
        metrics: Its values.
        seq: 0 to 255 and again; None in NDEATH and commands.
    """

    ts_ms: int | None = None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None

    def find(self, name: str) -> Metric | None:
        """The metric of a name."""
        return next((metric for metric in self.metrics if metric.name == name), None)


def decode(data: bytes) -> Payload:
    """Read a payload.

    Raises:
        ValueError: It is no Sparkplug B payload.
    """
    ts_ms: int | None = None
    seq: int | None = None
    metrics = []
    for number, raw in pb.fields(data):
        if number == 1:
            ts_ms = pb.number(raw)
        elif number == 2:
            metrics.append(_metric(pb.chunk(raw)))
        elif number == 3:
            seq = pb.number(raw)
    return Payload(ts_ms, tuple(metrics), seq)


def _metric(data: bytes) -> Metric:
    facts: dict[str, Any] = {}
    for number, raw in pb.fields(data):
        if number == 1:
            facts["name"] = pb.chunk(raw).decode()
        elif number == 2:
            facts["alias"] = pb.number(raw)
        elif number == 3:
            facts["ts_ms"] = pb.number(raw)
        elif number == 4:
            known = pb.number(raw)
            facts["datatype"] = DataType(known) if known in _TYPES else DataType.UNKNOWN
        elif number == 5:
            facts["is_historical"] = bool(raw)
        elif number == 7:
            facts["is_null"] = bool(raw)
        elif number == 9:
            facts["properties"] = _properties(pb.chunk(raw))
        elif 10 <= number <= 16:
            facts["value"] = _value(number - 10, raw)
    metric = Metric(**facts)
    return metric.typed(metric.datatype)


_TYPES = {int(t) for t in DataType}


def _value(kind: int, raw: int | bytes) -> Value:
    """A value by its place in the message: int, long, float, double, boolean, string, bytes."""
    match kind:
        case 0 | 1:
            return pb.number(raw)
        case 2:
            return pb.single(raw)
        case 3:
            return pb.double(raw)
        case 4:
            return bool(pb.number(raw))
        case 5:
            return pb.chunk(raw).decode()
        case _:
            return pb.chunk(raw)


def _properties(data: bytes) -> dict[str, Value]:
    names: list[str] = []
    values: list[Value] = []
    for number, raw in pb.fields(data):
        if number == 1:
            names.append(pb.chunk(raw).decode())
        elif number == 2:
            values.append(_property(pb.chunk(raw)))
    return dict(zip(names, values, strict=False))


def _property(data: bytes) -> Value:
    value: Value = None
    datatype = DataType.UNKNOWN
    for number, raw in pb.fields(data):
        if number == 1 and raw in _TYPES:
            datatype = DataType(pb.number(raw))
        elif 3 <= number <= 8:
            value = _value(number - 3, raw)
    return Metric(value=value).typed(datatype).value


def encode(payload: Payload) -> bytes:
    """Write a payload.

    >>> decode(encode(Payload(5, (Metric("a", 1, 5, DataType.INT8, -7),), 0))).metrics[0].value
    -7
    """
    parts = [] if payload.ts_ms is None else [pb.put_number(1, payload.ts_ms)]
    parts += [pb.put_bytes(2, _encode_metric(metric)) for metric in payload.metrics]
    if payload.seq is not None:
        parts.append(pb.put_number(3, payload.seq))
    return b"".join(parts)


def _encode_metric(metric: Metric) -> bytes:
    parts = []
    if metric.name:
        parts.append(pb.put_bytes(1, metric.name.encode()))
    if metric.alias is not None:
        parts.append(pb.put_number(2, metric.alias))
    if metric.ts_ms is not None:
        parts.append(pb.put_number(3, metric.ts_ms))
    if metric.datatype:
        parts.append(pb.put_number(4, metric.datatype))
    if metric.is_historical:
        parts.append(pb.put_number(5, 1))
    if metric.is_null:
        parts.append(pb.put_number(7, 1))
    if metric.properties:
        parts.append(pb.put_bytes(9, _encode_properties(metric.properties)))
    if metric.value is not None and not metric.is_null:
        parts.append(_encode_value(10, metric.datatype, metric.value))
    return b"".join(parts)


def _encode_value(first: int, datatype: DataType, value: Value) -> bytes:
    """A value in the field its type asks for; `first` is the field number of int_value."""
    if isinstance(value, str):
        return pb.put_bytes(first + 5, value.encode())
    if isinstance(value, bytes):
        return pb.put_bytes(first + 6, value)
    assert value is not None
    if datatype is DataType.BOOLEAN:
        return pb.put_number(first + 4, int(bool(value)))
    if datatype is DataType.DOUBLE:
        return pb.put_double(first + 3, float(value))
    if datatype is DataType.FLOAT:
        return pb.put_float(first + 2, float(value))
    if datatype in _LONG:
        return pb.put_number(first + 1, int(value) & 0xFFFF_FFFF_FFFF_FFFF)
    return pb.put_number(first, int(value) & 0xFFFF_FFFF)


def _encode_properties(properties: dict[str, Value]) -> bytes:
    names = [pb.put_bytes(1, name.encode()) for name in properties]
    values = []
    for value in properties.values():
        if isinstance(value, str):
            datatype = DataType.STRING
        elif isinstance(value, float):
            datatype = DataType.DOUBLE
        else:
            datatype = DataType.INT32
        body = pb.put_number(1, datatype) + _encode_value(3, datatype, value)
        values.append(pb.put_bytes(2, body))
    return b"".join(names + values)
