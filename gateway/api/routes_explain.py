"""Routes of explanations: why an alarm was raised, in words; what operators say of that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from gateway.api.gate import actor_of, needs
from gateway.api.messages_explain import ExplainAsk, Feedback, Language
from gateway.engine.explain import Explainer
from gateway.engine.explain_view import case_rows, export_row, shown
from gateway.engine.runtime import Runtime
from gateway.engine.store_explain import Judgement, page
from gateway.errors import ConfigError, Rejected

_ALARM = Query(min_length=1, max_length=512, description="The alarm's id.")
_OCCURRENCE = Query(0, ge=0, description="Which annunciation; 0 is the newest.")


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""

    @app.get("/api/alarms/explanation")
    @needs("alarm.read")
    async def explanation(
        alarm: str = _ALARM, occurrence: int = _OCCURRENCE, language: Language = "en"
    ) -> Response:
        explainer = _explainer(runtime)
        found = await explainer.find(alarm, occurrence)
        return _json(shown(found, language))

    @app.post("/api/alarms/explanation")
    @needs("explanation.ask")
    async def explain(body: ExplainAsk) -> Response:
        explainer = _explainer(runtime)
        if not await explainer.ask(body.alarm, body.occurrence):
            return PlainTextResponse(f"No alarm event of {body.alarm!r} is stored.", 404)
        found = await explainer.find(body.alarm, body.occurrence)
        return _json(shown(found, body.language), 202)

    @app.post("/api/alarms/explanation/feedback")
    @needs("explanation.judge")
    async def feedback(body: Feedback, request: Request) -> Response:
        if body.verdict == "other" and not (body.cause or body.said.strip()):
            return PlainTextResponse("Say what it was: `cause`, or `said` in your words.", 422)
        now = runtime.clock.now()
        actor = actor_of(request, body.actor)
        judgement = Judgement(body.verdict, body.cause, body.said.strip(), actor, now)
        try:
            await _explainer(runtime).judge(body.alarm, body.occurrence, judgement)
        except Rejected as error:
            return PlainTextResponse(str(error), 404)
        return _json({"done": True})

    _add_learning(app, runtime)


def _add_learning(app: FastAPI, runtime: Runtime) -> None:
    """What operators said of past cases, for the next time and the next training."""

    @app.get("/api/alarms/explanation/cases")
    @needs("alarm.read")
    async def cases(
        alarm: str = _ALARM, occurrence: int = _OCCURRENCE, language: Language = "en"
    ) -> Response:
        found = await _explainer(runtime).find(alarm, occurrence)
        return _json(case_rows(found, language))

    @app.get("/api/explanations.jsonl")
    @needs("explanation.read")
    async def export() -> Response:
        path = runtime.store.path

        async def lines() -> AsyncIterator[bytes]:
            after = 0
            while True:
                rows, last = await asyncio.to_thread(page, path, after)
                if not last:
                    return
                after = last
                for row in rows:
                    yield orjson.dumps(export_row(row)) + b"\n"

        headers = {"Content-Disposition": 'attachment; filename="explanations.jsonl"'}
        return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)


def _explainer(runtime: Runtime) -> Explainer:
    """What explains.

    Raises:
        ConfigError: It is off.
    """
    if runtime.explainer is None:
        raise ConfigError(
            "This gateway explains no alarms.", hint="Start it without --no-explanations."
        )
    return runtime.explainer
