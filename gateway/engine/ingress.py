"""Ingress: drives a Source. Connect, read, back off, tell once each way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gateway.data.batch import EMPTY, Batch
from gateway.data.event import Event
from gateway.engine.arrived import Arrived
from gateway.engine.backoff import Backoff, with_next_try
from gateway.engine.connections import (
    CONFIG_RETRY_S,
    OPEN_TIMEOUT_S,
    STEADY_S,
    ConnectionDriver,
    close_quietly,
)
from gateway.engine.context import NodeContext
from gateway.engine.device import link_event, with_device
from gateway.engine.holes import FOLD_NS, Folded, Holes, Pace
from gateway.engine.inbox import Inbox
from gateway.engine.wiring import rows
from gateway.errors import ConfigError, Disconnected, LimitError
from gateway.flow.gaps import Cause, Gap
from gateway.flow.node import Message, Reading, Source

ACKNOWLEDGE_TIMEOUT_S = 5.0
PATIENCE_S = 2.0  # A connection that opens within this time was never lost.
_READ_AT = "engine/read_at"
"""Key in the position of a source that stores none: when it was last read [ns]."""


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
        self._device = str(getattr(source.config, "connection", None) or ctx.node_id)
        self._holes = Holes(ctx.tags, ctx.clock, self._codes)
        self._folded = Folded()
        self._pace = Pace(ctx.clock)
        stored = ctx.position if isinstance(ctx.position, dict) else {}
        self._read_at: int = stored.get(_READ_AT, 0)
        self.away: Cause | None = "gateway_away" if self._read_at else None
        self._keeps_time = not source.tells_gaps and (ctx.position is None or self._read_at > 0)
        self._is_lost: bool | None = None
        """None until the first reading: an alarm of before a restart may still be open."""
        self._steady_since_s = float("inf")
        self.released = asyncio.Event()
        """Clear it before a cancel, and the device is held until it is set: so that what was
        read can still be acknowledged."""
        self.released.set()
        self.held = asyncio.Event()
        """Set once nothing more is read, because the loop was cancelled."""

    @property
    def is_off(self) -> bool:
        """True when a person has disabled its connection: it reads nothing."""
        return self._connection is not None and self._connection.is_off

    async def run(self) -> None:
        """Read until cancelled."""
        self.held.clear()
        while True:
            self._steady_since_s = float("inf")
            retry_s = 0.0
            state = "disconnected"
            try:
                await self._wait_for_connection()
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    await self.source.connect()
                await self._read()
                reason = "The source ended."
            except Disconnected as error:
                reason, retry_s = str(error), error.retry_after_s
            except (ConfigError, LimitError) as error:
                reason, retry_s, state = str(error), CONFIG_RETRY_S, "misconfigured"
            except TimeoutError as error:
                reason = str(error) or f"No answer within {OPEN_TIMEOUT_S:.0f} s."
            except EOFError as error:
                self._ended(str(error))
                return
            except asyncio.CancelledError:
                self.held.set()
                await self.released.wait()
                raise
            except Exception as error:  # noqa: BLE001 - a fault in a node must not end the loop
                reason = f"The source failed: {type(error).__name__}: {error}."
                self.ctx.count("faults")
                self.ctx.say("error", reason)
            finally:
                await close_quietly(self.source.close())
            if self.ctx.clock.monotonic() - self._steady_since_s > STEADY_S:
                self._backoff.reset()
            await self._lost(reason, retry_s, state)

    async def _wait_for_connection(self) -> None:
        driver = self._connection
        if driver is None or driver.ready.is_set():
            return
        if driver.is_off:
            await self._tell_lost(driver.off_text)
            await driver.ready.wait()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await driver.ready.wait()
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
                self._steady_since_s = self.ctx.clock.monotonic()
                status.state, status.text = "running", "Reading."
                await self._tell_back()
            await self._take(reading)

    async def _take(self, reading: Reading) -> None:
        now = self.ctx.clock.now()
        found: dict[str, Message] = {p: m for p, m in reading.outputs.items() if len(m)}
        self._keeps_time &= reading.position is None
        self._mark_gaps(found, now)
        outputs = [
            (port, with_device(message, self._device) if port == "status" else message)
            for port, message in found.items()
        ]
        position = reading.position
        if outputs and self._keeps_time:
            position = {_READ_AT: now}
        if outputs or reading.token is not None or position is not None:
            size = max(sum(rows(message) for _, message in outputs), 1)
            entry = Arrived(self.ctx.node_id, outputs, self, reading.token, position)
            try:
                await self._inbox.put(entry, size)
            except asyncio.CancelledError:
                self._inbox.put_now(entry, size)  # A device may not send it again.
                raise

    def _mark_gaps(self, found: dict[str, Message], now: int) -> None:
        """Put what a reading tells of gaps, and what it does not tell, into its messages."""
        out = found.get("out")
        batch = out if isinstance(out, Batch) else EMPTY
        status = found.pop("status", ())
        assert isinstance(status, tuple), "the status port carries events"
        gaps, others = self._told(status) if status else ([], [])
        gaps += self._untold(batch, now, told=bool(gaps))
        marked = self._holes.marked(gaps, batch, now)
        if len(marked) > len(batch):
            self.ctx.count("gap_rows", len(marked) - len(batch))
            found["out"] = marked
        for port, message in found.items():
            if isinstance(message, Batch) and port != "late":
                self._holes.saw(message, now)
                self.ctx.status.counts["rows_in"] += len(message)
        self.ctx.status.counts["rows_in"] -= len(marked) - len(batch)
        has_news = gaps or others or self._folded
        if has_news and (events := (*self._now_told(gaps, now), *others)):
            found["status"] = events

    def _told(self, status: Sequence[Any]) -> tuple[list[Gap], list[Any]]:
        """(gaps, all else) of what a source says of itself."""
        gaps: list[Gap] = []
        others = []
        for event in status:
            try:
                gap = Gap.of(event) if isinstance(event, Event) else None
            except ValueError as error:
                self.ctx.count("faults")
                self.ctx.say("error", f"A gap was told in a wrong form: {error}")
                gap = None
            if gap is None:
                others.append(event)
            else:
                gaps.append(replace(gap, device=gap.device or self._device))
        return gaps, others

    def _untold(self, batch: Batch, now: int, *, told: bool) -> list[Gap]:
        """Gaps that only the engine knows of: time away, and a clock that was set."""
        if not len(batch):
            return []
        gaps = []
        node, device = self.ctx.node_id, self._device
        if jump := self._pace.jumped(batch, now):
            gaps.append(Gap(node, "clock_step", *jump, device))
        if self.away and self._read_at and not told and not self.source.tells_gaps:
            first = int(batch.ts.min())  # In our own clock, or else it tells nothing here.
            end = first if self._read_at < first <= now else now
            gaps.append(Gap(node, self.away, self._read_at, end, device))
        self.away, self._read_at = None, now
        return gaps

    def _now_told(self, gaps: Sequence[Gap], now: int) -> tuple[Event, ...]:
        """The events to send now; those that follow a first one are told later in sum."""
        if gaps:
            self.ctx.count("gaps", len(gaps))
        is_waiting = bool(self._folded)
        events = tuple(gap.event() for gap in self._folded.tell(gaps, now))
        if self._folded and not is_waiting:
            self.ctx.start("gaps", self._tell_rest())
        return events

    async def _tell_rest(self) -> None:
        """Tell what was held back, also when the source brings nothing more."""
        await asyncio.sleep(FOLD_NS / 1e9)
        if events := tuple(gap.event() for gap in self._folded.rest()):
            await self._inbox.put(Arrived(self.ctx.node_id, [("status", events)]), 1)

    async def _lost(self, reason: str, retry_s: float, state: str) -> None:
        pause = self._backoff.next_s(retry_s)
        text = with_next_try(reason, pause)
        await self._tell_lost(text)
        self.ctx.status.state, self.ctx.status.text = state, text
        await asyncio.sleep(pause)

    async def _tell_lost(self, text: str) -> None:
        """Once per loss: a sentence, an event for the alarm, and Bad for what it used to bring.

        A person who has disabled the connection needs no alarm to know that nothing comes.
        """
        self.ctx.status.state, self.ctx.status.text = "disconnected", text
        if self._is_lost:
            return
        self._is_lost = True
        self.away = self.away or "disconnected"
        self.ctx.say("warning", text)
        self.ctx.count("lost")
        outputs: list[tuple[str, Message]] = []
        if not self.is_off:
            outputs.append(("status", (self._said("source/lost", text),)))
        if len(bad := self.bad(self.ctx.clock.now())):
            outputs.append(("out", bad))
        if outputs:
            await self._inbox.put(Arrived(self.ctx.node_id, outputs), 1)

    def bad(self, now: int) -> Batch:
        """What it used to bring, as Bad: nobody brings it any more, or for a while."""
        return self._holes.lost(now)

    def tell_again(self) -> None:
        """The device is away and somebody new listens: say so once more."""
        if self._is_lost and not self.is_off:
            event = self._said("source/lost", self.ctx.status.text)
            self._inbox.put_now(Arrived(self.ctx.node_id, [("status", (event,))]), 1)

    async def _tell_back(self) -> None:
        if self._is_lost is False:
            return
        text = "Reading again." if self._is_lost else "Reading."
        if self._is_lost:
            self.ctx.say("info", text)
        self._is_lost = False
        event = self._said("source/back", text)
        await self._inbox.put(Arrived(self.ctx.node_id, [("status", (event,))]), 1)

    def _said(self, topic: str, text: str) -> Event:
        return link_event(topic, self.ctx.clock.now(), self.ctx.node_id, self._device, text)

    async def acknowledge(self, token: Any) -> None:
        """Tell the device that a reading is safe; one that cannot be told sends it again."""
        try:
            async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT_S):
                await self.source.acknowledge(token)
        except Exception as error:  # noqa: BLE001 - a fault in a node must not end the flow
            self.ctx.count("unacknowledged")
            if not isinstance(error, Disconnected):
                self.ctx.say("error", f"A reading was not acknowledged: {error!r}.")

    def _ended(self, text: str) -> None:
        self.ctx.status.state, self.ctx.status.text = "stopped", text or "All was read."
        self.ctx.say("info", self.ctx.status.text)

    def _codes(self) -> np.ndarray[Any, np.dtype[np.uint16]]:
        try:
            for name in self.source.tag_names():
                self._holes.seen[self.ctx.tags.code(name)] = True
        except LimitError as error:
            self.ctx.say("error", str(error))
        return np.flatnonzero(self._holes.seen).astype(np.uint16)
