"""Codec steps: what came into one step, as a block of the second form.

A step of an idle plant has one row, so every byte around it counts: columns have no names, and
the name of a node is written once.

    0xB2  now (8)  soft  crc32 of all this (4)
    0xB3  now (8)  size (varint)  length (varint)  soft  hard  filling  crc32 of all this (4)

`size` is the length of the soft stream as it is stored, and `length` what it was before it was
deflated, or 0 where it is not. The soft stream is message after message until it ends: kind,
node, port, columns. Times are distances from `now`. Numbers have their lowest byte first.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.windows import Windows
from gateway.engine.codec_columns import Ints, put_ints, take_ints
from gateway.engine.codec_json import alarm_of, json_number, plain
from gateway.engine.codec_names import PORTS, Names
from gateway.engine.codec_stream import (
    BROKEN,
    FREE,
    INFLATED_PER_BYTE,
    MESSAGE_ROWS,
    Reader,
    Writer,
    filling,
    put_number,
)
from gateway.engine.codec_values import put_values, take_values
from gateway.errors import StateError
from gateway.flow.node import Alarms, Message

_ONE: Final = 0xB2  # There is only the soft stream.
_TWO: Final = 0xB3
FORMS: Final = (_ONE, _TWO)
"""What a block begins with."""
_HEAD: Final = struct.Struct("<Bq")
_CRC: Final = struct.Struct("<I")
_DEFLATE_MIN: Final = 128  # A shorter stream is hardly made shorter.

# How a message begins: what it is, whether every row has quality 0, which is then not written,
# and its port where that is a common one.
_SAMPLES, _WINDOWS, _ALARMS, _EVENTS = range(4)
_KIND: Final = 0x03
_GOOD: Final = 0x04
_PORT_SHIFT: Final = 3
_OTHER: Final = len(PORTS) << _PORT_SHIFT


def pack_step(inputs: Sequence[tuple[str, str, Message]], now: int) -> bytes:
    """What came into one step, with its time [ns].

    Raises:
        TypeError: An event holds what is no JSON.
        ValueError: Likewise.
    """
    out = Writer()
    names = Names()
    for node, port, message in inputs:
        out.rows += MESSAGE_ROWS
        if isinstance(message, Batch):
            goodness = _goodness(message)
            _put_head(out, names, node, port, _SAMPLES | goodness)
            _put_batch(out, message, now, is_good=bool(goodness))
        elif isinstance(message, Windows):
            goodness = _goodness(message.rows)
            _put_head(out, names, node, port, _WINDOWS | goodness)
            _put_windows(out, message, now, is_good=bool(goodness))
        elif isinstance(message[0], AlarmEvent):
            _put_head(out, names, node, port, _ALARMS)
            _put_alarms(out, message)
        else:
            _put_head(out, names, node, port, _EVENTS)
            out.text(_json_of([plain(event) for event in message]))
    return _closed(out, now)


def unpack_step(block: bytes) -> tuple[list[tuple[str, str, Message]], int]:
    """What `pack_step` was given.

    Raises:
        StateError: The block is damaged.
    """
    if len(block) < _HEAD.size + _CRC.size or block[0] not in FORMS:
        raise StateError("A stored block does not begin as one of ours does.")
    if zlib.crc32(block[: -_CRC.size]) != _CRC.unpack(block[-_CRC.size :])[0]:
        raise StateError("A stored block is damaged: its checksum does not fit.")
    form, now = _HEAD.unpack(block[: _HEAD.size])
    inputs: list[tuple[str, str, Message]] = []
    try:
        data = _opened(form, block)
        names = Names()
        while not data.is_done:
            inputs.append(_take_input(data, names, now))
        data.end()
    except BROKEN as error:
        raise StateError(f"A stored block is of a form we do not know: {error}.") from error
    return inputs, now


def _closed(out: Writer, now: int) -> bytes:
    """The streams as one block."""
    soft: bytes | bytearray = out.soft
    if len(soft) - out.noise >= _DEFLATE_MIN:
        deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        packed = deflate.compress(soft) + deflate.flush()
        soft = packed if len(packed) < len(soft) else soft
    is_deflated = soft is not out.soft
    lacking = filling(len(soft) + len(out.hard), out.rows, len(out.soft))
    if is_deflated or out.hard or lacking:
        block = bytearray(_HEAD.pack(_TWO, now))
        put_number(block, len(soft))
        put_number(block, len(out.soft) if is_deflated else 0)
    else:
        block = bytearray(_HEAD.pack(_ONE, now))
    block += soft
    block += out.hard
    block += bytes(lacking)
    block += _CRC.pack(zlib.crc32(block))
    return bytes(block)


def _opened(form: int, block: bytes) -> Reader:
    """The streams of a block. What is inflated has a limit."""
    body = Reader(block[_HEAD.size : -_CRC.size], b"", 0)
    if form == _ONE:
        return Reader(body.rest(), b"", len(block))
    size, length = body.number(), body.number()
    soft = body.take(size)
    if length:
        if length > FREE + INFLATED_PER_BYTE * len(block):
            raise ValueError("it claims more bytes than it can hold")
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        soft = inflate.decompress(soft, length + 1)
        if len(soft) != length or not inflate.eof or inflate.unused_data:
            raise ValueError("it is not as long as it says")
    return Reader(soft, body.rest(), len(block))


# ------------------------------------------------------------------ messages


def _goodness(rows: Batch) -> int:
    return 0 if np.count_nonzero(rows.quality) else _GOOD


def _put_head(out: Writer, names: Names, node: str, port: str, kind: int) -> None:
    if port in PORTS:
        out.byte(kind | PORTS.index(port) << _PORT_SHIFT)
        names.put(out, node)
    else:
        out.byte(kind | _OTHER)
        names.put(out, node)
        names.put(out, port)


def _take_input(data: Reader, names: Names, now: int) -> tuple[str, str, Message]:
    data.claim(MESSAGE_ROWS)
    head = data.byte()
    if head >> _PORT_SHIFT > len(PORTS):
        raise ValueError("a message is of an unknown kind")
    node = names.take(data)
    port = PORTS[head >> _PORT_SHIFT] if head < _OTHER else names.take(data)
    is_good = bool(head & _GOOD)
    message: Message
    match head & _KIND:
        case 0:
            message = _take_batch(data, now, is_good=is_good)
        case 1:
            message = _take_windows(data, now, is_good=is_good)
        case 2:
            message = _take_alarms(data)
        case _:
            message = tuple(Event(**entry) for entry in json.loads(data.text()))
    return node, port, message


def _put_batch(out: Writer, batch: Batch, now: int, *, is_good: bool) -> None:
    n = len(batch)
    out.count(n)
    put_ints(out, _whole(batch.tag, np.uint16, n))
    put_ints(out, _whole(batch.ts, np.int64, n) - np.int64(now))
    put_values(out, _column(batch.value, np.float64, n))
    if not is_good:
        put_ints(out, _whole(batch.quality, np.uint32, n))


def _take_batch(data: Reader, now: int, *, is_good: bool) -> Batch:
    n = data.count()
    tag = take_ints(data, n).astype(np.uint16)
    ts = take_ints(data, n) + np.int64(now)
    value = take_values(data, n)
    quality = np.zeros(n, np.uint32) if is_good else take_ints(data, n).astype(np.uint32)
    return Batch(tag, ts, value, quality)


def _put_windows(out: Writer, windows: Windows, now: int, *, is_good: bool) -> None:
    k = len(windows)
    out.count(k)
    start, end = _whole(windows.start, np.int64, k), _whole(windows.end, np.int64, k)
    put_ints(out, _whole(windows.tag, np.uint16, k))
    put_ints(out, start - np.int64(now))
    put_ints(out, end - start)
    put_ints(out, _whole(windows.offset, np.int64, k + 1))
    _put_batch(out, windows.rows, now, is_good=is_good)


def _take_windows(data: Reader, now: int, *, is_good: bool) -> Windows:
    k = data.count()
    tag = take_ints(data, k).astype(np.uint16)
    start = take_ints(data, k) + np.int64(now)
    end = take_ints(data, k) + start
    offset = take_ints(data, k + 1).astype(np.intp)
    return Windows(tag, start, end, offset, _take_batch(data, now, is_good=is_good))


def _put_alarms(out: Writer, events: Alarms) -> None:
    """The two numbers as they are: JSON has no words for all that a number can be."""
    numbers = [number for event in events for number in (event.value, event.limit)]
    out.text(_json_of([plain(replace(event, value=0.0, limit=0.0)) for event in events]))
    out.text(np.array(numbers, np.float64).tobytes())


def _take_alarms(data: Reader) -> Alarms:
    rows = json.loads(data.text())
    numbers = np.frombuffer(data.text(), np.float64).tolist()
    return tuple(
        replace(alarm_of(row), value=value, limit=limit)
        for row, value, limit in zip(rows, numbers[::2], numbers[1::2], strict=True)
    )


def _json_of(rows: list[dict[str, Any]]) -> bytes:
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False, default=json_number)
    return text.encode("utf-8", "surrogatepass")


def _whole(column: NDArray[Any], kind: DTypeLike, n: int) -> Ints:
    return _column(column, kind, n).astype(np.int64, copy=False)


def _column(column: NDArray[Any], kind: DTypeLike, n: int) -> NDArray[Any]:
    """A column as a batch is declared to hold it; another kind must hold the same numbers."""
    assert len(column) == n, f"a column has {len(column)} rows, the others have {n}"
    if column.dtype == kind:
        return column
    found = column.astype(kind)
    assert (found == column).all(), f"{column.dtype} does not fit into {np.dtype(kind)}"
    return found
