"""Packing: messages that wait as one block, and neighbours in an inbox as one batch."""

from __future__ import annotations

import json
import logging
import struct
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.windows import Windows
from gateway.engine.arrived import Arrived
from gateway.engine.codec import pack_inputs, unpack_inputs
from gateway.engine.lane import Waiting
from gateway.engine.store_entry import GapRow
from gateway.engine.wiring import Input, rows
from gateway.errors import StateError
from gateway.flow.gaps import TOPIC
from gateway.flow.node import Message

_log = logging.getLogger("genba.flow")
_LENGTH = struct.Struct("<II")
TEXT_MAX: Final = 10_000


def pack_messages(items: Sequence[Waiting]) -> bytes:
    """Messages whose numbers follow each other, as one block.

    Neighbours of one port are stored as one batch with their lengths, so that many small
    messages cost little more than their rows.
    """
    try:
        return _packed(items)
    except (TypeError, ValueError, RecursionError) as error:
        _log.error("A message that waits cannot be stored as it is, only as text: %s", error)
        return _packed([replace(item, message=_as_text(item.message)) for item in items])


def _as_text(message: Message) -> Message:
    """Events that are no JSON with their data as text; what can be stored, as it is."""
    if isinstance(message, Batch | Windows):
        return message
    _, refused = storable([("", "", message)], 0)
    if not refused:
        return message
    return tuple(
        replace(item, data={"text": repr(item.data)[:TEXT_MAX]})
        for item in message
        if isinstance(item, Event)
    )


def _packed(items: Sequence[Waiting]) -> bytes:
    inputs: list[Input] = []
    lengths: list[list[int]] = []
    parts: list[Batch] = []
    for item in items:
        is_next = bool(parts) and inputs[-1][1] == item.port
        if isinstance(item.message, Batch) and is_next:
            parts.append(item.message)
            lengths[-1].append(len(item.message))
            continue
        _close(inputs, parts)
        inputs.append(("", item.port, item.message))
        lengths.append([len(item.message)] if isinstance(item.message, Batch) else [])
        parts = [item.message] if isinstance(item.message, Batch) else []
    _close(inputs, parts)
    head = zlib.compress(json.dumps(lengths, separators=(",", ":")).encode(), 1)
    return _LENGTH.pack(len(head), zlib.crc32(head)) + head + pack_inputs(inputs, 0)


def unpack_messages(block: bytes, first: int) -> list[Waiting]:
    """What `pack_messages` was given.

    Args:
        block: Its bytes.
        first: The number of the first message.

    Raises:
        StateError: It is damaged.
    """
    try:
        size, crc = _LENGTH.unpack_from(block)
        head = block[_LENGTH.size : _LENGTH.size + size]
        if zlib.crc32(head) != crc:
            raise StateError("Stored messages are damaged: the checksum does not fit.")
        lengths = json.loads(zlib.decompress(head))
    except (struct.error, zlib.error, ValueError) as error:
        raise StateError(f"Stored messages are damaged: {error}.") from error
    inputs, _ = unpack_inputs(block[_LENGTH.size + size :])
    items: list[Waiting] = []
    for (_, port, message), parts in zip(inputs, lengths, strict=True):
        if not isinstance(message, Batch):
            items.append(Waiting(first + len(items), port, message))
            continue
        at = 0
        for length in parts:
            items.append(Waiting(first + len(items), port, message.where(slice(at, at + length))))
            at += length
    return items


def gaps_of(inputs: Sequence[Input]) -> list[GapRow]:
    """The holes that sources tell of on their `status` port."""
    found = []
    for node, port, message in inputs:
        if port != "status" or isinstance(message, Batch | Windows):
            continue
        for event in message:
            if isinstance(event, Event) and event.topic == TOPIC:
                data = dict(event.data)
                source = str(data.pop("source", "") or node)
                cause = str(data.pop("cause", "unknown"))
                begin, end = (_time(data.pop(key, None), event.ts) for key in ("from", "to"))
                found.append(GapRow(source, cause, begin, end, data))
    return found


def _time(value: Any, otherwise: int) -> int:
    return int(value) if isinstance(value, int | float) and value else otherwise


def positions_of(entries: Sequence[Arrived]) -> dict[str, str]:
    """The newest position of each source as JSON; one that is no JSON is left out, loudly."""
    found = {}
    for entry in entries:
        if entry.position is not None:
            try:
                found[entry.node] = json.dumps(entry.position)
            except (TypeError, ValueError, RecursionError) as error:
                _log.error("The position of %s cannot be stored: %s", entry.node, error)
    return found


def storable(inputs: list[Input], now: int) -> tuple[list[Input], list[tuple[Input, Exception]]]:
    """Inputs that can be written down, and those that cannot, such as an event that is no JSON."""
    kept: list[Input] = []
    refused: list[tuple[Input, Exception]] = []
    for item in inputs:
        if isinstance(item[2], Batch):
            kept.append(item)
            continue
        try:
            pack_inputs([item], now)
        except (TypeError, ValueError, RecursionError) as error:
            refused.append((item, error))
        else:
            kept.append(item)
    return kept, refused


def in_steps(entries: Sequence[Arrived], rows_max: int) -> list[list[Arrived]]:
    """What arrived in order, cut into parts of about `rows_max` rows; one at least."""
    parts: list[list[Arrived]] = [[]]
    size = 0
    for entry in entries:
        more = sum(rows(message) for _, message in entry.outputs)
        if size and size + more > rows_max:
            parts.append([])
            size = 0
        parts[-1].append(entry)
        size += more
    return parts


def merged(entries: Sequence[Arrived]) -> list[Input]:
    """All messages in order; neighbours from the same port as one batch."""
    inputs: list[Input] = []
    parts: list[Batch] = []
    for entry in entries:
        for port, message in entry.outputs:
            is_next = bool(parts) and inputs[-1][:2] == (entry.node, port)
            if isinstance(message, Batch) and is_next:
                parts.append(message)
                continue
            _close(inputs, parts)
            inputs.append((entry.node, port, message))
            parts = [message] if isinstance(message, Batch) else []
    _close(inputs, parts)
    return inputs


def _close(inputs: list[Input], parts: list[Batch]) -> None:
    if len(parts) > 1:
        node, port, _ = inputs[-1]
        inputs[-1] = (node, port, Batch.concat(parts))
