"""Uploads: a large file that comes from a browser, straight to the disk.

No byte of it is kept in memory for longer than it takes to write it, and nothing but its length
is known of it before it is whole: who takes a file in must check it before it is used.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from gateway.errors import ConfigError, Disconnected

ROOM_BYTES: Final = 256 << 20
"""So much stays free on the disk for what the gateway records meanwhile."""
_PIECE: Final = 1 << 20
_SYNC: Final = 16 << 20
"""Written out for good at each of these, so that the end of the file is not waited for long."""


def must_fit(folder: Path, length: int, bytes_max: int) -> None:
    """Before the first byte.

    Raises:
        ConfigError: It is larger than anything of its kind.
        Disconnected: There is no room for it.
    """
    if length > bytes_max:
        raise ConfigError(f"This file has {length:,} bytes; {bytes_max:,} are taken at most.")
    free = shutil.disk_usage(folder).free
    if free < length + ROOM_BYTES:
        raise Disconnected(
            f"This file has {length >> 20} MB, {free >> 20} MB are free on the disk, and "
            f"{ROOM_BYTES >> 20} MB must stay free. Make room and try again."
        )


async def take(parts: AsyncIterator[bytes], length: int, path: Path, bytes_max: int) -> None:
    """Write a file as it comes; it is at its place only when it is whole.

    Args:
        parts: What comes.
        length: What was announced [bytes].
        path: Where it goes; what was there before is replaced.
        bytes_max: What is taken at most.

    Raises:
        ConfigError: It is too large, or ended before it was whole.
        Disconnected: There is no room for it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    must_fit(path.parent, length, bytes_max)
    fresh = path.with_name(f"{path.name}.part")
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            if await _written(parts, length, out.fileno()) != length:
                raise ConfigError("The upload was cut. Nothing of it was used; try again.")
        fresh.replace(path)
    except OSError as error:
        raise Disconnected(f"The file cannot be written: {error.strerror}.") from error
    finally:
        fresh.unlink(missing_ok=True)


async def _written(parts: AsyncIterator[bytes], length: int, out: int) -> int:
    size, held, behind = 0, bytearray(), 0
    async for part in parts:
        held += part
        if size + len(held) > length:
            raise ConfigError("More came than was announced. Nothing of it was used.")
        if len(held) >= _PIECE:
            behind += len(held)
            await asyncio.to_thread(_write, out, bytes(held), behind >= _SYNC)
            size, behind = size + len(held), 0 if behind >= _SYNC else behind
            held.clear()
    await asyncio.to_thread(_write, out, bytes(held), True)
    return size + len(held)


def _write(out: int, data: bytes, is_for_good: bool) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]
    if is_for_good:
        os.fsync(out)


__all__ = ["ROOM_BYTES", "must_fit", "take"]
