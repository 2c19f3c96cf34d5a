"""OTLP: spans and counters as the messages that OpenTelemetry collectors take.

The few messages that are needed, written out by their field numbers. The library that is usual
in the field adds 14 MB, three threads and a second client of the web; see decision 0043.

Source: opentelemetry-proto 1.x, trace.proto, metrics.proto, common.proto, resource.proto (the
field numbers); OTLP Specification 1.x, OTLP/HTTP; protobuf.dev, Encoding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from gateway.api.exposition_models import Family
from gateway.api.exposition_names import BY_NAME
from gateway.data.protobuf import fields, put_bytes, put_double, put_fixed, put_number
from gateway.engine.spans import Span

Value = str | int | float
_KINDS: Final = {"internal": 1, "producer": 4, "consumer": 5}
_ERROR: Final = 2
_CUMULATIVE: Final = 2
_UNITS: Final = (("_seconds", "s"), ("_bytes", "By"), ("_rows", "{row}"))
_PARTIAL: Final = 1


# ---------------------------------------------------------------------- the wire


def _text(field: int, text: str) -> bytes:
    return put_bytes(field, text.encode("utf-8", "replace"))


def _fixed(field: int, value: int) -> bytes:
    return put_fixed(field, max(value, 0))


def _attributes(field: int, values: Mapping[str, Value]) -> bytes:
    """KeyValue {key = 1, value = 2}; AnyValue {string = 1, int = 3, double = 4}."""
    out = []
    for key, value in values.items():
        if isinstance(value, str):
            said = _text(1, value)
        elif isinstance(value, int):
            said = put_number(3, value)
        else:
            said = put_double(4, value)
        out.append(put_bytes(field, _text(1, key) + put_bytes(2, said)))
    return b"".join(out)


# ---------------------------------------------------------------------- requests


def traces(resource: Mapping[str, Value], version: str, spans: Iterable[Span]) -> bytes:
    """An ExportTraceServiceRequest.

    Args:
        resource: What this gateway is.
        version: Of the product.
        spans: What is told.
    """
    told = b"".join(put_bytes(2, _span(span)) for span in spans)
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
    told = b"".join(put_bytes(2, _metric(family, since, now)) for family in families if family[1])
    return _request(resource, _scope(version) + told)


def _request(resource: Mapping[str, Value], scope: bytes) -> bytes:
    """Both requests are built alike: one resource, with all of one scope."""
    return put_bytes(1, put_bytes(1, _attributes(1, resource)) + put_bytes(2, scope))


def _scope(version: str) -> bytes:
    return put_bytes(1, _text(1, "genba") + _text(2, version))


def _span(span: Span) -> bytes:
    out = put_bytes(1, span.trace) + put_bytes(2, span.id)
    if span.parent:
        out += put_bytes(4, span.parent)
    out += _text(5, span.name) + put_number(6, _KINDS[span.kind])
    out += _fixed(7, span.begin) + _fixed(8, span.end) + _attributes(9, span.attributes)
    if span.error:
        out += put_bytes(15, _text(2, span.error) + put_number(3, _ERROR))
    return out


def _metric(family: Family, since: int, now: int) -> bytes:
    name, values = family
    known = BY_NAME[name]
    base = name.removesuffix("_total").removesuffix("_max")
    unit = next((unit for end, unit in _UNITS if base.endswith(end)), "1")
    is_counter = known.kind == "counter"
    points = b"".join(
        put_bytes(1, _point(labels, value, since if is_counter else 0, now))
        for labels, value in values
    )
    head = _text(1, name) + _text(2, known.about) + _text(3, unit)
    if is_counter:
        return head + put_bytes(7, points + put_number(2, _CUMULATIVE) + put_number(3, 1))
    return head + put_bytes(5, points)


def _point(labels: Mapping[str, str], value: float, since: int, now: int) -> bytes:
    out = _fixed(2, since) if since else b""
    out += _fixed(3, now)
    if isinstance(value, int):
        out += put_fixed(6, value & 0xFFFF_FFFF_FFFF_FFFF)  # sfixed64
    else:
        out += put_double(4, float(value))
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
    for field, value in fields(answer):
        if field != _PARTIAL or not isinstance(value, bytes):
            continue
        for inner, found in fields(value):
            if inner == 1 and isinstance(found, int):
                count = found
            elif inner == 2 and isinstance(found, bytes):
                why = found.decode("utf-8", "replace")
    return count, why


__all__ = ["metrics", "refused", "traces"]
