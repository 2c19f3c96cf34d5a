"""What was, over the local API: trends, stored alarm events and alarm KPIs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from gateway.api.client import Client


class HistoryClient(Client):
    """What can be asked about the past. All raise as `Client` does; times are ns."""

    def history(
        self, tags: Sequence[str], start: int = 0, end: int = 0, points: int = 800
    ) -> dict[str, Any]:
        """Trends of some tags, at most so many points each; see `genba docs history`."""
        asked = {"tags": ",".join(tags), "from": start, "to": end, "points": points}
        return dict(self._ask("GET", f"/api/history?{urlencode(asked)}"))

    def alarm_history(self, **search: Any) -> list[dict[str, Any]]:
        """Stored alarm events, newest first.

        Args:
            search: ``from``, ``to``, ``tag``, ``priority``, ``text``, ``before`` and ``limit``.
        """
        rows = self._ask("GET", f"/api/alarms/history?{urlencode(search)}")
        return [dict(row) for row in rows]

    def alarm_kpi(self, start: int = 0, end: int = 0) -> dict[str, Any]:
        """How well the alarms served their operators; without a start of the last 7 days."""
        asked = urlencode({"from": start, "to": end})
        return dict(self._ask("GET", f"/api/alarms/kpi?{asked}"))
