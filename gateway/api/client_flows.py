"""Flows over the local API: what runs, its revisions, and edits while it runs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from gateway.api.client import Client


class FlowClient(Client):
    """What can be asked about flows. All raise as `Client` does."""

    def flows(self) -> list[dict[str, Any]]:
        """Every flow that runs or has revisions."""
        return [dict(row) for row in self._ask("GET", "/api/flows")]

    def flow(self, name: str) -> dict[str, Any]:
        """One flow with the text of its newest revision."""
        return dict(self._ask("GET", f"/api/flows/{quote(name, safe='')}"))

    def revisions(self, name: str) -> list[dict[str, Any]]:
        """All revisions of a flow, oldest first, without their texts."""
        return [
            dict(row) for row in self._ask("GET", f"/api/flows/{quote(name, safe='')}/revisions")
        ]

    def revision(self, name: str, number: int) -> dict[str, Any]:
        """One revision with its text."""
        return dict(self._ask("GET", f"/api/flows/{quote(name, safe='')}/revisions/{number}"))

    def deploy(
        self, name: str, text: str, actor: str, note: str = "", base: int | None = None
    ) -> dict[str, Any]:
        """Let a text take the place of the flow that runs, or add a flow.

        Args:
            name: The flow's name, which the text has too.
            text: The flow file.
            actor: Who does it: ``user:anna``.
            note: Why, in words.
            base: The revision that was edited; refused when another runs by now.
        """
        body = {"text": text, "actor": actor, "note": note, "base": base}
        return dict(self._ask("POST", f"/api/flows/{quote(name, safe='')}/deploy", body))

    def rollback(
        self, name: str, actor: str, note: str = "", revision: int | None = None
    ) -> dict[str, Any]:
        """Run an old revision again, as a new one; by default the one before."""
        body = {"actor": actor, "note": note, "revision": revision}
        return dict(self._ask("POST", f"/api/flows/{quote(name, safe='')}/rollback", body))

    def remove(self, name: str, actor: str, note: str = "") -> dict[str, Any]:
        """End a flow; its revisions are kept."""
        query = urlencode({"actor": actor, "note": note})
        return dict(self._ask("DELETE", f"/api/flows/{quote(name, safe='')}?{query}"))

    def start_shadow(self, name: str, text: str, actor: str) -> list[str]:
        """Run a text in the shadow of the live flow; returns what did not fit."""
        body = {"text": text, "actor": actor}
        return list(self._ask("POST", f"/api/flows/{quote(name, safe='')}/shadow", body)["said"])

    def shadow(self, name: str) -> dict[str, Any]:
        """How the shadow of a flow stands."""
        return dict(self._ask("GET", f"/api/flows/{quote(name, safe='')}/shadow"))

    def stop_shadow(self, name: str) -> dict[str, Any]:
        """End the shadow of a flow; returns how it stood."""
        return dict(self._ask("DELETE", f"/api/flows/{quote(name, safe='')}/shadow"))


__all__ = ["FlowClient"]
