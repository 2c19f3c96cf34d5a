"""Messages and states as bytes: columns and JSON, checksummed, no pickle.

A block is: magic, header length, header (JSON), body (the arrays one after another, zlib 1),
crc32 of all before. The same form serves the journal and the snapshots. Checked on writing
and on reading, so that a flipped bit is found and never served as a good value.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.data.alarm import AlarmEvent, AlarmState, Overlay
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.windows import Windows
from gateway.errors import StateError
from gateway.flow.node import Message

_MAGIC = b"GNB1"
_HEAD = struct.Struct("<4sI")
_CRC = struct.Struct("<I")


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A block of a JSON header and named arrays."""
    described = []
    body = bytearray()
    for name, array in arrays.items():
        assert array.dtype.kind in "biuf", f"{name} holds {array.dtype}, which is no plain number"
        flat = np.ascontiguousarray(array)
        described.append([name, flat.dtype.str, list(array.shape)])  # `flat` has a dimension more
        body += flat.tobytes()
    head = json.dumps(
        {"head": header, "arrays": described}, separators=(",", ":"), default=_number
    ).encode()
    block = _HEAD.pack(_MAGIC, len(head)) + head + zlib.compress(bytes(body), 1)
    return block + _CRC.pack(zlib.crc32(block))


def _number(value: Any) -> Any:
    """A numpy number inside an event as a plain one; anything else is no JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def unpack(block: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the arrays of a block.

    Raises:
        StateError: The block is damaged.
    """
    if len(block) < _HEAD.size + _CRC.size or block[:4] != _MAGIC:
        raise StateError("A stored block does not begin as one of ours does.")
    if zlib.crc32(block[: -_CRC.size]) != _CRC.unpack(block[-_CRC.size :])[0]:
        raise StateError("A stored block is damaged: its checksum does not fit.")
    (_, length) = _HEAD.unpack(block[: _HEAD.size])
    start = _HEAD.size + length
    try:
        meta = json.loads(block[_HEAD.size : start])
        body = zlib.decompress(block[start : -_CRC.size])
        return meta["head"], _arrays(meta["arrays"], body)
    except (ValueError, LookupError, TypeError, zlib.error) as error:
        raise StateError(f"A stored block is of a form we do not know: {error}.") from error


def _arrays(described: Sequence[Any], body: bytes) -> dict[str, NDArray[Any]]:
    """Arrays of their own, so that they can be written to."""
    arrays: dict[str, NDArray[Any]] = {}
    at = 0
    for name, kind, shape in described:
        array = np.frombuffer(body, np.dtype(kind), math.prod(shape), at)
        arrays[name] = array.reshape(shape).copy()
        at += array.nbytes
    return arrays


def pack_inputs(inputs: Sequence[tuple[str, str, Message]], now: int) -> bytes:
    """What came into one step, with its time."""
    items: list[dict[str, Any]] = []
    arrays: dict[str, NDArray[Any]] = {}
    for i, (node, port, message) in enumerate(inputs):
        item: dict[str, Any] = {"node": node, "port": port}
        if isinstance(message, Batch):
            item["kind"] = "samples"
            arrays.update(_columns(str(i), message))
        elif isinstance(message, Windows):
            item["kind"] = "windows"
            arrays.update(_columns(str(i), message.rows))
            arrays[f"{i}.wtag"], arrays[f"{i}.start"] = message.tag, message.start
            arrays[f"{i}.end"], arrays[f"{i}.offset"] = message.end, message.offset
        else:
            item["kind"] = "alarms" if isinstance(message[0], AlarmEvent) else "events"
            item["items"] = [plain(entry) for entry in message]
        items.append(item)
    return pack({"now": now, "items": items}, arrays)


def unpack_inputs(block: bytes) -> tuple[list[tuple[str, str, Message]], int]:
    """What `pack_inputs` was given.

    Raises:
        StateError: The block is damaged, or of another version.
    """
    head, arrays = unpack(block)
    try:
        inputs = [_input(i, item, arrays) for i, item in enumerate(head["items"])]
        return inputs, int(head["now"])
    except (ValueError, LookupError, TypeError) as error:
        raise StateError(f"A stored block is of a form we do not know: {error}.") from error


def _input(
    i: int, item: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> tuple[str, str, Message]:
    message: Message
    match item["kind"]:
        case "samples":
            message = _batch(str(i), arrays)
        case "windows":
            message = Windows(
                arrays[f"{i}.wtag"],
                arrays[f"{i}.start"],
                arrays[f"{i}.end"],
                arrays[f"{i}.offset"],
                _batch(str(i), arrays),
            )
        case "alarms":
            message = tuple(alarm_of(entry) for entry in item["items"])
        case _:
            message = tuple(Event(**entry) for entry in item["items"])
    return item["node"], item["port"], message


def _columns(prefix: str, batch: Batch) -> dict[str, NDArray[Any]]:
    return {
        f"{prefix}.tag": batch.tag,
        f"{prefix}.ts": batch.ts,
        f"{prefix}.value": batch.value,
        f"{prefix}.quality": batch.quality,
    }


def _batch(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Batch:
    return Batch(
        arrays[f"{prefix}.tag"],
        arrays[f"{prefix}.ts"],
        arrays[f"{prefix}.value"],
        arrays[f"{prefix}.quality"],
    )


def plain(item: AlarmEvent | Event) -> dict[str, Any]:
    """An alarm event or an event as JSON values; a number that is not finite becomes null."""
    if isinstance(item, Event):
        return {"ts": item.ts, "topic": item.topic, "data": dict(item.data), "id": item.id}
    row = asdict(item)
    row["state"], row["overlay"] = item.state.value, item.overlay.value
    for key in ("value", "limit"):
        if not np.isfinite(row[key]):
            row[key] = None
    return row


def alarm_of(row: Mapping[str, Any]) -> AlarmEvent:
    """The alarm event that `plain` described."""
    fields = dict(row)
    fields["state"], fields["overlay"] = AlarmState(row["state"]), Overlay(row["overlay"])
    for key in ("value", "limit"):
        if fields[key] is None:
            fields[key] = float("nan")
    return AlarmEvent(**fields)


def pack_states(states: Mapping[str, Mapping[str, NDArray[Any]]], head: Mapping[str, Any]) -> bytes:
    """The states of all nodes of a flow as one block."""
    arrays = {
        f"{node}\n{name}": array for node, state in states.items() for name, array in state.items()
    }
    return pack({**head, "nodes": list(states)}, arrays)


def unpack_states(block: bytes) -> tuple[dict[str, dict[str, NDArray[Any]]], dict[str, Any]]:
    """What `pack_states` was given.

    Raises:
        StateError: The block is damaged.
    """
    head, arrays = unpack(block)
    states: dict[str, dict[str, NDArray[Any]]] = {node: {} for node in head["nodes"]}
    for key, array in arrays.items():
        node, _, name = key.partition("\n")
        states[node][name] = array
    return states, head
