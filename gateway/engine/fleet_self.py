"""Fleet self: what a gateway says of itself in short, to other gateways and to its own page."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from gateway.data.tasks import Tasks
from gateway.engine.bookkeeping import flow_books
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from gateway.engine.runtime import Runtime

_log = logging.getLogger("genba.fleet")
RATE_NS: Final = 600 * 10**9
"""Alarms are counted over ten minutes. Source: EEMUA 191; ISA-18.2-2016, 16.5.1."""
DRIFT_S: Final = 60.0
DRIFT_ROWS_MAX: Final = 200
Differ = Callable[[], Sequence[Mapping[str, str]] | None]
"""Says how this gateway differs from what it should be; None when nobody has said what."""


def unready(runtime: Runtime) -> str:
    """Why the gateway is not ready; empty when it is."""
    if runtime.store.trouble:
        return runtime.store.trouble
    if runtime.left_out() and not runtime.runners:
        return "no flow runs."
    return ""


def raised_lately(runtime: Runtime) -> int:
    """Alarms that were raised within the last ten minutes."""
    since = runtime.clock.now() - RATE_NS
    return sum(
        event.change in ("raised", "realarmed") and event.ts >= since
        for event in runtime.book.history()
    )


def digest(text: str) -> str:
    """What one text of a flow is told from another by."""
    return hashlib.sha256(text.encode()).hexdigest()


class Mirror:
    """What is said when somebody asks.

    Args:
        runtime: The gateway.
        differ: How it differs from what it should be; it may take long, so it runs on a thread.
        screens: Scheme and port of the screens; the port is 0 when there are none.
    """

    def __init__(
        self, runtime: Runtime, differ: Differ | None, screens: tuple[str, int] = ("", 0)
    ) -> None:
        self._runtime = runtime
        self._differ = differ
        self._screens = screens
        self._tasks = Tasks("fleet/drift")
        self._drift: dict[str, Any] = {"rows": [], "at": None, "text": ""}
        self._looked_s = float("-inf")

    def summary(self) -> dict[str, Any]:
        """How the gateway is, as plain values; it waits for nothing."""
        runtime = self._runtime
        self._look_again()
        counts = runtime.book.counts()
        books = (flow_books(runner) for runner in runtime.booked.values())
        scheme, port = self._screens
        return {
            "name": socket.gethostname(),
            "version": metadata.version("genba"),
            "now": runtime.clock.now(),
            "uptime_s": runtime.clock.monotonic() - runtime.started_s,
            "ready": not unready(runtime),
            "why": unready(runtime),
            "unbalanced": sum(book["unbalanced"] for book in books),
            "alarms": counts,
            "open": len(runtime.book.open()),
            "raised": raised_lately(runtime),
            "flows": [
                {
                    "flow": name,
                    "revision": host.revision.number,
                    "sha256": digest(host.revision.text),
                }
                for name, host in sorted(runtime.hosts.items())
            ],
            "left_out": runtime.left_out(),
            "drift": self._drift,
            "screens": {"scheme": scheme, "port": port},
        }

    async def stop(self) -> None:
        """End a look that is under way."""
        await self._tasks.stop()

    def _look_again(self) -> None:
        """See how it differs, at most once a minute and only when somebody asks."""
        now_s = self._runtime.clock.monotonic()
        if self._differ is None or now_s - self._looked_s < DRIFT_S or len(self._tasks):
            return
        self._looked_s = now_s
        self._tasks.start("look", self._look(self._differ))

    async def _look(self, differ: Differ) -> None:
        rows: Sequence[Mapping[str, str]] | None = None
        text = ""
        try:
            rows = await asyncio.to_thread(differ)
        except (GatewayError, OSError) as error:
            text = f"It cannot be compared with what it should be: {error}"
        kept = [dict(row) for row in rows or ()][:DRIFT_ROWS_MAX]
        at = self._runtime.clock.now() if rows is not None else None
        self._drift = {"rows": kept, "at": at, "text": text}


__all__ = ["Differ", "Mirror", "digest", "raised_lately", "unready"]
