"""Routes of alarms: the open ones, all of them, and what operators do about them."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.api.gate import actor_of, allow, needs
from gateway.api.messages import AlarmAction
from gateway.api.told import Language, told
from gateway.engine.roles import SUPPRESSING
from gateway.engine.runtime import Runtime


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def add(app: FastAPI, runtime: Runtime) -> None:
    """Alarms, and what operators do about them."""

    @app.get("/api/alarms")
    @needs("alarm.read")
    async def alarms(all: bool = False, language: Language = "en") -> Response:
        events = runtime.book.history() if all else runtime.book.open()
        rows = [runtime.book.row(event) for event in events]
        return _json(await told(rows, language))

    @app.post("/api/alarms/action")
    @needs("alarm.act")
    async def act(action: AlarmAction, request: Request) -> Response:
        if action.action in SUPPRESSING:
            await allow(request, "alarm.suppress")
        if action.action == "shelve" and not action.reason:
            return PlainTextResponse("Say why it is shelved (reason).", 422)
        if action.alarm != "*" and action.action == "ack" and not runtime.book.get(action.alarm):
            return PlainTextResponse(f"No open alarm is called {action.alarm!r}.", 404)
        data = {**action.data(), "actor": actor_of(request, action.actor)}
        if not await runtime.act(action.action, data):
            return PlainTextResponse(f"No node has an alarm {action.alarm!r}.", 404)
        return _json({"done": True, "actor": data["actor"]})


__all__ = ["add"]
