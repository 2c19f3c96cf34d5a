"""All that makes a gateway what it should be, over its API: flows, dashboards and accounts."""

from __future__ import annotations

from urllib.parse import quote

from gateway.api.client_accounts import AccountClient
from gateway.api.client_flows import FlowClient


class WantedClient(FlowClient, AccountClient):
    """What can be asked about flows, accounts and dashboards. All raise as `Client` does."""

    def running_flows(self) -> dict[str, str]:
        """The texts of the flows that run, by name."""
        names = [str(row["flow"]) for row in self.flows() if row["state"] == "running"]
        return {name: str(self.flow(name)["text"]) for name in names}

    def dashboards(self) -> dict[str, str]:
        """The texts of the dashboards, by name."""
        names = [str(row["name"]) for row in self._ask("GET", "/api/dashboards")]
        return {name: str(self._dashboard(name)["text"]) for name in names}

    def put_dashboard(self, name: str, text: str, *, is_new: bool) -> None:
        """Save a dashboard in the place of the one that is there."""
        base = "" if is_new else self._dashboard(name)["version"]
        self._ask("PUT", f"/api/dashboards/{quote(name, safe='')}", {"text": text, "base": base})

    def remove_dashboard(self, name: str) -> None:
        """Remove a dashboard."""
        base = self._dashboard(name)["version"]
        self._ask("DELETE", f"/api/dashboards/{quote(name, safe='')}?base={base}")

    def _dashboard(self, name: str) -> dict[str, str]:
        return dict(self._ask("GET", f"/api/dashboards/{quote(name, safe='')}"))
