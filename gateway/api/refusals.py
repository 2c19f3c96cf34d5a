"""Refusals: an error of ours as a status of HTTP and its sentence."""

from __future__ import annotations

import math

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.api.gate import Forbidden
from gateway.engine.principal import Denied
from gateway.errors import ConfigError, GatewayError


def add(app: FastAPI) -> None:
    """Answer errors of ours in words."""
    app.add_exception_handler(GatewayError, _cannot)
    app.add_exception_handler(ConfigError, _conflict)
    app.add_exception_handler(Denied, _denied)
    app.add_exception_handler(Forbidden, _forbidden)


async def _conflict(request: Request, error: Exception) -> Response:
    """What was asked for cannot be done as things are."""
    return PlainTextResponse(str(error), 409)


async def _cannot(request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 503)


async def _denied(request: Request, error: Exception) -> Response:
    """A login that is not taken, and when to try again."""
    assert isinstance(error, Denied)
    if not error.retry_s:
        return PlainTextResponse(str(error), 401)
    return PlainTextResponse(str(error), 429, {"Retry-After": str(math.ceil(error.retry_s))})


async def _forbidden(request: Request, error: Exception) -> Response:
    return PlainTextResponse(str(error), 403)
