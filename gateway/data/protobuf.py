"""The four wire types of protocol buffers, read and written: Sparkplug and OTLP use them.

Source: protobuf.dev, Encoding (varint, I32, I64, LEN).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_DOUBLE = struct.Struct("<d")
_FLOAT = struct.Struct("<f")
_FIXED = struct.Struct("<Q")


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value): an int for varints, raw bytes for everything else.

    Raises:
        ValueError: The bytes are cut short or of a wire type that is not used any more.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError("field number 0")
        if kind == 0:
            value, at = varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if at + size > end:
            raise ValueError("cut short")
        yield number, data[at : at + size]
        at += size


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint and where it ends."""
    value = shift = 0
    while shift < 70:
        if at >= len(data):
            raise ValueError("cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise ValueError("a varint of more than ten bytes")


def put_varint(value: int) -> bytes:
    """A varint.

    >>> put_varint(300).hex(), varint(put_varint(300), 0)
    ('ac02', (300, 2))
    """
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put_number(field: int, value: int) -> bytes:
    """An integer field; a negative value takes ten bytes, as int64 does."""
    return put_varint(field << 3) + put_varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def put_bytes(field: int, value: bytes) -> bytes:
    """A string, bytes or message field."""
    return put_varint(field << 3 | 2) + put_varint(len(value)) + value


def put_double(field: int, value: float) -> bytes:
    """A double field."""
    return put_varint(field << 3 | 1) + _DOUBLE.pack(value)


def put_fixed(field: int, value: int) -> bytes:
    """A fixed64 field; the value is not negative."""
    return put_varint(field << 3 | 1) + _FIXED.pack(value)


def put_float(field: int, value: float) -> bytes:
    """A float field."""
    return put_varint(field << 3 | 5) + _FLOAT.pack(value)


def double(raw: int | bytes) -> float:
    """The value of a double field."""
    return float(_DOUBLE.unpack(_sized(raw, 8))[0])


def single(raw: int | bytes) -> float:
    """The value of a float field."""
    return float(_FLOAT.unpack(_sized(raw, 4))[0])


def number(raw: int | bytes) -> int:
    """The value of an integer field."""
    if not isinstance(raw, int):
        raise ValueError("bytes where a number is due")
    return raw


def chunk(raw: int | bytes) -> bytes:
    """The value of a string, bytes or message field."""
    if not isinstance(raw, bytes):
        raise ValueError("a number where bytes are due")
    return raw


def _sized(raw: int | bytes, size: int) -> bytes:
    if not isinstance(raw, bytes) or len(raw) != size:
        raise ValueError("a number of another width")
    return raw
