"""Routes of a login by an OpenID provider: begin it, come back from it, and its settings.

A browser comes back from another site, so it does not show the session's cookie (SameSite=Strict)
until a page of ours has made the next request: the answer is a page that goes on by itself.
"""

from __future__ import annotations

import html
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.requests import cookie_parser

from gateway.api.gate import Access, Forbidden, actor_of, address_of, needs, who_of
from gateway.api.messages import Done
from gateway.api.scope import cookie_name, is_safe_way, page_scheme
from gateway.engine.openid import LOGIN_S, OpenId, RefusedError
from gateway.engine.openid_settings import CALLBACK, OpenIdSettings
from gateway.errors import ConfigError, Disconnected

_NAMES: Final = {"https": "__Host-genba-openid", "http": "genba-openid"}
_PAGE: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Genba</title>'
    '<meta http-equiv="refresh" content="0;url={url}"></head>'
    '<body><a href="{url}">Genba</a></body></html>'
)


class OpenIdShown(BaseModel):
    """Whether there is such a login."""

    label: str = Field(description="On the button; empty where there is none.")
    start: str = Field(description="Where a login begins; empty where there is none.")


class Asked(BaseModel):
    """Settings to try that are not stored yet."""

    model_config = ConfigDict(extra="forbid")
    settings: OpenIdSettings | None = Field(None, description="Without: those that are stored.")


class Checked(BaseModel):
    """What the provider says of itself."""

    authorize: str = Field(description="Where browsers are sent.")
    token: str = Field(description="Where codes are changed into tokens.")
    keys: int = Field(description="Keys that can sign.")


def add(app: FastAPI, access: Access, openid: OpenId) -> None:
    """Declare the routes."""
    _add_login(app, access, openid)
    _add_settings(app, openid)


def _add_login(app: FastAPI, access: Access, openid: OpenId) -> None:
    """What answers without a login."""

    @app.get("/api/openid")
    @needs("open")
    async def offered() -> OpenIdShown:
        settings = openid.settings
        if settings is None or not access.accounts.is_claimed:
            return OpenIdShown(label="", start="")
        start = settings.redirect.removesuffix(CALLBACK) + "/api/openid/start"
        return OpenIdShown(label=settings.label or "OpenID", start=start)

    @app.get("/api/openid/start")
    @needs("open")
    async def start(request: Request, next: str = "/", again: bool = False) -> Response:
        _must_be_safe(request)
        if openid.settings is None:
            return PlainTextResponse("There is no login by a provider here.", 404)
        who = who_of(request)
        try:
            url, kept = await openid.begin(next, who if again and who.session else None)
        except (Disconnected, ConfigError):
            return RedirectResponse("/login?why=away", 303)
        answer = RedirectResponse(url, 303)
        # Lax: it must be shown by the browser that comes back from the provider.
        answer.set_cookie(
            _NAMES[page_scheme(request.scope)],
            kept,
            max_age=int(LOGIN_S),
            path="/",
            secure=page_scheme(request.scope) == "https",
            httponly=True,
            samesite="lax",
        )
        return answer

    @app.get(CALLBACK)
    @needs("open")
    async def back(request: Request) -> Response:
        _must_be_safe(request)
        if openid.settings is None:
            return PlainTextResponse("There is no login by a provider here.", 404)
        await access.accounts.ready()
        pairs = request.query_params.multi_items()
        answer = dict(pairs) if len(dict(pairs)) == len(pairs) else {}
        name = _NAMES[page_scheme(request.scope)]
        kept = cookie_parser(Headers(scope=request.scope).get("cookie", "")).get(name, "")
        agent = request.headers.get("user-agent", "")
        try:
            secret, _, there = await openid.finish(kept, answer, address_of(request.scope), agent)
        except RefusedError as error:
            return _without(request, _page(f"/login?why={error.why}", 400))
        return _without(request, _with(request, _page(there, 200), secret))


def _add_settings(app: FastAPI, openid: OpenId) -> None:
    """For administrators."""

    @app.get("/api/openid/settings")
    @needs("openid.read")
    async def settings() -> dict[str, Any]:
        found = openid.stored
        return {"settings": found.model_dump() if found else None, "fault": openid.fault}

    @app.put("/api/openid/settings")
    @needs("openid.edit")
    async def change(body: OpenIdSettings, request: Request) -> Done:
        await openid.change(actor_of(request), body)
        if not body.enabled:
            return Done(text="It is kept and switched off: people log in by passwords here only.")
        return Done(text=f"People log in by {body.issuer} from now on.")

    @app.delete("/api/openid/settings")
    @needs("openid.edit")
    async def remove(request: Request) -> Done:
        await openid.change(actor_of(request), None)
        return Done(text="People log in by their passwords here only.")

    @app.post("/api/openid/check")
    @needs("openid.edit")
    async def check(body: Asked | None = None) -> Checked:
        return Checked(**await openid.check(body.settings if body else None))


def _must_be_safe(request: Request) -> None:
    if not is_safe_way(request.scope):
        raise Forbidden("Logins go over https only. Open this page with https://.")


def _page(url: str, status: int) -> Response:
    return HTMLResponse(_PAGE.format(url=html.escape(url, quote=True)), status)


def _without(request: Request, answer: Response) -> Response:
    """The answer, and the browser keeps nothing of the login."""
    scheme = page_scheme(request.scope)
    answer.delete_cookie(
        _NAMES[scheme], path="/", secure=scheme == "https", httponly=True, samesite="lax"
    )
    return answer


def _with(request: Request, answer: Response, secret: str) -> Response:
    """The answer with the session's cookie."""
    is_tls = request.scope["scheme"] == "https"
    name = cookie_name(request.scope)
    answer.set_cookie(name, secret, path="/", secure=is_tls, httponly=True, samesite="strict")
    return answer
