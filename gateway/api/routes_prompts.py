"""Routes of the library of prompts: what models are asked with, its versions, and a preview."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.gate import actor_of, needs
from gateway.data.event import Event
from gateway.engine.prompts import TEXT_CHARS_MAX, Prompts, version_of
from gateway.engine.runtime import Runtime
from gateway.errors import LimitError, Rejected


class _Text(BaseModel):
    """A text that is to be kept."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=TEXT_CHARS_MAX, description="The template.")
    base: str = Field("", max_length=64, description="The version that was edited; new: empty.")
    note: str = Field("", max_length=500, description="Why, in words.")


class _Sample(BaseModel):
    """A sample event, and what is asked about it."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field("", max_length=TEXT_CHARS_MAX, description="A template by itself,")
    flow: str = Field("", max_length=64, description="or the prompts of a node: its flow")
    node: str = Field("", max_length=200, description="and its name.")
    topic: str = Field("", max_length=255, description="Of the event.")
    data: dict[str, Any] = Field({}, description="Its content.")


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""
    library = Prompts(
        runtime.state_dir,
        runtime.store,
        runtime.clock,
        lambda: {name: host.document for name, host in runtime.hosts.items()},
    )

    @app.get("/api/prompts")
    @needs("flow.read")
    async def listing() -> Response:
        return _json(await library.listing())

    @app.get("/api/prompts/{name}")
    @needs("flow.read")
    async def one(name: str) -> Response:
        text, kept = library.text(name), await library.revisions(name)
        if text is None and not kept:
            return PlainTextResponse(f"There is no prompt {name!r}.", 404)
        version = "" if text is None else version_of(text)
        return _json({"prompt": name, "text": text or "", "version": version, "revisions": kept})

    @app.post("/api/prompts/preview")
    @needs("flow.edit")
    async def preview(body: _Sample) -> Response:
        event = Event(runtime.clock.now(), body.topic, body.data, "sample")
        try:
            return _json(library.preview(event, text=body.text, flow=body.flow, node=body.node))
        except Rejected as error:
            return PlainTextResponse(str(error), 422)

    @app.put("/api/prompts/{name}")
    @needs("flow.edit")
    async def put(name: str, body: _Text, request: Request) -> Response:
        try:
            version = await library.put(name, body.text, body.base, body.note, actor_of(request))
        except LimitError as error:
            return PlainTextResponse(str(error), 409)
        return _json({"version": version})

    @app.delete("/api/prompts/{name}")
    @needs("flow.edit")
    async def remove(name: str, request: Request, base: str = "") -> Response:
        await library.remove(name, base, actor_of(request))
        return _json({"done": True})


__all__ = ["add"]
