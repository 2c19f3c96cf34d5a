"""The local API: status, tags, alarms and operators' actions over HTTP.

It listens on this machine only until accounts exist. A request that names another host is
refused, so that a page from elsewhere cannot reach it through a rebound name.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from gateway.api.messages import AlarmAction
from gateway.api.page import PAGE
from gateway.data import quality
from gateway.engine.codec import plain
from gateway.engine.runtime import Runtime
from gateway.errors import ConfigError

BODY_BYTES_MAX = 64 * 1024
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


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


def application(runtime: Runtime) -> FastAPI:
    """The routes over a running gateway."""
    app = FastAPI(title="Genba", docs_url=None, redoc_url=None)

    @app.middleware("http")
    async def guard(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        if host not in ("127.0.0.1", "localhost", "[::1]"):
            return PlainTextResponse("This API answers to this machine's own name only.", 421)
        if int(request.headers.get("content-length") or 0) > BODY_BYTES_MAX:
            return PlainTextResponse(f"A request may have {BODY_BYTES_MAX} bytes.", 413)
        origin = request.headers.get("origin")
        if (
            request.method != "GET"
            and origin
            and origin.partition("://")[2] != request.headers["host"]
        ):
            return PlainTextResponse("A page from elsewhere may not act here.", 403)
        response = await call_next(request)
        response.headers.update(_HEADERS)
        return response

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
        return _json([plain(event) for event in events])

    @app.post("/api/alarms/action")
    async def act(action: AlarmAction) -> Response:
        if action.action == "shelve" and not action.reason:
            return PlainTextResponse("Say why it is shelved (reason).", 422)
        known = {event.alarm for event in runtime.book.open()}
        if action.alarm != "*" and action.alarm not in known and action.action == "ack":
            return PlainTextResponse(f"No open alarm is called {action.alarm!r}.", 404)
        await runtime.act(action.action, action.data())
        return _json({"done": True})

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        return metrics_text(runtime)

    return app


def metrics_text(runtime: Runtime) -> str:
    """Counters in Prometheus' text form.

    Source: Prometheus text-based exposition format 0.0.4.
    """
    lines = ["# TYPE genba_node_total counter"]
    for status in runtime.statuses:
        for name, n in sorted(status.counts.items()):
            labels = f'flow="{status.flow}",node="{status.node}",count="{name}"'
            lines.append(f"genba_node_total{{{labels}}} {n}")
    lines.append("# TYPE genba_wire_rows_total counter")
    for wire in runtime.wires():
        labels = f'flow="{wire["flow"]}",from="{wire["from"]}",to="{wire["to"]}"'
        lines.append(f"genba_wire_rows_total{{{labels}}} {wire['rows']}")
    lines += ["# TYPE genba_alarms_open gauge", f"genba_alarms_open {len(runtime.book.open())}"]
    lines += ["# TYPE genba_commits_total counter", f"genba_commits_total {runtime.store.commits}"]
    return "\n".join(lines) + "\n"


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
