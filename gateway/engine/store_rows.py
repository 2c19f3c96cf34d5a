"""Store rows: what stands in rows of the state file, written so that damage to it is found.

Each reader gives what is whole, and a sentence about what is not.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final

from gateway.data.alarm import AlarmEvent
from gateway.data.tag import TAGS_MAX
from gateway.engine.codec import alarm_of
from gateway.engine.sealed import unseal
from gateway.errors import StateError

Row = tuple[Any, ...]
_BLOCK_SUM: Final = struct.Struct("<I")
BLOCK_SUM_BYTES: Final = _BLOCK_SUM.size
"""Bytes before the messages of a stored block: a checksum over its row."""


def alarm_key(flow: str, event: str) -> str:
    """What makes an alarm event of a flow the same event, and proves that it is whole."""
    return hashlib.blake2b(f"{flow}\n{event}".encode(), digest_size=16).hexdigest()


def whole_tags(rows: Sequence[Row]) -> tuple[list[dict[str, Any]], str]:
    """Facts of tags by code, from (code, sealed fact).

    A tag that is damaged keeps its code, under a name that no device has: so that what is
    stored under the code is not taken for another tag's.
    """
    facts: dict[int, dict[str, Any]] = {}
    for code, sealed in rows:
        try:
            facts[int(code)] = json.loads(unseal(str(sealed), code))
        except (StateError, ValueError):
            continue
    size = max((int(code) + 1 for code, _ in rows if 0 <= code < TAGS_MAX), default=0)
    lost = [code for code in range(size) if code not in facts]
    whole = [facts.get(code, {"name": f"damaged/{code}"}) for code in range(size)]
    return whole, f"{len(lost)} of {size} tags are damaged; they start fresh." if lost else ""


def whole_positions(flow: str, rows: Sequence[Row]) -> tuple[dict[str, Any], str]:
    """Source positions by node, from (node, sealed value)."""
    found, lost = {}, []
    for node, sealed in rows:
        try:
            found[str(node)] = json.loads(unseal(str(sealed), flow, node))
        except (StateError, ValueError):
            lost.append(str(node))
    text = f"The position of {', '.join(lost)} in {flow} is damaged; it reads from the beginning."
    return found, text if lost else ""


def whole_marks(
    flow: str, rows: Sequence[Row]
) -> tuple[dict[str, tuple[int, dict[str, Any]]], str]:
    """By sink: the record up to which its mark counts, and the mark; from (sink, seq, sealed)."""
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    lost = []
    for sink, seq, sealed in rows:
        try:
            found[str(sink)] = int(seq), json.loads(unseal(str(sealed), flow, sink, seq))
        except (StateError, ValueError):
            lost.append(str(sink))
    text = f"What {', '.join(lost)} in {flow} has taken is damaged; it may get rows twice."
    return found, text if lost else ""


def block_sum(flow: str, sink: str, first: int, last: int, rows: int, size: int) -> bytes:
    """Checksum over the row of a block: with a wrong number new rows would pass for known ones.

    What is in the block has a checksum of its own, which is looked at when it is read.
    """
    row = "\n".join(map(str, (flow, sink, first, last, rows, size)))
    return _BLOCK_SUM.pack(zlib.crc32(row.encode()))


def whole_blocks(
    flow: str, sink: str, rows: Sequence[Row]
) -> tuple[list[tuple[int, int, int, int]], list[int]]:
    """(first, last, rows, bytes) of blocks, and first numbers of those that are damaged.

    Args:
        flow: The flow's name.
        sink: The node they wait for.
        rows: (first, last, rows, size with the checksum, checksum).
    """
    found, lost = [], []
    for first, last, count, size, stored in rows:
        block = (first, last, count, int(size or 0) - BLOCK_SUM_BYTES)
        if block_sum(flow, sink, *block) == stored:
            found.append(block)
        else:
            lost.append(first)
    return found, lost


def whole_alarms(rows: Sequence[Row]) -> tuple[list[AlarmEvent], str]:
    """Alarm events, from (flow, key, event)."""
    found, lost = [], 0
    for flow, key, event in rows:
        if alarm_key(flow, event) == key:
            found.append(alarm_of(json.loads(event)))
        else:
            lost += 1
    return found, f"{lost} alarm events are damaged and left out of the history." if lost else ""
