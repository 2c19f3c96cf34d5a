"""Ways: how people and other gateways reach the gateway that `genba run` has started."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from gateway.cli._values import WANTED
from gateway.cli.screens import Screens
from gateway.data.tasks import Tasks
from gateway.engine.runtime import Runtime

_log = logging.getLogger("genba.run")


class Ways:
    """The screens, the door of the fleet, and what the fleet is told.

    Args:
        screens: For people; None when they are off.
        door: For other gateways; None when it is off or another process has it.
        wanted: Folder of what this gateway should be.
        needs_door: Other gateways must come by the door.
        can_restart: Whether what runs this starts it anew when it is asked to.
        also: What else runs beside the gateway.
    """

    def __init__(
        self,
        screens: Screens | None = None,
        door: Screens | None = None,
        wanted: Path = WANTED,
        *,
        needs_door: bool = False,
        can_restart: bool = False,
        also: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._screens = screens
        self._door = door
        self._wanted = wanted
        self._needs_door = needs_door
        self._can_restart = can_restart
        self._also = also
        self._server: Any = None

    def server(self, api: Any, runtime: Runtime, port: int, *, always: bool) -> Any:
        """The API of a gateway, which is not served yet.

        Raises:
            ConfigError: See `gateway.api.server.Server`.
        """
        shown = self._screens
        self._server = api.Server(
            runtime,
            port,
            always=always or (shown is not None and shown.is_tls) or self._needs_door,
            screens=shown.url if shown else "",
            differ=self._differ,
            needs_door=self._needs_door,
            can_restart=self._can_restart,
        )
        return self._server

    def _differ(self) -> list[dict[str, Any]] | None:
        """How this gateway differs from what it should be; on a thread."""
        from gateway.api.client_wanted import WantedClient
        from gateway.cli._wanted import differ

        def client() -> WantedClient:
            found = WantedClient(self._server.url)
            found.token = self._server.access.local_token
            return found

        return differ(self._wanted, client)

    def open(self, tasks: Tasks) -> None:
        """Let people and other gateways in."""
        if self._also is not None:
            tasks.start("also", self._also())
        for name, what, one in (
            ("screens", "The screens are", self._screens),
            ("door", "Other gateways come in", self._door),
        ):
            if one is None:
                continue
            tasks.start(name, one.run())
            _log.info("%s at %s", what, one.url)
            if one.fingerprint:
                _log.info("The certificate has the SHA-256 fingerprint %s", one.fingerprint)


__all__ = ["Ways"]
