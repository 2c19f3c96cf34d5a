"""Whole files: the old one or the new one, whenever the power goes, and never less.

Who is told that something was written may rely on it: the content and its name are both on the
disk when this returns.

Source: rename(2) and fsync(2): syncing a file does not sync the entry of its folder.
"""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes | str, mode: int | None = None) -> None:
    """Replace a file in one go.

    Args:
        path: Which; its folder is there.
        data: All that is to be in it; text as UTF-8.
        mode: Who may read and write it; by the umask when it is None.

    Raises:
        OSError: The disk refused; the old file is still there.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    # Never readable for more people than it is to be in the end, not for a moment.
    with os.fdopen(os.open(fresh, flags, 0o666 if mode is None else 0o600), "wb") as out:
        out.write(data.encode() if isinstance(data, str) else data)
        out.flush()
        if mode is not None:
            os.fchmod(out.fileno(), mode)
        os.fsync(out.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk.

    Raises:
        OSError: The disk refused.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = ["sync_folder", "write_whole"]
