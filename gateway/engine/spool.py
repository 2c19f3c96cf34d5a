"""Spool: what of an outbox is on the disk, and how it comes back after a restart.

A message that is dropped before it waits leaves no trace but in the books: a replay offers it
again and decides again. So `mark` leaves such rows out of the stored books until their number is
one that no replay brings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gateway.engine.books import Books, Spill
from gateway.engine.lane import Block, Lane, Waiting
from gateway.engine.taken import Taken
from gateway.flow.entries import OutboxOptions

SPILL_ROWS: Final = 20_000
"""So many rows that are only in memory are stored with the next commit."""
SPILL_BYTES: Final = 4_000_000
"""So are so many bytes: events may be large."""
BLOCK_ROWS: Final = 5_000
"""Rows of one block: what a sink is given in one write."""
BLOCK_BYTES: Final = 1_000_000


class Spool:
    """The queue of one sink as memory and disk share it.

    Args:
        options: How much may wait, and what happens beyond.
        memory_rows_max: Rows whose contents stay in memory when they are stored; as many as
            are stored at once when it is None.
    """

    def __init__(
        self, options: OutboxOptions | None = None, memory_rows_max: int | None = None
    ) -> None:
        self.options = options or OutboxOptions()
        self.memory_rows_max = SPILL_ROWS if memory_rows_max is None else memory_rows_max
        self.ways = 1
        """Among how many outboxes the messages of a sink are split; a replay must split alike."""
        self.offered = 0
        """Number of the newest message."""
        self.stored_to = 0
        """Messages up to this number are on the disk, as far as they have not left."""
        self.books = Books()
        self.freed: list[int] = []
        """Blocks that are no longer needed, by their first numbers."""
        self._mark: Mapping[str, Any] = {}
        self._taken = Taken()
        self._live = Lane()
        self._backlog = Lane()
        self._turn = 0
        self._storing_to = 0
        self._writing_to = 0
        self._at_door: list[tuple[int, str, str, int]] = []
        """(number, reason, port, rows) of drops that a replay would make again."""

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

    def to_store(self, *, everything: bool = False) -> list[Spill]:
        """Messages to store with the next commit; with them all that were ever offered are safe.

        Args:
            everything: Also the few that would else be made again from the journal; for a
                checkpoint, which lets go of the records they came from.
        """
        lanes = (self._backlog, self._live)
        is_due = sum(lane.unstored_rows for lane in lanes) >= SPILL_ROWS
        is_due = is_due or sum(lane.unstored_bytes for lane in lanes) >= SPILL_BYTES
        if not is_due and not everything:
            return []
        self._storing_to = self.offered
        return [Spill(part) for lane in lanes for part in lane.unstored(BLOCK_ROWS, BLOCK_BYTES)]

    def stored(self, spills: Iterable[Spill]) -> None:
        """These are on the disk now, and with them all that `to_store` saw."""
        is_small = self.rows <= self.memory_rows_max
        for spill in spills:
            block = Block(spill.first, spill.last, spill.rows, spill.bytes)
            stays = is_small or block.first <= self._writing_to
            if not any(lane.replace(block, stays) for lane in (self._backlog, self._live)):
                self.freed.append(block.first)  # It was taken meanwhile.
        self.stored_to = max(self.stored_to, self._storing_to)
        self._at_door = [drop for drop in self._at_door if drop[0] > self.stored_to]

    def not_stored(self) -> None:
        """The commit failed: what `to_store` saw is as far from the disk as before."""
        self._storing_to = self.stored_to

    def mark(self) -> dict[str, Any]:
        """What was taken, and the books, as JSON values; stored with every commit.

        Taken after `to_store`: it is true once that commit is on the disk.
        """
        self._at_door = [drop for drop in self._at_door if drop[0] not in self._taken]
        dropped = Counter(self.books.dropped)
        for number, reason, _, count in self._at_door:
            if number > self._storing_to:
                dropped[reason] -= count
        return {
            **self._taken.mark(),
            **({"ways": self.ways} if self.ways > 1 else {}),
            "offered": self.offered,
            "stored": self._storing_to,
            "rows": [self.books.offered, self.books.delivered, self.books.dead],
            "dropped": {reason: count for reason, count in dropped.items() if count},
        }

    def restore(
        self,
        mark: Mapping[str, Any],
        offered: tuple[int, int] | None,
        blocks: Sequence[Block],
    ) -> bool:
        """Take back what was stored.

        Args:
            mark: What `mark` gave last.
            offered: Number and rows offered by the time of the checkpoint; what came after is
                offered again. None where that is not known: then nothing is passed over.
            blocks: What is on the disk, by number; those that were taken in part are loaded.

        Returns:
            False when numbers are not known: then `settle` once all was offered again.
        """
        self._mark, self._taken = mark, Taken(mark)
        if mark and int(mark.get("ways", 1)) != self.ways:
            offered = None  # These numbers are of other messages.
        of, delivered, dead = mark.get("rows", (0, 0, 0))
        self.books = Books(of, delivered, dead, Counter(mark.get("dropped", {})))
        self.stored_to = max([int(mark.get("stored", 0)), *(block.last for block in blocks)])
        self._storing_to = self.stored_to
        self._live, self._backlog, self._at_door = Lane(), Lane(), []
        for block in blocks:
            block.forget(self._taken)
            is_empty = block.items is not None and not block.items
            if is_empty or self._taken.has_all(block.first, block.last):
                self.freed.append(block.first)
                continue
            lane = self._backlog if block.first <= self._taken.split_at else self._live
            lane.append_block(block)
        if offered is None:
            self.offered = int(mark.get("offered", 0))
            self.renumber()
        else:
            self.offered, self.books.offered = offered
        return offered is not None

    def renumber(self) -> None:
        """A record is lost, and with it its numbers: what comes next counts as new."""
        self.offered = max(self.offered, self._taken.high, self.stored_to)

    def begin(self) -> None:
        """The node is new in the flow: a replay made what came before for another one."""
        self.offered = self.books.offered = 0
        self._taken = Taken(self._mark)  # As what is on the disk, this is of the new one.
        for _, reason, _, count in self._at_door:
            self.books.dropped[reason] -= count
        self._at_door = []
        for lane in (self._live, self._backlog):
            lane.forget_unstored()  # Made for an earlier node of that name.

    def pass_over(self) -> None:
        """What was offered and is not known to be taken is too old to be of use."""
        self._taken.all_to(self.offered)

    def settle(self, reason: str = "state_damaged") -> None:
        """After a loss: rows that nobody can account for are counted as lost, not hidden.

        Args:
            reason: What to call it; empty where what is missing was delivered by a version of
                this program that did not count.
        """
        self.books.settle(self.rows, reason)

    def load(self, lane: Lane, block: Block, items: Sequence[Waiting]) -> int:
        """The contents of a block, as they were read; returns rows that are lost with it."""
        is_head = lane.missing is block
        lost = lane.load(block, [item for item in items if item.number not in self._taken])
        if lost:
            self.books.dropped["damaged"] += lost
        if not block.items:
            self.freed.append(block.first)
            if is_head:
                self._leave(lane, block.last)
        return lost

    def waiting(self) -> list[Waiting]:
        """All that waits and is in memory, oldest first."""
        return [*self._backlog.in_memory(), *self._live.in_memory()]

    def _leave(self, lane: Lane, last: int) -> None:
        if lane is self._backlog:
            self._taken.backlog_to(last, is_over=not len(lane))
        else:
            self._taken.live_to(last, has_backlog=bool(len(self._backlog)))
