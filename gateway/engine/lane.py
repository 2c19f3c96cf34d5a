"""Lane: a queue of messages in memory and of blocks on the disk, in the order of their numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.data.batch import Batch
from gateway.data.windows import Windows
from gateway.engine.taken import Taken
from gateway.engine.wiring import rows
from gateway.flow.node import Message
from gateway.flow.notation import concat

WRITE_ROWS_MAX: Final = 5_000
_ROW_BYTES: Final = 22  # tag, time, value and quality of one sample
_ITEM_BYTES: Final = 400  # an event or an alarm event, about
LOADED_MAX: Final = 2
"""Blocks at the head of a lane whose contents stay in memory."""


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
    return _ITEM_BYTES * len(message)


def newest_rows(batch: Batch) -> Batch:
    """The last row of each tag, in their order."""
    _, last = np.unique(batch.tag[::-1], return_index=True)
    return batch.where(np.sort(len(batch) - 1 - last))


@dataclass(slots=True, eq=False)
class Block:
    """Messages on the disk.

    Args:
        first: Number of its first message, by which it is stored.
        last: Number of its last.
        rows: Rows that still wait in it.
        bytes: Its size on the disk.
        items: Its messages that still wait, when they are in memory.
    """

    first: int
    last: int
    rows: int
    bytes: int
    items: deque[Waiting] | None = None

    def forget(self, taken: Taken) -> None:
        """Leave out what was taken before; only for a block that is in memory."""
        if self.items is not None:
            self.items = deque(item for item in self.items if item.number not in taken)
            self.rows = sum(rows(item.message) for item in self.items)


class Lane:
    """Messages of one sink in the order of their numbers."""

    def __init__(self) -> None:
        self.rows = 0
        self.bytes = 0
        self.left = 0
        """Rows of what was dropped last."""
        self._items: deque[Waiting | Block] = deque()

    def __len__(self) -> int:
        return len(self._items)

    # ------------------------------------------------------------------ in

    def append(self, item: Waiting | Block) -> None:
        """Add what comes last."""
        self._items.append(item)
        self._count(item, 1)

    def extend(self, other: Lane) -> None:
        """Add all of another lane, whose numbers are greater."""
        self._items.extend(other._items)
        self.rows += other.rows
        self.bytes += other.bytes

    def _count(self, item: Waiting | Block, sign: int) -> None:
        if isinstance(item, Block):
            self.rows += sign * item.rows
            self.bytes += sign * item.bytes
        else:
            self.rows += sign * rows(item.message)
            self.bytes += sign * bytes_of(item.message)

    # ------------------------------------------------------------------ out

    @property
    def missing(self) -> Block | None:
        """The block at the head whose contents must be read before anything can be written."""
        head = self._items[0]
        return head if isinstance(head, Block) and head.items is None else None

    def load(self, block: Block, items: Sequence[Waiting]) -> None:
        """The contents of a block; what was taken of it before is left out by the caller."""
        self.rows -= block.rows
        block.items = deque(items)
        block.rows = sum(rows(item.message) for item in items)
        self.rows += block.rows
        if not items and self._items and self._items[0] is block:
            self.bytes -= block.bytes
            self._items.popleft()

    def _messages(self) -> Iterator[Waiting]:
        """What can be written now, oldest first."""
        for item in self._items:
            if isinstance(item, Waiting):
                yield item
            elif item.items is not None:
                yield from item.items
            else:
                return

    @property
    def head(self) -> Waiting:
        """The oldest message; it must be in memory."""
        return next(self._messages())

    def next(self, *, alone: bool = False) -> tuple[int, str, Message]:
        """The oldest messages of one port as one, without taking them off.

        Args:
            alone: Only the oldest message.

        Returns:
            The number of the last of them, the port, and the message.
        """
        head: Waiting | None = None
        parts: list[Message] = []
        size = last = 0
        for item in self._messages():
            if head is None:
                head = item
            fits = item.port == head.port and type(item.message) is type(head.message)
            if not fits or (parts and (alone or size >= WRITE_ROWS_MAX)):
                break
            parts.append(item.message)
            size += rows(item.message)
            last = item.number
        assert head is not None, "something waits and is loaded"
        whole = parts[0] if len(parts) == 1 else concat(parts)
        assert whole is not None
        return last, head.port, whole

    def take(self, last: int, freed: list[int]) -> None:
        """Everything up to a number has left; some of it may have been dropped meanwhile."""
        while self._items:
            item = self._items[0]
            if isinstance(item, Waiting):
                if item.number > last:
                    return
                self._count(item, -1)
                self._items.popleft()
                continue
            if item.first > last:
                return
            self._count(item, -1)
            self._take_of(item, last)
            if item.items:
                self._count(item, 1)
                return
            freed.append(item.first)
            self._items.popleft()

    def _take_of(self, block: Block, last: int) -> None:
        if block.last <= last:
            block.items = None
            return
        while block.items and block.items[0].number <= last:
            block.rows -= rows(block.items.popleft().message)

    def drop_first(self, freed: list[int]) -> int:
        """Drop the oldest message or block; returns its last number, and `left` has its rows."""
        item = self._items.popleft()
        self._count(item, -1)
        if isinstance(item, Block):
            freed.append(item.first)
            self.left = item.rows
            return item.last
        self.left = rows(item.message)
        return item.number

    def extract(self, port: str) -> list[Batch]:
        """Take out all batches of a port, oldest first."""
        parts: list[Batch] = []
        others: deque[Waiting | Block] = deque()
        for item in self._items:
            if isinstance(item, Waiting) and item.port == port and isinstance(item.message, Batch):
                parts.append(item.message)
                self._count(item, -1)
            else:
                others.append(item)
        self._items = others
        return parts

    # ------------------------------------------------------------------ the disk

    def unstored(self, stored_to: int, rows_max: int) -> Iterator[list[Waiting]]:
        """Messages that are only in memory, in runs of numbers without a hole."""
        part: list[Waiting] = []
        size = 0
        for item in self._items:
            if isinstance(item, Block) or item.number <= stored_to:
                continue
            if part and (size >= rows_max or item.number != part[-1].number + 1):
                yield part
                part, size = [], 0
            part.append(item)
            size += rows(item.message)
        if part:
            yield part

    def replace(self, block: Block, stays: bool) -> bool:
        """Put a block in the place of its messages; False when none of them is here any more.

        Args:
            block: What was stored.
            stays: True when the messages stay in memory as well; at the head they always do.
        """
        kept: deque[Waiting] = deque()
        done: deque[Waiting | Block] = deque()
        place = 0
        for item in self._items:
            if isinstance(item, Waiting) and block.first <= item.number <= block.last:
                if not kept:
                    place = len(done)
                    done.append(block)
                kept.append(item)
                self._count(item, -1)
            else:
                done.append(item)
        if not kept:
            return False
        self._items = done
        block.rows = sum(rows(item.message) for item in kept)
        block.items = kept if stays or place < LOADED_MAX else None
        self._count(block, 1)
        return True

    def forget_messages(self) -> None:
        """Leave out all that is not on the disk."""
        for item in self._items:
            if isinstance(item, Waiting):
                self._count(item, -1)
        self._items = deque(item for item in self._items if isinstance(item, Block))

    def rows_after(self, number: int) -> int:
        """Rows of the messages that are only in memory."""
        return sum(
            rows(item.message)
            for item in self._items
            if isinstance(item, Waiting) and item.number > number
        )

    def in_memory(self) -> Iterator[Waiting]:
        """All messages that are in memory."""
        for item in self._items:
            if isinstance(item, Waiting):
                yield item
            elif item.items is not None:
                yield from item.items
