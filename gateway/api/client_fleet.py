"""The fleet over the local API: other gateways, whom this one trusts, and pushes."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gateway.api.client_flows import FlowClient


class FleetClient(FlowClient):
    """What can be asked about other gateways. All raise as `Client` does."""

    def fleet(self) -> dict[str, Any]:
        """This gateway (``self``) and every other one (``peers``), as they were last."""
        return dict(self._ask("GET", "/api/fleet"))

    def put_peer(self, name: str, **what: Any) -> str:
        """Look at one more gateway; see `PeerBody` for what there is to say of it."""
        return str(self._ask("PUT", f"/api/fleet/peers/{quote(name, safe='')}", what)["text"])

    def remove_peer(self, name: str) -> str:
        """Look at one no more; returns what became of it, in a sentence."""
        return str(self._ask("DELETE", f"/api/fleet/peers/{quote(name, safe='')}")["text"])

    def identity(self) -> dict[str, str]:
        """What others need to trust this gateway: ``certificate`` and ``key``, PEM."""
        return dict(self._ask("GET", "/api/fleet/identity"))

    def new_fleet_key(self) -> str:
        """Make the key that this gateway signs flows with; returns its public part, PEM."""
        return str(self._ask("POST", "/api/fleet/key")["key"])

    def trust(self) -> dict[str, Any]:
        """Whom this gateway trusts: ``centres`` and ``keys``."""
        return dict(self._ask("GET", "/api/fleet/trust"))

    def believe(self, kind: str, name: str, pem: str) -> str:
        """Trust a gateway (``centres``) or a key (``keys``); returns a sentence."""
        path = f"/api/fleet/trust/{kind}/{quote(name, safe='')}"
        return str(self._ask("PUT", path, {"pem": pem})["text"])

    def doubt(self, kind: str, name: str) -> str:
        """Trust one no more; returns a sentence."""
        return str(self._ask("DELETE", f"/api/fleet/trust/{kind}/{quote(name, safe='')}")["text"])

    def push(self, **what: Any) -> dict[str, Any]:
        """Send a flow to a group; see `PushBody`."""
        return dict(self._ask("POST", "/api/fleet/pushes", what))

    def pushes(self) -> list[dict[str, Any]]:
        """All pushes that are kept, newest last."""
        return [dict(row) for row in self._ask("GET", "/api/fleet/pushes")]

    def one_push(self, id: str) -> dict[str, Any]:
        """How far a push has come."""
        return dict(self._ask("GET", f"/api/fleet/pushes/{quote(id, safe='')}"))

    def stop_push(self, id: str) -> str:
        """End a push; returns a sentence."""
        return str(self._ask("DELETE", f"/api/fleet/pushes/{quote(id, safe='')}")["text"])


__all__ = ["FleetClient"]
