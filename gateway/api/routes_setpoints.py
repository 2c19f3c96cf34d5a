"""Routes of write grants and setpoints: list, change; arm, confirm, see what came of it."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.api.gate import Access, actor_of, needs, who_of
from gateway.api.messages_setpoints import Arm, ConfirmSetpoint
from gateway.engine.runtime import Runtime
from gateway.errors import LimitError, Rejected
from gateway.flow.grant import Grant


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def add(app: FastAPI, runtime: Runtime, access: Access) -> None:
    """Declare the routes over a running gateway."""
    desk = runtime.setpoints

    def may_still(account: str) -> bool:
        found = access.accounts.all.get(account)
        return found is not None and found.is_writer and not found.is_disabled

    desk.may_still = may_still
    _add_grants(app, runtime)

    @app.get("/api/setpoints")
    @needs("setpoint.read")
    async def listed() -> Response:
        return _json(desk.rows())

    @app.get("/api/setpoints/{id}")
    @needs("setpoint.read")
    async def one(id: str) -> Response:
        if not desk.knows(id):
            return PlainTextResponse(f"There is no setpoint {id!r} among the last ones.", 404)
        return _json(desk.row(id))

    @app.post("/api/setpoints/arm")
    @needs("setpoint.write")
    async def arm(body: Arm, request: Request) -> Response:
        who = who_of(request)
        try:
            found = await desk.arm(who, body.tag, body.value, body.flow, body.node, body.cause)
        except LimitError as error:
            return PlainTextResponse(str(error), 429)
        return _json(found)

    @app.post("/api/setpoints/confirm")
    @needs("setpoint.write")
    async def confirm(body: ConfirmSetpoint, request: Request) -> Response:
        try:
            return _json(await desk.confirm(who_of(request), body.token))
        except Rejected as error:
            return PlainTextResponse(str(error), 409)


def _add_grants(app: FastAPI, runtime: Runtime) -> None:
    book = runtime.setpoints.book

    @app.get("/api/grants")
    @needs("setpoint.read")
    async def grants() -> Response:
        return _json({"grants": book.rows(), "damaged": book.damaged})

    @app.put("/api/grants/{id}")
    @needs("grant.edit")
    async def put(id: str, body: Grant, request: Request) -> Response:
        if body.id != id:
            return PlainTextResponse(f"The grant is called {body.id!r}, the address {id!r}.", 422)
        number = await book.put(actor_of(request), body)
        return _json({"id": id, "revision": number})

    @app.delete("/api/grants/{id}")
    @needs("grant.edit")
    async def remove(id: str, request: Request) -> Response:
        return _json({"id": id, "revision": await book.remove(actor_of(request), id)})
