"""Live system: how the machine and this process are, from what Linux tells without a library.

Source: proc(5): /proc/stat, /proc/meminfo, /proc/self/statm; POSIX statvfs(3).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.api.live_topics import Topic
from gateway.data.tasks import Tasks
from gateway.engine.bookkeeping import flow_books
from gateway.engine.runtime import Runtime

PROC: Final = Path("/proc")
_IDLE: Final = (3, 4)
"""Columns of the first line of /proc/stat: idle and iowait."""


class SystemTopic(Topic):
    """CPU, memory, disk, journal and a summary of the books.

    Shares of the CPU are of one core for the ``engine`` process and of all cores for the
    ``machine``; sizes are in bytes, times in ns or s as their names say. What the machine does
    not tell is null.

    Args:
        runtime: The gateway.
        tasks: Run what may have to wait for a disk.
        hz: See `Topic`.
    """

    def __init__(self, runtime: Runtime, tasks: Tasks, hz: float) -> None:
        super().__init__(hz)
        self._runtime = runtime
        self._tasks = tasks
        self._before: tuple[float, float, tuple[int, int] | None, int] | None = None
        self._shown: dict[str, Any] = {}
        self._disk: dict[str, Any] = {"free": None, "total": None}
        self._asking: asyncio.Task[Any] | None = None

    def _look(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = self._tasks.start("disk", self._ask_disk())
        runtime = self._runtime
        at_s, times = runtime.clock.monotonic(), os.times()
        now = (at_s, times.user + times.system, _machine_ticks(), runtime.store.commits)
        books = [flow_books(runner) for runner in runtime.runners.values()]
        self._shown = {
            "cpu": {**_shares(self._before, now), "cores": os.cpu_count()},
            "memory": _memory(),
            "disk": self._disk,
            "journal": _journal(runtime),
            "commits_s": _rate(self._before, now),
            "unbalanced": sum(book["unbalanced"] for book in books),
            "waiting": sum(row["waiting"] for book in books for row in book["inputs"]),
            "queued": sum(row["queued"] for book in books for row in book["outlets"]),
            "tags": len(runtime.tags),
            "uptime_s": round(at_s - runtime.started_s, 1),
            "trouble": runtime.store.trouble,
        }
        self._before = now

    async def _ask_disk(self) -> None:
        """A disk that hangs must not hold up anything else, so it is asked in a thread."""
        try:
            found = await asyncio.to_thread(os.statvfs, self._runtime.state_dir)
        except OSError:
            self._disk = {"free": None, "total": None}
            return
        free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        self._disk = {"free": free, "total": total}

    def _tell(self, since: int) -> bytes | None:
        return orjson.dumps(self._shown) if self.at > since else None


def _machine_ticks() -> tuple[int, int] | None:
    """(busy, all) of all cores since the machine was started, or None."""
    try:
        first = (PROC / "stat").read_text().partition("\n")[0]
        columns = [int(word) for word in first.split()[1:9]]
    except (OSError, ValueError):
        return None
    whole = sum(columns)
    return whole - sum(columns[i] for i in _IDLE), whole


def _shares(before: Any, now: Any) -> dict[str, float | None]:
    """Shares of the CPU since the last look; null at the first."""
    found: dict[str, float | None] = {"engine": None, "machine": None}
    if before is None or now[0] <= before[0]:
        return found
    found["engine"] = round((now[1] - before[1]) / (now[0] - before[0]), 4)
    if before[2] is not None and now[2] is not None and now[2][1] > before[2][1]:
        busy, whole = (b - a for a, b in zip(before[2], now[2], strict=True))
        found["machine"] = round(busy / whole, 4)
    return found


def _rate(before: Any, now: Any) -> float | None:
    if before is None or now[0] <= before[0]:
        return None
    return float(round((now[3] - before[3]) / (now[0] - before[0]), 1))


def _memory() -> dict[str, int | None]:
    """Of this process and of the machine [bytes]."""
    found: dict[str, int | None] = {"engine": None, "available": None, "total": None}
    try:
        resident = int((PROC / "self" / "statm").read_text().split()[1])
        found["engine"] = resident * os.sysconf("SC_PAGE_SIZE")
        for line in (PROC / "meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            key = {"MemTotal": "total", "MemAvailable": "available"}.get(name)
            if key is not None:
                found[key] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return found


def _journal(runtime: Runtime) -> dict[str, int | None]:
    """How large it is [bytes], and how far back all flows can be replayed from [ns]."""
    reach = runtime.store.segments.reach().values()
    return {
        "bytes": sum(row["bytes"] for row in reach),
        "from": max((row["from"] for row in reach), default=None),
    }


__all__ = ["SystemTopic"]
