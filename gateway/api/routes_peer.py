"""Routes of the fleet, for other gateways: how this one is, and flows that are handed over.

Where the door of the fleet is open, they answer there only: it asks for a certificate that an
administrator of this gateway trusts.
"""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.api.gate import Forbidden, actor_of, needs, who_of
from gateway.api.scope import FLEET
from gateway.engine.fleet import Fleet
from gateway.engine.fleet_parcel import Sealed
from gateway.engine.runtime import Runtime
from gateway.errors import Rejected


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def add(app: FastAPI, runtime: Runtime, fleet: Fleet) -> None:
    """Declare the routes over a running gateway."""

    def asked_by(request: Request) -> str:
        """Who hands over, for the audit: the account of the token, and whose certificate it was.

        Raises:
            Forbidden: It does not come by the door of the fleet, which is open.
        """
        shown = request.scope.get(FLEET)
        if shown is None:
            if fleet.needs_door and not who_of(request).is_named:
                raise Forbidden("Other gateways come by the door of the fleet (fleet_listen).")
            return actor_of(request)
        return f"{actor_of(request)} at {fleet.trust.centre_of(shown) or shown[:16]}"

    @app.get("/api/fleet/self")
    @needs("peer.read")
    async def self(request: Request) -> Response:
        asked_by(request)
        return _json(fleet.mirror.summary())

    @app.post("/api/fleet/flows", response_model=None)
    @needs("peer.take")
    async def take(body: Sealed, request: Request) -> Response:
        try:
            return _json(await fleet.taker.take(body, asked_by(request)))
        except Rejected as error:
            return PlainTextResponse(str(error), 422)

    @app.post("/api/fleet/flows/back", response_model=None)
    @needs("peer.take")
    async def back(body: Sealed, request: Request) -> Response:
        try:
            return _json(await fleet.taker.undo(body, asked_by(request)))
        except Rejected as error:
            return PlainTextResponse(str(error), 422)


__all__ = ["add"]
