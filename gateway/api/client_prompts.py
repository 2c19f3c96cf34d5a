"""The library of prompts over the local API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gateway.api.client import Client


class PromptClient(Client):
    """What can be asked about prompts. All raise as `Client` does."""

    def prompts(self) -> dict[str, Any]:
        """Shared texts with their users and authors, and all prompts in flows with their rules."""
        return dict(self._ask("GET", "/api/prompts"))

    def prompt(self, name: str) -> dict[str, Any]:
        """A shared text with its versions, newest first."""
        return dict(self._ask("GET", _path(name)))

    def save_prompt(self, name: str, text: str, base: str, note: str = "") -> str:
        """Save a shared text; returns its version.

        Args:
            name: Of the text.
            text: A template.
            base: The version that was edited; empty for a new one.
            note: Why, in words.
        """
        body = {"text": text, "base": base, "note": note}
        return str(self._ask("PUT", _path(name), body)["version"])

    def remove_prompt(self, name: str, base: str) -> None:
        """Delete a shared text that no flow uses, as long as it is still this version."""
        self._ask("DELETE", f"{_path(name)}?base={quote(base, safe='')}")

    def try_prompt(
        self,
        data: Mapping[str, Any],
        *,
        text: str = "",
        flow: str = "",
        node: str = "",
        topic: str = "",
    ) -> dict[str, Any]:
        """What would be asked about an event, by a text or by the prompts of a node."""
        body = {"text": text, "flow": flow, "node": node, "topic": topic, "data": dict(data)}
        return dict(self._ask("POST", "/api/prompts/preview", body))


def _path(name: str) -> str:
    return f"/api/prompts/{quote(name, safe='')}"


__all__ = ["PromptClient"]
