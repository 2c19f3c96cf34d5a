"""Drives each Connection: opens it once, shares it, and opens it again when it was lost."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.engine.backoff import Backoff, with_next_try
from gateway.engine.context import NodeContext
from gateway.errors import ConfigError, Disconnected
from gateway.flow.node import Connection

OPEN_TIMEOUT_S = 30.0
CONFIG_RETRY_S = 10.0  # A person has to act first, but then it should not take long.
CLOSE_TIMEOUT_S = 5.0
STEADY_S = 5.0  # A connection that stood this long was a good one: the next wait is short again.


class ConnectionDriver:
    """One connection and the loop that keeps it open.

    Nodes wait for `ready`; a node that finds the session dead raises Disconnected by itself
    and comes back here.

    Args:
        connection: The node.
        ctx: Its context.
        is_off: True when a person has disabled it in the flow: it is never opened.
    """

    def __init__(
        self, connection: Connection[Any], ctx: NodeContext, *, is_off: bool = False
    ) -> None:
        self.connection = connection
        self.ctx = ctx
        self.is_off = is_off
        self.ready = asyncio.Event()
        self.since = ctx.clock.now()
        """When it came to be open, or away [ns]."""
        self.error = ""
        """Why it was away last, also while it is open again."""
        self.next_try = 0
        """When it is opened again [ns]; 0 while it is open or being opened."""
        self.browsing = asyncio.Lock()
        """One at a time looks at what is behind it."""
        self._backoff = Backoff(f"{ctx.flow}/{ctx.node_id}")
        self._is_told = False

    @property
    def off_text(self) -> str:
        """What the nodes say that use it, while it is off."""
        name = self.ctx.node_id
        return f"{name} is disabled in the flow. Take `disabled` out of it and deploy to use it."

    async def opened(self, ctx: NodeContext) -> None:
        """Wait until it is open; a node whose connection is off says so."""
        if self.is_off:
            ctx.status.state, ctx.status.text = "disconnected", self.off_text
        await self.ready.wait()

    async def run(self) -> None:
        """Keep the connection open until cancelled."""
        if self.is_off:
            self.ctx.status.state, self.ctx.status.text = "stopped", self.off_text
            return
        while True:
            retry_s = 0.0
            state = "disconnected"
            opened_s: float | None = None
            try:
                async with asyncio.timeout(OPEN_TIMEOUT_S):
                    await self.connection.open()
                opened_s = self.ctx.clock.monotonic()
                self._opened()
                reason = await self.connection.lost()
            except Disconnected as error:
                reason, retry_s = str(error), error.retry_after_s
            except ConfigError as error:
                reason, retry_s, state = str(error), CONFIG_RETRY_S, "misconfigured"
            except TimeoutError as error:
                reason = str(error) or f"No answer within {OPEN_TIMEOUT_S:.0f} s."
            except Exception as error:  # noqa: BLE001 - a fault in a node must not end the loop
                reason = f"The connection failed: {type(error).__name__}: {error}."
                self.ctx.count("faults")
            finally:
                self.ready.clear()
                await close_quietly(self.connection.close())
            if opened_s is not None and self.ctx.clock.monotonic() - opened_s > STEADY_S:
                self._backoff.reset()
            await self._wait(reason, retry_s, state)

    def _opened(self) -> None:
        self.since, self.next_try = self.ctx.clock.now(), 0
        if self._is_told:
            self._is_told = False
            self.ctx.say("info", "Connected again.")
        self.ctx.status.state, self.ctx.status.text = "connected", "Connected."
        self.ctx.count("opened")
        self.ready.set()

    async def _wait(self, reason: str, retry_s: float, state: str) -> None:
        pause = self._backoff.next_s(retry_s)
        text = with_next_try(reason, pause)
        now = self.ctx.clock.now()
        if self.ctx.status.state not in ("disconnected", "misconfigured"):
            self.since = now
        self.error, self.next_try = reason, now + round(pause * 1e9)
        self.ctx.status.state, self.ctx.status.text = state, text
        if not self._is_told:
            self._is_told = True
            self.ctx.say("warning", text)
        await asyncio.sleep(pause)
        self.next_try = 0


async def close_quietly(closing: Any) -> None:
    """Close what may be half open: an error in closing says nothing that is still of use."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await closing
    except Exception:  # noqa: BLE001, S110 - see above
        pass


__all__ = ["CONFIG_RETRY_S", "OPEN_TIMEOUT_S", "STEADY_S", "ConnectionDriver", "close_quietly"]
