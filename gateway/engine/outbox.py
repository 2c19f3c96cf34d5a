"""Outbox: messages that wait for one sink, each with a number that a replay gives it again."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.data.batch import Batch
from gateway.engine.wiring import rows
from gateway.flow.node import Message
from gateway.flow.notation import concat

OUTBOX_ROWS_MAX: Final = 1_000_000
WRITE_ROWS_MAX: Final = 5_000


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


class Outbox:
    """A queue bounded in rows; the oldest go first when it is full.

    Args:
        rows_max: How many rows may wait. One message is kept even when it alone is larger.
    """

    def __init__(self, rows_max: int = OUTBOX_ROWS_MAX) -> None:
        self.rows_max = rows_max
        self.rows = 0
        self.offered = 0
        self.delivered = 0
        self._queue: deque[Waiting] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def first(self) -> int:
        """Number of the oldest message that waits."""
        return self._queue[0].number

    @property
    def oldest_s(self) -> float:
        """When the oldest message came, by the monotonic clock [s]."""
        return self._queue[0].at_s

    def skip(self) -> bool:
        """Give the next message its number and drop it; False when it was delivered before."""
        self.offered += 1
        is_new = self.offered > self.delivered
        self.delivered = max(self.delivered, self.offered)
        return is_new

    def add(self, port: str, message: Message, at_s: float, *, newest_only: bool = False) -> int:
        """Give a message the next number and keep it, unless it was delivered before.

        Returns:
            How many rows were dropped for lack of room.
        """
        self.offered += 1
        if self.offered <= self.delivered:
            return 0
        if newest_only and isinstance(message, Batch):
            message = self._with_waiting(port, message)
        self._queue.append(Waiting(self.offered, port, message, at_s))
        self.rows += rows(message)
        return self._shed()

    def _with_waiting(self, port: str, message: Batch) -> Batch:
        """Only the newest row a tag waits for a display; other ports are left alone."""
        parts: list[Batch] = []
        others: deque[Waiting] = deque()
        for item in self._queue:
            if item.port == port and isinstance(item.message, Batch):
                parts.append(item.message)
                self.rows -= len(item.message)
            else:
                others.append(item)
        if not parts:
            return message
        self._queue = others
        whole = Batch.concat([*parts, message])
        _, last = np.unique(whole.tag[::-1], return_index=True)
        return whole.where(np.sort(len(whole) - 1 - last))

    def _shed(self) -> int:
        shed = 0
        while self.rows > self.rows_max and len(self._queue) > 1:
            item = self._queue.popleft()
            self.rows -= rows(item.message)
            self.delivered = max(self.delivered, item.number)
            shed += rows(item.message)
        return shed

    def next(self, *, alone: bool = False) -> tuple[int, str, Message]:
        """The oldest messages of one port as one, without taking them off the queue.

        Args:
            alone: Only the oldest message.

        Returns:
            The number of the last of them, the port, and the message.
        """
        head = self._queue[0]
        if alone or len(self._queue) == 1:
            return head.number, head.port, head.message
        parts: list[Message] = []
        size, last = 0, head.number
        for item in self._queue:
            fits = item.port == head.port and type(item.message) is type(head.message)
            if not fits or (parts and size >= WRITE_ROWS_MAX):
                break
            parts.append(item.message)
            size += rows(item.message)
            last = item.number
        whole = concat(parts)
        assert whole is not None
        return last, head.port, whole

    def taken(self, last: int) -> None:
        """Everything up to a number was written; some of it may have been shed meanwhile."""
        while self._queue and self._queue[0].number <= last:
            self.rows -= rows(self._queue.popleft().message)
        self.delivered = max(self.delivered, last)

    def take_first(self) -> int:
        """Drop the oldest message; returns its rows."""
        before = self.rows
        self.taken(self.first)
        return before - self.rows

    def clear(self) -> int:
        """Drop all; returns how many rows."""
        dropped = self.rows
        if self._queue:
            self.taken(self._queue[-1].number)
        return dropped

    # ------------------------------------------------------------------ state

    def waiting(self) -> list[Waiting]:
        """All that waits, oldest first; for a checkpoint."""
        return list(self._queue)

    def restore(self, offered: int, delivered: int, waiting: Sequence[Waiting]) -> None:
        """Take back what a checkpoint held, less what was delivered since."""
        self.offered, self.delivered = offered, delivered
        self._queue = deque(item for item in waiting if item.number > delivered)
        self.rows = sum(rows(item.message) for item in self._queue)

    def renumber(self) -> None:
        """A record is lost, and with it its numbers: what comes next counts as new."""
        self.delivered = min(self.delivered, self.offered)
