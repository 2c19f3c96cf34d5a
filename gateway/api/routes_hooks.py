"""Routes of the paths that nodes answer: webhooks and WebSockets below ``/hook/``.

Nobody logs in here: the node itself asks for a token or a signature. What a browser shows of a
login is not handed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import PlainTextResponse
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocketDisconnect, WebSocketState

from gateway.api.gate import needs
from gateway.api.scope import address_of
from gateway.engine.doors import LINES_MAX, PREFIX
from gateway.engine.runtime import Runtime
from gateway.errors import Disconnected, GatewayError
from gateway.flow.inbound import Answer, Call

ANSWER_S: Final = 30.0
HEADERS_MAX: Final = 100
_OURS: Final = ("cookie", "genba-background")
_GONE: Final = "There is nothing here."


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""
    doors = runtime.doors

    @app.api_route(PREFIX + "{path:path}", methods=["POST", "PUT"], include_in_schema=False)
    @needs("hook.call")
    async def call(path: str, request: Request) -> Response:
        door = doors.find(path)
        if door is None or door.on_call is None:
            return PlainTextResponse(_GONE, 404)
        limit = door.body_bytes_max
        announced = request.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > limit:
            return PlainTextResponse(f"A body may have {limit} bytes here.", 413)
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > limit:
                return PlainTextResponse(f"A body may have {limit} bytes here.", 413)
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await door.on_call(
                    Call(
                        request.method,
                        headers_of(request.headers),
                        dict(request.query_params),
                        bytes(body),
                        address_of(request.scope),
                    )
                )
        except (GatewayError, TimeoutError) as error:
            text = str(error) or "No answer in time. Try again."
            answer = Answer(503, text, {"Retry-After": "2"})
        return PlainTextResponse(answer.text, answer.status, dict(answer.headers))

    @app.websocket(PREFIX + "{path:path}")
    @needs("hook.call")
    async def line(path: str, socket: WebSocket) -> None:
        door = doors.find(path)
        if door is None or door.on_line is None:
            await socket.send_denial_response(PlainTextResponse(_GONE, 404))
            return
        if doors.lines >= LINES_MAX:
            text = f"There are {LINES_MAX} sockets already (lines_max)."
            await socket.send_denial_response(PlainTextResponse(text, 503))
            return
        doors.lines += 1
        try:
            await socket.accept()
            opened = _Line(socket)
            try:
                await door.on_line(opened)
            except GatewayError as error:
                await opened.close(1011, str(error))
            await opened.close(1000, "")
        finally:
            doors.lines -= 1


def headers_of(headers: Headers) -> dict[str, str]:
    """The headers that a node may see."""
    found = [(k, v) for k, v in headers.items() if k not in _OURS and not k.startswith("x-forw")]
    return dict(found[:HEADERS_MAX])


class _Line:
    """A WebSocket as a node sees it; see `gateway.flow.inbound.Line`."""

    def __init__(self, socket: WebSocket) -> None:
        connection: HTTPConnection = socket
        self.headers: Mapping[str, str] = headers_of(connection.headers)
        self.query: Mapping[str, str] = dict(connection.query_params)
        self.address = address_of(connection.scope)
        self._socket = socket

    async def receive(self) -> str | bytes:
        try:
            message = await self._socket.receive()
        except RuntimeError as error:  # It was closed by us meanwhile.
            raise Disconnected("The socket is closed.") from error
        if message["type"] == "websocket.disconnect":
            raise Disconnected(f"The other side has gone ({message.get('code', 1005)}).")
        text = message.get("text")
        return text if text is not None else bytes(message.get("bytes") or b"")

    async def send(self, message: str | bytes) -> None:
        key = "text" if isinstance(message, str) else "bytes"
        try:
            await self._socket.send({"type": "websocket.send", key: message})
        except (RuntimeError, OSError, WebSocketDisconnect) as error:
            raise Disconnected("The other side has gone.") from error

    async def close(self, code: int, text: str) -> None:
        if self._socket.application_state is WebSocketState.DISCONNECTED:
            return
        try:
            await self._socket.close(code, text.encode()[:120].decode(errors="ignore"))
        except (RuntimeError, OSError, WebSocketDisconnect):
            return  # It has gone by itself.
