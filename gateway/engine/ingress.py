"""Ingress: drives a Source. Connect, read, back off, tell once each way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np

from gateway.data import quality
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.engine.backoff import Backoff
from gateway.engine.connections import (
    CONFIG_RETRY_S,
    OPEN_TIMEOUT_S,
    ConnectionDriver,
    close_quietly,
)
from gateway.engine.context import NodeContext
from gateway.engine.graph import rows
from gateway.engine.inbox import Inbox
from gateway.errors import ConfigError, Disconnected
from gateway.flow.node import Message, Reading, Source

STEADY_S = 5.0  # A connection that stood this long was a good one: the next wait is short again.


@dataclass(slots=True)
class Arrived:
    """One entry of a flow's inbox: messages of one node, and whom to tell when they are safe."""

    node: str
    outputs: list[tuple[str, Message]]
    ingress: Ingress | None = None
    token: Any = None
    position: Any = None


class Ingress:
    """One source and the loop that drives it."""

    def __init__(
        self,
        source: Source[Any],
        ctx: NodeContext,
        inbox: Inbox[Arrived],
        connection: ConnectionDriver | None,
    ) -> None:
        self.source = source
        self.ctx = ctx
        self._inbox = inbox
        self._connection = connection
        self._backoff = Backoff(f"{ctx.flow}/{ctx.node_id}")
        limit = ctx.tags.limit
        self._seen = np.zeros(limit, np.bool_)
        self._ts = np.zeros(limit, np.int64)
        self._at = np.zeros(limit, np.int64)
        self._is_lost = False

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            started_s = self.ctx.clock.monotonic()
            retry_s = 0.0
            state = "disconnected"
            try:
                await self._wait_for_connection()
                await asyncio.wait_for(self.source.connect(), OPEN_TIMEOUT_S)
                await self._read()
                reason = "The source ended."
            except Disconnected as error:
                reason, retry_s = str(error), error.retry_after_s
            except ConfigError as error:
                reason, retry_s, state = str(error), CONFIG_RETRY_S, "misconfigured"
            except TimeoutError:
                reason = f"No answer within {OPEN_TIMEOUT_S:.0f} s."
            except EOFError as error:
                await self._ended(str(error))
                return
            except Exception as error:  # noqa: BLE001 - a fault in a node must not end the loop
                reason = f"The source failed: {type(error).__name__}: {error}."
                self.ctx.count("faults")
                self.ctx.say("error", reason)
            finally:
                await close_quietly(self.source.close())
            if self.ctx.clock.monotonic() - started_s > STEADY_S:
                self._backoff.reset()
            await self._lost(reason, retry_s, state)

    async def _wait_for_connection(self) -> None:
        driver = self._connection
        if driver is None or driver.ready.is_set():
            return
        try:
            await asyncio.wait_for(driver.ready.wait(), 2.0)
        except TimeoutError:
            await self._tell_lost(driver.ctx.status.text or "The connection is not open.")
            self.ctx.status.state = driver.ctx.status.state
            await driver.ready.wait()

    async def _read(self) -> None:
        status = self.ctx.status
        status.state, status.text = "connected", "Connected; nothing read yet."
        first = True
        while True:
            reading = await self.source.read()
            if first:
                first = False
                status.state, status.text = "running", "Reading."
                await self._tell_back()
            await self._take(reading)

    async def _take(self, reading: Reading) -> None:
        outputs = [(port, message) for port, message in reading.outputs.items() if len(message)]
        size = 0
        for port, message in outputs:
            size += rows(message)
            if isinstance(message, Batch) and port != "late":
                self._seen[message.tag] = True
                self._ts[message.tag] = message.ts
                self._at[message.tag] = self.ctx.clock.now()
                self.ctx.status.counts["rows_in"] += len(message)
        if outputs or reading.token is not None or reading.position is not None:
            entry = Arrived(self.ctx.node_id, outputs, self, reading.token, reading.position)
            await self._inbox.put(entry, max(size, 1))

    async def _lost(self, reason: str, retry_s: float, state: str) -> None:
        pause = self._backoff.next_s(retry_s)
        text = f"{reason.rstrip('.')}. Next try in {pause:.0f} s." if pause >= 1 else reason
        await self._tell_lost(text)
        self.ctx.status.state, self.ctx.status.text = state, text
        await asyncio.sleep(pause)

    async def _tell_lost(self, text: str) -> None:
        """Once per loss: a sentence, an event for the alarm, and Bad for what it used to bring."""
        self.ctx.status.state, self.ctx.status.text = "disconnected", text
        if self._is_lost:
            return
        self._is_lost = True
        self.ctx.say("warning", text)
        self.ctx.count("lost")
        now = self.ctx.clock.now()
        data = {"source": self.ctx.node_id, "text": text}
        outputs: list[tuple[str, Message]] = [("status", (Event(now, "source/lost", data),))]
        codes = self._codes()
        if len(codes):
            # On the device's own clock, so that its next samples are not late.
            ts = np.where(self._at[codes] > 0, self._ts[codes] + (now - self._at[codes]), now)
            bad = np.full(len(codes), quality.BAD_NO_COMMUNICATION, np.uint32)
            outputs.append(("out", Batch(codes, ts, np.full(len(codes), np.nan), bad)))
        await self._inbox.put(Arrived(self.ctx.node_id, outputs), 1)

    async def _tell_back(self) -> None:
        if not self._is_lost:
            return
        self._is_lost = False
        self.ctx.say("info", "Reading again.")
        data = {"source": self.ctx.node_id, "text": "Reading again."}
        event = Event(self.ctx.clock.now(), "source/back", data)
        await self._inbox.put(Arrived(self.ctx.node_id, [("status", (event,))]), 1)

    async def _ended(self, text: str) -> None:
        self.ctx.status.state, self.ctx.status.text = "stopped", text or "All was read."
        self.ctx.say("info", self.ctx.status.text)

    def _codes(self) -> np.ndarray[Any, np.dtype[np.uint16]]:
        for name in self.source.tag_names():
            self._seen[self.ctx.tags.code(name)] = True
        return np.flatnonzero(self._seen).astype(np.uint16)
