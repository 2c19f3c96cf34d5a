"""Drives each Connection: opens it once, shares it, and opens it again when it was lost."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.engine.backoff import Backoff
from gateway.engine.context import NodeContext
from gateway.errors import ConfigError, Disconnected
from gateway.flow.node import Connection

OPEN_TIMEOUT_S = 30.0
CONFIG_RETRY_S = 10.0  # A person has to act first, but then it should not take long.


class ConnectionDriver:
    """One connection and the loop that keeps it open.

    Nodes wait for `ready`; a node that finds the session dead raises Disconnected by itself
    and comes back here.
    """

    def __init__(self, connection: Connection[Any], ctx: NodeContext) -> None:
        self.connection = connection
        self.ctx = ctx
        self.ready = asyncio.Event()
        self._backoff = Backoff(f"{ctx.flow}/{ctx.node_id}")

    async def run(self) -> None:
        """Keep the connection open until cancelled."""
        told = False
        while True:
            opened = False
            retry_s = 0.0
            try:
                await asyncio.wait_for(self.connection.open(), OPEN_TIMEOUT_S)
                opened = True
                told = self._is_open(told)
                reason = await self.connection.lost()
            except Disconnected as error:
                reason, retry_s = str(error), error.retry_after_s
            except ConfigError as error:
                reason, retry_s = str(error), CONFIG_RETRY_S
                self.ctx.status.state = "misconfigured"
            except TimeoutError:
                reason = f"No answer within {OPEN_TIMEOUT_S:.0f} s."
            except Exception as error:  # noqa: BLE001 - a fault in a node must not end the loop
                reason = f"The connection failed: {type(error).__name__}: {error}."
                self.ctx.count("faults")
            finally:
                self.ready.clear()
                await close_quietly(self.connection.close())
            if opened:
                self._backoff.reset()
            told = await self._wait(reason, retry_s, told)

    def _is_open(self, told: bool) -> bool:
        status = self.ctx.status
        if told:
            self.ctx.say("info", "Connected again.")
        status.state, status.text = "connected", "Connected."
        self.ctx.count("opened")
        self.ready.set()
        return False

    async def _wait(self, reason: str, retry_s: float, told: bool) -> bool:
        pause = self._backoff.next_s(retry_s)
        text = f"{reason.rstrip('.')}. Next try in {pause:.0f} s." if pause >= 1 else reason
        status = self.ctx.status
        if status.state != "misconfigured":
            status.state = "disconnected"
        status.text = text
        if not told:
            self.ctx.say("warning", text)
        await asyncio.sleep(pause)
        if status.state == "misconfigured":
            status.state = "disconnected"
        return True


async def close_quietly(closing: Any) -> None:
    """Close what may be half open: an error in closing says nothing that is still of use."""
    try:
        await asyncio.wait_for(closing, 5.0)
    except asyncio.CancelledError:
        raise
    except Exception:  # noqa: BLE001, S110 - see above
        pass


__all__ = ["CONFIG_RETRY_S", "OPEN_TIMEOUT_S", "ConnectionDriver", "close_quietly"]
