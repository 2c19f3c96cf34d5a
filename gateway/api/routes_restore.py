"""Routes of a restore: the file, its check with the passphrase, and the step that cannot be undone
by the next click, which asks for the gateway's name."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.api.gate import actor_of, needs
from gateway.api.messages import Done
from gateway.engine.restores import Restores

FILE = "/api/restore/file"


class Opened(BaseModel):
    """By which passphrase."""

    model_config = ConfigDict(extra="forbid")
    passphrase: SecretStr = Field(min_length=1, max_length=1024, description="That of the backup.")


class Confirmed(BaseModel):
    """By the name of the gateway, typed by a person."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=255, description="What `GET /api/restore` calls this gateway.")


def length_of(request: Request) -> int:
    """What a request announces; 0 where it announces nothing."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isdigit() else 0


def add(app: FastAPI, restores: Restores) -> None:
    """Declare the routes."""

    @app.get("/api/restore")
    @needs("update.read")
    async def state() -> dict[str, Any]:
        return restores.row()

    @app.put(FILE)
    @needs("backup.restore")
    async def upload(request: Request) -> Response:
        length = length_of(request)
        if not length:
            return PlainTextResponse("Say how long the file is (Content-Length).", 411)
        await restores.upload(request.stream(), length, actor_of(request))
        return Response(status_code=204)

    @app.post("/api/restore/check")
    @needs("backup.restore")
    async def check(body: Opened, request: Request) -> Done:
        restores.check(body.passphrase.get_secret_value(), actor_of(request))
        return Done(text="The backup is being checked.")

    @app.post("/api/restore/apply")
    @needs("backup.restore")
    async def apply(body: Confirmed, request: Request) -> Done:
        await restores.apply(body.name, actor_of(request))
        return Done(text="The gateway ends now and starts anew with the backup.")

    @app.delete(FILE)
    @needs("backup.restore")
    async def forget(request: Request) -> Done:
        await restores.forget(actor_of(request))
        return Done(text="The backup was removed from this gateway.")


__all__ = ["FILE", "add", "length_of"]
