"""Routes for shadows: an edited flow beside the live one, with its effects muted."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.gate import actor_of, needs
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit
from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.yaml_read import FLOW_BYTES_MAX


class ShadowStart(BaseModel):
    """A flow that is to run in the shadow of the live one."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=FLOW_BYTES_MAX, description="The flow file.")
    actor: str = Field("user:local", max_length=128, description="Who acts.")


def shadow_routes(runtime: Runtime) -> APIRouter:
    """The routes over a running gateway."""
    router = APIRouter(prefix="/api/flows")

    @router.post("/{name}/shadow")
    @needs("flow.shadow")
    async def start(name: str, body: ShadowStart, request: Request) -> Response:
        try:
            document = runtime.flows.prepared(Document.parse(body.text))
            if document.name != name:
                raise ConfigError(f"The text is that of {document.name!r}, not of {name!r}.")
            said = await runtime.shadows.start(document)
        except ConfigError as error:
            return PlainTextResponse(str(error), 422)
        actor = actor_of(request, body.actor)
        await audit(runtime.store, runtime.clock.now(), actor, "flow/shadow", {"flow": name})
        return Response(orjson.dumps({"said": said}), media_type="application/json")

    @router.get("/{name}/shadow")
    @needs("flow.read")
    async def show(name: str) -> Response:
        try:
            row = runtime.shadows.row(name)
        except ConfigError as error:
            return PlainTextResponse(str(error), 404)
        return Response(orjson.dumps(row), media_type="application/json")

    @router.delete("/{name}/shadow")
    @needs("flow.shadow")
    async def stop(name: str) -> Response:
        try:
            row = runtime.shadows.stop(name)
        except ConfigError as error:
            return PlainTextResponse(str(error), 404)
        return Response(orjson.dumps(row), media_type="application/json")

    return router
