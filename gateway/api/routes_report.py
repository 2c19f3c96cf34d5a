"""Routes of what an operator reads: the report, gaps, counters, and whether we are ready."""

from __future__ import annotations

import orjson
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.api.exposition import metrics_text
from gateway.api.gate import needs, who_of
from gateway.api.messages import Gap
from gateway.engine.fleet_self import unready
from gateway.engine.report import disk_report, report
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import gaps
from gateway.errors import Disconnected


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""

    @app.get("/api/report")
    @needs("status.read")
    async def page() -> Response:
        return Response(orjson.dumps(await report(runtime)), media_type="application/json")

    @app.get("/api/gaps")
    @needs("status.read")
    async def listed(since: int = 0, limit: int = Query(1000, ge=1, le=100_000)) -> list[Gap]:
        return [Gap.of(row) for row in await gaps(runtime.store, since, limit)]

    @app.get("/metrics")
    @needs("status.read")
    async def metrics() -> Response:
        try:
            found = await disk_report(runtime)
        except Disconnected:  # The disk is away: what is in memory can still be told.
            found = None
        text = metrics_text(runtime, found)
        return Response(text, media_type="text/plain; version=0.0.4")

    @app.get("/readyz")
    @needs("open")
    async def ready(request: Request) -> Response:
        is_known = who_of(request).may("status.read")  # Names of flows are nobody else's.
        if why := unready(runtime):
            return _not_ready(why, is_known)
        absent = ", ".join(runtime.left_out()) if is_known else ""
        return PlainTextResponse(f"ready; this does not run: {absent}\n" if absent else "ready\n")


def _not_ready(why: str, is_known: bool) -> Response:
    return PlainTextResponse(f"not ready: {why}\n" if is_known else "not ready\n", 503)
