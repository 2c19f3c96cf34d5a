"""Routes of the secrets: which are set, and set or remove one. No answer has a value in it."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.api.gate import actor_of, needs
from gateway.api.messages import Done
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit


class SecretValue(BaseModel):
    """A value that is taken and never given."""

    model_config = ConfigDict(extra="forbid")
    value: SecretStr = Field(min_length=1, max_length=65_536, description="The secret itself.")


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""
    secrets = runtime.secrets

    @app.get("/api/secrets")
    @needs("secret.list")
    async def known() -> list[dict[str, str | int]]:
        return [asdict(one) for one in await asyncio.to_thread(secrets.known)]

    @app.put("/api/secrets/{name}")
    @needs("secret.edit")
    async def put(name: str, body: SecretValue, request: Request) -> Done:
        # First the record, so that no secret is ever changed without one.
        await audit(
            runtime.store, runtime.clock.now(), actor_of(request), "secret/put", {"name": name}
        )
        value = body.value.get_secret_value()
        if await asyncio.to_thread(secrets.is_same, name, value):
            return Done(text=f"{name} is as before.")
        await asyncio.to_thread(secrets.put, name, value)
        return Done(text=f"{name} is set. Connections use it when they are opened next.")

    @app.delete("/api/secrets/{name}", response_model=Done)
    @needs("secret.edit")
    async def remove(name: str, request: Request) -> Done | Response:
        now, who = runtime.clock.now(), actor_of(request)
        await audit(runtime.store, now, who, "secret/remove", {"name": name})
        if not await asyncio.to_thread(secrets.remove, name):
            return PlainTextResponse(
                f"There is no secret {name!r} that could be removed here.", 404
            )
        return Done(text=f"{name} is gone.")
