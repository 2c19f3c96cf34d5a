"""Routes of dashboards: their text, who sees which, and the pictures on them."""

from __future__ import annotations

from typing import Any, Self

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.api.gate import Forbidden, actor_of, needs, who_of
from gateway.engine.dashboards import Changed, Dashboards, Kept
from gateway.engine.roles import ROLES, Role
from gateway.engine.runtime import Runtime
from gateway.errors import ConfigError, LimitError
from gateway.flow.dashboard import DASHBOARD_BYTES_MAX, SUFFIX, Dashboard


class Save(BaseModel):
    """A dashboard that is to be kept: its text, or its values."""

    model_config = ConfigDict(extra="forbid")
    base: str = Field("", max_length=64, description="The version that was edited; new: empty.")
    text: str | None = Field(None, max_length=DASHBOARD_BYTES_MAX, description="The file.")
    dashboard: dict[str, Any] | None = Field(None, description="Or what it says.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.text is None) == (self.dashboard is None):
            raise ValueError("give either text or dashboard")
        return self

    def read(self, name: str) -> Dashboard:
        """What is to be kept.

        Raises:
            ConfigError: It is no dashboard, or another one's.
        """
        where = name + SUFFIX
        if self.text is not None:
            found = Dashboard.parse(self.text, where)
        else:
            found = Dashboard.of({"dashboard": name, **(self.dashboard or {})}, where)
        if found.dashboard != name:
            raise ConfigError(f"It is called {found.dashboard!r}, not {name!r}.", where=where)
        return found


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def _sees(request: Request, role: Role) -> bool:
    mine = who_of(request).role
    return mine is not None and ROLES.index(mine) >= ROLES.index(role)


def _look(request: Request, kept: Kept) -> Kept:
    """A dashboard, for one who may see it.

    Raises:
        Forbidden: It is for others.
    """
    role: Role = kept.dashboard.role if kept.dashboard else "engineer"
    if not _sees(request, role):
        raise Forbidden(f"This dashboard is for the role {role} and above.")
    return kept


def _answer(name: str, kept: Kept) -> Response:
    values = kept.dashboard.model_dump(mode="json") if kept.dashboard else None
    row = {"version": kept.version, "text": kept.text, "problem": kept.problem}
    return _json({"name": name, **row, "dashboard": values})


def _refused(error: ConfigError) -> Response:
    return PlainTextResponse(str(error), 409 if isinstance(error, Changed) else 422)


def _unknown(name: str) -> Response:
    return PlainTextResponse(f"There is no dashboard {name!r}.", 404)


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""
    boards = Dashboards(runtime.state_dir, runtime.store, runtime.clock)

    @app.get("/api/dashboards")
    @needs("dashboard.read")
    async def listing(request: Request) -> Response:
        return _json([row for row in boards.listing() if _sees(request, row["role"])])

    @app.get("/api/dashboards/{name}")
    @needs("dashboard.read")
    async def one(name: str, request: Request) -> Response:
        kept = boards.get(name)
        return _unknown(name) if kept is None else _answer(name, _look(request, kept))

    @app.put("/api/dashboards/{name}")
    @needs("dashboard.edit")
    async def save(name: str, body: Save, request: Request) -> Response:
        try:
            if (old := boards.get(name)) is not None:
                _look(request, old)
            kept = await boards.put(body.read(name), body.base, actor_of(request))
        except ConfigError as error:
            return _refused(error)
        except LimitError as error:
            return PlainTextResponse(str(error), 409)
        return _answer(name, kept)

    @app.delete("/api/dashboards/{name}")
    @needs("dashboard.edit")
    async def remove(name: str, request: Request, base: str = "") -> Response:
        kept = boards.get(name)
        if kept is None:
            return _unknown(name)
        _look(request, kept)
        try:
            await boards.remove(name, base, actor_of(request))
        except ConfigError as error:
            return _refused(error)
        return _json({"done": True})

    _add_pictures(app, boards)


def _add_pictures(app: FastAPI, boards: Dashboards) -> None:
    """Pictures: raster only, named by what they are."""

    @app.get("/api/pictures")
    @needs("dashboard.read")
    async def pictures() -> Response:
        return _json(boards.pictures())

    @app.get("/api/pictures/{name}")
    @needs("dashboard.read")
    async def picture(name: str) -> Response:
        found = boards.picture(name)
        if found is None:
            return PlainTextResponse("There is no such picture.", 404)
        return Response(found[0], media_type=found[1])

    @app.post("/api/pictures")
    @needs("dashboard.edit")
    async def upload(request: Request) -> Response:
        try:
            name = await boards.add_picture(await request.body(), actor_of(request))
        except ConfigError as error:
            return _refused(error)
        except LimitError as error:
            return PlainTextResponse(str(error), 409)
        return _json({"picture": name}, 201)

    @app.delete("/api/pictures/{name}")
    @needs("dashboard.edit")
    async def drop(name: str, request: Request) -> Response:
        try:
            if not await boards.remove_picture(name, actor_of(request)):
                return PlainTextResponse("There is no such picture.", 404)
        except ConfigError as error:
            return PlainTextResponse(str(error), 409)
        return _json({"done": True})


__all__ = ["add"]
