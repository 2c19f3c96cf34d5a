"""Restoring: a backup that came over the API takes the place of the state, at the next start.

A gateway cannot exchange its state while it runs on it. So the backup is unpacked and checked
beside it, by what `genba restore` uses too; it is put in its place by the first thing that a
start does, before anything is opened. That is a row of renames that can be cut anywhere: what was
begun is gone on with at the next start, and until it is done nothing runs.

What was there before is moved into `before-TIME` in the folder of the state, the last two of them
are kept.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from gateway.data.whole import sync_folder, write_whole
from gateway.engine import backup
from gateway.engine.deploy import is_removed
from gateway.engine.health import OWN
from gateway.engine.store_backup import contents
from gateway.engine.store_entry import whole_text
from gateway.engine.store_file import take_lock
from gateway.errors import ConfigError, StateError

FOLDER: Final = "restore"
UPLOADED: Final = "uploaded"
_FRESH: Final = "fresh"
_PLAN: Final = "plan.json"
_DONE: Final = "done.json"
_ASIDE: Final = "before-"
KEPT: Final = 2
"""States that were there before; an older one is removed when the next is put aside."""


def unpacked(state: Path, passphrase: str) -> dict[str, Any]:
    """Unpack and check the backup that was uploaded.

    Returns: what it holds: made [ns], version, flows, users.

    Raises:
        ConfigError: The passphrase is wrong, or the backup cannot be used. Nothing is kept.
        OSError: The disk refused.
    """
    fresh = state / FOLDER / _FRESH
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    try:
        with (state / FOLDER / UPLOADED).open("rb") as file:
            about = backup.checked(file, passphrase, fresh)
        found = _contents(fresh / backup.STATE)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return {"made": int(about["made"]), "version": str(about["version"]), **found}


def _contents(path: Path) -> dict[str, list[str]]:
    revisions, users = contents(path)
    flows = []
    for flow, revision in revisions.items():
        try:
            text = whole_text(flow, revision)
        except StateError:
            continue  # It would not run either: the gateway says so when it starts.
        if flow != OWN and not is_removed(replace(revision, text=text)):
            flows.append(flow)
    return {"flows": flows, "users": users}


def forget(state: Path) -> None:
    """Remove what was uploaded and unpacked, unless it is on its way to its place."""
    if not (state / FOLDER / _PLAN).exists():
        shutil.rmtree(state / FOLDER / _FRESH, ignore_errors=True)
        (state / FOLDER / UPLOADED).unlink(missing_ok=True)


def plan(state: Path, now: int, actor: str, about: Mapping[str, Any]) -> None:
    """Let the next start put what was unpacked in its place.

    Args:
        state: Folder of the state.
        now: The time [ns].
        actor: Who wants it.
        about: What `unpacked` said.

    Raises:
        ConfigError: Nothing is unpacked.
        OSError: The disk refused.
    """
    fresh = state / FOLDER / _FRESH
    if not (fresh / backup.STATE).exists():
        raise ConfigError("There is no checked backup to put in place.")
    names = sorted(path.name for path in fresh.iterdir())
    text = {**about, "actor": actor, "at": now, "names": names, "aside": f"{_ASIDE}{now // 10**9}"}
    write_whole(state / FOLDER / _PLAN, json.dumps(text))


def is_planned(state: Path) -> bool:
    """Whether the next start puts a backup in the place of this state."""
    return (state / FOLDER / _PLAN).exists()


def put_in_place(state: Path) -> dict[str, Any] | None:
    """The first step of a start: what was planned is done, also where it was cut before.

    Returns: the plan, when there was one.

    Raises:
        ConfigError: Another gateway uses this state.
        OSError: The disk refused; the next start goes on.
    """
    try:
        wanted = json.loads((state / FOLDER / _PLAN).read_bytes())
        aside, names = state / str(wanted["aside"]), set(map(str, wanted["names"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        (state / FOLDER / _PLAN).unlink()  # It is written at once; this one is none of ours.
        return None
    lock = take_lock(state / backup.STATE)
    try:
        fresh = state / FOLDER / _FRESH
        aside.mkdir(mode=0o700, exist_ok=True)
        for path in list(state.iterdir()):
            is_put = path.name in names and not (fresh / path.name).exists()
            if not is_put and not _stays(path.name):
                path.rename(aside / path.name)
        for name in sorted(names):
            if (fresh / name).exists():
                (fresh / name).rename(state / name)
        for folder in (aside, state):
            sync_folder(folder)
        write_whole(state / FOLDER / _DONE, json.dumps(wanted))
        (state / FOLDER / _PLAN).unlink()
    finally:
        os.close(lock)
    forget(state)
    for old in sorted(state.glob(f"{_ASIDE}*"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return dict(wanted)


def last(state: Path) -> dict[str, Any] | None:
    """What was put in place last; ``told`` when the audit has it."""
    try:
        return dict(json.loads((state / FOLDER / _DONE).read_bytes()))
    except (OSError, ValueError):
        return None


def told(state: Path) -> None:
    """The audit has it now."""
    if (done := last(state)) is not None:
        write_whole(state / FOLDER / _DONE, json.dumps({**done, "told": True}))


def _stays(name: str) -> bool:
    return name in (FOLDER, "lost+found", f"{backup.STATE}.lock") or name.startswith(_ASIDE)


__all__ = [
    "FOLDER",
    "UPLOADED",
    "forget",
    "is_planned",
    "last",
    "plan",
    "put_in_place",
    "told",
    "unpacked",
]
