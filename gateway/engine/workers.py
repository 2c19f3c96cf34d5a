"""Workers: drives a Worker, whose answers re-enter the flow as journalled input."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from gateway.engine.arrived import Arrived
from gateway.engine.backoff import Backoff, with_next_try
from gateway.engine.connections import (
    CONFIG_RETRY_S,
    OPEN_TIMEOUT_S,
    ConnectionDriver,
    close_quietly,
)
from gateway.engine.context import NodeContext
from gateway.engine.feeder import DeadLetter, ReadBlock
from gateway.engine.inbox import Inbox
from gateway.engine.lane import Block, Waiting
from gateway.engine.outbox import Outbox
from gateway.engine.wiring import rows
from gateway.engine.writegate import WriteGate
from gateway.errors import ConfigError, Disconnected, Rejected
from gateway.flow.entries import OutboxOptions
from gateway.flow.node import Message, Outputs, Worker

OPTIONS: Final = OutboxOptions(bytes_max=4_000_000)
"""A worker is slow by nature: what it cannot answer in time is dropped, oldest first, counted."""


class WorkerDriver:
    """One worker with a bounded queue of its own; one message at a time, in order.

    When the queue is full the oldest message is dropped and counted: a slow worker must never
    hold up an alarm. A question leaves the queue when its answer is in the journal, so that a
    crash costs neither the question nor a second answer.
    """

    def __init__(
        self,
        worker: Worker[Any, Any],
        ctx: NodeContext,
        inbox: Inbox[Arrived],
        connection: ConnectionDriver | None,
        dead_letter: DeadLetter,
        read_block: ReadBlock,
        gate: WriteGate,
        options: OutboxOptions | None = None,
    ) -> None:
        self.worker = worker
        self.ctx = ctx
        self.outbox = Outbox(options or OPTIONS)
        self._inbox = inbox
        self._gate = gate
        self._read_block = read_block
        self._connection = connection
        self._backoff = Backoff(f"{ctx.flow}/{ctx.node_id}")
        self._filled = asyncio.Event()
        self._dead_letter = dead_letter
        self._refused: set[int] = set()
        """Numbers of questions that are dead letters; they are not yet done with."""
        self._asked = 0
        """Number of the newest question whose answer is on its way to the journal."""
        self._handled: Waiting | None = None
        """The question that the worker has now."""
        self._before: WorkerDriver | None = None
        self._is_told = False

    @property
    def queued_rows(self) -> int:
        """Rows that wait for an answer."""
        return self.outbox.rows

    def offer(self, port: str, message: Message) -> None:
        """Take a message from the flow; never waits."""
        shed = self.outbox.add(port, message, 0.0)
        if shed:
            self.ctx.count("dropped_full", shed)
        self._filled.set()

    def journalled(self, number: int) -> None:
        """The answer to this question is on the disk."""
        count = self.outbox.taken(self.outbox.lane(), number)
        if number in self._refused:
            self.outbox.take_back(count, "", dead=True)
        self._refused.discard(number)

    def take_over(self, before: WorkerDriver) -> None:
        """Go on with the questions of another, whose loop ends before this one's begins."""
        options, self.outbox = self.outbox.options, before.outbox
        self.outbox.options = options
        self._before = before

    def set_options(self, options: OutboxOptions | None) -> None:
        """Other limits from here on."""
        self.outbox.options = options or OPTIONS

    async def run(self) -> None:
        """Answer until cancelled."""
        if self._before is not None:  # What it has answered is not asked again.
            self._asked, self._before = self._before._asked, None
        while True:
            retry_s = 0.0
            state = "disconnected"
            try:
                if self._connection is not None:
                    await self._connection.opened(self.ctx)
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
                self.ctx.count("faults")
                self.ctx.say("error", reason)
                if self._handled is not None:  # Another try would be no better.
                    await self._bury(self._handled, reason)
                    self._handled = None
            finally:
                await close_quietly(self.worker.close())
            pause = self._backoff.next_s(retry_s)
            text = with_next_try(reason, pause)
            self.ctx.status.state, self.ctx.status.text = state, text
            if not self._is_told:
                self._is_told = True
                self.ctx.say("warning", text)
            await asyncio.sleep(pause)

    async def _question(self) -> Waiting:
        """Wait for the oldest message that was not yet answered."""
        while True:
            lane = self.outbox.lane()
            found = lane.after(self._asked)
            if found is None:
                self._filled.clear()
                await self._filled.wait()
            elif isinstance(found, Block):
                items = await self._read_block(self.ctx.node_id, found.first)
                is_missing = found.items is None and lane.after(self._asked) is found
                if is_missing and (lost := self.outbox.load(lane, found, items)):
                    self.ctx.count("dropped_damaged", lost)
            else:
                return found

    async def _work(self) -> None:
        self.ctx.status.state, self.ctx.status.text = "running", "Ready."
        while True:
            self._handled = None
            self._handled = question = await self._question()
            await self._answer(question)
            self._backoff.reset()
            if self._is_told:
                self._is_told = False
                self.ctx.say("info", f"Answering again; {self.queued_rows} rows wait.")

    async def _answer(self, question: Waiting) -> None:
        outputs: Outputs = {}
        try:
            await self._gate.command(question.message)
            outputs = await self.worker.handle(question.message, question.port)
        except Rejected as error:
            self.ctx.count("rejected", rows(question.message))
            self.ctx.say("warning", str(error))
            await self._refuse(question, str(error))
            return
        self.ctx.count("answered")
        await self._done(question.number, outputs)

    async def _refuse(self, question: Waiting, error: str) -> None:
        """Keep a question that is refused for good, and go on with the next."""
        await self._dead_letter(
            self.ctx.node_id, question.number, error, question.port, question.message
        )
        self._refused.add(question.number)
        await self._done(question.number, {})

    async def _bury(self, question: Waiting, error: str) -> None:
        try:
            await self._refuse(question, error)
        except Disconnected as trouble:  # It is asked again.
            self.ctx.say("error", str(trouble))

    async def _done(self, number: int, outputs: Outputs) -> None:
        """Hand the answer to the flow; an empty one too, so that it is not asked again."""
        listed = [(name, part) for name, part in outputs.items() if len(part)]
        size = max(sum(rows(part) for _, part in listed), 1)
        answer = Arrived(self.ctx.node_id, listed, answers=number, outbox=self.outbox)
        await self._inbox.put(answer, size)
        self._asked = number  # Not before: one that is cancelled meanwhile is asked again.
