"""Setpoints and write grants over the local API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gateway.api.client import Client


class SetpointClient(Client):
    """What can be asked about setpoints. All raise as `Client` does."""

    def arm(
        self, tag: str, value: float, *, flow: str = "", node: str = "", cause: str = ""
    ) -> dict[str, Any]:
        """What a write would do, with a ``token`` when every check holds.

        Args:
            tag: The tag.
            value: In the tag's unit.
            flow: The flow, where several can write it.
            node: The sink, likewise.
            cause: Why, in words.
        """
        body = {"tag": tag, "value": value, "flow": flow, "node": node, "cause": cause}
        return dict(self._ask("POST", "/api/setpoints/arm", body))

    def confirm(self, token: str) -> dict[str, Any]:
        """Have it written, once; ask `setpoint` what came of it."""
        return dict(self._ask("POST", "/api/setpoints/confirm", {"token": token}))

    def setpoint(self, number: str) -> dict[str, Any]:
        """One setpoint as it stands."""
        return dict(self._ask("GET", f"/api/setpoints/{quote(number, safe='')}"))

    def setpoints(self) -> list[dict[str, Any]]:
        """The last setpoints, newest first."""
        return [dict(row) for row in self._ask("GET", "/api/setpoints")]

    def grants(self) -> dict[str, Any]:
        """All write ``grants``, and which are ``damaged``."""
        return dict(self._ask("GET", "/api/grants"))

    def put_grant(self, grant: Mapping[str, Any]) -> int:
        """Make or change a grant; returns the number of its revision."""
        path = f"/api/grants/{quote(str(grant['id']), safe='')}"
        return int(self._ask("PUT", path, grant)["revision"])

    def remove_grant(self, name: str) -> int:
        """End a grant; returns the number of the revision that says so."""
        return int(self._ask("DELETE", f"/api/grants/{quote(name, safe='')}")["revision"])

    def login(self, name: str, password: str) -> None:
        """Act as an account from here on, instead of as this machine."""
        self.cookie = self.cookie_of(name, password)


__all__ = ["SetpointClient"]
