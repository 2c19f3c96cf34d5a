"""Ballast: a file that only takes up room, to be thrown overboard when the disk is full.

On a full disk SQLite cannot even delete, since a transaction needs room in its log first. So
room is set aside while there is some, and given up when nothing else is left: then commits,
retention and checkpoints go on while people are told.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

BALLAST_BYTES_MAX: Final = 64 * 1024 * 1024
"""As much as the log of the state file may grow to before it is folded and cut."""
BALLAST_BYTES_MIN: Final = 256 * 1024
"""Less would not hold two commits."""
_SHARE: Final = 16
_ROOMY: Final = 3


class Ballast:
    """The file and how large it is.

    It takes a sixteenth of what is free when it is made, so that a small disk is not filled by
    what shall save it: 64 MB from 1 GB on, 4 MB of 64 MB.

    Args:
        path: The file, on the disk whose room it keeps.
        bytes_max: Its size where there is room enough.
    """

    def __init__(self, path: Path, bytes_max: int = BALLAST_BYTES_MAX) -> None:
        self.path = path
        self._bytes_max = bytes_max
        self._given_up = 0

    @property
    def size(self) -> int:
        """Its size now [bytes]; 0 while it was given up."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def is_given_up(self) -> bool:
        """Whether it was thrown overboard and is not back."""
        return bool(self._given_up)

    def make(self) -> int:
        """Make it, or make it larger, when there is room; returns its size [bytes].

        One that was given up comes back when three times its size are free: otherwise it would
        take what it just gave.

        Raises:
            OSError: It could not be made, though there seemed to be room.
        """
        size, free = self.size, self._free()
        wanted = min(self._bytes_max, (free + size) // _SHARE)
        if wanted < max(2 * size, BALLAST_BYTES_MIN) or free < _ROOMY * self._given_up:
            return size
        # Blocks, not a hole: a file of zeros that was never written takes no room.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, wanted)
        except OSError:
            self.path.unlink()
            raise
        finally:
            os.close(descriptor)
        self._given_up = 0
        return wanted

    def give_up(self) -> int:
        """Throw it overboard if the disk is full; returns the room that it gave [bytes].

        Raises:
            OSError: The disk is away.
        """
        size = self.size
        if not size or self._free() > size // 2:
            return 0
        self.path.unlink()
        self._given_up = size
        return size

    def _free(self) -> int:
        """Room on the disk for a program without privileges [bytes]."""
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize
