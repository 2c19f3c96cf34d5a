"""OTLP: spans and counters as the messages that OpenTelemetry collectors take.

The few messages that are needed, written out by their field numbers. The library that is usual
in the field adds 14 MB, three threads and a second client of the web; see decision 0043.

Source: opentelemetry-proto 1.x, trace.proto, metrics.proto, common.proto, resource.proto (the
field numbers); OTLP Specification 1.x, OTLP/HTTP; protobuf.dev, Encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from gateway.api.exposition_models import Family
from gateway.api.exposition_names import BY_NAME
from gateway.engine.spans import Span

Value = str | int | float
_KINDS: Final = {"internal": 1, "producer": 4, "consumer": 5}
_ERROR: Final = 2
_CUMULATIVE: Final = 2
_UNITS: Final = (("_seconds", "s"), ("_bytes", "By"), ("_rows", "{row}"))
_VARINT, _FIXED64, _LENGTH = 0, 1, 2
_PARTIAL: Final = 1


# ---------------------------------------------------------------------- the wire


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def _part(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | _LENGTH) + _varint(len(data)) + data


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode("utf-8", "replace"))


def _fixed(field: int, value: int) -> bytes:
    return _varint(field << 3 | _FIXED64) + struct.pack("<Q", max(value, 0))


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | _FIXED64) + struct.pack("<d", value)


def _attributes(field: int, values: Mapping[str, Value]) -> bytes:
    """KeyValue {key = 1, value = 2}; AnyValue {string = 1, int = 3, double = 4}."""
    out = []
    for key, value in values.items():
        if isinstance(value, str):
            said = _text(1, value)
        elif isinstance(value, int):
            said = _number(3, value)
        else:
            said = _double(4, value)
        out.append(_part(field, _text(1, key) + _part(2, said)))
    return b"".join(out)


# ---------------------------------------------------------------------- requests


def traces(resource: Mapping[str, Value], version: str, spans: Iterable[Span]) -> bytes:
    """An ExportTraceServiceRequest.

    Args:
        resource: What this gateway is.
        version: Of the product.
        spans: What is told.
    """
    told = b"".join(_part(2, _span(span)) for span in spans)
    return _request(resource, _scope(version) + told)


def metrics(
    resource: Mapping[str, Value],
    version: str,
    families: Sequence[Family],
    since: int,
    now: int,
) -> bytes:
    """An ExportMetricsServiceRequest.

    Args:
        resource: What this gateway is.
        version: Of the product.
        families: As `/metrics` tells them, by the same names.
        since: When the counters began at 0 [ns].
        now: Of when the values are [ns].
    """
    told = b"".join(_part(2, _metric(family, since, now)) for family in families if family[1])
    return _request(resource, _scope(version) + told)


def _request(resource: Mapping[str, Value], scope: bytes) -> bytes:
    """Both requests are built alike: one resource, with all of one scope."""
    return _part(1, _part(1, _attributes(1, resource)) + _part(2, scope))


def _scope(version: str) -> bytes:
    return _part(1, _text(1, "genba") + _text(2, version))


def _span(span: Span) -> bytes:
    out = _part(1, span.trace) + _part(2, span.id)
    if span.parent:
        out += _part(4, span.parent)
    out += _text(5, span.name) + _number(6, _KINDS[span.kind])
    out += _fixed(7, span.begin) + _fixed(8, span.end) + _attributes(9, span.attributes)
    if span.error:
        out += _part(15, _text(2, span.error) + _number(3, _ERROR))
    return out


def _metric(family: Family, since: int, now: int) -> bytes:
    name, values = family
    known = BY_NAME[name]
    base = name.removesuffix("_total").removesuffix("_max")
    unit = next((unit for end, unit in _UNITS if base.endswith(end)), "1")
    is_counter = known.kind == "counter"
    points = b"".join(
        _part(1, _point(labels, value, since if is_counter else 0, now)) for labels, value in values
    )
    head = _text(1, name) + _text(2, known.about) + _text(3, unit)
    if is_counter:
        return head + _part(7, points + _number(2, _CUMULATIVE) + _number(3, 1))
    return head + _part(5, points)


def _point(labels: Mapping[str, str], value: float, since: int, now: int) -> bytes:
    out = _fixed(2, since) if since else b""
    out += _fixed(3, now)
    if isinstance(value, int):
        out += _varint(6 << 3 | _FIXED64) + struct.pack("<q", value)
    else:
        out += _double(4, float(value))
    return out + _attributes(7, labels)


# ---------------------------------------------------------------------- the answer


def refused(answer: bytes) -> tuple[int, str]:
    """How many spans or points a collector has refused, and why; of the answer to either.

    Raises:
        ValueError: This is no such answer.

    >>> refused(bytes.fromhex("0a060805 1202 6e6f"))
    (5, 'no')
    """
    count, why = 0, ""
    for field, value in _fields(answer):
        if field != _PARTIAL or not isinstance(value, bytes):
            continue
        for inner, found in _fields(value):
            if inner == 1 and isinstance(found, int):
                count = found
            elif inner == 2 and isinstance(found, bytes):
                why = found.decode("utf-8", "replace")
    return count, why


def _fields(data: bytes) -> Iterable[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        key, at = _read(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _read(data, at)
            yield key >> 3, value
            continue
        size, at = _read(data, at) if kind == _LENGTH else ({1: 8, 5: 4}.get(kind, -1), at)
        if size < 0 or at + size > len(data):
            raise ValueError("this is no answer of a collector")
        yield key >> 3, data[at : at + size]
        at += size


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("this is no answer of a collector")


__all__ = ["metrics", "refused", "traces"]
