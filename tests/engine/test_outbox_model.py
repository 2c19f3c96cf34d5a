"""The outbox against a naive model: whatever happens in whatever order, the books balance.

Hypothesis makes up runs of offers, writes, commits, outages, crashes and restarts. A failing run
is printed as the calls that repeat it; `GENBA_TORTURE=1` makes more and longer ones.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gateway import Batch, Event, Message
from gateway.engine import lane as lanes
from gateway.engine import spool
from gateway.engine.lane import Block, Lane, Waiting
from gateway.engine.outbox import Outbox
from gateway.engine.packing import pack_messages, unpack_messages
from gateway.engine.taken import Taken
from gateway.engine.wiring import rows
from gateway.flow.entries import OutboxOptions

IS_TORTURE = bool(os.environ.get("GENBA_TORTURE"))
RUNS = settings(
    max_examples=1_500 if IS_TORTURE else 150,
    stateful_step_count=150 if IS_TORTURE else 60,
    deadline=None,
    print_blob=True,
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small numbers, so that a short run comes by every branch."""
    monkeypatch.setattr(spool, "SPILL_ROWS", 12)
    monkeypatch.setattr(spool, "BLOCK_ROWS", 5)
    monkeypatch.setattr(lanes, "WRITE_ROWS_MAX", 6)


@dataclass
class Disk:
    """What a kill leaves: the mark and the blocks of the last commit, and the checkpoint."""

    mark: dict[str, Any] = field(default_factory=dict)
    blocks: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    checkpoint: tuple[int, int] = (0, 0)


Id = tuple[str, int]
"""Port and serial number of a row."""


def ids(port: str, message: Message) -> list[Id]:
    """The rows of a message, each with a number of its own."""
    if isinstance(message, Batch):
        return [(port, int(value)) for value in message.value]
    assert isinstance(message, tuple)
    return [(port, int(event.topic)) for event in message]  # type: ignore[union-attr]  # events


