"""Models over the local API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gateway.api.client import Client


class ModelClient(Client):
    """What can be asked about models. All raise as `Client` does."""

    def models(self) -> dict[str, Any]:
        """All models with how they are, rules, files, and the list as text."""
        return dict(self._ask("GET", "/api/models"))

    def set_models(self, text: str, base: str | None = None) -> str:
        """Save a whole list; returns what became of it, in a sentence."""
        return str(self._ask("PUT", "/api/models", {"text": text, "base": base})["text"])

    def add_model(self, name: str, options: Mapping[str, Any]) -> str:
        """Add a model, or put it in the place of one."""
        path = f"/api/models/{quote(name, safe='')}"
        return str(self._ask("PUT", path, {"options": dict(options)})["text"])

    def remove_model(self, name: str) -> str:
        """Take a model out of the list."""
        return str(self._ask("DELETE", f"/api/models/{quote(name, safe='')}")["text"])

    def try_model(self, text: str, **more: Any) -> dict[str, Any]:
        """Ask one; the answer with why it came from where it came."""
        return dict(self._ask("POST", "/api/models/try", {"text": text, **more}))

    def forget_answers(self) -> str:
        """Drop all answers that are kept."""
        return str(self._ask("POST", "/api/models/forget", {})["text"])


__all__ = ["ModelClient"]
