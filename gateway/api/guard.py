"""Guard: what a request must be before any route sees it.

Pure ASGI, so that the bytes of a body are counted as they come and not as they are announced.
Source: ASGI 3.0, HTTP & WebSocket protocol; RFC 9110, 15.5.20 (421) and 15.5.14 (413).
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from gateway.api import routes_restore, routes_update
from gateway.api.scope import FRONT, App, Message, Receive, Scope, Send, names_this_machine
from gateway.engine.doors import BODY_BYTES_MAX as DOOR_BODY_BYTES_MAX
from gateway.engine.doors import PREFIX
from gateway.engine.handover import RELEASE_BYTES_MAX
from gateway.engine.restores import BACKUP_BYTES_MAX

BODY_BYTES_MAX: Final = 64 * 1024
FLOW_BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""A flow file, escaped as JSON."""
HOOK_BODY_BYTES_MAX: Final = DOOR_BODY_BYTES_MAX
"""What no node may exceed; each has its own limit below it."""
_FILES: Final = {routes_update.FILE: RELEASE_BYTES_MAX, routes_restore.FILE: BACKUP_BYTES_MAX}
"""Files that go straight to the disk."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Refuses foreign hosts, foreign pages and large bodies; adds the headers of every answer.

    Args:
        app: What it stands before.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        headers = Headers(scope=scope)

        async def dressed(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                own = headers.get("cache-control", _HEADERS["Cache-Control"])
                headers.update({**_HEADERS, "Cache-Control": own})
            await send(message)

        limit = _limit(str(scope["path"]))
        refused = _refused(scope, headers, limit)
        if refused is not None:
            await refused(scope, receive, dressed)
            return
        if scope["type"] == "websocket":  # Its messages are bounded by the server.
            await self._app(scope, receive, dressed)
            return
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > limit:
                raise HTTPException(413, f"A request may have {limit} bytes.")
            return message

        await self._app(scope, counted, dressed)


def _limit(path: str) -> int:
    if path in _FILES:
        return _FILES[path]
    if path.startswith(PREFIX):
        return HOOK_BODY_BYTES_MAX
    return FLOW_BODY_BYTES_MAX if _takes_a_flow(path) else BODY_BYTES_MAX


def _takes_a_flow(path: str) -> bool:
    ends = (
        "/deploy",
        "/shadow",
        "/lint",
        "/plan",
        "/test",
        "/replay",
        "/convert",
        "/tags",
        "/layout",
    )
    return path.startswith(("/api/drafts/", "/api/dashboards/", "/api/pictures")) or (
        path.startswith("/api/flows/") and path.endswith(ends)
    )


def _refused(scope: Scope, headers: Headers, limit: int) -> PlainTextResponse | None:
    host = headers.get("host", "")
    if not scope.get(FRONT) and not names_this_machine(scope):
        return PlainTextResponse("This API answers to this machine's own name only.", 421)
    announced = headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > limit:
        return PlainTextResponse(f"A request may have {limit} bytes.", 413)
    origin = headers.get("origin")
    is_safe = scope.get("method") in ("GET", "HEAD")  # A socket has no method and is not.
    if not is_safe and origin and origin.partition("://")[2] != host:
        return PlainTextResponse("A page from elsewhere may not act here.", 403)
    return None
