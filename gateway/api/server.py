"""The local API: status, tags, alarms and operators' actions over HTTP.

It listens on this machine only until accounts exist. A request that names another host is
refused, so that a page from elsewhere cannot reach it through a rebound name.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from gateway.api import routes_letters, routes_report
from gateway.api.guard import Guard
from gateway.api.messages import AlarmAction
from gateway.api.page import PAGE
from gateway.api.routes_flows import flow_routes
from gateway.api.routes_shadows import shadow_routes
from gateway.data import quality
from gateway.engine.runtime import Runtime
from gateway.errors import ConfigError, GatewayError


def _json(value: Any) -> Response:
    """JSON in which a number that is not finite is null."""
    return Response(orjson.dumps(value), media_type="application/json")


def tag_rows(runtime: Runtime) -> list[dict[str, Any]]:
    """Every tag with its newest value, by code."""
    return [
        {
            "tag": runtime.tags[code].name,
            "unit": runtime.tags[code].unit,
            "value": value,
            "ts": ts,
            "quality": quality.name(status),
            "rows": rows,
        }
        for code, value, ts, status, rows in runtime.live
    ]


async def _conflict(request: Request, error: Exception) -> Response:
    """What was asked for cannot be done as things are."""
    return PlainTextResponse(str(error), 409)


async def _cannot(request: Request, error: Exception) -> Response:
    """An error of ours as a status and its sentence."""
    return PlainTextResponse(str(error), 503)


def application(runtime: Runtime) -> FastAPI:
    """The routes over a running gateway."""
    app = FastAPI(title="Genba", docs_url=None, redoc_url=None)

    app.add_middleware(Guard)

    app.add_exception_handler(GatewayError, _cannot)
    app.add_exception_handler(ConfigError, _conflict)
    app.include_router(flow_routes(runtime))
    app.include_router(shadow_routes(runtime))

    @app.get("/", response_class=HTMLResponse)
    async def page() -> str:
        return PAGE

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        return "ok\n"

    @app.get("/api/status")
    async def status() -> Response:
        return _json(runtime.status())

    @app.get("/api/tags")
    async def tags() -> Response:
        return _json(tag_rows(runtime))

    @app.get("/api/alarms")
    async def alarms(all: bool = False) -> Response:
        events = runtime.book.history() if all else runtime.book.open()
        return _json([runtime.book.row(event) for event in events])

    @app.post("/api/alarms/action")
    async def act(action: AlarmAction) -> Response:
        if action.action == "shelve" and not action.reason:
            return PlainTextResponse("Say why it is shelved (reason).", 422)
        if action.alarm != "*" and action.action == "ack" and not runtime.book.get(action.alarm):
            return PlainTextResponse(f"No open alarm is called {action.alarm!r}.", 404)
        if not await runtime.act(action.action, action.data()):
            return PlainTextResponse(f"No node has an alarm {action.alarm!r}.", 404)
        return _json({"done": True})

    routes_report.add(app, runtime)
    routes_letters.add(app, runtime)
    return app


class _Quiet(uvicorn.Server):
    """A server that leaves the signals to the command that started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """The API on a socket of its own; ends with the runtime.

    Args:
        runtime: The gateway.
        port: TCP port on 127.0.0.1; 0 takes a free one.

    Raises:
        ConfigError: The port is taken.
    """

    def __init__(self, runtime: Runtime, port: int) -> None:
        try:
            self._socket = socket.create_server(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(
                f"Port {port} on this machine is taken ({error}).",
                hint="Is another gateway running? Choose another with --port.",
            ) from error
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            application(runtime), log_level="error", access_log=False, lifespan="off"
        )
        self._server = _Quiet(config)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    async def run(self) -> None:
        """Answer until `stop`."""
        await self._server.serve([self._socket])

    def stop(self) -> None:
        """Answer what was asked and end."""
        self._server.should_exit = True
