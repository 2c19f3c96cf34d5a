"""Reset: a state becomes that of a gateway that has just been installed.

What goes is first moved aside within the folder, which takes a moment, and then deleted: a power
cut in the middle leaves no gateway that has its flows but not its accounts.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final

from gateway.engine.secrets import KEY
from gateway.engine.store_archive import export_all
from gateway.engine.store_file import take_lock
from gateway.errors import ConfigError

_DATABASE: Final = "genba.db"
_LOCK: Final = f"{_DATABASE}.lock"
_ASIDE: Final = ".reset"
_WRITABLE: Final = "tls"
"""A folder that stays when it is emptied: the screens may write there, and nowhere else."""
IDENTITY: Final = ("tls", "pki", f"secrets/{KEY}")
"""What says which device this is: keys and certificates that others have been told to trust."""


def reset(state: Path, *, identity: bool, archive: Path | None, actor: str, now: int) -> list[str]:
    """Delete what a state has; the gateway must be stopped.

    Args:
        state: Its folder.
        identity: Keys and certificates go too; new ones are made at the next start.
        archive: A new folder for all records of the audit; None keeps none.
        actor: Who does it, for the audit.
        now: The time [ns].

    Returns:
        Names of what was deleted.

    Raises:
        ConfigError: The gateway runs, or the audit cannot be kept; nothing was deleted.
    """
    if not state.is_dir():
        raise ConfigError(f"There is no state in {state}.", hint="Name it with --state.")
    if archive is not None and archive.resolve().is_relative_to(state.resolve()):
        raise ConfigError("The archive would be deleted as well.", where=str(archive))
    lock = take_lock(state / _DATABASE)
    try:
        if archive is not None and (state / _DATABASE).exists():
            detail = json.dumps({"identity": "new" if identity else "kept"})
            export_all(state / _DATABASE, archive, now, actor, detail)
        aside = state / _ASIDE
        aside.mkdir(mode=0o700, exist_ok=True)
        gone = _move_aside(state, aside, set() if identity else set(IDENTITY))
        shutil.rmtree(aside)
    finally:
        os.close(lock)
    return gone


def _move_aside(state: Path, aside: Path, kept: set[str]) -> list[str]:
    gone: list[str] = []
    folders = {name.split("/")[0] for name in kept if "/" in name} | {_WRITABLE}
    # The state file first: without it there are no accounts and no flows.
    entries = sorted(state.iterdir(), key=lambda path: (not path.name.startswith(_DATABASE), path))
    for path in entries:
        if path.name in (_ASIDE, _LOCK) or path.name in kept:
            continue
        if path.name in folders and path.is_dir():
            inside = [one for one in path.iterdir() if f"{path.name}/{one.name}" not in kept]
        else:
            inside = [path]
        for one in inside:
            name = one.relative_to(state).as_posix()
            one.rename(aside / f"{len(gone)}-{one.name}")
            gone.append(name)
    return gone


__all__ = ["IDENTITY", "reset"]
