"""Restores: a backup that comes in pieces over the API, how far it is, and when it is put in place.

One at a time. What was uploaded is forgotten when the gateway ends, unless it is on its way to
its place; the passphrase is kept nowhere.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from gateway.data.tasks import Tasks
from gateway.engine import restoring, uploads
from gateway.errors import ConfigError, Disconnected, GatewayError
from gateway.flow.node import Clock

_log = logging.getLogger("genba.restore")
BACKUP_BYTES_MAX: Final = 16 << 30
State = Literal["none", "uploading", "uploaded", "checking", "checked", "planned"]
Say = Callable[[str, str, Mapping[str, Any]], Awaitable[None]]
"""Writes who did what with which detail into the audit."""


class Restores:
    """The backup that is about to take the place of the state.

    Args:
        state: Folder of the state.
        clock: The time.
        say: The audit.
        can_restart: Whether what runs this gateway starts it again when it asks for that.
    """

    def __init__(self, state: Path, clock: Clock, say: Say, *, can_restart: bool) -> None:
        self._folder, self._clock, self._say = state, clock, say
        self._can_restart = can_restart
        self._tasks = Tasks("restore")
        self.state: State = "none"
        self.text = ""
        """Why the last step came to nothing; empty when it did not."""
        self._size = 0
        self._about: dict[str, Any] | None = None
        self.again = asyncio.Event()
        """Set when this gateway is to end and to be started anew."""
        restoring.forget(state)

    def row(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "why_not": self.why_not(),
            "name": socket.gethostname(),
            "state": self.state,
            "text": self.text,
            "bytes": self._size,
            "about": self._about,
            "last": restoring.last(self._folder),
            "bytes_max": BACKUP_BYTES_MAX,
        }

    def why_not(self) -> str:
        """Why it cannot be done from a browser; empty when it can."""
        if self._can_restart:
            return ""
        return (
            "Nothing would start this gateway anew, as in a demonstration. Stop it and use "
            "`genba restore`."
        )

    async def upload(self, parts: AsyncIterator[bytes], length: int, actor: str) -> None:
        """Take the file in; one that was there is replaced.

        Raises:
            ConfigError: It cannot be done now, it is too large, or it was cut.
            Disconnected: There is no room for it.
        """
        self._must_be("none", "uploaded", "checked")
        restoring.forget(self._folder)
        self.state, self._about, self.text = "uploading", None, ""
        try:
            await self._say(actor, "restore/upload", {"bytes": length})
            path = self._folder / restoring.FOLDER / restoring.UPLOADED
            await uploads.take(parts, length, path, BACKUP_BYTES_MAX)
            self.state, self._size = "uploaded", length
        finally:
            if self.state == "uploading":
                self.state = "none"

    def check(self, passphrase: str, actor: str) -> None:
        """Begin to unpack and check it; `row` says how that goes.

        Raises:
            ConfigError: Nothing was uploaded, or it cannot be done now.
            Disconnected: There is no room to unpack it.
        """
        self._must_be("uploaded", "checked")
        uploads.must_fit(self._folder, self._size, BACKUP_BYTES_MAX)
        self.state, self.text, self._about = "checking", "", None
        self._tasks.start("check", self._checked(passphrase, actor))

    async def _checked(self, passphrase: str, actor: str) -> None:
        try:
            about = await asyncio.to_thread(restoring.unpacked, self._folder, passphrase)
            await self._say(actor, "restore/check", about)
            self.state, self._about = "checked", about
        except (GatewayError, OSError) as error:
            self.text = str(error)
            self.state = "uploaded"
            try:
                await self._say(actor, "restore/refused", {"why": str(error)[:500]})
            except Disconnected as away:
                _log.error("The audit cannot be written: %s", away)

    async def apply(self, name: str, actor: str) -> None:
        """Put it in its place: this gateway ends and starts anew with it.

        Args:
            name: The name of this gateway, as the person typed it.
            actor: Who wants it.

        Raises:
            ConfigError: The name is not this gateway's, or there is nothing checked.
            Disconnected: The disk refused.
        """
        self._must_be("checked")
        if name != socket.gethostname():
            raise ConfigError(f"This gateway is not called {name!r}. Nothing was done.")
        assert self._about is not None
        await self._say(actor, "restore/begin", self._about)
        try:
            restoring.plan(self._folder, self._clock.now(), actor, self._about)
        except OSError as error:
            raise Disconnected(f"The disk refused: {error.strerror}. Nothing was done.") from error
        self.state = "planned"
        _log.warning("%s puts a backup in the place of the state; starting anew.", actor)
        # The answer goes out before this ends.
        asyncio.get_running_loop().call_later(0.5, self.again.set)

    async def forget(self, actor: str) -> None:
        """Remove what was uploaded.

        Raises:
            ConfigError: It cannot be done now.
        """
        if self.state == "none":
            return
        self._must_be("uploaded", "checked")
        await self._say(actor, "restore/forget", {})
        restoring.forget(self._folder)
        self.state, self._about, self.text, self._size = "none", None, "", 0

    async def tell(self) -> None:
        """Write into the audit of what was restored by whom it was, once.

        Raises:
            Disconnected: It cannot be written now.
        """
        done = restoring.last(self._folder)
        if done is not None and not done.get("told"):
            kept: dict[str, Any] = {name: done.get(name) for name in ("made", "version", "aside")}
            await self._say(str(done.get("actor", "")), "restore/done", kept)
            restoring.told(self._folder)

    async def stop(self) -> None:
        """End what runs."""
        await self._tasks.stop()

    def _must_be(self, *states: State) -> None:
        if why := self.why_not():
            raise ConfigError(why)
        if self.state not in states:
            words = {
                "none": "No backup was uploaded yet.",
                "uploading": "A backup is being uploaded. Wait until it is there.",
                "uploaded": "The backup was not checked yet.",
                "checking": "The backup is being checked. Wait until it says how that went.",
                "checked": "The backup is checked already.",
                "planned": "The backup is put in place just now.",
            }
            raise ConfigError(words[self.state])


__all__ = ["BACKUP_BYTES_MAX", "Restores"]
