"""Split: one message in parts, so that all rows of a tag go the same way."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.windows import Windows
from gateway.flow.node import Message


def split(message: Message, ways: int) -> Sequence[Message | None]:
    """The part of a message for each way; None where there is none.

    Samples and windows go by the tag's code, alarm events by the tag's name, events by topic:
    from the message alone, so that a replay splits alike.

    >>> from gateway.data.batch import Batch
    >>> parts = split(Batch.columns([0, 1, 2, 4], [1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0]), 2)
    >>> [part.tag.tolist() for part in parts]
    [[0, 2, 4], [1]]
    """
    if ways == 1:
        return [message]
    if isinstance(message, Batch | Windows):
        way = message.tag % ways
        return [_where(message, way == number) for number in range(ways)]
    parts: list[list[AlarmEvent | Event]] = [[] for _ in range(ways)]
    for item in message:
        name = item.topic if isinstance(item, Event) else item.tag
        parts[zlib.crc32(name.encode()) % ways].append(item)
    return [tuple(part) or None for part in parts]  # type: ignore[misc]  # all of one kind


def _where(
    message: Batch | Windows, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> Message | None:
    if not mask.any():
        return None
    if mask.all():
        return message
    if isinstance(message, Batch):
        return message.where(mask)
    chosen = np.flatnonzero(mask)
    count = message.count[chosen]
    offset = np.concatenate(([0], np.cumsum(count))).astype(np.intp)
    inside = np.repeat(mask, message.count)
    return Windows(
        message.tag[chosen],
        message.start[chosen],
        message.end[chosen],
        offset,
        message.rows.where(inside),
    )
