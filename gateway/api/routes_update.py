"""Routes of an update: a signed release is uploaded, checked, and handed to root."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.gate import actor_of, needs
from gateway.api.messages import Done
from gateway.api.routes_restore import length_of
from gateway.engine import uploads
from gateway.engine.handover import RELEASE_BYTES_MAX, Action, Handover
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit
from gateway.errors import ConfigError, Disconnected, Rejected

FILE = "/api/update/file"
Say = Callable[[Request, str, Mapping[str, Any]], Awaitable[None]]
"""Writes what somebody did with which detail into the audit."""


class Named(BaseModel):
    """Which release; named by who saw it, so that no other one is run."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=100, description="As `GET /api/update` calls it.")


def add(app: FastAPI, runtime: Runtime, handover: Handover) -> None:
    """Declare the routes."""

    async def say(request: Request, action: str, detail: Mapping[str, Any]) -> None:
        await audit(runtime.store, runtime.clock.now(), actor_of(request), action, detail)

    _add_file(app, handover, say)

    @app.get("/api/update")
    @needs("update.read")
    async def state() -> dict[str, Any]:
        return await asyncio.to_thread(handover.row)

    @app.post("/api/update/install")
    @needs("update.install")
    async def install(body: Named, request: Request) -> Done:
        return await want(request, "install", body.name)

    @app.post("/api/update/rollback")
    @needs("update.install")
    async def rollback(body: Named, request: Request) -> Done:
        return await want(request, "rollback", body.name)

    async def want(request: Request, action: Action, name: str) -> Done:
        now = handover.row()["current"]
        await say(request, f"update/{action}", {"release": name, "before": now})
        try:
            handover.want(action, name, actor_of(request), runtime.clock.now())
        except OSError as error:
            raise Disconnected(f"The disk refused: {error.strerror}. Nothing was done.") from error
        return Done(text=f"{name} takes the place of {now}. The screens go away for it.")


def _add_file(app: FastAPI, handover: Handover, say: Say) -> None:
    taking = asyncio.Lock()

    @app.put(FILE)
    @needs("update.install")
    async def upload(request: Request) -> Response:
        length = length_of(request)
        if not length:
            return PlainTextResponse("Say how long the file is (Content-Length).", 411)
        if why := handover.why_not():
            raise ConfigError(why)
        if taking.locked():
            raise ConfigError("Another release is being uploaded. Wait until it is there.")
        async with taking:
            handover.forget()
            await uploads.take(request.stream(), length, handover.uploaded, RELEASE_BYTES_MAX)
            try:
                release = await asyncio.to_thread(handover.check)
            except (Rejected, ConfigError) as error:
                await say(request, "update/refused", {"bytes": length, "why": str(error)})
                return PlainTextResponse(str(error), 422)
            detail = {"release": release.name, "key": release.key, "bytes": length}
            await say(request, "update/upload", detail)
        return Response(status_code=204)

    @app.delete(FILE)
    @needs("update.install")
    async def forget(request: Request) -> Done:
        if handover.uploaded.exists():
            await say(request, "update/forget", {})
            handover.forget()
        return Done(text="The release was removed from this gateway.")


async def tell(runtime: Runtime, handover: Handover) -> None:
    """Write into the audit how an update went, once.

    Raises:
        Disconnected: It cannot be written now.
    """
    last = handover.last()
    if last is None or last.get("state") == "running" or handover.is_told(int(last.get("at", 0))):
        return
    detail = {name: last.get(name, "") for name in ("action", "name", "before", "state", "text")}
    actor = str(last.get("actor", ""))
    await audit(runtime.store, runtime.clock.now(), actor, "update/result", detail)
    handover.tell(int(last.get("at", 0)))


__all__ = ["FILE", "add", "tell"]
