"""Routes of the dead letters: list, look, give back, let go."""

from __future__ import annotations

from typing import Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import PlainTextResponse

from gateway.api.gate import actor_of, needs
from gateway.api.messages import Done, Letter, LetterAction, LetterShown
from gateway.engine.runtime import Runtime
from gateway.engine.store_records import letter, letters


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""
    desk = runtime.letters

    async def absent(number: int) -> Response | None:
        if await letter(runtime.store, number) is None:
            return PlainTextResponse(f"There is no dead letter {number}.", 404)
        return None

    @app.get("/api/letters")
    @needs("letter.list")
    async def listed(
        state: Literal["waiting", "replayed", "discarded", "all"] = "waiting",
        limit: int = Query(1000, ge=1, le=10_000),
    ) -> list[Letter]:
        rows = await letters(runtime.store, None if state == "all" else state, limit)
        return [Letter(**row) for row in rows]

    @app.get("/api/letters/{number}", response_model=LetterShown)
    @needs("letter.read")
    async def show(number: int) -> LetterShown | Response:
        return await absent(number) or LetterShown(**await desk.show(number))

    @app.get("/api/letters/{number}/raw")
    @needs("letter.read")
    async def raw(number: int) -> Response:
        return await absent(number) or Response(
            await desk.raw(number), media_type="application/octet-stream"
        )

    @app.post("/api/letters/{number}/replay", response_model=Done)
    @needs("letter.settle")
    async def replay(number: int, action: LetterAction, request: Request) -> Done | Response:
        if (answer := await absent(number)) is not None:
            return answer
        return Done(text=await desk.replay(number, actor_of(request, action.actor)))

    @app.post("/api/letters/{number}/discard", response_model=Done)
    @needs("letter.settle")
    async def discard(number: int, action: LetterAction, request: Request) -> Done | Response:
        if (answer := await absent(number)) is not None:
            return answer
        if not action.reason:
            return PlainTextResponse("Say why it is discarded (reason).", 422)
        await desk.discard(number, actor_of(request, action.actor), action.reason)
        return Done(text=f"Dead letter {number} was discarded.")
