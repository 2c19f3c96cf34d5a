"""Feeder: writes what waits in one outbox to a sink, message by message and in order.

A sink has one; a sink with lanes has one a lane, and their writes go side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from gateway.engine.context import NodeContext
from gateway.engine.lane import Block, Lane, Waiting
from gateway.engine.outbox import Outbox
from gateway.engine.sift import sift
from gateway.engine.wiring import rows
from gateway.errors import ConfigError, Disconnected, Rejected
from gateway.flow.entries import OutboxOptions
from gateway.flow.node import Message, Sink

FRESH_S: Final = 5.0  # A setpoint that waited longer is dropped: one that comes late does harm.
FAULTS_MAX: Final = 3  # A message that made the sink fail this often is a dead letter.
DeadLetter = Callable[[str, int, str, str, Message], Awaitable[None]]
"""Keeps what a sink refused: (name of the outbox, number, error, port, message)."""
ReadBlock = Callable[[str, int], Awaitable[Sequence[Waiting]]]
"""The messages of a stored block: (name of the outbox, number of the first)."""


class Feeder:
    """One outbox of a sink, and the loop that writes what is in it.

    Args:
        sink: The node.
        write: Its `write` behind the gate: nothing else here writes.
        ctx: Its context.
        dead_letter: Keeps what the sink refused.
        read_block: Reads what waits on the disk.
        options: How much may wait, and what happens beyond.
        name: Under which the outbox is stored: the node's id, and the lane where there are more.
    """

    def __init__(
        self,
        sink: Sink[Any],
        write: Callable[[Message, str], Awaitable[None]],
        ctx: NodeContext,
        dead_letter: DeadLetter,
        read_block: ReadBlock,
        options: OutboxOptions,
        name: str,
    ) -> None:
        self.name = name
        self.outbox = Outbox(options)
        self.is_dropping = False
        """True once it was said that rows are dropped, until none waits."""
        self.left: Callable[[bool], None] = lambda is_taken: None
        """Called when rows have left, with whether the sink took them."""
        self._is_latest = sink.delivery == "latest"
        self._write_out = write
        self._ready = sink.ready
        self._ctx = ctx
        self._dead_letter = dead_letter
        self._read_block = read_block
        self._is_fresh = sink.delivery == "fresh"
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._tried: tuple[int, int] | None = None
        """First and last number of the write that was begun and not ended."""
        self._faults = (0, 0)
        """Number of the message on which the sink failed last, and how often."""
        self._alone = (0, 0)
        """Messages of these numbers are written one by one, to find the one that is refused."""
        self._backfill_at_s = 0.0
        """When the next write of a backlog may be done, by the monotonic clock [s]."""

    # ------------------------------------------------------------------ what comes in

    def add(self, port: str, message: Message) -> None:
        """Take a message from the flow; never waits."""
        at_s = self._ctx.clock.monotonic() if self._is_fresh else 0.0
        shed = self.outbox.add(port, message, at_s, newest_only=self._is_latest)
        if shed:
            self._ctx.count("dropped_full", shed)
            if not self.is_dropping:
                self.is_dropping = True
                which = "newest" if self.outbox.options.when_full == "drop_newest" else "oldest"
                self._ctx.say(
                    "error",
                    f"The outbox is full ({self.outbox.options.bytes_max:,} bytes): the {which} "
                    "rows are dropped. Look at why the receiver takes none.",
                )
        if len(self.outbox):
            self._idle.clear()
            self._filled.set()

    def skip(self, message: Message) -> None:
        """Give a message its number and drop it: it cannot be written at once."""
        if self.outbox.skip(message, "stale"):
            self.stale(rows(message))

    def clear(self) -> None:
        """Give up what waits: it would be late."""
        if dropped := self.outbox.clear("stale"):
            self.stale(dropped)

    def stale(self, dropped: int) -> None:
        """Rows were dropped because they could not be written at once."""
        self._ctx.count("dropped_stale", dropped)
        if not self.is_dropping:
            self.is_dropping = True
            text = "Rows that cannot be written at once are dropped and counted (dropped_stale)."
            self._ctx.say("warning", text)

    def receiver_has(self, number: int) -> None:
        """Write one by one up to a number: the receiver knows those and takes none twice."""
        self._alone = (0, number)

    def wake(self) -> None:
        """Look into the outbox, which may be that of another before."""
        self._filled.set()

    # ------------------------------------------------------------------ what goes out

    async def write(self) -> None:
        """Write until the sink fails or this is cancelled."""
        try:
            while True:
                await self._next_lane()
                await self._ready()
                await self._write_one(await self._next_lane())
        finally:
            self.outbox.not_taken()

    async def _write_one(self, lane: Lane) -> None:
        outbox, head = self.outbox, lane.head
        if self._is_fresh and self._ctx.clock.monotonic() - head.at_s > FRESH_S:
            self.stale(outbox.drop_first("stale"))
            return
        alone = self._is_fresh or self._alone[0] <= head.number <= self._alone[1]
        last, port, message = outbox.next(lane, alone=alone)
        self._tried = (head.number, last)
        self._ctx.number = last
        if self._is_fresh:  # At most once: whatever becomes of this write, it is not repeated.
            outbox.taken(lane, last)
        try:
            await self._write_out(message, port)
        except Rejected as error:
            if not alone and head.number < last:
                self._alone = (head.number, last)
            else:
                await self._refused(lane, last, port, message, str(error))
            return
        except BaseException as error:
            if self._is_fresh:  # Whether it arrived, nobody knows.
                outbox.take_back(rows(message), "cut_off")
            if self._is_fresh and isinstance(error, Disconnected):
                self._ctx.count("dropped_stale", rows(message))
            raise
        self._tried = None
        self._took(lane, last, message)

    async def _next_lane(self) -> Lane:
        """Wait until something can be written, and read it from the disk where it lies there."""
        while True:
            if not len(self.outbox):
                self._idle.set()
                self._filled.clear()
                await self._filled.wait()
                continue
            lane = self.outbox.lane()
            if self.outbox.is_backlog(lane):
                wait_s = self._backfill_at_s - self._ctx.clock.monotonic()
                if wait_s > 0:
                    live = self.outbox.live()
                    if live is None:
                        await self._filled_within(wait_s)
                        continue
                    lane = live
            if (block := lane.missing) is None:
                return lane
            await self._load(lane, block)

    async def _filled_within(self, wait_s: float) -> None:
        self._filled.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self._filled.wait()
        except TimeoutError:
            pass

    async def _load(self, lane: Lane, block: Block) -> None:
        items = await self._read_block(self.name, block.first)
        if len(lane) and lane.missing is block:  # It may have been dropped meanwhile.
            if lost := self.outbox.load(lane, block, items):
                self._ctx.count("dropped_damaged", lost)
            self.left(False)

    def _took(self, lane: Lane, last: int, message: Message) -> None:
        size = rows(message)
        if self.outbox.is_backlog(lane):
            now_s = self._ctx.clock.monotonic()
            pace_s = size / self.outbox.options.backfill_rows_per_s
            self._backfill_at_s = max(self._backfill_at_s, now_s - 1.0) + pace_s
        if not self._is_fresh:
            self.outbox.taken(lane, last)
        self._ctx.count("rows_out", size)
        self.is_dropping = self.is_dropping and bool(len(self.outbox))
        self.left(True)

    async def _refused(
        self, lane: Lane, last: int, port: str, message: Message, error: str
    ) -> None:
        """Keep what a sink refuses as dead letters, and write the rest of the message."""
        parts = [(message, error)]
        if not self._is_fresh:
            parts = await sift(self._write_out, message, port, error)
        dead = sum(rows(part) for part, _ in parts)
        for part, reason in parts:
            self._ctx.count("rejected", rows(part))
            self._ctx.say("warning", f"{rows(part)} rows refused: {reason}")
            await self._dead_letter(self.name, last, reason, port, part)
        if not self._is_fresh:
            self.outbox.taken(lane, last)
            self._ctx.count("rows_out", rows(message) - dead)
        self.outbox.take_back(dead, "", dead=True)
        self._tried = None
        self.left(False)

    async def bury_poison(self, reason: str) -> None:
        """A message on which the sink fails again and again must not hold up all others."""
        if self._tried is None or self._is_fresh:
            return
        first, last = self._tried
        self._tried = None
        lane = self.outbox.lane_of(first)
        if lane is None:  # It was dropped meanwhile.
            return
        number, times = self._faults
        times = times + 1 if number == first else 1
        self._faults = first, times
        self._alone = first, last
        if times >= FAULTS_MAX:
            last, port, message = self.outbox.next(lane, alone=True)
            try:
                await self._refused(lane, last, port, message, reason)
            except (Disconnected, ConfigError, TimeoutError) as error:
                self._ctx.say("error", str(error) or "No answer.")
            finally:
                self.outbox.not_taken()

    async def drained(self) -> None:
        """Wait until nothing waits any more."""
        while len(self.outbox):
            await self._idle.wait()
