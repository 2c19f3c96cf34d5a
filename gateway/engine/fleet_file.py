"""Fleet file: small JSON files beside the state that are whole, whenever the power goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.data.whole import write_whole
from gateway.errors import ConfigError


def load(path: Path) -> Any:
    """What a file says; None when there is none.

    Raises:
        ConfigError: It is damaged or cannot be read.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"It is damaged: {error}.", where=str(path)) from error


def store(path: Path, value: Any) -> None:
    """Put a file in the place of the one that is there.

    Raises:
        ConfigError: It cannot be written; the old one stays.
    """
    write(path, json.dumps(value, ensure_ascii=False, indent=1).encode())


def write(path: Path, data: bytes) -> None:
    """Bytes as a file of our own user, on the disk before the old one is gone.

    Raises:
        ConfigError: It cannot be written; the old one stays.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(path, data, 0o600)
    except OSError as error:
        raise ConfigError(f"It cannot be written: {error.strerror}.", where=str(path)) from error


__all__ = ["load", "store", "write"]
