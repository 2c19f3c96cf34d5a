"""Routes for drafts: what people edit and have not deployed, and where boxes stand."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.gate import actor_of, needs
from gateway.engine.ready import ready
from gateway.engine.runtime import Runtime
from gateway.engine.store_drafts import (
    Draft,
    Overwritten,
    draft,
    drafts,
    drop_draft,
    layout,
    save_draft,
    save_layout,
)
from gateway.engine.store_records import audit
from gateway.errors import LimitError
from gateway.flow.yaml_read import FLOW_BYTES_MAX

BOXES_MAX: Final = 5_000
Name = Annotated[str, Field(min_length=1, max_length=128)]
Place = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class Frame(BaseModel):
    """What stands on the canvas and is no node: a group around some nodes, or a comment."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["group", "note"]
    x: Place
    y: Place
    w: Place
    h: Place
    text: str = Field("", max_length=2_000)
    nodes: list[Name] = Field(default_factory=list, max_length=BOXES_MAX)


BoxName = Annotated[str, Field(min_length=1, max_length=256)]
"""Of a node, or ``subflow.NAME/NODE`` of one inside a subflow."""
Boxes = Annotated[dict[BoxName, tuple[Place, Place] | Frame], Field(max_length=BOXES_MAX)]


class Layout(BaseModel):
    """Where boxes stand."""

    model_config = ConfigDict(extra="forbid")
    layout: Boxes = Field(
        default_factory=dict,
        description="(x, y) of each node [px at zoom 1]; frames by ids that begin with #.",
    )

    def plain(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            name: place.model_dump() if isinstance(place, Frame) else list(place)
            for name, place in self.layout.items()
        }


class Saved(Layout):
    """A draft that is to be saved."""

    text: str = Field(max_length=FLOW_BYTES_MAX, description="The flow file, right or not.")
    base: int | None = Field(None, ge=1, description="The revision it was made from.")
    version: int = Field(ge=0, description="The version that was edited; 0 for a first one.")


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""
    store = runtime.store
    _add_layout(app, runtime)

    @app.get("/api/ready")
    @needs("flow.read")
    async def ready_flows() -> Response:
        return _json(list(await asyncio.to_thread(ready)))

    @app.get("/api/drafts")
    @needs("flow.read")
    async def listed() -> Response:
        return _json([found.row(with_text=False) for found in await drafts(store)])

    @app.get("/api/drafts/{flow}")
    @needs("flow.read")
    async def one(flow: str) -> Response:
        found = await draft(store, flow)
        return _json(found.row()) if found is not None else _none(flow)

    @app.put("/api/drafts/{flow}")
    @needs("flow.edit")
    async def save(flow: Name, body: Saved, request: Request) -> Response:
        by, now = actor_of(request), runtime.clock.now()
        new = Draft(flow, body.text, body.plain(), body.base, body.version, by, now)
        try:
            return _json((await save_draft(store, new)).row(with_text=False))
        except Overwritten as error:
            return PlainTextResponse(str(error), 409)
        except LimitError as error:
            return PlainTextResponse(str(error), 413)

    @app.delete("/api/drafts/{flow}")
    @needs("flow.edit")
    async def drop(flow: Name, request: Request, version: int | None = None) -> Response:
        try:
            if not await drop_draft(store, flow, version):
                return _none(flow)
        except Overwritten as error:
            return PlainTextResponse(str(error), 409)
        by, now = actor_of(request), runtime.clock.now()
        await audit(store, now, by, "draft/drop", {"flow": flow})
        return _json({"done": True})


def _add_layout(app: FastAPI, runtime: Runtime) -> None:
    """Where the boxes of the deployed flow stand."""
    store = runtime.store

    @app.get("/api/flows/{flow}/layout")
    @needs("flow.read")
    async def boxes(flow: str) -> Response:
        return _json({"layout": await layout(store, flow)})

    @app.put("/api/flows/{flow}/layout")
    @needs("flow.edit")
    async def place(flow: Name, body: Layout) -> Response:
        if not await runtime.flows.known(flow):
            return PlainTextResponse(f"There is no flow {flow!r}.", 404)
        try:
            await save_layout(store, flow, body.plain())
        except LimitError as error:
            return PlainTextResponse(str(error), 413)
        return _json({"done": True})


def _none(flow: str) -> Response:
    return PlainTextResponse(f"There is no draft of {flow!r}.", 404)


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


__all__ = ["add"]
