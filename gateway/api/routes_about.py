"""Routes about the gateway itself and its alarms: what it is made of, what their designer says."""

from __future__ import annotations

import asyncio
import platform
from importlib import metadata
from typing import Any

import orjson
from fastapi import FastAPI, Query, Response
from fastapi.responses import PlainTextResponse

from gateway.api import licences
from gateway.api.gate import needs
from gateway.engine.graph import COMMUNICATION
from gateway.engine.health import OWN, own_flow
from gateway.engine.runtime import Runtime
from gateway.flow.document import Document


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""

    @app.get("/api/about")
    @needs("status.read")
    async def about() -> Response:
        packages = await asyncio.to_thread(licences.packages)
        return _json(
            {
                "version": metadata.version("genba"),
                "python": platform.python_version(),
                "system": platform.platform(),
                "machine": platform.machine(),
                "packages": packages,
            }
        )

    @app.get("/api/alarms/about")
    @needs("alarm.read")
    async def alarm(alarm: str = Query(max_length=512)) -> Response:
        flow, _, rest = alarm.partition("/")
        node = rest.partition(":")[0]
        document = _document(runtime, flow)
        entry = document.nodes.get(node) if document is not None else None
        if document is not None and entry is None and node == COMMUNICATION:
            # The one that every flow has without writing it.
            return _json({"flow": flow, "node": node, "type": "alarm.communication", "about": ""})
        if entry is None:
            return PlainTextResponse(f"No node that runs has an alarm {alarm!r}.", 404)
        return _json({"flow": flow, "node": node, "type": entry.type, "about": entry.about})


def _document(runtime: Runtime, flow: str) -> Document | None:
    if flow == OWN:
        return own_flow()
    host = runtime.hosts.get(flow)
    return host.document if host is not None else None


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


__all__ = ["add"]
