"""Guard: what a request must be before any route sees it.

Pure ASGI, so that the bytes of a body are counted as they come and not as they are announced.
Source: ASGI 3.0, HTTP & WebSocket protocol; RFC 9110, 15.5.20 (421) and 15.5.14 (413).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

BODY_BYTES_MAX: Final = 64 * 1024
FLOW_BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""A flow file, escaped as JSON."""
HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """Refuses foreign hosts, foreign pages and large bodies; adds the headers of every answer.

    Args:
        app: What it stands before.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # There are no sockets here yet, and none is opened by accident.
        headers = Headers(scope=scope)

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                own = headers.get("cache-control", _HEADERS["Cache-Control"])
                headers.update({**_HEADERS, "Cache-Control": own})
            await send(message)

        limit = FLOW_BODY_BYTES_MAX if _takes_a_flow(str(scope["path"])) else BODY_BYTES_MAX
        refused = _refused(str(scope["method"]), headers, limit)
        if refused is not None:
            await refused(scope, receive, dressed)
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
    return path.startswith("/api/drafts/") or (
        path.startswith("/api/flows/") and path.endswith(ends)
    )


def _refused(method: str, headers: Headers, limit: int) -> PlainTextResponse | None:
    host = headers.get("host", "")
    if _name(host) not in HOSTS:
        return PlainTextResponse("This API answers to this machine's own name only.", 421)
    announced = headers.get("content-length", "0")
    if not announced.isdigit() or int(announced) > limit:
        return PlainTextResponse(f"A request may have {limit} bytes.", 413)
    origin = headers.get("origin")
    if method not in ("GET", "HEAD") and origin and origin.partition("://")[2] != host:
        return PlainTextResponse("A page from elsewhere may not act here.", 403)
    return None


def _name(host: str) -> str:
    """A Host header without its port.

    >>> _name("localhost:8780"), _name("[::1]"), _name("[::1]:80")
    ('localhost', '[::1]', '[::1]')
    """
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
