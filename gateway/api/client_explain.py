"""Explanations over the local API: why an alarm was raised, and what operators say of that."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from gateway.api.client import Client


class ExplainClient(Client):
    """What can be asked about the why. All raise as `Client` does."""

    def explanation(self, alarm: str, occurrence: int = 0, language: str = "en") -> dict[str, Any]:
        """The explanation of an alarm, as far as it is made.

        Args:
            alarm: The alarm's id.
            occurrence: Which annunciation; 0 is the newest.
            language: ``en`` or ``ja``.
        """
        asked = urlencode({"alarm": alarm, "occurrence": occurrence, "language": language})
        return dict(self._ask("GET", f"/api/alarms/explanation?{asked}"))

    def explain(self, alarm: str, occurrence: int = 0, language: str = "en") -> dict[str, Any]:
        """Have an alarm explained anew; returns what is known until it is."""
        body = {"alarm": alarm, "occurrence": occurrence, "language": language}
        return dict(self._ask("POST", "/api/alarms/explanation", body))

    def judge(self, alarm: str, occurrence: int, verdict: str, **more: Any) -> None:
        """Say of an explanation: right, wrong, or other.

        Args:
            alarm: The alarm's id.
            occurrence: Which annunciation; 0 is the newest.
            verdict: right, wrong or other.
            more: ``cause``, ``said`` and ``actor``.
        """
        body = {"alarm": alarm, "occurrence": occurrence, "verdict": verdict, **more}
        self._ask("POST", "/api/alarms/explanation/feedback", body)

    def similar_cases(
        self, alarm: str, occurrence: int = 0, language: str = "en"
    ) -> list[dict[str, Any]]:
        """Past cases like this one, with what operators said of them."""
        asked = urlencode({"alarm": alarm, "occurrence": occurrence, "language": language})
        return [dict(row) for row in self._ask("GET", f"/api/alarms/explanation/cases?{asked}")]

    def export_explanations(self) -> bytes:
        """All explanations with their facts and feedback, one JSON object a line."""
        return self._get("/api/explanations.jsonl")


__all__ = ["ExplainClient"]
