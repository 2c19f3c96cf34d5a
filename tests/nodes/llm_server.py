"""A real server that talks like OpenAI's, and writes as slowly as a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.flow.models import ModelList

Say = Callable[[list[dict[str, str]]], str]


class ModelServer:
    """What the server says, and what it was asked.

    Args:
        say: The answer to the messages of a question.
    """

    def __init__(self, say: Say) -> None:
        self.say = say
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.trouble: list[int] = []
        """Status codes of the next answers, one each; 0 is an answer."""
        self.word_s = 0.0
        """Time for each word [s]."""
        self.cut_after = -1
        """So many words, and then the link is cut; -1 never."""
        self.now = 0
        self.most = 0

    def questions(self) -> list[str]:
        """The last message of each request."""
        return [body["messages"][-1]["content"] for body in self.asked]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body)
        if self.trouble and (status := self.trouble.pop(0)):
            return web.json_response({"error": {"message": "busy"}}, status=status)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self._stream(request, body)
        finally:
            self.now -= 1

    async def _stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        text = self.say(body["messages"])
        words = text.split(" ")
        for i, word in enumerate(words):
            if i == self.cut_after:
                assert request.transport is not None, "it is open"
                request.transport.abort()
                return response
            piece = word if i == 0 else f" {word}"
            part = {"choices": [{"delta": {"content": piece}}]}
            await response.write(f"data: {json.dumps(part)}\n\n".encode())
            await asyncio.sleep(self.word_s)
        end = {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        await response.write(f"data: {json.dumps(end)}\n\n".encode())
        usage = {"prompt_tokens": 7, "completion_tokens": len(words)}
        await response.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    def lend(self, state: Path, **more: Any) -> None:
        """A gateway over this folder asks this server, and nobody else."""
        entry = {"kind": "server", "url": f"{self.url}/v1", "model": "m", "is_inside": True}
        found = ModelList.of({"models": {"server": {**entry, "at_once": 8, "tries": 1, **more}}})
        (state / "models.yaml").write_text(found.text())
        allowed = state / "destinations" / "allowed.json"
        allowed.parent.mkdir(exist_ok=True)
        allowed.write_text('{"allowed": ["127.0.0.0/8"], "only": false}')


def echo(messages: list[dict[str, str]]) -> str:
    """What it says where nothing else is wanted."""
    return f"You said {messages[-1]['content']}"


@asynccontextmanager
async def model_server(say: Say = echo) -> AsyncIterator[ModelServer]:
    """A server until the block ends."""
    server = ModelServer(say)
    app = web.Application(client_max_size=10_000_000)
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()
