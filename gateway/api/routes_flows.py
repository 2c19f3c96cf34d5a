"""Routes for flows: which run, their revisions, and how they are edited while they run."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.gate import actor_of, needs
from gateway.engine.deploy import Deployed, Overtaken
from gateway.engine.flows import revision_row
from gateway.engine.runtime import Runtime
from gateway.errors import ConfigError
from gateway.flow.document import Document
from gateway.flow.yaml_read import FLOW_BYTES_MAX


class _Edit(BaseModel):
    """Who edits, and why."""

    model_config = ConfigDict(extra="forbid")
    actor: str = Field("user:local", max_length=128, description="Who acts.")
    note: str = Field("", max_length=500, description="Why, in words.")


class Deploy(_Edit):
    """A flow that is to run."""

    text: str = Field(max_length=FLOW_BYTES_MAX, description="The flow file.")
    base: int | None = Field(None, ge=1, description="The revision that was edited.")


class Rollback(_Edit):
    """An old revision that is to run again."""

    revision: int | None = Field(None, ge=1, description="Which; by default the one before.")


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _done(deployed: Deployed) -> Response:
    before = deployed.before
    return _json(
        {
            "flow": deployed.flow,
            "revision": deployed.revision,
            "said": list(deployed.said),
            "before": revision_row(before, with_text=True) if before is not None else None,
        }
    )


def _refused(error: ConfigError) -> Response:
    return PlainTextResponse(str(error), 409 if isinstance(error, Overtaken) else 422)


def flow_routes(runtime: Runtime) -> APIRouter:
    """The routes over a running gateway."""
    router = APIRouter(prefix="/api/flows")
    flows = runtime.flows

    @router.get("")
    @needs("flow.read")
    async def listing() -> Response:
        return _json(await flows.listing())

    @router.get("/{name}")
    @needs("flow.read")
    async def one(name: str) -> Response:
        row = next((row for row in await flows.listing() if row["flow"] == name), None)
        if row is None:
            return _unknown(name)
        known = await flows.known(name)
        return _json({**row, "text": known[-1].text})

    @router.get("/{name}/revisions")
    @needs("flow.read")
    async def revisions(name: str) -> Response:
        known = await flows.known(name)
        if not known:
            return _unknown(name)
        return _json([revision_row(revision, with_text=False) for revision in known])

    @router.get("/{name}/revisions/{number}")
    @needs("flow.read")
    async def revision(name: str, number: int) -> Response:
        for known in await flows.known(name):
            if known.number == number:
                return _json({"flow": name, **revision_row(known, with_text=True)})
        return PlainTextResponse(f"{name} has no revision {number}.", 404)

    _edits(router, runtime)
    return router


def _edits(router: APIRouter, runtime: Runtime) -> None:
    """What changes a flow; each is in the audit."""

    @router.post("/{name}/deploy")
    @needs("flow.edit")
    async def deploy(name: str, edit: Deploy, request: Request) -> Response:
        try:
            document = Document.parse(edit.text, f"{name}.flow.yaml")
            if document.name != name:
                text = f"The text is that of the flow {document.name!r}, not of {name!r}."
                return PlainTextResponse(text, 422)
            actor = actor_of(request, edit.actor)
            return _done(await runtime.deploy(document, actor, edit.note, edit.base))
        except ConfigError as error:
            return _refused(error)

    @router.post("/{name}/rollback")
    @needs("flow.edit")
    async def rollback(name: str, edit: Rollback, request: Request) -> Response:
        if not await runtime.flows.known(name):
            return _unknown(name)
        try:
            actor = actor_of(request, edit.actor)
            return _done(await runtime.rollback(name, actor, edit.note, edit.revision))
        except ConfigError as error:
            return _refused(error)

    @router.delete("/{name}")
    @needs("flow.edit")
    async def remove(
        name: str, request: Request, actor: str = "user:local", note: str = ""
    ) -> Response:
        try:
            return _done(await runtime.remove(name, actor_of(request, actor[:128]), note[:500]))
        except ConfigError as error:
            return PlainTextResponse(str(error), 404)


def _unknown(name: str) -> Response:
    return PlainTextResponse(f"There is no flow {name!r}.", 404)


__all__ = ["flow_routes"]
