"""Routes of the gateway itself: where its screens are, its status and its tags."""

from __future__ import annotations

import math
from typing import Any

import orjson
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from gateway.api.gate import needs
from gateway.data import quality
from gateway.data.tag import Tag
from gateway.engine.runtime import Runtime


def _json(value: Any) -> Response:
    """JSON in which a number that is not finite is null."""
    return Response(orjson.dumps(value), media_type="application/json")


def facts(tag: Tag) -> dict[str, Any]:
    """What is known of a tag; the ends of its range are null when they are not known."""
    return {
        "unit": tag.unit,
        "low": tag.low if math.isfinite(tag.low) else None,
        "high": tag.high if math.isfinite(tag.high) else None,
        "kind": tag.kind,
        "about": tag.about,
    }


def tag_rows(runtime: Runtime) -> list[dict[str, Any]]:
    """Every tag with its newest value, by code."""
    return [
        {
            "tag": runtime.tags[code].name,
            **facts(runtime.tags[code]),
            "value": value,
            "ts": ts,
            "quality": quality.name(status),
            "rows": rows,
        }
        for code, value, ts, status, rows in runtime.live
    ]


def add(app: FastAPI, runtime: Runtime, screens: str) -> None:
    """Where the screens are, status and tags."""

    @app.get("/")
    @needs("open")
    async def page() -> Response:
        if screens:
            return RedirectResponse(screens)
        return PlainTextResponse("This is the API of Genba. Its screens are off (--listen).\n")

    @app.get("/healthz", response_class=PlainTextResponse)
    @needs("open")
    async def healthz() -> str:
        return "ok\n"

    @app.get("/api/status")
    @needs("status.read")
    async def status() -> Response:
        return _json(runtime.status())

    @app.get("/api/tags")
    @needs("tag.read")
    async def tags() -> Response:
        return _json(tag_rows(runtime))

    @app.get("/openapi.json")
    @needs("status.read")
    async def described() -> Response:
        return _json(app.openapi())


__all__ = ["add", "facts", "tag_rows"]
