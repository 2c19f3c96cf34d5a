"""Dashboards: the files of screens and their pictures, beside the state.

A version is the hash of the text, so a file that was edited by hand is just another version and
nobody saves over what they have not seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.data.whole import write_whole
from gateway.engine.store import Store
from gateway.engine.store_records import audit
from gateway.errors import ConfigError, Disconnected, LimitError
from gateway.flow.dashboard import NAME, SUFFIX, Dashboard
from gateway.flow.node import Clock
from gateway.flow.picture import TYPES, name_of

_log = logging.getLogger("genba.dashboards")
FOLDER: Final = "dashboards"
DASHBOARDS_MAX: Final = 200
PICTURES_MAX: Final = 200


class Changed(ConfigError):  # noqa: N818 - what happened, for people
    """Somebody else has saved it since."""


@dataclass(frozen=True)
class Kept:
    """A dashboard as it is on the disk.

    Args:
        version: Of the text.
        text: As it is in the file.
        dashboard: What it says; None when it cannot be read.
        problem: Why not.
    """

    version: str
    text: str
    dashboard: Dashboard | None
    problem: str = ""

    @classmethod
    def of(cls, text: str, name: str) -> Kept:
        """What a text says."""
        version = hashlib.sha256(text.encode()).hexdigest()[:16]
        try:
            dashboard = Dashboard.parse(text, name + SUFFIX)
        except ConfigError as error:
            return cls(version, text, None, str(error))
        return cls(version, text, dashboard)


class Dashboards:
    """All dashboards of a gateway.

    Args:
        state: Folder of its state.
        store: For the audit.
        clock: The time.
    """

    def __init__(self, state: Path, store: Store, clock: Clock) -> None:
        self._folder = state / FOLDER
        self._pictures = self._folder / "pictures"
        self._store = store
        self._clock = clock
        self._lock = asyncio.Lock()

    def names(self) -> list[str]:
        """All there are, in order."""
        found = (p.name.removesuffix(SUFFIX) for p in self._folder.glob(f"*{SUFFIX}"))
        return sorted(name for name in found if NAME.match(name))

    def get(self, name: str) -> Kept | None:
        """One of them; None when there is none of this name."""
        if not NAME.match(name):
            return None
        try:
            return Kept.of((self._folder / (name + SUFFIX)).read_text("utf-8"), name)
        except (OSError, UnicodeDecodeError):
            return None

    def listing(self) -> list[dict[str, Any]]:
        """A row each, with the role that it asks for."""
        rows = []
        for name in self.names():
            kept = self.get(name)
            if kept is None:
                continue
            one = kept.dashboard
            rows.append(
                {
                    "dashboard": name,
                    "title": (one.title if one else "") or name,
                    "about": one.about if one else "",
                    "role": one.role if one else "engineer",
                    "widgets": len(one.widgets) if one else 0,
                    "version": kept.version,
                    "problem": kept.problem,
                }
            )
        return rows

    async def put(self, dashboard: Dashboard, base: str, actor: str) -> Kept:
        """Save one.

        Args:
            dashboard: As it is to be.
            base: The version that was edited; empty for a new one.
            actor: Who saves it.

        Raises:
            Changed: It is not as it was when the editing began.
            LimitError: There are too many.
            Disconnected: It cannot be recorded, or the disk does not take it.
        """
        name = dashboard.dashboard
        async with self._lock:
            old = self.get(name)
            self._same(old, base, name)
            if old is None and len(self.names()) >= DASHBOARDS_MAX:
                raise LimitError("dashboards_max", DASHBOARDS_MAX, "Delete one first.")
            new = Kept.of(dashboard.text(), name)
            detail = {"dashboard": name, "before": base, "after": new.version}
            await audit(self._store, self._clock.now(), actor, "dashboard/save", detail)
            await _written(self._folder / (name + SUFFIX), new.text.encode())
        return new

    async def remove(self, name: str, base: str, actor: str) -> None:
        """Delete one; its text stays in the audit.

        Raises:
            Changed: It is not as it was when it was looked at.
            Disconnected: It cannot be recorded.
        """
        async with self._lock:
            old = self.get(name)
            self._same(old, base, name)
            detail = {"dashboard": name, "text": old.text if old else ""}
            await audit(self._store, self._clock.now(), actor, "dashboard/remove", detail)
            (self._folder / (name + SUFFIX)).unlink(missing_ok=True)

    def _same(self, old: Kept | None, base: str, name: str) -> None:
        if (old.version if old else "") != base:
            what = "has been changed" if old and base else "exists already" if old else "is gone"
            raise Changed(
                f"The dashboard {name!r} {what} meanwhile.",
                hint="Look at it as it is now, then make your change again.",
            )

    # ------------------------------------------------------------------ pictures

    async def add_picture(self, data: bytes, actor: str) -> str:
        """Keep a picture; returns its name. One that is there already stays as it is.

        Raises:
            ConfigError: It is no picture that we show.
            LimitError: There are too many.
            Disconnected: It cannot be recorded.
        """
        name = name_of(data)
        async with self._lock:
            path = self._pictures / name
            if path.exists():
                return name
            if len(self.pictures()) >= PICTURES_MAX:
                raise LimitError("pictures_max", PICTURES_MAX, "Delete a picture first.")
            detail = {"picture": name, "bytes": len(data)}
            await audit(self._store, self._clock.now(), actor, "picture/add", detail)
            await _written(path, data)
        return name

    def pictures(self) -> list[str]:
        """The names of all pictures."""
        kinds = tuple(f".{kind}" for kind in TYPES)
        return sorted(p.name for p in self._pictures.glob("*") if p.name.endswith(kinds))

    def picture(self, name: str) -> tuple[bytes, str] | None:
        """A picture and its type; None when there is none of this name."""
        if name not in self.pictures():  # So no name leads anywhere else.
            return None
        return (self._pictures / name).read_bytes(), TYPES[name.rpartition(".")[2]]

    async def remove_picture(self, name: str, actor: str) -> bool:
        """Delete a picture that no dashboard shows; False when there is none of this name.

        Raises:
            ConfigError: A dashboard shows it.
            Disconnected: It cannot be recorded.
        """
        async with self._lock:
            if name not in self.pictures():
                return False
            users = [n for n in self.names() if (kept := self.get(n)) and name in kept.text]
            if users:
                raise ConfigError(
                    f"The picture is shown on {', '.join(users)}.", hint="Take it off there first."
                )
            detail = {"picture": name}
            await audit(self._store, self._clock.now(), actor, "picture/remove", detail)
            (self._pictures / name).unlink(missing_ok=True)
        return True


async def _written(path: Path, data: bytes) -> None:
    """Have a file on the disk, whole or not at all.

    Raises:
        Disconnected: The disk does not take it.
    """
    try:
        await asyncio.to_thread(_write, path, data)
    except OSError as error:
        raise Disconnected(
            f"{path.name} cannot be written ({error.strerror}). Is the disk full? Try again."
        ) from error


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)


def seed(state: Path, places: Iterable[Path]) -> None:
    """Copy the dashboards beside the flows, once: where there is no folder of dashboards yet.

    Args:
        state: Folder of the gateway's state.
        places: Flow files and folders of them.
    """
    folder = state / FOLDER
    if folder.exists():
        return
    for place in places:
        home = place if place.is_dir() else place.parent
        for path in sorted(home.glob(f"*{SUFFIX}")):
            try:
                text = path.read_text("utf-8")
                Dashboard.parse(text, path.name)
            except (ConfigError, OSError, UnicodeDecodeError) as error:
                _log.error("A dashboard is not taken: %s", error)
                continue
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / path.name, text)


__all__ = ["Changed", "Dashboards", "Kept", "seed"]
