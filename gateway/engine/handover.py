"""Handover: a release that came over the API is handed to root, who installs it.

The engine may not change what it runs from: it has no rights there. It checks the signature,
then leaves a file that says what is wanted. `genba-update.path` sees it and starts
`genba-update.service` as root, which runs `genba update take`: that copies the file to where only
root writes, checks the signature again there, and goes the way of `genba update install`. What
came of it stands in a file that everybody may read and only root writes.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from gateway.data.whole import write_whole
from gateway.engine.release import BASE, KEYS, Release, verified
from gateway.errors import ConfigError, Rejected

FOLDER: Final = "update"
UPLOADED: Final = "uploaded"
WANTED: Final = "wanted.json"
RESULT: Final = "update.json"
UNIT: Final = Path("/etc/systemd/system/genba-update.path")
STATE: Final = Path("/var/lib/genba")
"""The state that the unit looks at."""
RELEASE_BYTES_MAX: Final = 1 << 30
_WANTED_BYTES_MAX: Final = 4096
Action = Literal["install", "rollback"]


class Handover:
    """What this gateway can be updated to, and how that went.

    Args:
        state: Folder of the state.
        base: Where releases are.
        keys: Public keys of those whose releases are trusted.
        unit: The unit that sees what is wanted; without it nobody does.
        seen: The folder that it looks at.
    """

    def __init__(
        self,
        state: Path,
        base: Path = BASE,
        keys: Path = KEYS,
        unit: Path = UNIT,
        seen: Path = STATE,
    ) -> None:
        self.folder = state / FOLDER
        self.uploaded = self.folder / UPLOADED
        self._state, self._base, self._keys = state, base, keys
        self._unit, self._seen = unit, seen
        self._release: Release | None = None

    def why_not(self) -> str:
        """Why this gateway cannot be updated from a browser; empty when it can."""
        if not (self._base / "current").is_symlink():
            return (
                "This gateway does not run from a release in /opt/genba, so it cannot exchange "
                "itself. Update it the way it was installed; `genba install` makes an appliance."
            )
        if self._state != self._seen or not self._unit.exists():
            return (
                "The service that installs releases is not on this machine. An older Genba "
                "installed it: run `sudo genba install` once, then this works."
            )
        if not self._trusted():
            return (
                "This gateway trusts nobody's releases yet. Put the public key of who signs them "
                f"into {self._keys}, as a file that ends with .pub."
            )
        return ""

    def row(self) -> dict[str, Any]:
        """All of it as plain values."""
        name = self._target("current")
        before = self._target("previous")
        return {
            "why_not": self.why_not(),
            "current": name,
            "previous": before if before != name else "",
            "keys": [path.stem for path in self._trusted()],
            "uploaded": self._uploaded(),
            "is_wanted": (self.folder / WANTED).exists(),
            "last": self.last(),
            "bytes_max": RELEASE_BYTES_MAX,
        }

    def check(self) -> Release:
        """Look at what was uploaded; what is not trusted is removed at once.

        Raises:
            Rejected: It is no release, was altered, or nobody trusted signed it.
            ConfigError: It cannot be read.
        """
        self._release = None
        try:
            self._release = verified(self.uploaded, self._trusted())
        except (Rejected, ConfigError) as error:
            self.forget()
            raise type(error)(str(error).replace(str(self.uploaded), "This file")) from error
        return self._release

    def want(self, action: Action, name: str, actor: str, now: int) -> None:
        """Hand over to root.

        Args:
            action: What is wanted.
            name: The release: what was uploaded, or what ran before.
            actor: Who wants it.
            now: The time [ns].

        Raises:
            ConfigError: It cannot be done, or another one is in progress.
            OSError: The disk refused.
        """
        if why := self.why_not():
            raise ConfigError(why)
        row = self.row()
        there = row["uploaded"]["name"] if row["uploaded"] else ""
        if name != (there if action == "install" else row["previous"]) or not name:
            raise ConfigError(f"There is no release {name!r} here to {action}.")
        if row["is_wanted"] or (row["last"] or {}).get("state") == "running":
            raise ConfigError("An update is in progress. Wait until it says how it went.")
        text = json.dumps({"action": action, "name": name, "actor": actor, "at": now})
        write_whole(self.folder / WANTED, text)

    def forget(self) -> None:
        """Remove what was uploaded."""
        self._release = None
        self.uploaded.unlink(missing_ok=True)

    def last(self) -> dict[str, Any] | None:
        """How the last update went, or goes: state (running, done, failed), text, release, at."""
        try:
            return dict(json.loads((self._base / RESULT).read_bytes()))
        except (OSError, ValueError):
            return None

    def is_told(self, at: int) -> bool:
        """Whether the audit knows of the update that was wanted then."""
        try:
            return (self.folder / "told").read_text() == str(at)
        except OSError:
            return False

    def tell(self, at: int) -> None:
        """The audit knows it now."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        (self.folder / "told").write_text(str(at))

    def _uploaded(self) -> dict[str, Any] | None:
        if self._release is None or not self.uploaded.exists():
            return None
        size = self.uploaded.stat().st_size
        return {"name": self._release.name, "key": self._release.key, "bytes": size}

    def _trusted(self) -> list[Path]:
        try:
            return sorted(self._keys.glob("*.pub"))
        except OSError:
            return []

    def _target(self, link: str) -> str:
        try:
            return (self._base / link).readlink().name
        except OSError:
            return ""


