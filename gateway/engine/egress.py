"""Egress: drives a Sink. What the flow made waits here until the world has taken it.

Every message for a sink has a number that is computed from the input alone, so that after a
restart the replay of the journal makes the same messages with the same numbers, and those the
sink has taken already are passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from gateway.engine.backoff import Backoff, with_next_try
from gateway.engine.connections import (
    CONFIG_RETRY_S,
    OPEN_TIMEOUT_S,
    ConnectionDriver,
    close_quietly,
)
from gateway.engine.context import NodeContext
from gateway.engine.lane import Block, Lane, Waiting
from gateway.engine.outbox import Outbox
from gateway.engine.wiring import rows
from gateway.errors import ConfigError, Disconnected, Rejected
from gateway.flow.entries import OutboxOptions
from gateway.flow.node import Message, Sink

FRESH_S: Final = 5.0  # A setpoint that waited longer is dropped: one that comes late does harm.
FAULTS_MAX: Final = 3  # A message that made the sink fail this often is a dead letter.
DeadLetter = Callable[[str, int, str, str, Message], Awaitable[None]]
"""Keeps what a sink refused: (node, number, error, port, message)."""
ReadBlock = Callable[[str, int], Awaitable[Sequence[Waiting]]]
"""The messages of a stored block: (node, number of the first)."""


class Egress:
    """One sink, its outbox and the loop that drives it.

    Args:
        sink: The node.
        ctx: Its context.
        connection: The connection it shares, if any.
        dead_letter: Keeps what the sink refused.
        read_block: Reads what waits on the disk.
        options: How much may wait, and what happens beyond.
    """

    def __init__(
        self,
        sink: Sink[Any],
        ctx: NodeContext,
        connection: ConnectionDriver | None,
        dead_letter: DeadLetter,
        read_block: ReadBlock,
        options: OutboxOptions | None = None,
    ) -> None:
        self.sink = sink
        self.ctx = ctx
        self.outbox = Outbox(options)
        self.room = asyncio.Event()
        """Set while the flow may go on: a full outbox that loses nothing holds it up."""
        self.room.set()
        self._connection = connection
        self._dead_letter = dead_letter
        self._read_block = read_block
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._backoff = Backoff(f"{ctx.flow}/{ctx.node_id}")
        self._is_up = False
        self._is_told = False
        self._is_dropping = False
        self._faults = (0, 0)
        """Number of the message on which the sink failed last, and how often."""
        self._tried = 0
        """Last number of the write that was begun last."""
        self._alone_until = 0
        """Messages up to this number are written one by one, to find the one that is refused."""
        self._backfill_at_s = 0.0
        """When the next write of a backlog may be done, by the monotonic clock [s]."""

    @property
    def queued_rows(self) -> int:
        """Rows that wait."""
        return self.outbox.rows

    @property
    def is_full(self) -> bool:
        """True while the outbox is past its limit, whatever its policy does about it."""
        return self._is_dropping or self.outbox.is_full

    def offer(self, port: str, message: Message, *, replay: bool = False) -> None:
        """Take a message from the flow; it gets the next number. Never waits.

        Args:
            port: The sink's input.
            message: What to write.
            replay: True when it was made before a restart, and is made again.
        """
        delivery = self.sink.delivery
        if delivery == "fresh" and (replay or not self._is_up):
            if self.outbox.skip(message, "stale"):
                self._stale(rows(message))
            return
        at_s = self.ctx.clock.monotonic() if delivery == "fresh" else 0.0
        shed = self.outbox.add(port, message, at_s, newest_only=delivery == "latest")
        if shed:
            self.ctx.count("dropped_full", shed)
            if not self._is_dropping:
                self._is_dropping = True
                which = "newest" if self.outbox.options.when_full == "drop_newest" else "oldest"
                self.ctx.say(
                    "error",
                    f"The outbox is full ({self.outbox.options.bytes_max:,} bytes): the {which} "
                    "rows are dropped. Look at why the receiver takes none.",
                )
        if self.outbox.is_full and self.room.is_set():
            self.room.clear()
            self.ctx.say("error", "The outbox is full: the flow waits until the receiver takes it.")
        if len(self.outbox):
            self._idle.clear()
            self._filled.set()

    def _stale(self, dropped: int) -> None:
        self.ctx.count("dropped_stale", dropped)
        if not self._is_dropping:
            self._is_dropping = True
            text = "Rows that cannot be written at once are dropped and counted (dropped_stale)."
            self.ctx.say("warning", text)

    def take_over(self, before: Egress) -> None:
        """Go on with what waits for another, whose loop ends before this one's begins."""
        options, self.outbox = self.outbox.options, before.outbox
        self.set_options(options)
        self._filled.set()

    def set_options(self, options: OutboxOptions | None) -> None:
        """Other limits from here on; what they let go waits no longer."""
        self.outbox.options = options or OutboxOptions()
        if self.outbox.is_full:
            self.room.clear()
        else:
            self.room.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            retry_s = 0.0
            state = "disconnected"
            try:
                if self._connection is not None:
                    await self._connection.ready.wait()
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    await self.sink.connect()
                if self._is_told:
                    self._is_told = False
                    self.ctx.say("info", f"Writing again; {self.outbox.rows} rows wait.")
                    if (self.outbox.options.backfill or self.sink.backfill) == "live_first":
                        self.outbox.set_apart()
                await self._write()
            except Disconnected as error:
                reason, retry_s = str(error), error.retry_after_s
            except ConfigError as error:
                reason, retry_s, state = str(error), CONFIG_RETRY_S, "misconfigured"
            except TimeoutError as error:
                reason = str(error) or f"No answer within {OPEN_TIMEOUT_S:.0f} s."
            except Exception as error:  # noqa: BLE001 - a fault in a node must not end the loop
                reason = f"The sink failed: {type(error).__name__}: {error}."
                self.ctx.count("faults")
                await self._bury_poison(reason)
            finally:
                self._is_up = False
                await close_quietly(self.sink.close())
            await self._pause(reason, retry_s, state)

    async def _pause(self, reason: str, retry_s: float, state: str) -> None:
        if self.sink.delivery == "fresh" and (dropped := self.outbox.clear("stale")):
            self._stale(dropped)
        pause = self._backoff.next_s(retry_s)
        text = with_next_try(reason, pause)
        self.ctx.status.state, self.ctx.status.text = state, text
        if not self._is_told:
            self._is_told = True
            self.ctx.say("warning", text)
        await asyncio.sleep(pause)

    async def _write(self) -> None:
        self._is_up = True
        self.ctx.status.state, self.ctx.status.text = "running", "Ready."
        while True:
            lane = await self._next_lane()
            is_fresh = self.sink.delivery == "fresh"
            if is_fresh and self.ctx.clock.monotonic() - lane.head.at_s > FRESH_S:
                self._stale(self.outbox.drop_first("stale"))
                continue
            alone = is_fresh or lane.head.number <= self._alone_until
            first = lane.head.number
            last, port, message = lane.next(alone=alone)
            self._tried = last
            if is_fresh:  # At most once: whatever becomes of this write, it is not repeated.
                self.outbox.taken(lane, last)
            try:
                await self.sink.write(message, port)
            except Rejected as error:
                if not alone and first < last:
                    self._alone_until = last
                    continue
                await self._refused(lane, last, port, message, str(error))
                continue
            except BaseException as error:
                if is_fresh:
                    self.outbox.books.cut_off(rows(message))
                if is_fresh and isinstance(error, Disconnected):
                    self.ctx.count("dropped_stale", rows(message))
                raise
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
                wait_s = self._backfill_at_s - self.ctx.clock.monotonic()
                if wait_s > 0:
                    self._filled.clear()
                    try:
                        async with asyncio.timeout(wait_s):
                            await self._filled.wait()
                    except TimeoutError:
                        pass
                    else:
                        continue
            if (block := lane.missing) is None:
                return lane
            await self._load(lane, block)

    async def _load(self, lane: Lane, block: Block) -> None:
        items = await self._read_block(self.ctx.node_id, block.first)
        if len(lane) and lane.missing is block:  # It may have been dropped meanwhile.
            self.outbox.load(lane, items)

    def _took(self, lane: Lane, last: int, message: Message) -> None:
        size = rows(message)
        if self.outbox.is_backlog(lane):
            now_s = self.ctx.clock.monotonic()
            pace_s = size / self.outbox.options.backfill_rows_per_s
            self._backfill_at_s = max(self._backfill_at_s, now_s - 1.0) + pace_s
        if self.sink.delivery != "fresh":
            self.outbox.taken(lane, last)
        self.ctx.count("rows_out", size)
        self._backoff.reset()
        self._is_dropping = self._is_dropping and bool(len(self.outbox))
        if not self.room.is_set() and not self.outbox.is_full:
            self.room.set()

    async def _refused(
        self, lane: Lane, last: int, port: str, message: Message, error: str
    ) -> None:
        self.ctx.count("rejected", rows(message))
        self.ctx.say("warning", f"{rows(message)} rows refused: {error}")
        await self._dead_letter(self.ctx.node_id, last, error, port, message)
        if self.sink.delivery == "fresh":
            self.outbox.books.refused(rows(message))
        else:
            self.outbox.taken(lane, last, dead=True)

    async def _bury_poison(self, reason: str) -> None:
        """A message on which the sink fails again and again must not hold up all others."""
        if not self._is_up or not len(self.outbox) or self.sink.delivery == "fresh":
            return
        lane = self.outbox.lane()
        if lane.missing is not None:
            return
        first = lane.head.number
        number, times = self._faults
        times = times + 1 if number == first else 1
        self._faults = first, times
        self._alone_until = max(self._alone_until, self._tried)
        if times >= FAULTS_MAX:
            last, port, message = lane.next(alone=True)
            try:
                await self._refused(lane, last, port, message, reason)
            except Disconnected as error:
                self.ctx.say("error", str(error))

    async def drained(self) -> None:
        """Wait until nothing waits any more."""
        while len(self.outbox):
            await self._idle.wait()
