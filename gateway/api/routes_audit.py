"""Routes of the audit: its records, its check, and the files that older records went into."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse

from gateway.api.gate import actor_of, needs
from gateway.engine import store_archive
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit as write_audit
from gateway.engine.store_records import audit_check, audit_page


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def add(app: FastAPI, runtime: Runtime) -> None:
    """Who did what, for administrators."""

    @app.get("/api/audit")
    @needs("audit.read")
    async def audit(
        limit: int = Query(1000, ge=1, le=10_000),
        before: int = Query(0, ge=0),
        text: str = Query("", max_length=200),
    ) -> Response:
        return _json(await audit_page(runtime.store, limit, before, text))

    folder = runtime.state_dir / store_archive.FOLDER

    @app.get("/api/audit/archive")
    @needs("audit.read")
    async def archive() -> Response:
        found = await asyncio.to_thread(store_archive.files, folder)
        return _json([{"name": path.name, "bytes": path.stat().st_size} for path in found])

    @app.get("/api/audit/archive/{name}")
    @needs("audit.read")
    async def one(name: str) -> Response:
        path = folder / name
        if not store_archive.is_name(name) or not path.is_file():
            return PlainTextResponse(f"The archive has no file {name!r}.", 404)
        return FileResponse(path, media_type="application/gzip", filename=name)

    @app.delete("/api/audit/archive/{name}")
    @needs("audit.take")
    async def take(name: str, request: Request) -> Response:
        now, by = runtime.clock.now(), actor_of(request)
        await write_audit(runtime.store, now, by, "audit/take", {"file": name})
        await asyncio.to_thread(store_archive.take_away, folder, name)
        return _json({"done": True})

    @app.get("/api/audit/check")
    @needs("audit.read")
    async def check() -> Response:
        found = await audit_check(runtime.store)
        return _json({"rows": found.rows, "broken": found.broken, "head": found.head})
