"""Child: a process beside the gateway that answers on a socket it was given, until its parent ends.

It holds nothing that an alarm needs: it may be slow, be killed or be absent. That its parent has
ended it sees at its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Coroutine, Iterator
from typing import Any, Final

import uvicorn

_NICENESS: Final = 5
"""Below the engine: nobody who asks takes the processor from an alarm."""


class _Quiet(uvicorn.Server):
    """A server that is stopped by its parent's end."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(config: uvicorn.Config, fd: int) -> None:
    """Answer on a listening socket until the parent has ended."""
    server = _Quiet(config)
    loop = asyncio.get_running_loop()

    def ended() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin.fileno())
            server.should_exit = True

    loop.add_reader(sys.stdin.fileno(), ended)
    await server.serve([socket.socket(fileno=fd)])


def run(work: Coroutine[Any, Any, None]) -> int:
    """The process itself: its log, who may read its files, and its place behind the engine."""
    logging.basicConfig(
        level="WARNING", stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    os.umask(0o077)
    with contextlib.suppress(OSError):  # A hardened unit has set it, and forbids it.
        os.nice(_NICENESS)
    asyncio.run(work)
    return 0


__all__ = ["run", "serve"]
