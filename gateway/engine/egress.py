"""Egress: drives a Sink. What the flow made waits here until the world has taken it.

Every message for a sink has a number that is computed from the input alone, so that after a
restart the replay of the journal makes the same messages with the same numbers, and those the
sink has taken already are passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from gateway.data.tasks import Tasks
from gateway.engine.backoff import Backoff, with_next_try
from gateway.engine.connections import (
    CONFIG_RETRY_S,
    OPEN_TIMEOUT_S,
    ConnectionDriver,
    close_quietly,
)
from gateway.engine.context import NodeContext
from gateway.engine.feeder import DeadLetter, Feeder, ReadBlock
from gateway.engine.outbox import LANE, Outbox
from gateway.engine.split import split
from gateway.engine.writegate import WriteGate
from gateway.errors import ConfigError, Disconnected
from gateway.flow.entries import OutboxOptions
from gateway.flow.node import Message, Sink

ROOM_S: Final = 1.0  # After so long the flow looks again whether it still has to wait.


class _FaultError(Exception):
    """The node failed: a sentence for people."""


class Egress:
    """One sink, what waits for it and the loop that drives it.

    Args:
        sink: The node.
        ctx: Its context.
        connection: The connection it shares, if any.
        dead_letter: Keeps what the sink refused.
        read_block: Reads what waits on the disk.
        gate: Judges every write to the world.
        options: How much may wait, and what happens beyond.
    """

    def __init__(
        self,
        sink: Sink[Any],
        ctx: NodeContext,
        connection: ConnectionDriver | None,
        dead_letter: DeadLetter,
        read_block: ReadBlock,
        gate: WriteGate,
        options: OutboxOptions | None = None,
    ) -> None:
        self.sink = sink
        self.ctx = ctx
        self.room = asyncio.Event()
        """Set while the flow may go on: a full outbox that loses nothing holds it up."""
        self.room.set()
        self._connection = connection
        self._tasks = Tasks(f"{ctx.flow}/{ctx.node_id}")
        self._backoff = Backoff(f"{ctx.flow}/{ctx.node_id}")
        self._is_up = False
        self._is_told = False
        self._share = self._share_of(options)
        self._feeder = partial(Feeder, sink, gate.around(sink), ctx, dead_letter, read_block)
        self._feeders: list[Feeder] = []
        self._add(ctx.node_id, *(f"{ctx.node_id}{LANE}{i}" for i in range(1, sink.lanes)))

    def _share_of(self, options: OutboxOptions | None) -> OutboxOptions:
        """What of the limits is for one lane."""
        options = options or OutboxOptions()
        return options.model_copy(update={"bytes_max": options.bytes_max // self.sink.lanes})

    def _add(self, *names: str) -> None:
        for name in names:
            feeder = self._feeder(self._share, name)
            feeder.outbox.ways = self.sink.lanes
            feeder.left = self._left
            self._feeders.append(feeder)

    # ------------------------------------------------------------------ how it is

    @property
    def outbox(self) -> Outbox:
        """What waits; of a sink with lanes, the first."""
        return self._feeders[0].outbox

    def outboxes(self) -> dict[str, Outbox]:
        """What waits, by the names under which it is stored; one for each lane."""
        return {feeder.name: feeder.outbox for feeder in self._feeders}

    @property
    def queued_rows(self) -> int:
        """Rows that wait."""
        return sum(feeder.outbox.rows for feeder in self._feeders)

    @property
    def dropped_rows(self) -> int:
        """Rows that were given up since the state began."""
        return sum(feeder.outbox.books.dropped.total() for feeder in self._feeders)

    @property
    def is_up(self) -> bool:
        """True while the sink can write: it and the connection it shares."""
        return self._is_up and (self._connection is None or self._connection.ready.is_set())

    @property
    def trouble(self) -> str:
        """Why it cannot write now, in words; empty while it can."""
        if self.is_up:
            return ""
        is_open = self._connection is None or self._connection.ready.is_set()
        status = self.ctx.status if is_open else self._connection.ctx.status  # type: ignore[union-attr]  # it is not open
        return status.text or "It starts."

    @property
    def holds_up(self) -> bool:
        """True while the flow must wait, because an outbox that loses nothing is full."""
        return any(feeder.outbox.is_full for feeder in self._feeders)

    @property
    def is_tight(self) -> bool:
        """True while more is to come in small parts only; see `Outbox`."""
        return any(feeder.outbox.is_tight for feeder in self._feeders)

    @property
    def is_full(self) -> bool:
        """True while an outbox is past its limit, whatever its policy does about it."""
        return any(f.is_dropping or f.outbox.is_full for f in self._feeders)

    def take_over(self, before: Egress) -> None:
        """Go on with what waits for another, whose loop ends before this one's begins."""
        self.empty_also(before.outboxes())
        boxes = before.outboxes()
        for feeder in self._feeders:
            if (box := boxes.get(feeder.name)) is not None:
                box.ways, feeder.outbox = feeder.outbox.ways, box
            feeder.outbox.options = self._share
            feeder.wake()
        self._look_for_room()

    def set_options(self, options: OutboxOptions | None) -> None:
        """Other limits from here on; what they let go waits no longer."""
        self._share = self._share_of(options)
        for feeder in self._feeders:
            feeder.outbox.options = self._share
        self._look_for_room()

    def _look_for_room(self) -> None:
        if self.holds_up:
            self.room.clear()
        else:
            self.room.set()

    def empty_also(self, names: Iterable[str]) -> None:
        """Write what waits in lanes that the sink had once; nothing more comes into them."""
        known = self.outboxes()
        prefix = f"{self.ctx.node_id}{LANE}"
        self._add(*(n for n in names if n.startswith(prefix) and n not in known))

    # ------------------------------------------------------------------ what comes in

    def offer(self, port: str, message: Message, *, replay: bool = False) -> None:
        """Take a message from the flow; it gets the next number. Never waits.

        Args:
            port: The sink's input.
            message: What to write.
            replay: True when it was made before a restart, and is made again.
        """
        is_late = self.sink.delivery == "fresh" and (replay or not self.is_up)
        for feeder, part in zip(self._feeders, split(message, self.sink.lanes), strict=False):
            if part is None:
                continue
            if is_late:
                feeder.skip(part)
            else:
                feeder.add(port, part)
        if self.room.is_set() and self.holds_up:
            self.room.clear()
            self.ctx.say("error", "The outbox is full: the flow waits until the receiver takes it.")

    def _left(self, is_taken: bool) -> None:
        if is_taken:
            self._backoff.reset()
        if not self.room.is_set() and not self.holds_up:
            self.room.set()

    async def wait_for_room(self) -> None:
        """Wait until the flow may go on, a moment at most: the sink may be gone after that."""
        self.room.clear()
        try:
            async with asyncio.timeout(ROOM_S):
                await self.room.wait()
        except TimeoutError:
            pass

    # ------------------------------------------------------------------ what goes out

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            retry_s = 0.0
            state = "disconnected"
            try:
                if self._connection is not None:
                    await self._connection.opened(self.ctx)
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    await self.sink.connect()
                for feeder in self._feeders:
                    if known := self.sink.received(feeder.outbox.offered):
                        feeder.receiver_has(known)
                self._opened()
                await self._write()
            except Disconnected as error:
                reason, retry_s = str(error), error.retry_after_s
            except ConfigError as error:
                reason, retry_s, state = str(error), CONFIG_RETRY_S, "misconfigured"
            except TimeoutError as error:
                reason = str(error) or f"No answer within {OPEN_TIMEOUT_S:.0f} s."
            except _FaultError as error:
                reason = str(error)
            except Exception as error:  # noqa: BLE001 - a fault in a node must not end the loop
                reason = self._fault(error)
            finally:
                self._is_up = False
                await close_quietly(self.sink.close())
            await self._pause(reason, retry_s, state)

    def _opened(self) -> None:
        self._is_up = True
        self.ctx.status.state, self.ctx.status.text = "running", "Ready."
        if self._is_told:
            self._is_told = False
            self.ctx.say("info", f"Writing again; {self.queued_rows} rows wait.")
        way = self._share.backfill or self.sink.backfill
        if way == "live_first" and self.sink.delivery == "every":
            for feeder in self._feeders:
                feeder.outbox.set_apart()

    async def _write(self) -> None:
        """Write until the sink fails: all lanes side by side, and the first that fails ends all."""
        if len(self._feeders) == 1:
            raise await self._feed(self._feeders[0])
        tasks = [self._tasks.start(feeder.name, self._feed(feeder)) for feeder in self._feeders]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        raise next(task.result() for task in tasks if not task.cancelled())

    async def _feed(self, feeder: Feeder) -> Exception:
        """Write what waits in one outbox; returns why it ended."""
        try:
            await feeder.write()
        except (Disconnected, ConfigError, TimeoutError) as error:
            return error
        except Exception as error:  # noqa: BLE001 - a fault in a node must not end the loop
            reason = self._fault(error)
        await feeder.bury_poison(reason)
        return _FaultError(reason)

    def _fault(self, error: Exception) -> str:
        self.ctx.count("faults")
        return f"The sink failed: {type(error).__name__}: {error}."

    async def _pause(self, reason: str, retry_s: float, state: str) -> None:
        if self.sink.delivery == "fresh":
            for feeder in self._feeders:
                feeder.clear()
        pause = self._backoff.next_s(retry_s)
        text = with_next_try(reason, pause)
        self.ctx.status.state, self.ctx.status.text = state, text
        if not self._is_told:
            self._is_told = True
            self.ctx.say("warning", text)
        await asyncio.sleep(pause)

    async def drained(self) -> None:
        """Wait until nothing waits any more."""
        for feeder in self._feeders:
            await feeder.drained()


__all__ = ["LANE", "DeadLetter", "Egress", "Outbox", "ReadBlock"]
