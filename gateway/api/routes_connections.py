"""Routes for connections: how they are, trying one out, looking behind one, certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any, Final, TypeVar

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.api.gate import actor_of, needs
from gateway.api.told import Language, told
from gateway.data.tasks import Tasks
from gateway.engine.links import Links
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit
from gateway.engine.trial import Seen, browse_running
from gateway.errors import ConfigError, Disconnected, GatewayError, Rejected
from gateway.flow.document import Document
from gateway.flow.effects import address_of
from gateway.flow.entries import Entry
from gateway.flow.node import Connection
from gateway.flow.registry import node_class

T = TypeVar("T")
_LOOK_S: Final = 0.3


class Trial(BaseModel):
    """A connection that is tried out."""

    model_config = ConfigDict(extra="forbid")
    type: str = Field(max_length=128, description="Such as mqtt.connection.")
    config: dict[str, Any] = Field(default_factory=dict, max_length=200)
    variables: dict[str, str] = Field(
        default_factory=dict, max_length=200, description="Values besides those of the gateway."
    )


class Browse(BaseModel):
    """What is behind a connection: one that runs, or one that is opened for this."""

    model_config = ConfigDict(extra="forbid")
    flow: str = Field("", max_length=128, description="The flow of a connection that runs.")
    connection: str = Field("", max_length=128, description="Its name there.")
    type: str = Field("", max_length=128, description="Or the type of one to open.")
    config: dict[str, Any] = Field(default_factory=dict, max_length=200)
    variables: dict[str, str] = Field(default_factory=dict, max_length=200)
    path: str = Field("", max_length=4096, description="Where to look; empty is the top.")

    @model_validator(mode="after")
    def _is_one(self) -> Browse:
        if bool(self.flow and self.connection) == bool(self.type):
            raise ValueError("Name flow and connection, or type and config.")
        return self


class Kind(BaseModel):
    """A kind of connection."""

    model_config = ConfigDict(extra="forbid")
    type: str = Field(max_length=128, description="Such as serial.connection.")


class Decision(BaseModel):
    """What is decided about a certificate."""

    model_config = ConfigDict(extra="forbid")
    fingerprint: str = Field(max_length=200, description="SHA-256 as it is listed.")
    trusted: bool = Field(description="Trust it, or reject it.")


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""
    links = Links(lambda: runtime.hosts, runtime.clock)
    tasks = Tasks("api")
    _add_trials(app, runtime, links, tasks)

    @app.get("/api/connections")
    @needs("flow.read")
    async def listed(language: Language = "en") -> Response:
        return _json(await told(await links.rows(), language))

    @app.get("/api/connections/{flow}/{name}/trust")
    @needs("flow.read")
    async def certificates(flow: str, name: str) -> Response:
        for row in await links.rows():
            if (row["flow"], row["name"]) == (flow, name):
                return _json(row["certificates"])
        return _unknown(flow, name)

    @app.post("/api/connections/{flow}/{name}/trust")
    @needs("connection.trust")
    async def decide(flow: str, name: str, body: Decision, request: Request) -> Response:
        driver = links.one(flow, name)
        if driver is None:
            return _unknown(flow, name)
        detail = {"flow": flow, "connection": name, **body.model_dump()}
        action = "connection/trust" if body.trusted else "connection/reject"
        await audit(runtime.store, runtime.clock.now(), actor_of(request), action, detail)
        try:
            text = await asyncio.to_thread(
                driver.connection.decide, body.fingerprint, trusted=body.trusted
            )
        except ConfigError as error:
            return PlainTextResponse(str(error), 404)
        links.forget(driver)
        return _json({"text": text})


def _add_trials(app: FastAPI, runtime: Runtime, links: Links, tasks: Tasks) -> None:
    """Trying out and browsing; both end when nobody waits for the answer any more."""

    @app.post("/api/connections/test")
    @needs("connection.test")
    async def test(body: Trial, request: Request) -> Response:
        variables = {**runtime.flows.variables, **body.variables}
        detail = {"type": body.type, "address": _address(body.type, body.config)}
        by, now = actor_of(request), runtime.clock.now()
        await audit(runtime.store, now, by, "connection/test", detail)
        work = runtime.trials.test(body.type, body.config, variables)
        try:
            steps = await _while_asked(request, tasks, work)
        except (ConfigError, Rejected) as error:
            return _refused(error)
        return _json({"ok": all(row["state"] != "failed" for row in steps), "steps": steps})

    @app.post("/api/connections/places")
    @needs("connection.test")
    async def places(body: Kind) -> Response:
        cls = node_class(body.type)
        if not issubclass(cls, Connection):
            return PlainTextResponse(f"{body.type} is no connection.", 422)
        return _json([asdict(one) for one in await asyncio.to_thread(cls.places)])

    @app.post("/api/connections/browse")
    @needs("connection.test")
    async def browse(body: Browse, request: Request) -> Response:
        work: Coroutine[Any, Any, Seen]
        if body.type:
            variables = {**runtime.flows.variables, **body.variables}
            work = runtime.trials.browse(body.type, body.config, variables, body.path)
        else:
            driver = links.one(body.flow, body.connection)
            if driver is None:
                return _unknown(body.flow, body.connection)
            work = browse_running(driver, body.path)
        try:
            seen = await _while_asked(request, tasks, work)
        except (ConfigError, Rejected, Disconnected) as error:
            return _refused(error)
        return _json({"found": seen.found, "is_whole": seen.is_whole, "text": seen.text})


async def _while_asked(request: Request, tasks: Tasks, work: Coroutine[Any, Any, T]) -> T:
    """Do something for as long as the one who asked still waits.

    Raises:
        Rejected: They have gone; it was ended.
    """
    refused: list[GatewayError] = []

    async def done() -> T | None:
        try:
            return await work
        except GatewayError as error:  # Said to who asked; it is no error of the task.
            refused.append(error)
            return None

    task = tasks.start("trial", done())
    try:
        while True:
            await asyncio.wait((task,), timeout=_LOOK_S)
            if task.done():
                if refused:
                    raise refused[0]
                return task.result()  # type: ignore[no-any-return]  # a Task[Any] by `start`
            if await request.is_disconnected():
                raise Rejected("Nobody waits for it any more.")
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))


def _address(type_name: str, config: dict[str, Any]) -> str:
    """Where it is, for the audit."""
    entry = Entry(type_name, config)
    return address_of(Document("trial", connections={"trial": entry}), "trial", entry)[:500]


def _refused(error: ConfigError | Rejected | Disconnected) -> Response:
    code = {ConfigError: 422, Rejected: 409, Disconnected: 503}
    status = next(number for kind, number in code.items() if isinstance(error, kind))
    return PlainTextResponse(str(error), status)


def _unknown(flow: str, name: str) -> Response:
    return PlainTextResponse(f"No running flow {flow!r} has a connection {name!r}.", 404)


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value, default=str), media_type="application/json")


__all__ = ["add"]
