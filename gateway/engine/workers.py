"""Workers: drives a Worker, whose answers re-enter the flow as journalled input."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.engine.backoff import Backoff, with_next_try
from gateway.engine.connections import (
    CONFIG_RETRY_S,
    OPEN_TIMEOUT_S,
    ConnectionDriver,
    close_quietly,
)
from gateway.engine.context import NodeContext
from gateway.engine.inbox import Inbox
from gateway.engine.ingress import Arrived
from gateway.engine.wiring import rows
from gateway.errors import ConfigError, Disconnected, Rejected
from gateway.flow.node import Message, Worker

WORKER_MESSAGES_MAX = 256


class WorkerDriver:
    """One worker with a bounded queue of its own; one message at a time.

    When the queue is full the oldest message is dropped and counted: a slow worker must
    never hold up an alarm.
    """

    def __init__(
        self,
        worker: Worker[Any, Any],
        ctx: NodeContext,
        inbox: Inbox[Arrived],
        connection: ConnectionDriver | None,
    ) -> None:
        self.worker = worker
        self.ctx = ctx
        self._inbox = inbox
        self._connection = connection
        self._queue: asyncio.Queue[tuple[str, Message]] = asyncio.Queue(WORKER_MESSAGES_MAX)
        self._backoff = Backoff(f"{ctx.flow}/{ctx.node_id}")
        self._held: tuple[str, Message] | None = None
        """The message that is being answered; it is tried again after a loss."""
        self._is_told = False

    @property
    def queued(self) -> int:
        """Messages that wait."""
        return self._queue.qsize()

    def offer(self, port: str, message: Message) -> None:
        """Take a message from the flow; never waits."""
        if self._queue.full():
            _, old = self._queue.get_nowait()
            self.ctx.count("dropped_full", rows(old))
        self._queue.put_nowait((port, message))

    async def run(self) -> None:
        """Answer until cancelled."""
        while True:
            retry_s = 0.0
            state = "disconnected"
            try:
                if self._connection is not None:
                    await self._connection.ready.wait()
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    await self.worker.connect()
                await self._work()
            except Disconnected as error:
                reason, retry_s = str(error), error.retry_after_s
            except ConfigError as error:
                reason, retry_s, state = str(error), CONFIG_RETRY_S, "misconfigured"
            except TimeoutError as error:
                reason = str(error) or f"No answer within {OPEN_TIMEOUT_S:.0f} s."
            except Exception as error:  # noqa: BLE001 - a fault in a node must not end the loop
                reason = f"The worker failed: {type(error).__name__}: {error}."
                self._held = None
                self.ctx.count("faults")
                self.ctx.say("error", reason)
            finally:
                await close_quietly(self.worker.close())
            pause = self._backoff.next_s(retry_s)
            text = with_next_try(reason, pause)
            self.ctx.status.state, self.ctx.status.text = state, text
            if not self._is_told:
                self._is_told = True
                self.ctx.say("warning", text)
            await asyncio.sleep(pause)

    async def _work(self) -> None:
        self.ctx.status.state, self.ctx.status.text = "running", "Ready."
        while True:
            if self._held is None:
                self._held = await self._queue.get()
            await self._answer(*self._held)
            self._held = None
            self._backoff.reset()
            if self._is_told:
                self._is_told = False
                self.ctx.say("info", f"Answering again; {self.queued} messages wait.")

    async def _answer(self, port: str, message: Message) -> None:
        try:
            outputs = await self.worker.handle(message, port)
        except Rejected as error:
            self.ctx.count("rejected", rows(message))
            self.ctx.say("warning", str(error))
            return
        self.ctx.count("answered")
        listed = [(name, part) for name, part in outputs.items() if len(part)]
        if listed:
            size = sum(rows(part) for _, part in listed)
            await self._inbox.put(Arrived(self.ctx.node_id, listed), size)
