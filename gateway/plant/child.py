"""What every process of the plant does: say that it is ready, end on SIGTERM or with its parent."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.engine.program import module_words

_PR_SET_PDEATHSIG = 1  # Source: prctl(2), linux/prctl.h.


def command(name: str, arguments: list[str]) -> list[str]:
    """The command line that starts one device of the plant; a frozen binary starts itself."""
    return [*module_words("gateway.plant"), name, *arguments]


def environment() -> dict[str, str]:
    """The environment of a child: it finds the same `gateway` package as its parent."""
    root = str(Path(__file__).resolve().parents[2])
    path = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONUNBUFFERED": "1"}


def die_with(parent: int | None) -> None:
    """Ask Linux to kill this process when its parent ends, also when that is by kill -9.

    The request survives exec (the broker is another program), but not a change of user.
    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # It ended before we asked.
        os._exit(1)


def ready_file(dir: Path, name: str) -> Path:
    """The file in which a device says that it serves."""
    return dir / f"{name}.ready"


def say_ready(dir: Path, name: str) -> None:
    """Say that this device serves now."""
    ready_file(dir, name).write_text(f"{os.getpid()}\n", encoding="ascii")


def run(work: Callable[[], Awaitable[int | None]], *, parent: int | None = None) -> int:
    """Run a device until it ends by itself, is told to (SIGTERM, SIGINT) or its parent is gone."""
    return asyncio.run(_until_told(work, parent))


async def _until_told(work: Callable[[], Awaitable[int | None]], parent: int | None) -> int:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None, "a device runs inside a task"
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    if parent is not None:
        loop.add_reader(0, _stdin_moved)
    try:
        return await work() or 0
    except asyncio.CancelledError:
        return 0


def _stdin_moved() -> None:
    """The parent holds our standard input; its end is the parent's end, on any system."""
    if not os.read(0, 1024):
        os._exit(0)
