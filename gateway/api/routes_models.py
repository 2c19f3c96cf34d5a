"""Routes of the models: which there are, who does what, and a question to try one."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.gate import actor_of, needs
from gateway.api.messages import Done
from gateway.api.messages_models import ModelsShown, ModelsText, Question
from gateway.engine.runtime import Runtime
from gateway.errors import ConfigError
from gateway.flow.generate import Ask
from gateway.flow.models import NAME, Model, ModelList
from models.llm import binding

_log = logging.getLogger("genba.models")


class _Options(BaseModel):
    """What a model is."""

    model_config = ConfigDict(extra="forbid")
    options: Model = Field(description="As in the list of models.")


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""
    pool, book = runtime.models, runtime.models.book

    @app.get("/api/models")
    @needs("model.read")
    async def shown() -> ModelsShown:
        files = await asyncio.to_thread(book.files)
        return ModelsShown(
            models=pool.rows(),
            rules=[rule.model_dump(mode="json") for rule in book.found.rules],
            files=files,
            binding=await asyncio.to_thread(binding.installed),
            answers=pool.answers.rows,
            problem=book.problem,
            text=book.text(),
            version=book.version,
        )

    @app.put("/api/models")
    @needs("model.edit")
    async def put(body: ModelsText, request: Request) -> Done:
        found = ModelList.parse(body.text)
        await book.put(found, body.base, actor_of(request), "models/set")
        return Done(text="The list of models is saved.")

    @app.put("/api/models/{name}")
    @needs("model.edit")
    async def put_one(name: str, body: _Options, request: Request) -> Done:
        if not NAME.match(name):
            raise ConfigError(f"{name!r} is no name of a model.", hint="Use a-z, 0-9 and . _ -")
        await book.add(name, body.options, actor_of(request))
        return Done(text=f"{name} is in the list of models.")

    @app.delete("/api/models/{name}")
    @needs("model.edit")
    async def remove(name: str, request: Request) -> Done:
        await book.remove(name, actor_of(request))
        return Done(text=f"{name} is out of the list of models.")

    @app.post("/api/models/try")
    @needs("model.try")
    async def try_one(body: Question, request: Request) -> dict[str, Any]:
        ask = Ask(
            task=body.task,
            messages=(("user", body.text),),
            model=body.model,
            language=body.language,
            tokens_max=body.tokens_max,
            deadline_s=body.deadline_s,
            is_private=body.is_private,
            key=f"try by {actor_of(request)}",
        )
        return asdict(await pool.generate(ask))

    @app.post("/api/models/forget")
    @needs("model.edit")
    async def forget(request: Request) -> Done:
        await book.record(actor_of(request), "models/forget", {"answers": pool.answers.rows})
        return Done(text=f"{await pool.answers.forget()} answers are forgotten.")


__all__ = ["add"]
