"""Routes of the gateway's own certificate: show it, ask for a signature, take a signed one."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.api import certificate
from gateway.api.gate import actor_of, needs
from gateway.api.messages import Done
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import audit


class Wanted(BaseModel):
    """For which names a signature is asked."""

    model_config = ConfigDict(extra="forbid")
    names: list[str] = Field(
        [], max_length=50, description="Host names and addresses; none is as it is now."
    )


class Chain(BaseModel):
    """A signed certificate."""

    model_config = ConfigDict(extra="forbid")
    chain: str = Field(max_length=60_000, description="It and its issuers, PEM.")


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""
    path = runtime.state_dir / certificate.FOLDER / certificate.CERTIFICATE

    def absent() -> Response | None:
        if path.exists():
            return None
        text = "This gateway has no certificate yet: its screens are on its own address only."
        return PlainTextResponse(text, 404)

    @app.get("/api/certificate", response_model=dict[str, Any])
    @needs("status.read")
    async def show() -> dict[str, Any] | Response:
        if (answer := absent()) is not None:
            return answer
        return await asyncio.to_thread(certificate.shown, path, runtime.clock.now())

    @app.post("/api/certificate/request")
    @needs("certificate.edit")
    async def request(body: Wanted) -> Response:
        if (answer := absent()) is not None:
            return answer
        return PlainTextResponse(
            await asyncio.to_thread(certificate.request, runtime.state_dir, body.names)
        )

    @app.put("/api/certificate", response_model=Done)
    @needs("certificate.edit")
    async def install(body: Chain, request: Request) -> Done | Response:
        if (answer := absent()) is not None:
            return answer
        now = runtime.clock.now()
        await asyncio.to_thread(certificate.install, runtime.state_dir, body.chain, now)
        detail = {"sha256": await asyncio.to_thread(certificate.fingerprint, path)}
        await audit(runtime.store, now, actor_of(request), "certificate/install", detail)
        return Done(text="The certificate is in place; the screens use it within seconds.")
