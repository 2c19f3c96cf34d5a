"""Proxy: hands a browser's request on to the API, and its answer back, as they are.

So everything a browser does has one origin, and everything it may do is the API's to say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import anyio
import httpx
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Origin

from gateway.errors import Disconnected
from ui.engine import FRONT, Engine

BODY_BYTES_MAX: Final = 5 * 1024 * 1024
"""A flow file as JSON; the API has its own, smaller limits."""
FILES: Final = {"/api/update/file": 1 << 30, "/api/restore/file": 16 << 30}
"""Files that the API writes straight to its disk [bytes at most]."""
FRAME_BYTES_MAX: Final = 8 * 1024 * 1024
_NOT_ON: Final = frozenset(
    "connection host keep-alive proxy-connection te trailer transfer-encoding upgrade "
    f"x-forwarded-for x-forwarded-proto x-forwarded-host forwarded {FRONT.lower()}".split()
)
"""What belongs to one connection, or is ours to say (RFC 9110, 7.6.1)."""


class _TooLargeError(Exception):
    """A body with more bytes than are taken."""


def scheme_of(scope: Scope) -> str:
    """How the browser came: http or https."""
    return {"ws": "http", "wss": "https"}.get(scope["scheme"], str(scope["scheme"]))


def client_of(scope: Scope) -> str:
    """The browser's address."""
    return str(scope["client"][0]) if scope.get("client") else ""


def is_own(scope: Scope, origin: str) -> bool:
    """Whether a page of this very address asks."""
    return origin == f"{scheme_of(scope)}://{Headers(scope=scope).get('host', '')}"


class Proxy:
    """Passes on to the gateway.

    Args:
        engine: The gateway on this machine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _headers(self, scope: Scope, port: int) -> list[tuple[str, str]]:
        found = [(k, v) for k, v in Headers(scope=scope).items() if k not in _NOT_ON]
        origin = Headers(scope=scope).get("origin")
        if origin is not None:
            scheme = scheme_of(scope)
            own = f"{scheme}://127.0.0.1:{port}" if is_own(scope, origin) else "null"
            found = [(k, own if k == "origin" else v) for k, v in found]
        return [*found, *self._engine.headers(scheme_of(scope), client_of(scope)).items()]

    async def http(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        limit = FILES.get(str(scope["path"]), BODY_BYTES_MAX)
        try:
            port, _ = self._engine.address()
            query = scope["query_string"].decode("latin-1")
            raw = scope.get("raw_path") or scope["path"].encode()
            request = self._engine.http.build_request(
                scope["method"],
                httpx.URL(f"http://127.0.0.1:{port}").copy_with(
                    raw_path=raw + (b"?" + query.encode("latin-1") if query else b"")
                ),
                headers=self._headers(scope, port),
                content=_body(receive, limit) if scope["method"] not in ("GET", "HEAD") else None,
            )
            answer = await self._engine.http.send(request, stream=True)
        except (httpx.HTTPError, Disconnected):
            text = "The gateway does not answer. Is it running? Try again in a few seconds."
            await PlainTextResponse(text, 503, {"Retry-After": "2"})(scope, receive, send)
            return
        except _TooLargeError:
            text = f"A request may have {limit} bytes."
            await PlainTextResponse(text, 413)(scope, receive, send)
            return
        await _answer(answer, send)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One WebSocket, until either side ends it."""
        try:
            port, _ = self._engine.address()
            headers = self._headers(scope, port)
            origin = next((value for key, value in headers if key == "origin"), None)
            skip = ("origin", "sec-websocket", "content-")
            upstream = await connect(
                f"ws://127.0.0.1:{port}{scope['path']}{_query(scope)}",
                additional_headers=[(k, v) for k, v in headers if not k.startswith(skip)],
                origin=Origin(origin) if origin else None,
                user_agent_header=None,
                compression=None,
                max_size=FRAME_BYTES_MAX,
                max_queue=4,
                proxy=None,
            )
        except InvalidStatus as error:
            code = 4401 if error.response.status_code == 401 else 4403
            await _refuse(receive, send, code)
            return
        except (OSError, WebSocketException, Disconnected, TimeoutError):
            await _refuse(receive, send, 1013)
            return
        async with upstream:
            await receive()  # websocket.connect
            await send({"type": "websocket.accept"})
            async with anyio.create_task_group() as both:
                both.start_soon(_down, upstream, send)
                await _up(upstream, receive)
                both.cancel_scope.cancel()


def _query(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return f"?{query}" if query else ""


async def _refuse(receive: Receive, send: Send, code: int) -> None:
    """End before it began; a browser must have been accepted to be told a code."""
    await receive()
    if code == 4401:
        await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": code})


async def _down(upstream: ClientConnection, send: Send) -> None:
    """What the gateway says; a slow browser is waited for, and the gateway skips meanwhile."""
    code = 1012
    try:
        async for frame in upstream:
            key = "text" if isinstance(frame, str) else "bytes"
            await send({"type": "websocket.send", key: frame})
        code = upstream.close_code or 1012
    except ConnectionClosed as error:
        code = error.rcvd.code if error.rcvd else 1012
    except (OSError, RuntimeError):  # The browser has gone; `_up` is told so as well.
        return
    with suppress(RuntimeError, OSError):
        await send({"type": "websocket.close", "code": code})


async def _up(upstream: ClientConnection, receive: Receive) -> None:
    """What the browser says."""
    while (message := await receive())["type"] == "websocket.receive":
        with suppress(ConnectionClosed):
            await upstream.send(message.get("text") or message.get("bytes") or b"")


async def _body(receive: Receive, limit: int) -> AsyncIterator[bytes]:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _TooLargeError
        if part:
            yield part
        if not message.get("more_body"):
            return


async def _answer(answer: httpx.Response, send: Send) -> None:
    """Hand an answer back as it comes."""
    headers = [
        (key.lower(), value)
        for key, value in answer.headers.raw
        if key.decode("latin-1").lower() not in _NOT_ON
    ]
    try:
        start: Message = {
            "type": "http.response.start",
            "status": answer.status_code,
            "headers": headers,
        }
        await send(start)
        async for part in answer.aiter_raw():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await answer.aclose()


__all__ = ["Proxy", "client_of", "is_own", "scheme_of"]
