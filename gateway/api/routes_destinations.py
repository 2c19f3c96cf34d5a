"""Routes of the destinations: where nodes of the web may send to and read from."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.gate import actor_of, needs
from gateway.api.messages import Done
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit


class DestinationsShown(BaseModel):
    """What is allowed."""

    allowed: list[str] = Field(description="Names, addresses and networks.")
    only: bool = Field(description="Nothing else is allowed.")


class DestinationsChange(BaseModel):
    """What is to be allowed from now on."""

    model_config = ConfigDict(extra="forbid")
    allow: str = Field("", max_length=300, description="One more destination.")
    only: bool | None = Field(None, description="Nothing else is allowed.")


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""
    book = runtime.destinations

    @app.get("/api/destinations")
    @needs("destination.read")
    async def shown() -> DestinationsShown:
        return DestinationsShown(allowed=book.entries, only=book.only)

    @app.put("/api/destinations")
    @needs("destination.edit")
    async def change(body: DestinationsChange, request: Request) -> DestinationsShown:
        detail = body.model_dump(exclude_none=True)
        await audit(runtime.store, runtime.clock.now(), actor_of(request), "destination", detail)
        if body.allow:
            await asyncio.to_thread(book.allow, body.allow)
        if body.only is not None:
            await asyncio.to_thread(book.set_only, body.only)
        return DestinationsShown(allowed=book.entries, only=book.only)

    @app.delete("/api/destinations/{name:path}", response_model=Done)
    @needs("destination.edit")
    async def forbid(name: str, request: Request) -> Done | Response:
        detail = {"forbid": name}
        await audit(runtime.store, runtime.clock.now(), actor_of(request), "destination", detail)
        if not await asyncio.to_thread(book.forbid, name):
            return PlainTextResponse(f"{name!r} was not allowed by name.", 404)
        return Done(text=f"{name} is no longer allowed.")
