"""A real server that talks like OpenAI's, and a `Context.generate` that asks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from aiohttp import web

from gateway import Ask, Disconnected, Generated, OnChunk, Rejected

Say = Callable[[str], str]


class ModelServer:
    """What the server says, and what it was asked.

    Args:
        say: The answer to a question.
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
        text = self.say(body["messages"][-1]["content"])
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
        usage = {"prompt_tokens": 7, "completion_tokens": len(words)}
        await response.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    async def generate(self, ask: Ask, on_chunk: OnChunk | None = None) -> Generated:
        """Ask the server, as `Context.generate` does."""
        body = {
            "model": ask.model or "small",
            "messages": [{"role": role, "content": text} for role, text in ask.messages],
            "stream": True,
        }
        text, usage = "", {}
        clock = asyncio.get_running_loop().time
        start, first = clock(), 0.0
        url = f"{self.url}/v1/chat/completions"
        try:
            async with (
                httpx.AsyncClient(trust_env=False, timeout=ask.deadline_s) as client,
                client.stream("POST", url, json=body) as response,
            ):
                if response.status_code == 400:
                    raise Rejected("The model never answers this.")
                if response.status_code != 200:
                    raise Disconnected(f"The model says {response.status_code}.")
                async for line in response.aiter_lines():
                    if not line.startswith("data: ") or line == "data: [DONE]":
                        continue
                    part = json.loads(line[6:])
                    usage = part.get("usage") or usage
                    for choice in part["choices"]:
                        piece = choice["delta"]["content"]
                        first = first or clock() - start
                        text += piece
                        if on_chunk is not None:
                            on_chunk(piece)
        except httpx.HTTPError as error:
            raise Disconnected(f"The model is away: {error!r}.", retry_after_s=0.05) from error
        return Generated(
            text,
            str(body["model"]),
            "the only one there is",
            int(usage["prompt_tokens"]),
            int(usage["completion_tokens"]),
            0.001,
            first,
            clock() - start,
        )


@asynccontextmanager
async def model_server(say: Say = lambda text: f"You said {text}") -> AsyncIterator[ModelServer]:
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
