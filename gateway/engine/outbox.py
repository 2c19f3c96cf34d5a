"""Outbox: messages that wait for one sink, each with a number that a replay gives it again.

The queue is a row of messages in memory and of blocks on the disk, in the order of their
numbers. A sink that keeps up never sees the disk. When rows pile up, the engine stores them as
blocks with its next commit and lets go of their contents until it is their turn, so that an
outage of days costs disk and no memory; see `Spool`.

After an outage a sink may want what is new before what is old: then what waited is a lane beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway.data.batch import Batch
from gateway.engine.lane import Block, Lane, Waiting, bytes_of, newest_rows
from gateway.engine.spool import Spool
from gateway.engine.wiring import rows
from gateway.flow.node import Message

LANE: Final = "#"
"""Between a sink's id and the number of a lane in the name of an outbox; no id has it."""
LIVE_TURNS: Final = 4
"""So many writes of new messages for one of the backlog, when both wait."""
ROOM_BYTES: Final = 16_000_000
"""With less room than this a flow that loses nothing is given little at a time [bytes]."""


class Outbox(Spool):
    """What waits for one sink, bounded in bytes."""

    @property
    def backlog_rows(self) -> int:
        """Rows of an outage that wait behind what is new."""
        return self._backlog.rows

    @property
    def is_full(self) -> bool:
        """True while a flow that wants to lose nothing must wait."""
        return self.options.when_full == "block" and self.bytes > self.options.bytes_max

    @property
    def is_tight(self) -> bool:
        """True while more is to come in small parts only: it spills, or will soon be full."""
        if self.rows > self.memory_rows_max:
            return True
        return (
            self.options.when_full == "block" and self.bytes > self.options.bytes_max - ROOM_BYTES
        )

    # ------------------------------------------------------------------ what comes in

    def skip(self, message: Message, reason: str) -> bool:
        """Give a message the next number and drop it; False when it had left before."""
        if self._is_known(message):
            return False
        self._drop_at_door(reason, "", rows(message))
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
        options = self.options
        is_last_in = options.when_full == "drop_newest" and len(self)
        if is_last_in and self.bytes + bytes_of(message) > options.bytes_max:
            self._drop_at_door("full", "", rows(message))
            return rows(message)
        lane = self._backlog if self.offered <= self._taken.split_at else self._live
        if newest_only and isinstance(message, Batch):
            message = self._with_waiting(lane, port, message)
        lane.append(Waiting(self.offered, port, message, at_s))
        return self._shed() if options.when_full == "drop_oldest" else 0

    def _is_known(self, message: Message) -> bool:
        self.offered += 1
        self.books.offered += rows(message)
        return self.offered <= self.stored_to or self.offered in self._taken

    def _drop_at_door(self, reason: str, port: str, count: int) -> None:
        self.books.dropped[reason] += count
        if self._at_door:
            number, *kind, before = self._at_door[-1]
            if kind == [reason, port] and number == self.offered - 1:  # They leave together.
                self._at_door[-1] = (self.offered, reason, port, before + count)
                return
        self._at_door.append((self.offered, reason, port, count))

    def _with_waiting(self, lane: Lane, port: str, message: Batch) -> Batch:
        """Only the newest row a tag waits for a display.

        Rows that stand before a message of another port stay there: who moved them behind it
        could not say with one number any more what has left.
        """
        before = lane.pop_last(port, max(self._writing_to, self._storing_to))
        if before is None:
            return message
        whole = Batch.concat([before, message])
        newest = newest_rows(whole)
        if len(newest) < len(whole):
            self._drop_at_door("superseded", port, len(whole) - len(newest))
        return newest

    def _shed(self) -> int:
        shed = 0
        while self.bytes > self.options.bytes_max and len(self) > 1:
            shed += self._drop_first(self._backlog if len(self._backlog) else self._live, "full")
        return shed

    # ------------------------------------------------------------------ what goes out

    def oldest(self) -> Waiting | Block | None:
        """What waits longest: a message, or a block whose contents are only on the disk."""
        lane = self._backlog if len(self._backlog) else self._live
        return (lane.missing or lane.head) if len(lane) else None

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

    def live(self) -> Lane | None:
        """The new messages, if any wait."""
        return self._live if len(self._live) else None

    def lane_of(self, number: int) -> Lane | None:
        """The lane at whose head a message is, if it still is."""
        for lane in (self._live, self._backlog):
            if len(lane) and lane.missing is None and lane.head.number == number:
                return lane
        return None

    def is_backlog(self, lane: Lane) -> bool:
        """True when the lane holds an outage's messages while new ones go first."""
        return lane is self._backlog

    def next(self, lane: Lane, *, alone: bool = False) -> tuple[int, str, Message]:
        """The oldest messages of a lane, to be written now; see `Lane.next`.

        They stay as they are until `taken` or `not_taken`.
        """
        found = lane.next(alone=alone)
        self._writing_to = found[0]
        return found

    def not_taken(self) -> None:
        """What was being written was not taken: it goes on waiting."""
        self._writing_to = 0

    def taken(self, lane: Lane, last: int) -> int:
        """Everything of a lane up to a number was written; returns its rows.

        They are fewer than were written where some were dropped meanwhile, and counted as that.
        """
        self._writing_to = 0
        before = lane.rows
        lane.take(last, self.freed)
        self.books.delivered += before - lane.rows
        self._leave(lane, last)
        return before - lane.rows

    def taken_one(self, number: int, count: int) -> int:
        """One message of so many rows has left, maybe before older ones; returns its rows.

        None are left of one that was dropped meanwhile, and counted as that.
        """
        lane = self._live
        removed = 0 if number in self._taken else lane.remove(number, count, self.freed)
        self.books.delivered += removed
        first = lane.first()
        self._taken.all_to(first - 1 if first else self.offered)
        if number not in self._taken:
            self._taken.one(number)
        return removed

    def take_back(self, count: int, reason: str, *, dead: bool = False) -> None:
        """Some of the rows that were called taken were not."""
        self.books.delivered -= count
        if dead:
            self.books.dead += count
        else:
            self.books.dropped[reason] += count

    def drop_first(self, reason: str) -> int:
        """Give up the oldest message; returns its rows."""
        return self._drop_first(self._live, reason)

    def _drop_first(self, lane: Lane, reason: str) -> int:
        number, count = lane.drop_first(self.freed)
        self.books.dropped[reason] += count
        self._leave(lane, number)
        return count

    def clear(self, reason: str) -> int:
        """Give up all; returns how many rows."""
        dropped = 0
        while len(self._live):
            dropped += self.drop_first(reason)
        return dropped


def node_of_box(name: str) -> str:
    """The node that an outbox of some name belongs to."""
    return name.partition(LANE)[0]


def of_node(boxes: Mapping[str, Outbox], node: str) -> dict[str, Outbox]:
    """Of all outboxes by name, those of one node: a sink with lanes has several."""
    return {name: box for name, box in boxes.items() if node_of_box(name) == node}
