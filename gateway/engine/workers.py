"""Workers: drives a Worker, whose answers re-enter the flow as journalled input."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from gateway.data.tasks import Tasks
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
from gateway.engine.questions import Questions
from gateway.engine.wiring import rows
from gateway.engine.writegate import WriteGate
from gateway.errors import ConfigError, Disconnected, Rejected
from gateway.flow.entries import OutboxOptions
from gateway.flow.node import Message, Outputs
from gateway.flow.worker import Worker

OPTIONS: Final = OutboxOptions(bytes_max=4_000_000)
"""A worker is slow by nature: what it cannot answer in time is dropped, oldest first, counted."""


class WorkerDriver:
    """One worker with a bounded queue of its own.

    One question at a time, in order; or several at once, of which those of one key are in order,
    where the worker says so (`Worker.parallel`). When the queue is full the oldest message is
    dropped and counted, or, with ``when_full: block``, the sources of the flow wait: a slow
    worker holds up neither timers nor what came in before. A question leaves the queue when its
    answer is in the journal, so that a crash costs neither the question nor a second answer.
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
        self._questions = Questions(Outbox(options or OPTIONS))
        self._inbox = inbox
        self._gate = gate
        self._read_block = read_block
        self._connection = connection
        self._backoff = Backoff(f"{ctx.flow}/{ctx.node_id}")
        self._tasks = Tasks(f"{ctx.flow}/{ctx.node_id}")
        self._changed = asyncio.Event()
        """Set when a question came or was done with: look for the next."""
        self._dead_letter = dead_letter
        self._failed: list[tuple[Waiting, Exception]] = []
        """Questions that the worker could not answer now, and why."""
        self._is_told = False
        self._is_full_told = False

    @property
    def outbox(self) -> Outbox:
        """The questions that wait."""
        return self._questions.outbox

    @property
    def queued_rows(self) -> int:
        """Rows that wait for an answer."""
        return self.outbox.rows

    @property
    def holds_up(self) -> bool:
        """True while the sources must wait: the queue is full, and nothing of it may be lost."""
        return self.outbox.is_full

    def offer(self, port: str, message: Message) -> None:
        """Take a message from the flow; never waits."""
        parts: list[Any] = [message]
        if self.worker.each and isinstance(message, tuple):
            parts = [(item,) for item in message]
        for part in parts:
            if shed := self.outbox.add(port, part, 0.0):
                self.ctx.count("dropped_full", shed)
        if self.holds_up and not self._is_full_told:
            self._is_full_told = True
            text = f"{self.queued_rows} rows wait, no more may: the sources of the flow wait too."
            self.ctx.say("warning", text)
        self._changed.set()

    def journalled(self, number: int) -> None:
        """The answer to this question is on the disk."""
        self._questions.journalled(number)
        if self._is_full_told and not self.outbox.rows:
            self._is_full_told = False
            self.ctx.say("info", "All that waited is answered.")

    def take_over(self, before: WorkerDriver) -> None:
        """Go on with the questions of another, whose loop ends before this one's begins."""
        self._questions.take_over(before._questions)

    def set_options(self, options: OutboxOptions | None) -> None:
        """Other limits from here on."""
        self.outbox.options = options or OPTIONS

    async def run(self) -> None:
        """Answer until cancelled."""
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
                reason = self._fault(error)
            finally:
                await self._tasks.stop()
                await close_quietly(self.worker.close())
            pause = self._backoff.next_s(retry_s)
            text = with_next_try(reason, pause)
            self.ctx.status.state, self.ctx.status.text = state, text
            if not self._is_told:
                self._is_told = True
                self.ctx.say("warning", text)
            await asyncio.sleep(pause)

    def _fault(self, error: Exception) -> str:
        reason = f"The worker failed: {type(error).__name__}: {error}."
        self.ctx.count("faults")
        self.ctx.say("error", reason)
        return reason

    async def _work(self) -> None:
        """Ask as many as may be asked; after a failure wait for those that are under way."""
        self.ctx.status.state, self.ctx.status.text = "running", "Ready."
        self._failed.clear()
        while True:
            self._changed.clear()
            while not self._failed and len(self._tasks) < max(self.worker.parallel(), 1):
                question = await self._question()
                if question is None:
                    break
                self._questions.ask(question)
                self._tasks.start(f"question {question.number}", self._attend(question))
            if self._failed and not len(self._tasks):
                raise self._failed[0][1]
            await self._changed.wait()

    async def _question(self) -> Waiting | None:
        """The oldest message that may be asked now."""
        while True:
            found = self._questions.next(self._key_of)
            if not isinstance(found, Block):
                return found
            lane = self.outbox.lane()
            items = await self._read_block(self.ctx.node_id, found.first)
            is_missing = found.items is None and any(part is found for part in lane.ahead())
            if is_missing and (lost := self.outbox.load(lane, found, items)):
                self.ctx.count("dropped_damaged", lost)

    def _key_of(self, question: Waiting) -> str:
        if self.worker.parallel() <= 1:
            return ""
        try:
            return self.worker.key(question.message)
        except Exception:  # noqa: BLE001 - a fault in a node must not end the loop
            self.ctx.count("faults")
            return ""

    async def _attend(self, question: Waiting) -> None:
        """See to one question to its end."""
        try:
            await self._answer(question)
        except (Disconnected, ConfigError, TimeoutError) as error:
            self._failed.append((question, error))
        except Exception as error:  # noqa: BLE001 - a fault in a node must not end the loop
            await self._bury(question, self._fault(error))  # Another try would be no better.
            self._failed.append((question, Disconnected(f"It failed: {error!r}.")))
        else:
            self._backoff.reset()
            if self._is_told:
                self._is_told = False
                self.ctx.say("info", f"Answering again; {self.queued_rows} rows wait.")
        finally:
            self._questions.drop(question)
            asyncio.get_running_loop().call_soon(self._changed.set)  # Once the task has ended.

    async def _answer(self, question: Waiting) -> None:
        async def give(outputs: Outputs) -> None:
            listed = [(name, part) for name, part in outputs.items() if len(part)]
            size = sum(rows(part) for _, part in listed)
            if size:
                await self._inbox.put(Arrived(self.ctx.node_id, listed), size)

        outputs: Outputs = {}
        try:
            await self._gate.command(question.message)
            outputs = await self.worker.answer(question.message, question.port, give)
        except Rejected as error:
            self.ctx.count("rejected", rows(question.message))
            self.ctx.say("warning", str(error))
            await self._refuse(question, str(error))
            return
        self.ctx.count("answered")
        await self._done(question, outputs)

    async def _refuse(self, question: Waiting, error: str) -> None:
        """Keep a question that is refused for good, and go on with the next."""
        await self._dead_letter(
            self.ctx.node_id, question.number, error, question.port, question.message
        )
        self._questions.refuse(question)
        await self._done(question, {})

    async def _bury(self, question: Waiting, error: str) -> None:
        try:
            await self._refuse(question, error)
        except Disconnected as trouble:  # It is asked again.
            self.ctx.say("error", str(trouble))

    async def _done(self, question: Waiting, outputs: Outputs) -> None:
        """Hand the answer to the flow; an empty one too, so that it is not asked again."""
        listed = [(name, part) for name, part in outputs.items() if len(part)]
        size = max(sum(rows(part) for _, part in listed), 1)
        answer = Arrived(self.ctx.node_id, listed, answers=question.number, outbox=self.outbox)
        await self._inbox.put(answer, size)
        self._questions.answer(question)  # Not before: cancelled meanwhile it is asked again.
