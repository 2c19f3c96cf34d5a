"""Waiting: one message in a queue, and about how much memory it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.windows import Windows
from gateway.engine.wiring import rows
from gateway.flow.node import Message

_ROW_BYTES: Final = 22  # tag, time, value and quality of one sample
_ITEM_BYTES: Final = 400  # an event or an alarm event, about


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message that waits.

    Args:
        number: Which of all messages for this sink, from 1.
        port: The sink's input.
        message: What to write.
        at_s: When it came, by the monotonic clock [s]; 0 where that does not matter.
    """

    number: int
    port: str
    message: Message
    at_s: float = 0.0


def bytes_of(message: Message) -> int:
    """About how many bytes a message takes in memory."""
    if isinstance(message, Batch | Windows):
        return 200 + _ROW_BYTES * rows(message)
    size = _ITEM_BYTES * len(message)
    for item in message:
        if isinstance(item, Event):
            size += sum(len(v) for v in item.data.values() if isinstance(v, str | list | dict))
    return size


def newest_rows(batch: Batch) -> Batch:
    """The last row of each tag, in their order."""
    _, last = np.unique(batch.tag[::-1], return_index=True)
    return batch.where(np.sort(len(batch) - 1 - last))
