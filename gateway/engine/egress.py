"""Egress: drives a Sink. What the flow made waits here until the world has taken it.

Every message for a sink has a number that is computed from the input alone, so that after a
restart the replay of the journal makes the same messages with the same numbers, and those the
sink has taken already are passed over. That is why the queue needs no table of its own: its
contents are part of the checkpoint and the rest follows from the journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from gateway.data.batch import Batch
from gateway.engine.backoff import Backoff
from gateway.engine.connections import (
    CONFIG_RETRY_S,
    OPEN_TIMEOUT_S,
    ConnectionDriver,
    close_quietly,
)
from gateway.engine.context import NodeContext
from gateway.engine.graph import rows
from gateway.errors import ConfigError, Disconnected, Rejected
from gateway.flow.node import Message, Sink
from gateway.flow.notation import concat

OUTBOX_ROWS_MAX = 1_000_000
WRITE_ROWS_MAX = 5_000
Waiting = tuple[int, str, Message]
DeadLetter = Callable[[str, str, str, Message], Awaitable[None]]


class Egress:
    """One sink, its queue and the loop that drives it.

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
        self.delivered = 0
        self.offered = 0
        self.queue: deque[Waiting] = deque()
        self.queued_rows = 0
        self.rows_max = rows_max
        self._connection = connection
        self._dead_letter = dead_letter
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._backoff = Backoff(f"{ctx.flow}/{ctx.node_id}")
        self._is_up = False
        self._is_dropping = False

    def offer(self, port: str, message: Message, *, replay: bool = False) -> None:
        """Take a message from the flow; it gets the next number. Never waits."""
        self.offered += 1
        if self.offered <= self.delivered:
            return
        if self.sink.delivery == "fresh" and (replay or not self._is_up):
            self.ctx.count("dropped_stale", rows(message))
            self.delivered = self.offered
            return
        if self.sink.delivery == "latest" and isinstance(message, Batch):
            message = self._with_waiting(port, message)
        self.queue.append((self.offered, port, message))
        self.queued_rows += rows(message)
        self._idle.clear()
        self._shed()
        self._filled.set()

    def _with_waiting(self, port: str, message: Batch) -> Batch:
        """Only the newest row a tag waits for a display."""
        parts = [m for _, p, m in self.queue if p == port and isinstance(m, Batch)]
        self.queue.clear()
        self.queued_rows = 0
        whole = Batch.concat([*parts, message])
        _, last = np.unique(whole.tag[::-1], return_index=True)
        return whole.where(np.sort(len(whole) - 1 - last))

    def _shed(self) -> None:
        while self.queued_rows > self.rows_max and len(self.queue) > 1:
            number, _, message = self.queue.popleft()
            self.queued_rows -= rows(message)
            self.delivered = max(self.delivered, number)
            self.ctx.count("dropped_full", rows(message))
            if not self._is_dropping:
                self._is_dropping = True
                self.ctx.say(
                    "error",
                    f"The outbox is full ({self.rows_max} rows): the oldest rows are dropped. "
                    "Look at why the receiver takes none.",
                )

    async def run(self) -> None:
        """Write until cancelled."""
        told = False
        while True:
            retry_s = 0.0
            state = "disconnected"
            try:
                if self._connection is not None:
                    await self._connection.ready.wait()
                await asyncio.wait_for(self.sink.connect(), OPEN_TIMEOUT_S)
                if told:
                    self.ctx.say("info", f"Writing again; {self.queued_rows} rows wait.")
                    told = False
                await self._write()
            except Disconnected as error:
                reason, retry_s = str(error), error.retry_after_s
            except ConfigError as error:
                reason, retry_s, state = str(error), CONFIG_RETRY_S, "misconfigured"
            except TimeoutError:
                reason = f"No answer within {OPEN_TIMEOUT_S:.0f} s."
            except Exception as error:  # noqa: BLE001 - a fault in a node must not end the loop
                reason = f"The sink failed: {type(error).__name__}: {error}."
                self.ctx.count("faults")
            finally:
                self._is_up = False
                await close_quietly(self.sink.close())
            pause = self._backoff.next_s(retry_s)
            self.ctx.status.state = state
            self.ctx.status.text = f"{reason.rstrip('.')}. Next try in {pause:.0f} s."
            if not told:
                told = True
                self.ctx.say("warning", self.ctx.status.text)
            await asyncio.sleep(pause)

    async def _write(self) -> None:
        self._is_up = True
        self.ctx.status.state, self.ctx.status.text = "running", "Ready."
        while True:
            if not self.queue:
                self._is_dropping = False
                self._idle.set()
                self._filled.clear()
                await self._filled.wait()
            last, port, message = self._next()
            try:
                await self.sink.write(message, port)
            except Rejected as error:
                self.ctx.count("rejected", rows(message))
                self.ctx.say("warning", f"{rows(message)} rows refused: {error}")
                await self._dead_letter(self.ctx.node_id, str(error), port, message)
            except Disconnected:
                if self.sink.delivery == "fresh":
                    self._taken(last, message, "dropped_stale")
                raise
            self._taken(last, message, "rows_out")
            self._backoff.reset()

    def _next(self) -> tuple[int, str, Message]:
        """The oldest messages of one port as one, without taking them off the queue.

        Returns:
            The number of the last of them, the port, and the message.
        """
        last, port, message = self.queue[0]
        if self.sink.delivery == "fresh":
            return last, port, message
        parts: list[Message] = []
        size = 0
        for number, other, part in self.queue:
            fits = other == port and type(part) is type(message)
            if not fits or (parts and size >= WRITE_ROWS_MAX):
                break
            parts.append(part)
            size += rows(part)
            last = number
        whole = concat(parts)
        assert whole is not None
        return last, port, whole

    def _taken(self, last: int, message: Message, counter: str) -> None:
        """Take what was written off the queue; some of it may have been shed meanwhile."""
        while self.queue and self.queue[0][0] <= last:
            _, _, part = self.queue.popleft()
            self.queued_rows -= rows(part)
        self.delivered = max(self.delivered, last)
        self.ctx.count(counter, rows(message))

    async def drained(self) -> None:
        """Wait until nothing waits any more."""
        await self._idle.wait()
