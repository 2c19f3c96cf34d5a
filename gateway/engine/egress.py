"""Egress: drives a Sink. What the flow made waits here until the world has taken it.

Every message for a sink has a number that is computed from the input alone, so that after a
restart the replay of the journal makes the same messages with the same numbers, and those the
sink has taken already are passed over. That is why the queue needs no table of its own: its
contents are part of the checkpoint and the rest follows from the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from gateway.engine.backoff import Backoff, with_next_try
from gateway.engine.connections import (
    CONFIG_RETRY_S,
    OPEN_TIMEOUT_S,
    ConnectionDriver,
    close_quietly,
)
from gateway.engine.context import NodeContext
from gateway.engine.outbox import OUTBOX_ROWS_MAX, Outbox
from gateway.engine.wiring import rows
from gateway.errors import ConfigError, Disconnected, Rejected
from gateway.flow.node import Message, Sink

FRESH_S: Final = 5.0  # A setpoint that waited longer is dropped: one that comes late does harm.
FAULTS_MAX: Final = 3  # A message that made the sink fail this often is a dead letter.
DeadLetter = Callable[[str, str, str, Message], Awaitable[None]]


class Egress:
    """One sink, its outbox and the loop that drives it.

    Args:
        sink: The node.
        ctx: Its context.
        connection: The connection it shares, if any.
        dead_letter: Keeps what the sink refused: (node, error, port, message).
        rows_max: How many rows may wait; the oldest go first, counted and said.
    """

    def __init__(
        self,
        sink: Sink[Any],
        ctx: NodeContext,
        connection: ConnectionDriver | None,
        dead_letter: DeadLetter,
        rows_max: int = OUTBOX_ROWS_MAX,
    ) -> None:
        self.sink = sink
        self.ctx = ctx
        self.outbox = Outbox(rows_max)
        self._connection = connection
        self._dead_letter = dead_letter
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._backoff = Backoff(f"{ctx.flow}/{ctx.node_id}")
        self._is_up = False
        self._is_dropping = False
        self._is_told = False
        self._faults = (0, 0)
        """Number of the message the sink failed on last, and how often in a row."""
        self._tried = 0
        """Number of the last message in the write that was begun last."""
        self._alone_until = 0
        """Messages up to this number are written one by one, to find the one that is refused."""

    @property
    def delivered(self) -> int:
        """Number of the last message that the sink has taken."""
        return self.outbox.delivered

    @property
    def queued_rows(self) -> int:
        """Rows that wait."""
        return self.outbox.rows

    def offer(self, port: str, message: Message, *, replay: bool = False) -> None:
        """Take a message from the flow; it gets the next number. Never waits.

        Args:
            port: The sink's input.
            message: What to write.
            replay: True when it was made before a restart, and is made again.
        """
        delivery = self.sink.delivery
        if delivery == "fresh" and (replay or not self._is_up):
            if self.outbox.skip():
                self._stale(rows(message))
            return
        at_s = self.ctx.clock.monotonic() if delivery == "fresh" else 0.0
        shed = self.outbox.add(port, message, at_s, newest_only=delivery == "latest")
        if shed:
            self.ctx.count("dropped_full", shed)
            if not self._is_dropping:
                self._is_dropping = True
                self.ctx.say(
                    "error",
                    f"The outbox is full ({self.outbox.rows_max} rows): the oldest rows are "
                    "dropped. Look at why the receiver takes none.",
                )
        if len(self.outbox):
            self._idle.clear()
            self._filled.set()

    def _stale(self, dropped: int) -> None:
        self.ctx.count("dropped_stale", dropped)
        if not self._is_dropping:
            self._is_dropping = True
            text = "Rows that cannot be written at once are dropped and counted (dropped_stale)."
            self.ctx.say("warning", text)

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
        if self.sink.delivery == "fresh" and (dropped := self.outbox.clear()):
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
            if not len(self.outbox):
                self._idle.set()
                self._filled.clear()
                await self._filled.wait()
                continue
            is_fresh = self.sink.delivery == "fresh"
            if is_fresh and self.ctx.clock.monotonic() - self.outbox.oldest_s > FRESH_S:
                self._stale(self.outbox.take_first())
                continue
            alone = is_fresh or self.outbox.first <= self._alone_until
            last, port, message = self.outbox.next(alone=alone)
            self._tried = last
            if is_fresh:  # At most once: whatever becomes of this write, it is not repeated.
                self.outbox.taken(last)
            try:
                await self.sink.write(message, port)
            except Rejected as error:
                if not alone and self.outbox.first < last:
                    self._alone_until = last
                    continue
                await self._refused(last, port, message, str(error))
                continue
            except Disconnected:
                if is_fresh:
                    self.ctx.count("dropped_stale", rows(message))
                raise
            self.outbox.taken(last)
            self.ctx.count("rows_out", rows(message))
            self._backoff.reset()
            self._is_dropping = self._is_dropping and bool(len(self.outbox))

    async def _refused(self, last: int, port: str, message: Message, error: str) -> None:
        self.ctx.count("rejected", rows(message))
        self.ctx.say("warning", f"{rows(message)} rows refused: {error}")
        await self._dead_letter(self.ctx.node_id, error, port, message)
        self.outbox.taken(last)

    async def _bury_poison(self, reason: str) -> None:
        """A message on which the sink fails again and again must not hold up all others."""
        if not self._is_up or not len(self.outbox) or self.sink.delivery == "fresh":
            return
        first = self.outbox.first
        number, times = self._faults
        times = times + 1 if number == first else 1
        self._faults = first, times
        self._alone_until = max(self._alone_until, self._tried)
        if times >= FAULTS_MAX:
            last, port, message = self.outbox.next(alone=True)
            try:
                await self._refused(last, port, message, reason)
            except Disconnected as error:
                self.ctx.say("error", str(error))

    async def drained(self) -> None:
        """Wait until nothing waits any more."""
        while len(self.outbox):
            await self._idle.wait()
