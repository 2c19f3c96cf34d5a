"""Inbox: the bounded queue at a border, and the whole of adaptive batching.

It waits for one entry, then gives all that are waiting. Idle: one row, at once. Busy: rows have
piled up while the last step ran, so batches grow by themselves and there is nothing to tune.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """A queue bounded in rows; `put` waits when it is full, so pressure reaches the source.

    Args:
        rows_max: How many rows may wait. One entry is let in even when it alone is larger.
    """

    def __init__(self, rows_max: int) -> None:
        self.rows_max = rows_max
        self.rows = 0
        self.peak = 0
        self._entries: deque[tuple[T, int]] = deque()
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    async def put(self, entry: T, rows: int) -> None:
        """Add an entry; waits while the inbox is full, or holds up such an entry."""
        while (self.rows and self.rows + rows > self.rows_max) or self.holds_up(entry):
            self._drained.clear()
            await self._drained.wait()
        self._entries.append((entry, rows))
        self.rows += rows
        self.peak = max(self.peak, self.rows)
        self._filled.set()

    def holds_up(self, entry: T) -> bool:
        """True while this entry must wait, though there is room; see `look_again`."""
        return False

    def look_again(self) -> None:
        """What was held up may not be any more."""
        self._drained.set()

    def put_now(self, entry: T, rows: int) -> None:
        """Add an entry that must not wait, such as an operator's action or a loss of contact."""
        self._entries.append((entry, rows))
        self.rows += rows
        self._filled.set()

    def take_now(self) -> list[T]:
        """Take all that wait."""
        taken = [entry for entry, _ in self._entries]
        self._entries.clear()
        self.rows = 0
        self._drained.set()
        return taken

    async def take(self, rows_max: int, timeout_s: float | None = None) -> list[T]:
        """Wait for one entry, then take all that wait, up to about `rows_max` rows.

        Returns:
            The entries in order; empty when `timeout_s` [s] went by.
        """
        if not self._entries:
            self._filled.clear()
            if timeout_s is not None and timeout_s <= 0:
                return []
            try:
                async with asyncio.timeout(timeout_s):
                    await self._filled.wait()
            except TimeoutError:
                return []
        taken: list[T] = []
        rows = 0
        while self._entries and (not taken or rows + self._entries[0][1] <= rows_max):
            entry, size = self._entries.popleft()
            taken.append(entry)
            rows += size
        self.rows -= rows
        self._drained.set()
        return taken
