"""Messages and states as bytes: columns and JSON, checksummed, no pickle.

There are two forms. The first serves states: "GNB1", header length, header (JSON), body (the
arrays one after another, zlib 1), crc32 of all before. The second serves the inputs of steps,
which are many and small; see `codec_step`. Inputs in the first form, as the version before wrote
them, can still be read. Checked on writing and on reading, so that a flipped bit is found and
never served as a good value.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.windows import Windows
from gateway.engine.codec_json import alarm_of as alarm_of
from gateway.engine.codec_json import json_number
from gateway.engine.codec_json import plain as plain
from gateway.engine.codec_step import FORMS, pack_step, unpack_step
from gateway.engine.codec_stream import BROKEN
from gateway.errors import StateError
from gateway.flow.node import Message

_MAGIC: Final = b"GNB1"
_FORMS: Final = tuple(bytes([form]) for form in FORMS)
_HEAD: Final = struct.Struct("<4sI")
_CRC: Final = struct.Struct("<I")


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
        {"head": header, "arrays": described}, separators=(",", ":"), default=json_number
    ).encode()
    block = _HEAD.pack(_MAGIC, len(head)) + head + zlib.compress(bytes(body), 1)
    return block + _CRC.pack(zlib.crc32(block))


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
    except BROKEN as error:
        raise StateError(f"A stored block is of a form we do not know: {error}.") from error


def _arrays(described: Sequence[Any], body: bytes) -> dict[str, NDArray[Any]]:
    """Arrays of their own, so that they can be written to."""
    arrays: dict[str, NDArray[Any]] = {}
    at = 0
    for name, kind, shape in described:
        if kind[1:2] not in ("b", "i", "u", "f"):
            raise ValueError("an array holds no plain numbers")
        array = np.frombuffer(body, np.dtype(kind), math.prod(shape), at)
        arrays[name] = array.reshape(shape).copy()
        at += array.nbytes
    return arrays


def pack_inputs(inputs: Sequence[tuple[str, str, Message]], now: int) -> bytes:
    """What came into one step, with its time [ns]; see `codec_step` for the form.

    Raises:
        TypeError: An event holds what is no JSON.
        ValueError: Likewise.
    """
    return pack_step(inputs, now)


def unpack_inputs(block: bytes) -> tuple[list[tuple[str, str, Message]], int]:
    """What `pack_inputs` was given, by this version or the one before.

    Raises:
        StateError: The block is damaged, or of another version.
    """
    if block[:1] in _FORMS:
        return unpack_step(block)
    head, arrays = unpack(block)
    try:
        inputs = [_input(i, item, arrays) for i, item in enumerate(head["items"])]
        return inputs, int(head["now"])
    except BROKEN as error:
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


def _batch(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Batch:
    return Batch(
        arrays[f"{prefix}.tag"],
        arrays[f"{prefix}.ts"],
        arrays[f"{prefix}.value"],
        arrays[f"{prefix}.quality"],
    )


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
    try:
        states: dict[str, dict[str, NDArray[Any]]] = {node: {} for node in head["nodes"]}
        for key, array in arrays.items():
            node, _, name = key.partition("\n")
            states[node][name] = array
    except BROKEN as error:
        raise StateError(f"A stored block is of a form we do not know: {error}.") from error
    return states, head
