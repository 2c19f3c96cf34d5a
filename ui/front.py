"""Front: the one door for browsers. What a request must be before a page or the API sees it.

Without a login there are the page for it, the browser code and what the API itself leaves open.
NiceGUI takes any socket that knows the id of a page, from any origin; here a socket must come
from a page of this very address and show the session that opened the page.

Source: OWASP ASVS 5.0, 3.4, 4.4 and 14.3; OWASP WebSocket Security cheat sheet.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import Disconnected, Rejected
from ui.assets import FONTS, built
from ui.engine import Api, Engine
from ui.i18n import language_of
from ui.plain import login_page, waiting_page
from ui.proxy import Proxy, client_of, is_own, scheme_of

TO_API: Final = ("/metrics", "/healthz", "/readyz", "/openapi.json", "/live")
COOKIE: Final = "__Host-genba"
PLAIN_COOKIE: Final = "genba"
PAGE_BODY_BYTES_MAX: Final = 64 * 1024
ME: Final = "genba.me"
_KNOWN_S: Final = 3.0
_KNOWN_MAX: Final = 500
_YEAR: Final = "public, max-age=31536000, immutable"
_HEADERS: Final = {
    # NiceGUI evaluates text as code, so that cannot be forbidden; nothing leaves this origin.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' "
    "'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=()",
}
_HSTS: Final = "max-age=31536000"


class Front:
    """Every request passes here.

    Args:
        pages: NiceGUI's pages; reached only by who is logged in.
        engine: The gateway on this machine.
        names: Host names this gateway is reached by, besides addresses and localhost.
    """

    def __init__(self, pages: ASGIApp, engine: Engine, names: Sequence[str] = ()) -> None:
        self._pages = pages
        self._engine = engine
        self._proxy = Proxy(engine)
        self._names = {"localhost", *(name.lower() for name in names)}
        self._built = f"/assets/{built().name}"
        self._assets = StaticFiles(directory=built())
        self._fonts = StaticFiles(directory=FONTS)
        self._known: dict[str, tuple[float, dict[str, Any] | None]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._pages(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self._http(scope, receive, _dressed(scope, send))

    # ------------------------------------------------------------------ requests

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        if not self._is_our_name(scope):
            answer: Response = PlainTextResponse("This gateway has another name.", 421)
            await answer(scope, receive, send)
        elif path.startswith(("/api/", "/hook/")) or path in TO_API:
            await self._proxy.http(scope, receive, send)
        elif path.startswith(("/assets/", "/fonts/")):
            await self._static(scope, receive, send)
        elif path == "/login":
            await login_page(language_of(Headers(scope=scope)))(scope, receive, send)
        elif path.startswith("/_nicegui_ws"):  # By socket only: what is polled has no origin.
            await PlainTextResponse("There is nothing here.", 404)(scope, receive, send)
        else:
            await self._page(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What only those who are logged in reach."""
        answer: Response | None = None
        try:
            me = await self.who(scope)
        except Disconnected:
            answer = waiting_page(language_of(Headers(scope=scope)))
        else:
            if me is None:
                answer = PlainTextResponse("Log in first.", 401)
                if _wants_page(scope):
                    there = scope["path"] + _query(scope)
                    answer = RedirectResponse(f"/login?next={quote(there, safe='')}", 303)
            else:
                scope[ME] = me
        if answer is not None:
            await answer(scope, receive, send)
            return
        await self._pages(scope, _counted(receive), send)

    async def who(self, scope: Scope) -> dict[str, Any] | None:
        """Who the API says asks; None for nobody.

        Raises:
            Disconnected: The gateway does not answer.
        """
        key = session_of(Headers(scope=scope), scope)
        now = asyncio.get_running_loop().time()
        at, me = self._known.get(key, (float("-inf"), None))
        if now - at < _KNOWN_S and me is not None:
            return me
        cookie = Headers(scope=scope).get("cookie", "")
        api = Api(self._engine, cookie, scheme_of(scope), client_of(scope))
        try:
            me = dict(await api.get("/api/me", by_itself=not _wants_page(scope)))
        except Rejected:
            me = None
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()
        self._known[key] = (now, me)
        return me

    async def _static(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        if path.startswith("/fonts/"):
            files, prefix = self._fonts, "/fonts"
        elif path.startswith(self._built + "/"):
            files, prefix = self._assets, self._built
        else:
            await PlainTextResponse("There is nothing here.", 404)(scope, receive, send)
            return

        async def kept(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(scope=message)["Cache-Control"] = _YEAR
            await send(message)

        inner = {**scope, "path": path, "root_path": prefix}
        try:
            await files(inner, receive, kept)
        except HTTPException as error:
            text = PlainTextResponse("There is nothing here.", error.status_code)
            await text(scope, receive, send)

    # ------------------------------------------------------------------ sockets

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        is_live = scope["path"] == "/live" or str(scope["path"]).startswith("/hook/")
        if is_live and self._is_our_name(scope):
            await self._proxy.websocket(scope, receive, send)
            return
        is_pages = str(scope["path"]).startswith("/_nicegui_ws/")
        if is_pages and self._is_our_name(scope) and is_own(scope, headers.get("origin", "")):
            try:
                me = await self.who(scope)
            except Disconnected:
                me = None
            if me is not None:
                await self._pages(scope, receive, send)
                return
        await receive()
        await send({"type": "websocket.close", "code": 4403})

    def _is_our_name(self, scope: Scope) -> bool:
        """Whether the Host is ours: a rebound name in a browser on the LAN is not."""
        name = Headers(scope=scope).get("host", "").lower()
        name = name[1:].partition("]")[0] if name[:1] == "[" else name.partition(":")[0]
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def session_of(headers: Headers, scope: Scope) -> str:
    """What tells one session from another, without being it."""
    cookies = cookie_parser(headers.get("cookie", ""))
    secrets = [cookies.get(name, "") for name in (COOKIE, PLAIN_COOKIE)]
    text = "\0".join([*secrets, client_of(scope), headers.get("host", "")])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _wants_page(scope: Scope) -> bool:
    return scope["type"] == "http" and "text/html" in Headers(scope=scope).get("accept", "")


def _query(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return f"?{query}" if query else ""


def _dressed(scope: Scope, send: Send) -> Send:
    """Adds the headers of every answer."""

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            if scheme_of(scope) == "https":
                headers["Strict-Transport-Security"] = _HSTS
        await send(message)

    return dressed


def _counted(receive: Receive) -> Receive:
    """A body for a page, which is small."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > PAGE_BODY_BYTES_MAX:
            raise HTTPException(413, f"A request may have {PAGE_BODY_BYTES_MAX} bytes.")
        return message

    return counted


__all__ = ["ME", "Front", "session_of"]