class OutboxMachine(RuleBasedStateMachine):
    """One outbox, the disk below it and the world behind it."""

    @initialize(
        policy=st.sampled_from(["drop_oldest", "drop_newest", "block"]),
        delivery=st.sampled_from(["every", "every", "latest", "fresh"]),
        room=st.sampled_from([1_500, 4_000, 10**9]),
    )
    def begin(self, policy: str, delivery: str, room: int) -> None:
        self.options = OutboxOptions.model_construct(bytes_max=room, when_full=policy)
        self.delivery = delivery
        self.box = Outbox(self.options, memory_rows_max=8)
        self.disk = Disk()
        self.log: list[tuple[str, Message]] = []
        self.serial = itertools.count()
        self.all: set[Id] = set()
        self.done: set[Id] = set()
        """Rows that the world took or refused in any life."""
        self.left: set[int] = set()
        """Numbers that left the queue in this life, or before by the stored mark."""
        self.left_at_mark: set[int] = set()
        self.order: dict[bool, int] = {True: 0, False: 0}
        self.writing: tuple[Lane, int, int, str, Message] | None = None
        self.committing: tuple[list[Any], dict[str, Any], list[int], set[int]] | None = None
        self.pending_checkpoint: tuple[int, int] | None = None

    # ------------------------------------------------------------------ in

    @rule(size=st.integers(1, 7), port=st.sampled_from(["in", "in", "other"]))
    def offer(self, size: int, port: str) -> None:
        numbers = [next(self.serial) for _ in range(size)]
        message: Message
        if port == "in":
            tags = [n % 4 for n in numbers]
            message = Batch.columns(tags, numbers, [float(n) for n in numbers])
        else:
            message = tuple(Event(0, str(n)) for n in numbers)
        self.log.append((port, message))
        self.all |= set(ids(port, message))
        self._add(port, message)

    def _add(self, port: str, message: Message) -> None:
        before = self.box.rows
        shed = self.box.add(port, message, 0.0, newest_only=self.delivery == "latest")
        assert shed >= 0
        if self.options.when_full == "drop_newest" and 0 < before < self.box.rows:
            assert self.box.bytes <= self.options.bytes_max or self.delivery == "latest"
        if self.options.when_full == "drop_oldest":
            assert self.box.bytes <= self.options.bytes_max or len(self.box) == 1
        if self.options.when_full == "block" and self.delivery == "every":
            assert shed == 0

    @precondition(lambda self: self.delivery == "fresh")
    @rule(size=st.integers(1, 3))
    def offer_while_down(self, size: int) -> None:
        numbers = [next(self.serial) for _ in range(size)]
        message = Batch.columns([0] * size, numbers, [float(n) for n in numbers])
        self.log.append(("in", message))
        self.all |= set(ids("in", message))
        self.box.skip(message, "stale")

    # ------------------------------------------------------------------ out

    @precondition(lambda self: self.writing is None and len(self.box))
    @rule(alone=st.booleans())
    def write(self, alone: bool) -> None:
        lane = self.box.lane()
        block = lane.missing
        if block is not None:
            stored = self.disk.blocks[block.first]
            lost = self.box.load(lane, block, unpack_messages(stored[2], block.first))
            assert lost == 0
        first = lane.head.number
        last, port, message = self.box.next(lane, alone=alone)
        self.writing = (lane, first, last, port, message)

    @precondition(lambda self: self.writing is not None)
    @rule(outcome=st.sampled_from(["taken", "taken", "taken", "dead", "failed"]))
    def written(self, outcome: str) -> None:
        assert self.writing is not None
        lane, first, last, port, message = self.writing
        self.writing = None
        if outcome == "failed":
            self.box.not_taken()
            return
        is_backlog = self.box.is_backlog(lane)
        assert first > self.order[is_backlog], "a lane goes back"
        self.order[is_backlog] = last
        self.done |= set(ids(port, message))
        count = self.box.taken(lane, last)
        if outcome == "dead":
            self.box.take_back(count, "", dead=True)

    @precondition(lambda self: self.writing is None and len(self.box))
    @rule()
    def damaged(self) -> None:
        """A block that cannot be read any more is lost, and the books say so."""
        lane = self.box.lane()
        block = lane.missing
        if block is not None:
            before, expected = self.box.books.dropped["damaged"], block.rows
            assert self.box.load(lane, block, []) == expected
            assert self.box.books.dropped["damaged"] == before + expected

    @precondition(lambda self: self.writing is None and self.delivery == "every")
    @rule()
    def set_apart(self) -> None:
        """An outage is over."""
        self.box.set_apart()
        self.order = {True: 0, False: 0}

    # ------------------------------------------------------------------ the disk

    @precondition(lambda self: self.committing is None)
    @rule(everything=st.booleans())
    def commit_begins(self, everything: bool) -> None:
        spills = [] if self.delivery == "fresh" else self.box.to_store(everything=everything)
        mark = self.box.mark()
        freed, self.box.freed = self.box.freed, []
        assert mark["low"] <= self.box.offered
        gone = {n for n in range(1, self.box.offered + 1) if n in Taken(mark)}
        self.committing = (spills, mark, freed, gone)
        if everything:
            self.pending_checkpoint = (self.box.offered, self.box.books.offered)

    @precondition(lambda self: self.committing is not None)
    @rule()
    def commit_ends(self) -> None:
        assert self.committing is not None
        spills, mark, freed, gone = self.committing
        self.committing = None
        for first in freed:
            self.disk.blocks.pop(first, None)
        for spill in spills:
            data = pack_messages(spill.items)
            spill.bytes = len(data)
            self.disk.blocks[spill.first] = (spill.last, spill.rows, data)
        self.disk.mark, self.left_at_mark = mark, gone
        if self.delivery != "fresh":
            self.box.stored(spills)

    @precondition(lambda self: self.committing is not None)
    @rule()
    def commit_fails(self) -> None:
        """The disk refuses, and the one who asked is told: nothing has changed."""
        assert self.committing is not None
        _, _, freed, _ = self.committing
        self.committing = self.pending_checkpoint = None
        self.box.freed[:0] = freed
        self.box.not_stored()

    @precondition(lambda self: self.committing is None and self.pending_checkpoint)
    @rule()
    def checkpoint_ends(self) -> None:
        assert self.pending_checkpoint is not None
        self.disk.checkpoint, self.pending_checkpoint = self.pending_checkpoint, None

    @rule()
    def crash(self) -> None:
        """Killed; the journal has every message since the checkpoint, and it is run again."""
        self.writing = self.committing = self.pending_checkpoint = None
        self.order = {True: 0, False: 0}
        self.box = Outbox(self.options, memory_rows_max=8)
        taken = Taken(self.disk.mark)
        blocks = []
        for first, (last, count, data) in sorted(self.disk.blocks.items()):
            block = Block(first, last, count, len(data))
            if not taken.has_all(first, last) and taken.has_some(first, last):
                block.items = deque(unpack_messages(data, first))
            blocks.append(block)
        self.box.restore(self.disk.mark, self.disk.checkpoint, blocks)
        if self.delivery == "fresh":
            self.box.pass_over()
        for port, message in self.log[self.disk.checkpoint[0] :]:
            if self.delivery == "fresh":
                self.box.skip(message, "stale")
            else:
                self._add(port, message)
        if self.delivery == "fresh":
            self.box.settle("stale")
            assert not len(self.box)
        assert self.box.offered == len(self.log)
        again = set(self._waiting_numbers()) & self.left_at_mark
        assert not again, f"{again} were taken, as the stored mark says, and wait again"

    def _waiting_numbers(self) -> Iterator[int]:
        yield from (item.number for item in self._waiting())

    def _waiting(self) -> Iterator[Waiting]:
        """All that waits, wherever it lies."""
        for lane in (self.box._backlog, self.box._live):
            for block in lane._blocks:
                if block.items is not None:
                    yield from block.items
                else:
                    for item in unpack_messages(self.disk.blocks[block.first][2], block.first):
                        if item.number not in self.box._taken:
                            yield item
            yield from lane._items

    # ------------------------------------------------------------------ what always holds

    @invariant()
    def all_is_well(self) -> None:
        """One rule, so that a failure is short to read."""
        if hasattr(self, "box"):
            self.the_books_balance()
            self.what_is_counted_is_there()
            self.nothing_is_lost_unless_counted()
            self.blocks_are_on_the_disk_while_they_are_needed()
            self.memory_is_bounded()

    def the_books_balance(self) -> None:
        assert self.box.books.unbalanced(self.box.rows) == 0, self.box.books
        assert min([self.box.books.delivered, *self.box.books.dropped.values(), 0]) == 0

    def what_is_counted_is_there(self) -> None:
        waiting = list(self._waiting())
        assert self.box.rows == sum(rows(item.message) for item in waiting)
        for lane in (self.box._backlog, self.box._live):
            numbers = [item.number for item in lane.in_memory()]
            assert numbers == sorted(set(numbers))

    def nothing_is_lost_unless_counted(self) -> None:
        here = {one for item in self._waiting() for one in ids(item.port, item.message)}
        lost = self.all - self.done - here
        assert len(lost) <= self.box.books.dropped.total(), (lost, self.box.books)
        if self.options.when_full == "block" and self.delivery == "every":
            assert len(lost) <= self.box.books.dropped["damaged"]

    def blocks_are_on_the_disk_while_they_are_needed(self) -> None:
        needed = {b.first for lane in (self.box._backlog, self.box._live) for b in lane._blocks}
        going = set(self.box.freed) | set(self.committing[2] if self.committing else ())
        assert needed <= set(self.disk.blocks)
        assert set(self.disk.blocks) == needed | (going & set(self.disk.blocks))

    def memory_is_bounded(self) -> None:
        loaded = 0
        for lane in (self.box._backlog, self.box._live):
            loaded += sum(1 for block in lane._blocks if block.items is not None)
        outages = 1 + len(self.box._taken._runs)
        assert loaded <= 8 + (lanes.LOADED_MAX + 2) * (outages + 1)


