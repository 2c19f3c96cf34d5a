"""Outbox: messages that wait for one sink, each with a number that a replay gives it again.

The queue is a row of messages in memory and of blocks on the disk, in the order of their
numbers. A sink that keeps up never sees the disk. When rows pile up, the engine stores them as
blocks with its next commit and lets go of their contents until it is their turn, so that an
outage of days costs disk and no memory.

After an outage a sink may want what is new before what is old: then what waited is a lane beside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gateway.data.batch import Batch
from gateway.engine.books import Books, Spill
from gateway.engine.lane import Block, Lane, Waiting, bytes_of, newest_rows
from gateway.engine.taken import Taken
from gateway.engine.wiring import rows
from gateway.flow.entries import OutboxOptions
from gateway.flow.node import Message

SPILL_ROWS: Final = 20_000
"""So many rows that are only in memory are stored with the next commit."""
BLOCK_ROWS: Final = 5_000
"""Rows of one block: what a sink is given in one write."""
LIVE_TURNS: Final = 4
"""So many writes of new messages for one of the backlog, when both wait."""


class Outbox:
    """What waits for one sink, bounded in bytes.

    Args:
        options: How much may wait, and what happens beyond.
        memory_rows_max: Rows whose contents stay in memory when they are stored.
    """

    def __init__(
        self, options: OutboxOptions | None = None, memory_rows_max: int = SPILL_ROWS
    ) -> None:
        self.options = options or OutboxOptions()
        self.memory_rows_max = memory_rows_max
        self.offered = 0
        """Number of the newest message."""
        self.stored_to = 0
        """Messages up to this number are on the disk, as far as they were not yet taken."""
        self.books = Books()
        self.freed: list[int] = []
        """Blocks that are no longer needed, by their first numbers."""
        self._mark: Mapping[str, Any] = {}
        self._taken = Taken()
        self._live = Lane()
        self._backlog = Lane()
        self._unstored = 0
        self._turn = 0

    @property
    def low(self) -> int:
        """Every message up to this number has left the queue."""
        return self._taken.low

    def __len__(self) -> int:
        return len(self._live) + len(self._backlog)

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._live.rows + self._backlog.rows

    @property
    def bytes(self) -> int:
        """About how many bytes wait, in memory and on the disk."""
        return self._live.bytes + self._backlog.bytes

    @property
    def backlog_rows(self) -> int:
        """Rows of an outage that wait behind what is new."""
        return self._backlog.rows

    @property
    def is_full(self) -> bool:
        """True while a flow that wants to lose nothing must wait."""
        return self.options.when_full == "block" and self.bytes > self.options.bytes_max

    # ------------------------------------------------------------------ what comes in

    def skip(self, message: Message, reason: str) -> bool:
        """Give a message the next number and drop it; False when it had left before."""
        if self._is_known(message):
            return False
        self.books.dropped[reason] += rows(message)
        if not len(self):
            self._taken.all_to(self.offered)
        return True

    def add(self, port: str, message: Message, at_s: float, *, newest_only: bool = False) -> int:
        """Give a message the next number and keep it, unless it has left or is stored already.

        Returns:
            How many rows were dropped for lack of room.
        """
        if self._is_known(message):
            return 0
        size = bytes_of(message)
        when_full, bytes_max = self.options.when_full, self.options.bytes_max
        if when_full == "drop_newest" and self.bytes + size > bytes_max:
            self.books.dropped["full"] += rows(message)
            return rows(message)
        if newest_only and isinstance(message, Batch):
            message = self._with_waiting(port, message)
        self._live.append(Waiting(self.offered, port, message, at_s))
        self._unstored += rows(message)
        return self._shed() if when_full == "drop_oldest" else 0

    def _is_known(self, message: Message) -> bool:
        self.offered += 1
        self.books.offered += rows(message)
        return self.offered <= self.stored_to or self.offered in self._taken

    def _with_waiting(self, port: str, message: Batch) -> Batch:
        """Only the newest row a tag waits for a display; other ports are left alone."""
        parts = self._live.extract(port)
        if not parts:
            return message
        whole = Batch.concat([*parts, message])
        newest = newest_rows(whole)
        self.books.dropped["superseded"] += len(whole) - len(newest)
        return newest

    def _shed(self) -> int:
        shed = 0
        while self.bytes > self.options.bytes_max and len(self) > 1:
            lane = self._backlog if len(self._backlog) else self._live
            number = lane.drop_first(self.freed)
            shed += lane.left
            self._leave(lane, number)
        self.books.dropped["full"] += shed
        return shed

    # ------------------------------------------------------------------ what goes out

    def set_apart(self) -> None:
        """What waits now is a backlog: from here on what is new goes first."""
        if len(self._live) and self._taken.may_split:
            self._backlog.extend(self._live)
            self._live = Lane()
            self._taken.split(self.offered)

    def lane(self) -> Lane:
        """Whose turn it is: the new messages, and now and then one of the backlog."""
        if not len(self._backlog) or not len(self._live):
            return self._backlog if len(self._backlog) else self._live
        self._turn += 1
        return self._live if self._turn % (LIVE_TURNS + 1) else self._backlog

    def oldest(self) -> Waiting | Block | None:
        """What waits longest: a message, or a block whose contents are only on the disk."""
        lane = self._backlog if len(self._backlog) else self._live
        return (lane.missing or lane.head) if len(lane) else None

    def is_backlog(self, lane: Lane) -> bool:
        """True when the lane holds an outage's messages while new ones go first."""
        return lane is self._backlog

    def taken(self, lane: Lane, last: int, *, dead: bool = False) -> None:
        """Everything of a lane up to a number was written, or was buried."""
        before = lane.rows
        lane.take(last, self.freed)
        gone = before - lane.rows
        if dead:
            self.books.dead += gone
        else:
            self.books.delivered += gone
        self._leave(lane, last)

    def drop_first(self, reason: str) -> int:
        """Give up the oldest message; returns its rows."""
        number = self._live.drop_first(self.freed)
        self.books.dropped[reason] += self._live.left
        self._leave(self._live, number)
        return self._live.left

    def clear(self, reason: str) -> int:
        """Give up all; returns how many rows."""
        dropped = 0
        while len(self._live):
            dropped += self.drop_first(reason)
        return dropped

    def _leave(self, lane: Lane, last: int) -> None:
        if lane is self._backlog:
            self._taken.backlog_to(last, is_over=not len(lane))
        else:
            self._taken.live_to(last, has_backlog=bool(len(self._backlog)))

    # ------------------------------------------------------------------ the disk

    def to_store(self, *, everything: bool = False) -> list[Spill]:
        """Messages to store with the next commit.

        Args:
            everything: Also the few that would else be made again from the journal; for a
                checkpoint, which lets go of the records they came from.
        """
        if not self._unstored or (self._unstored < SPILL_ROWS and not everything):
            return []
        return [
            Spill(part)
            for lane in (self._backlog, self._live)
            for part in lane.unstored(self.stored_to, BLOCK_ROWS)
        ]

    def stored(self, spills: Iterable[Spill]) -> None:
        """These are on the disk now."""
        for spill in spills:
            block = Block(spill.first, spill.last, spill.rows, spill.bytes)
            self.stored_to = max(self.stored_to, block.last)
            is_small = self.rows <= self.memory_rows_max
            kept = any(lane.replace(block, is_small) for lane in (self._backlog, self._live))
            if not kept:  # It was taken meanwhile.
                self.freed.append(block.first)
        self._unstored = self._live.rows_after(self.stored_to)

    def mark(self) -> dict[str, Any]:
        """What was taken, and the books, as JSON values; stored with every commit."""
        books = self.books
        return {
            **self._taken.mark(),
            "offered": self.offered,
            "rows": [books.offered, books.delivered, books.dead],
            "dropped": dict(books.dropped),
        }

    def restore(
        self,
        mark: Mapping[str, Any],
        offered: tuple[int, int] | None,
        blocks: Sequence[Block],
    ) -> None:
        """Take back what was stored.

        Args:
            mark: What `mark` gave last.
            offered: Number and rows offered by the time of the checkpoint; what came after is
                offered again. None where that is not known: then nothing is passed over.
            blocks: What is on the disk, by number; those that were taken in part are loaded.
        """
        self._mark, self._taken = mark, Taken(mark)
        of, delivered, dead = mark.get("rows", (0, 0, 0))
        self.books = Books(of, delivered, dead, Counter(mark.get("dropped", {})))
        self.stored_to = max((block.last for block in blocks), default=0)
        self._live, self._backlog = Lane(), Lane()
        for block in blocks:
            if self._taken.has_all(block.first, block.last):
                self.freed.append(block.first)
                continue
            block.forget(self._taken)
            (self._backlog if block.first <= self._taken.split_at else self._live).append(block)
        if offered is None:
            self.offered = int(mark.get("offered", 0))
            self.renumber()
        else:
            self.offered, self.books.offered = offered

    def renumber(self) -> None:
        """A record is lost, and with it its numbers: what comes next counts as new."""
        self.offered = max(self.offered, self._taken.high, self.stored_to)

    def begin(self) -> None:
        """The node is new in the flow: a replay made what came before for another one."""
        self.offered = self.books.offered = self._unstored = 0
        self._taken = Taken(self._mark)  # As what is on the disk, this is of the new one.
        for lane in (self._live, self._backlog):
            lane.forget_messages()

    def pass_over(self) -> None:
        """What was offered and is not known to be taken is too old to be of use."""
        self._taken.all_to(self.offered)

    def load(self, lane: Lane, items: Sequence[Waiting]) -> None:
        """The contents of the block at the head of a lane."""
        block = lane.missing
        assert block is not None, "only what is missing is loaded"
        before = lane.rows
        lane.load(block, [item for item in items if item.number not in self._taken])
        if lane.rows < before:
            self.books.dropped["damaged"] += before - lane.rows
        if not block.rows:
            self.freed.append(block.first)

    def waiting(self) -> list[Waiting]:
        """All that waits and is in memory, oldest first."""
        return [*self._backlog.in_memory(), *self._live.in_memory()]


__all__ = ["Block", "Books", "Lane", "Outbox", "Spill", "Waiting"]
