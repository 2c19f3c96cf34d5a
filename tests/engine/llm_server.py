"""A real server that speaks OpenAI's protocol over a socket, and does to us what servers do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Script = Callable[[web.Request, dict[str, Any]], Any]


class LlmServer:
    """Answers by a script of steps, one for each request; the last one stays."""

    def __init__(self) -> None:
        self.steps: list[Any] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.port = 0
        self.hangs = asyncio.Event()
        self.gone = asyncio.Event()
        """Set when a client went away in the middle."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        try:
            return await step(self, request, body)
        except (ConnectionResetError, asyncio.CancelledError):
            self.gone.set()
            raise


@asynccontextmanager
async def serving(*steps: Any) -> AsyncIterator[LlmServer]:
    """A server on a free port of this machine."""
    server = LlmServer()
    server.steps = list(steps)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        server.hangs.set()
        await runner.cleanup()


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """One event of a stream."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    value = {"object": "chat.completion.chunk", "choices": [choice], **more}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def streams(
    *texts: str,
    usage: tuple[int, int] | None = (11, 7),
    finish: str = "stop",
    cut_after: int | None = None,
    pause_s: float = 0.0,
    split: int = 0,
) -> Any:
    """Stream pieces; `cut_after` breaks the connection, `split` cuts the bytes anywhere."""

    async def step(server: LlmServer, request: web.Request, body: dict[str, Any]) -> Any:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        parts = [b": hello\n\n", chunk("")]
        for number, text in enumerate(texts):
            if cut_after is not None and number == cut_after:
                break
            parts.append(chunk(text))
        if cut_after is None:
            parts.append(chunk(finish=finish))
            if usage is not None:
                counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
                tail = {"choices": [], "usage": counts}
                parts.append(b"data: " + json.dumps(tail).encode() + b"\r\n\r\n")
            parts.append(b"data: [DONE]\n\n")
        if split:
            whole = b"".join(parts)
            parts = [whole[at : at + split] for at in range(0, len(whole), split)]
        for part in parts:
            await answer.write(part)
            if pause_s:
                await asyncio.sleep(pause_s)
        if cut_after is not None:
            assert request.transport is not None
            request.transport.close()
        return answer

    return step


def gives(text: Any, *, usage: tuple[int, int] = (11, 7), finish: str = "stop") -> Any:
    """One answer in one piece."""

    async def step(server: LlmServer, request: web.Request, body: dict[str, Any]) -> Any:
        message = {"role": "assistant", "content": text}
        counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return web.json_response({"choices": [choice], "usage": counts})

    return step


def says(status: int, message: str = "no", **headers: str) -> Any:
    """An error."""

    async def step(server: LlmServer, request: web.Request, body: dict[str, Any]) -> Any:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return web.json_response({"error": {"message": message}}, status=status, headers=named)

    return step


def sends(data: bytes, kind: str = "application/json") -> Any:
    """Bytes as they are."""

    async def step(server: LlmServer, request: web.Request, body: dict[str, Any]) -> Any:
        return web.Response(body=data, content_type=kind)

    return step


def hangs() -> Any:
    """Nothing, ever."""

    async def step(server: LlmServer, request: web.Request, body: dict[str, Any]) -> Any:
        await server.hangs.wait()
        return web.Response()

    return step