class TestOutbox(OutboxMachine.TestCase):  # type: ignore[name-defined,misc]  # made by hypothesis
    settings = RUNS


class TakenMachine(RuleBasedStateMachine):
    """Taken against a set of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = Taken()
        self.gone: set[int] = set()
        self.live: deque[int] = deque()
        self.backlog: deque[int] = deque()
        self.offered = 0

    @rule(count=st.integers(1, 5))
    def offer(self, count: int) -> None:
        for _ in range(count):
            self.offered += 1
            self.live.append(self.offered)

    @precondition(lambda self: self.live)
    @rule()
    def outage(self) -> None:
        if self.taken.may_split:
            self.backlog += self.live
            self.live.clear()
            self.taken.split(self.offered)

    @rule(count=st.integers(1, 4), of_backlog=st.booleans())
    def take(self, count: int, of_backlog: bool) -> None:
        lane = self.backlog if of_backlog else self.live
        last = 0
        for _ in range(min(count, len(lane))):
            last = lane.popleft()
            self.gone.add(last)
        if not last:
            return
        if of_backlog:
            self.taken.backlog_to(last, is_over=not self.backlog)
        else:
            self.taken.live_to(last, has_backlog=bool(self.backlog))

    @rule()
    def store(self) -> None:
        self.taken = Taken(self.taken.mark())

    @invariant()
    def it_knows(self) -> None:
        numbers = range(1, self.offered + 2)
        assert {n for n in numbers if n in self.taken} == self.gone
        assert self.taken.high == max(self.gone, default=0)
        for first in range(1, min(self.offered, 12)):
            span = set(range(first, first + 4))
            assert self.taken.has_all(first, first + 3) == (span <= self.gone)
            assert self.taken.has_some(first, first + 3) == bool(span & self.gone)
        assert (self.taken.split_at > 0) == bool(self.backlog)


class TestTaken(TakenMachine.TestCase):  # type: ignore[name-defined,misc]  # made by hypothesis
    settings = RUNS


def test_what_a_failed_commit_was_to_store_is_not_said_to_be_on_the_disk() -> None:
    box = Outbox(OutboxOptions())
    box.add("in", Batch.columns([0], [1], [1.0]), 0.0)
    before = box.mark()
    assert box.to_store(everything=True)
    assert box.mark()["stored"] == 1
    box.not_stored()  # The checkpoint of a deploy, for which nobody waits, met a full disk.
    assert box.to_store() == []
    assert box.mark() == before, "a restart would pass over a message that is nowhere"
