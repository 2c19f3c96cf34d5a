"""Sparkplug B read by Google's protobuf, from the field numbers of the standard: not our reader.

Source: Eclipse Sparkplug 3.0.0, 6.4.1 (the .proto of a payload), as far as it is used here.
"""

from __future__ import annotations

from typing import Any

import pytest

pb = pytest.importorskip("google.protobuf")

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: E402

_T = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "u32": _T.TYPE_UINT32,
    "u64": _T.TYPE_UINT64,
    "bool": _T.TYPE_BOOL,
    "text": _T.TYPE_STRING,
    "f32": _T.TYPE_FLOAT,
    "f64": _T.TYPE_DOUBLE,
    "bytes": _T.TYPE_BYTES,
}
_FIELDS = {
    "PropertyValue": """1 type u32, 2 is_null bool, 3 int_value u32, 4 long_value u64,
        5 float_value f32, 6 double_value f64, 7 boolean_value bool, 8 string_value text""",
    "PropertySet": "1 keys text*, 2 values PropertyValue*",
    "Metric": """1 name text, 2 alias u64, 3 timestamp u64, 4 datatype u32, 5 is_historical bool,
        6 is_transient bool, 7 is_null bool, 9 properties PropertySet, 10 int_value u32,
        11 long_value u64, 12 float_value f32, 13 double_value f64, 14 boolean_value bool,
        15 string_value text, 16 bytes_value bytes""",
    "Payload": "1 timestamp u64, 2 metrics Metric*, 3 seq u64, 4 uuid text, 5 body bytes",
}


def _made() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="spb.proto", package="spb", syntax="proto2")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for number, field, kind in (words.split() for words in fields.split(",")):
            one = message.field.add(name=field, number=int(number), label=_T.LABEL_OPTIONAL)
            if kind.endswith("*"):
                one.label = _T.LABEL_REPEATED
            kind = kind.removesuffix("*")
            if kind in _KINDS:
                one.type = _KINDS[kind]
            else:
                one.type, one.type_name = _T.TYPE_MESSAGE, f".spb.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("spb.Payload"))


PAYLOAD = _made()


def read(data: bytes) -> Any:
    """A payload."""
    found = PAYLOAD()
    found.ParseFromString(data)
    size = found.ByteSize()
    found.DiscardUnknownFields()
    assert found.ByteSize() == size, "a field that the standard does not have"
    return found


def value(metric: Any) -> Any:
    """What a metric says."""
    if metric.is_null:
        return None
    kinds = ("int", "long", "float", "double", "boolean", "string", "bytes")
    names = [
        f"{kind}_value" for kind in kinds if f"{kind}_value" in metric.DESCRIPTOR.fields_by_name
    ]
    (name,) = [name for name in names if metric.HasField(name)]
    return getattr(metric, name)