def taken(state: Path, into: Path) -> dict[str, Any] | None:
    """As root: take over what is wanted, with the file, to where only root writes.

    The folder is another user's, so nothing in it is believed: no link is followed, nothing but
    plain files is read, and all of it is bounded.

    Args:
        state: Folder of the gateway's state.
        into: Where the file goes.

    Returns: action, name, actor and at; None when nothing is wanted.

    Raises:
        ConfigError: What is there is nothing that this program has written.
        OSError: It cannot be read or written.
    """
    folder = os.open(state / FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            text = _read(folder, WANTED, _WANTED_BYTES_MAX)
        except FileNotFoundError:
            return None
        os.unlink(WANTED, dir_fd=folder)  # First: the unit looks again when this ends.
        wanted = _understood(text)
        if wanted["action"] == "install":
            _copy(folder, UPLOADED, into)
            os.unlink(UPLOADED, dir_fd=folder)
        return wanted
    finally:
        os.close(folder)


def _understood(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
        wanted = {name: found[name] for name in ("action", "name", "actor", "at")}
        is_right = (
            wanted["action"] in ("install", "rollback")
            and re.fullmatch(r"[0-9A-Za-z.+-]{1,100}", wanted["name"]) is not None
            and isinstance(wanted["actor"], str)
            and isinstance(wanted["at"], int)
        )
    except (ValueError, KeyError, TypeError):
        is_right = False
    if not is_right:
        raise ConfigError("What is wanted cannot be understood; nothing was done.")
    return {**wanted, "actor": wanted["actor"][:200]}


def _open(folder: int, name: str) -> int:
    number = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise ConfigError(f"{name} is no plain file; nothing was done.")
    return number


def _read(folder: int, name: str, bytes_max: int) -> bytes:
    with os.fdopen(_open(folder, name), "rb") as file:
        return file.read(bytes_max)


def _copy(folder: int, name: str, into: Path) -> None:
    into.unlink(missing_ok=True)
    size = 0
    with os.fdopen(_open(folder, name), "rb") as file, into.open("xb") as out:
        while part := file.read(1 << 20):
            size += len(part)
            if size > RELEASE_BYTES_MAX:
                raise ConfigError(f"A release has {RELEASE_BYTES_MAX:,} bytes at most.")
            out.write(part)
        out.flush()
        os.fsync(out.fileno())


def write_result(base: Path, about: Mapping[str, Any]) -> None:
    """As root: say how it goes, to all who can read it."""
    write_whole(base / RESULT, json.dumps(dict(about)), 0o644)


__all__ = ["FOLDER", "RELEASE_BYTES_MAX", "Handover", "taken", "write_result"]
