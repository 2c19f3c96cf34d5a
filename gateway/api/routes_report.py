"""Routes of what an operator reads: the report, gaps, counters, and whether we are ready."""

from __future__ import annotations

import orjson
from fastapi import FastAPI, Query, Response
from fastapi.responses import PlainTextResponse

from gateway.api.exposition import metrics_text
from gateway.api.messages import Gap
from gateway.engine.report import disk_report, report
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import gaps
from gateway.errors import Disconnected


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""

    @app.get("/api/report")
    async def page() -> Response:
        return Response(orjson.dumps(await report(runtime)), media_type="application/json")

    @app.get("/api/gaps")
    async def listed(since: int = 0, limit: int = Query(1000, ge=1, le=100_000)) -> list[Gap]:
        return [Gap.of(row) for row in await gaps(runtime.store, since, limit)]

    @app.get("/metrics")
    async def metrics() -> Response:
        try:
            found = await disk_report(runtime)
        except Disconnected:  # The disk is away: what is in memory can still be told.
            found = None
        text = metrics_text(runtime, found)
        return Response(text, media_type="text/plain; version=0.0.4")

    @app.get("/readyz")
    async def ready() -> Response:
        if runtime.store.trouble:
            return PlainTextResponse(f"not ready: {runtime.store.trouble}\n", 503)
        if not runtime.runners:
            return PlainTextResponse("not ready: no flow runs.\n", 503)
        absent = ", ".join(runtime.left_out())
        return PlainTextResponse(f"ready; this does not run: {absent}\n" if absent else "ready\n")
