"""What `genba run` tells its log: the claim code, the first sample, each alarm."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from typing import Any

from gateway.engine.runtime import Runtime
from gateway.errors import Disconnected

_log = logging.getLogger("genba.run")


async def tell_claim(server: Any, *, is_quiet: bool) -> None:
    """Say how the first administrator is made, where nobody but who stands here can read it."""
    with suppress(Disconnected):  # Who has accounts is not known before the disk is there.
        await server.accounts.ready()
        if server.accounts.is_claimed:
            return
        text = (
            "This gateway has no account yet. Open its screens in a browser, or run "
            "`genba users claim NAME`: the first administrator is made with this code, "
            "within 30 minutes: "
            f"{server.access.logins.claim_code.renew()}"
        )
        if is_quiet:  # The live view owns the terminal, and nothing is logged.
            print(text, file=sys.stderr)
        else:
            _log.warning("%s", text)


async def log_first_sample(runtime: Runtime) -> None:
    # A count has no event; this ends within the first seconds, or there is no flow yet.
    pause_s = 0.01
    while not any(s.counts["rows_in"] for s in runtime.statuses):
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.02, 1.0)
    passed = runtime.clock.monotonic() - runtime.started_s
    _log.info("First sample %.2f s after the start.", passed)


async def log_alarms(runtime: Runtime) -> None:
    """One line an alarm event, for a pipe, CI and systemd."""
    log = logging.getLogger("genba.alarm")
    async for event in runtime.book.follow():
        level = logging.WARNING if event.change == "raised" else logging.INFO
        words = (event.priority, event.condition, event.change, event.tag, event.text)
        log.log(level, "%s %s %s %s: %s", *words)
