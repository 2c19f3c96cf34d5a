"""Lane: a queue of messages in memory and of blocks on the disk, in the order of their numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.data.batch import Batch
from gateway.engine.taken import Taken
from gateway.engine.waiting import Waiting, bytes_of, newest_rows
from gateway.engine.wiring import rows
from gateway.flow.node import Message
from gateway.flow.notation import concat

WRITE_ROWS_MAX: Final = 5_000
LOADED_MAX: Final = 2
"""Blocks at the head of a lane whose contents stay in memory."""


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
    """Messages of one sink in the order of their numbers: first the blocks, then the others."""

    def __init__(self) -> None:
        self.rows = 0
        self.bytes = 0
        self.unstored_rows = 0
        """Rows that are only in memory."""
        self.unstored_bytes = 0
        self._blocks: deque[Block] = deque()
        self._items: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._blocks) + len(self._items)

    # ------------------------------------------------------------------ in

    def append(self, item: Waiting) -> None:
        """Add what comes last."""
        self._items.append(item)
        self._count(item, 1)

    def append_block(self, block: Block) -> None:
        """Add a block behind those that are here."""
        self._blocks.append(block)
        self._count_block(block, 1)

    def extend(self, other: Lane) -> None:
        """Add all of another lane, whose numbers are greater."""
        self._blocks.extend(other._blocks)
        self._items.extend(other._items)
        self.rows += other.rows
        self.bytes += other.bytes
        self.unstored_rows += other.unstored_rows
        self.unstored_bytes += other.unstored_bytes

    def _count(self, item: Waiting, sign: int) -> None:
        number, size = sign * rows(item.message), sign * bytes_of(item.message)
        self.rows += number
        self.bytes += size
        self.unstored_rows += number
        self.unstored_bytes += size

    def _count_block(self, block: Block, sign: int) -> None:
        self.rows += sign * block.rows
        self.bytes += sign * block.bytes

    # ------------------------------------------------------------------ out

    @property
    def missing(self) -> Block | None:
        """The block at the head whose contents must be read before anything can be written."""
        head = self._blocks[0] if self._blocks else None
        return head if head is not None and head.items is None else None

    def load(self, block: Block, items: Sequence[Waiting]) -> int:
        """The contents of a block; what was taken of it before is left out by the caller.

        Returns:
            Rows that should have been in it and are not.
        """
        before = self.rows
        self.rows -= block.rows
        block.items = deque(items)
        block.rows = sum(rows(item.message) for item in items)
        self.rows += block.rows
        if not items:
            self._blocks.remove(block)
            self.bytes -= block.bytes
        return before - self.rows

    def _messages(self) -> Iterator[Waiting]:
        """What can be written now, oldest first."""
        for block in self._blocks:
            if block.items is None:
                return
            yield from block.items
        yield from self._items

    @property
    def head(self) -> Waiting:
        """The oldest message; it must be in memory."""
        return next(self._messages())

    def ahead(self) -> Iterator[Waiting | Block]:
        """What waits, oldest first; ends with a block that must be read first."""
        for block in self._blocks:
            if block.items is None:
                yield block
                return
            yield from block.items
        yield from self._items

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
        while self._blocks and self._blocks[0].first <= last:
            block = self._blocks[0]
            if block.last > last:
                assert block.items is not None, "what is being written stays in memory"
                self._count_block(block, -1)
                while block.items and block.items[0].number <= last:
                    block.rows -= rows(block.items.popleft().message)
                self._count_block(block, 1)
                if block.items:
                    return
            self._count_block(block, -1)
            freed.append(block.first)
            self._blocks.popleft()
        while self._items and self._items[0].number <= last:
            self._count(self._items.popleft(), -1)

    def remove(self, number: int, count: int, freed: list[int]) -> int:
        """A single message of so many rows has left; returns the rows that waited of it.

        Its contents may have gone to the disk since it was read.
        """
        for block in self._blocks:
            if block.first <= number <= block.last:
                return self._remove_of(block, number, count, freed)
        for i, item in enumerate(self._items):
            if item.number == number:
                del self._items[i]
                self._count(item, -1)
                return count
        return 0

    def _remove_of(self, block: Block, number: int, count: int, freed: list[int]) -> int:
        if block.items is not None:
            found = next((item for item in block.items if item.number == number), None)
            if found is None:
                return 0
            block.items.remove(found)
        self.rows -= count
        block.rows -= count
        if block.rows <= 0:
            freed.append(block.first)
            self._blocks.remove(block)
            self.bytes -= block.bytes
        return count

    def first(self) -> int:
        """The smallest number that may wait; 0 when nothing does."""
        if self._blocks:
            block = self._blocks[0]
            return block.items[0].number if block.items else block.first
        return self._items[0].number if self._items else 0

    def drop_first(self, freed: list[int]) -> tuple[int, int]:
        """Drop the oldest message or block; returns its last number and how many rows it had."""
        if self._blocks:
            block = self._blocks.popleft()
            self._count_block(block, -1)
            freed.append(block.first)
            return block.last, block.rows
        item = self._items.popleft()
        self._count(item, -1)
        return item.number, rows(item.message)

    def pop_last(self, port: str, above: int) -> Batch | None:
        """Take out the newest message, if it is a batch of a port and its number above another."""
        item = self._items[-1] if self._items else None
        if item is None or item.port != port or item.number <= above:
            return None
        if not isinstance(item.message, Batch):
            return None
        self._count(self._items.pop(), -1)
        return item.message

    # ------------------------------------------------------------------ the disk

    def unstored(self, rows_max: int, bytes_max: int) -> Iterator[list[Waiting]]:
        """Messages that are only in memory, in runs of numbers without a hole."""
        part: list[Waiting] = []
        count = size = 0
        for item in self._items:
            is_whole = count >= rows_max or size >= bytes_max
            if part and (is_whole or item.number != part[-1].number + 1):
                yield part
                part, count, size = [], 0, 0
            part.append(item)
            count += rows(item.message)
            size += bytes_of(item.message)
        if part:
            yield part

    def replace(self, block: Block, stays: bool) -> bool:
        """Put a block in the place of its messages; False when none of them is here any more.

        Args:
            block: What was stored.
            stays: True when the messages stay in memory as well; at the head they always do.
        """
        kept: deque[Waiting] = deque()
        while self._items and block.first <= self._items[0].number <= block.last:
            item = self._items.popleft()
            self._count(item, -1)
            kept.append(item)
        if not kept:
            return False
        block.rows = sum(rows(item.message) for item in kept)
        block.items = kept if stays or len(self._blocks) < LOADED_MAX else None
        self.append_block(block)
        return True

    def forget_unstored(self) -> None:
        """Leave only what is on the disk."""
        while self._items:
            self._count(self._items.popleft(), -1)

    def in_memory(self) -> Iterator[Waiting]:
        """All messages that are in memory."""
        for block in self._blocks:
            yield from block.items or ()
        yield from self._items


__all__ = ["LOADED_MAX", "Block", "Lane", "Waiting", "bytes_of", "newest_rows"]
