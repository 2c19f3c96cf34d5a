"""Client: talks to the local API of a running gateway."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import ConfigError, Disconnected, Rejected

URL: Final = "http://127.0.0.1:8780"
"""Where a gateway on this machine answers unless it was told otherwise."""
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


class Client:
    """HTTP and JSON to one gateway, nothing kept between two calls.

    Args:
        url: The gateway's address; by default ``$GENBA_API``, else this machine's.
        timeout_s: How long to wait for an answer [s].

    Raises:
        ConfigError: The address is not one of HTTP.
    """

    def __init__(self, url: str | None = None, *, timeout_s: float = 10.0) -> None:
        self.url = (url or os.environ.get("GENBA_API") or URL).rstrip("/")
        self._timeout_s = timeout_s
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(
                f"{self.url!r} is no address of a gateway.", hint=f"Write it like {URL}."
            )

    def alarms(self, *, history: bool = False) -> list[dict[str, Any]]:
        """Open alarms, or the last events of all alarms, oldest first."""
        rows = self._ask("GET", "/api/alarms?all=true" if history else "/api/alarms")
        return [dict(row) for row in rows]

    def act(self, action: str, alarm: str, actor: str, **more: Any) -> dict[str, Any]:
        """Do something with an alarm: ack, reset, shelve, unshelve and the like.

        Args:
            action: What to do.
            alarm: The alarm's id, or ``*`` for all.
            actor: Who does it: ``user:anna``.
            more: What the action needs, such as ``occurrence``, ``for_s`` and ``reason``.
        """
        body = {"action": action, "alarm": alarm, "actor": actor, **more}
        return dict(self._ask("POST", "/api/alarms/action", body))

    def status(self) -> dict[str, Any]:
        """How the gateway is."""
        return dict(self._ask("GET", "/api/status"))

    def tags(self) -> list[dict[str, Any]]:
        """Every tag with its newest value."""
        return [dict(row) for row in self._ask("GET", "/api/tags")]

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request.

        Raises:
            Disconnected: Nobody answers there, or something that is no gateway.
            Rejected: The gateway refuses; the message is its own.
        """
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            self.url + path,
            data,
            {"Accept": "application/json", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310
                return json.loads(answer.read(ANSWER_BYTES_MAX))
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(10_000).decode(errors="replace").strip()
            raise Rejected(text or f"The gateway answered {error.code} {error.reason}.") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Disconnected(
                f"No gateway answers at {self.url} ({reason}). "
                "Is `genba run` running? Another address is given with --api."
            ) from error
