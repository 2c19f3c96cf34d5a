"""Routes to look into a flow: follow samples, catch what fulfils a condition, make a test of it.

Nothing here touches what a flow computes.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import orjson
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.api.gate import needs
from gateway.data.table import parse_time
from gateway.engine.catch import BEFORE_MAX, HITS_MAX, add_catch, remove_catch
from gateway.engine.jobs import Busy, Jobs
from gateway.engine.runtime import Runtime
from gateway.engine.trace import copied, trace_samples
from gateway.errors import ConfigError, LimitError, Rejected
from gateway.flow.document import Document
from gateway.flow.yaml_read import FLOW_BYTES_MAX

JOB_S_MAX: Final = 60.0
_NODE: Final = r"^[A-Za-z][A-Za-z0-9_/-]*$"
_Node = Annotated[str, Field(max_length=512, pattern=_NODE)]


class Trace(BaseModel):
    """What is followed: rows that are written here, or the newest that were recorded."""

    model_config = ConfigDict(extra="forbid")
    node: str = Field(max_length=512, pattern=_NODE, description="Where they come in.")
    port: str = Field("", max_length=128, pattern=r"^\w*$", description="Empty is the first.")
    samples: str = Field(
        "", max_length=20_000, description="As in flow tests, whatever the port carries; 0s is now."
    )
    until: str = Field("", max_length=16, description="So long after now timers fire: 1min.")
    last: int | None = Field(None, ge=1, le=1_000, description="So many recorded rows instead.")
    text: str = Field("", max_length=FLOW_BYTES_MAX, description="An edited flow, for `samples`.")

    @model_validator(mode="after")
    def _one_kind(self) -> Trace:
        if bool(self.samples) == (self.last is not None):
            raise ValueError("give either samples or last")
        return self


class Catching(BaseModel):
    """What is waited for at a wire."""

    model_config = ConfigDict(extra="forbid")
    node: str = Field(max_length=512, pattern=_NODE, description="Where the wire begins.")
    port: str = Field("", max_length=128, description="Empty is the first output.")
    condition: str = Field(
        "", max_length=2_000, description="Such as value > 80 and good; empty is every message."
    )
    tags: str = Field("#", max_length=512, description="Which tags it is about.")
    hits: int = Field(5, ge=1, le=HITS_MAX, description="So many messages are kept.")
    before: int = Field(20, ge=0, le=BEFORE_MAX, description="And so many rows before each.")


class Making(BaseModel):
    """What a test is made of."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    begin: str = Field("-1min", alias="from", max_length=64, pattern=r"^[^\n]+$")
    end: str = Field("now", alias="to", max_length=64, pattern=r"^[^\n]+$")
    nodes: list[_Node] = Field(
        default_factory=list, max_length=100, description="Whose outputs; none means all ends."
    )
    title: str = Field("", max_length=200, pattern=r"^[^\n]*$", description="What it is called.")
    text: str = Field("", max_length=FLOW_BYTES_MAX, description="The flow that gets it.")


def add(app: FastAPI, runtime: Runtime, jobs: Jobs) -> None:
    """Declare the routes over a running gateway."""

    @app.post("/api/flows/{name}/trace")
    @needs("flow.tap")
    async def trace(name: str, body: Trace) -> Response:
        if name not in runtime.runners or name.startswith("-"):
            return PlainTextResponse(f"There is no flow {name!r} that runs.", 404)
        if body.last is not None:
            return await _recorded(runtime, jobs, name, body)
        try:
            return _json(await _written(runtime, name, body))
        except (ConfigError, LimitError, ValueError) as error:
            return PlainTextResponse(str(error), 422)

    @app.post("/api/flows/{name}/make_test")
    @needs("flow.tap")
    async def make_test(name: str, body: Making) -> Response:
        if name not in runtime.runners or name.startswith("-"):
            return PlainTextResponse(f"There is no flow {name!r} that runs.", 404)
        words = ["maketest", name, f"--from={body.begin}", f"--to={body.end}", "--json", "--gently"]
        words += [f"--state={runtime.state_dir}", f"--title={body.title}"]
        words += [f"--node={node}" for node in body.nodes]
        words += [f"--set={key}={value}" for key, value in runtime.flows.variables.items()]
        if body.text:
            words += ["--file", "flow.yaml"]
        return await _asked(jobs, words, {"flow.yaml": body.text} if body.text else {})

    _add_catch(app, runtime)


def _add_catch(app: FastAPI, runtime: Runtime) -> None:
    """What waits for a condition at a wire."""

    @app.post("/api/flows/{name}/catch")
    @needs("flow.tap")
    async def catch(name: str, body: Catching) -> Response:
        runner = runtime.runners.get(name)
        if runner is None:
            return PlainTextResponse(f"There is no flow {name!r} that runs.", 404)
        port = (body.node, body.port)
        try:
            key, made = add_catch(runner, port, body.condition, body.tags, body.hits, body.before)
        except (ConfigError, LimitError) as error:
            return PlainTextResponse(str(error), 422)
        return _json(made.as_dict(key), 201)

    @app.get("/api/flows/{name}/catch")
    @needs("catch.read")
    async def caught(name: str) -> Response:
        runner = runtime.runners.get(name)
        if runner is None:
            return PlainTextResponse(f"There is no flow {name!r} that runs.", 404)
        return _json([one.as_dict(key) for key, one in runner.taps.catches.items()])

    @app.delete("/api/flows/{name}/catch/{id}")
    @needs("flow.tap")
    async def uncaught(name: str, id: str) -> Response:
        runner = runtime.runners.get(name)
        if runner is None or not remove_catch(runner, id):
            return PlainTextResponse(f"There is no catch {id!r} in {name}.", 404)
        return _json({"text": f"{id} is removed."})


async def _written(runtime: Runtime, name: str, body: Trace) -> dict[str, Any]:
    """A trace of rows that somebody wrote, through a copy of what runs or of an edited flow."""
    until = parse_time(body.until) if body.until else 0
    document = None
    if body.text:
        parsed = await asyncio.to_thread(Document.parse, body.text, f"{name}.flow.yaml")
        document = await asyncio.to_thread(runtime.flows.prepared, parsed)
    make = copied(runtime.runners[name].graph, document)  # Between two steps: nothing awaits.
    end, now = (body.node, body.port), runtime.clock.now()
    return await asyncio.to_thread(trace_samples, make, end, body.samples, until, now)


async def _recorded(runtime: Runtime, jobs: Jobs, name: str, body: Trace) -> Response:
    """A trace of recorded rows: the flow is run up to them in a process of its own."""
    end = f"{body.node}.{body.port}" if body.port else body.node
    words = ["trace", name, end, f"--last={body.last}", "--json", "--gently"]
    words.append(f"--state={runtime.state_dir}")
    return await _asked(jobs, words, {})


async def _asked(jobs: Jobs, words: list[str], files: dict[str, str]) -> Response:
    """What a command of ours says, in a process of its own."""
    try:
        _, found = await jobs.once(words, files, JOB_S_MAX)
    except Busy as error:
        return PlainTextResponse(str(error), 409)
    except Rejected as error:
        return PlainTextResponse(str(error), 422)
    return _json(found)


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


__all__ = ["add"]
