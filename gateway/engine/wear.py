"""Wear: how much the gateway writes a day, because flash lives by the bytes written to it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gateway.engine.store import Store
from gateway.engine.store_records import note_wear

IO: Final = Path("/proc/self/io")


def day_of(now: int) -> str:
    """The day of a time [ns] on this machine's calendar, such as ``2026-11-26``."""
    return datetime.fromtimestamp(now / 1e9, UTC).astimezone().date().isoformat()


def written_by(text: str) -> int:
    """Bytes a process has had written to disks, from its ``io`` file.

    >>> written_by("rchar: 9\\nwrite_bytes: 4096\\ncancelled_write_bytes: 0\\n")
    4096

    Source: proc_pid_io(5).
    """
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "write_bytes" and value.strip().isdigit():
            return int(value)
    return 0


class WearMeter:
    """Counts what this process writes: all of it where the system tells, else the state file's.

    Args:
        store: The state file, where the days are kept.
        path: Where the system tells.
    """

    def __init__(self, store: Store, path: Path = IO) -> None:
        self._store = store
        self._path = path
        self._noted = 0

    @property
    def written(self) -> int:
        """Bytes since this process began."""
        try:
            told = written_by(self._path.read_text("ascii"))
        except (OSError, UnicodeDecodeError):  # Not on this system.
            told = 0
        return max(told, self._store.bytes_written)

    @property
    def pending(self) -> int:
        """Bytes that are not yet part of a day."""
        return max(self.written - self._noted, 0)

    async def note(self, now: int) -> None:
        """Add what was written since the last time to the day [ns].

        Raises:
            Disconnected: It cannot be stored; it is added the next time.
        """
        size = self.pending
        if size:
            await note_wear(self._store, day_of(now), size)
            self._noted += size
