"""Routes for the flow editor: what nodes there are, and what a text that is edited would do.

Nothing here changes what runs. What computes for long does so in a process of its own.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.gate import actor_of, needs
from gateway.api.told import Language, told
from gateway.data import quality
from gateway.engine.flows import Flows
from gateway.engine.foresight import plan
from gateway.engine.jobs import Busy, Job, Jobs
from gateway.engine.runtime import Runtime
from gateway.errors import ConfigError, Rejected
from gateway.flow.document import Document
from gateway.flow.expression import CONSTANTS, FUNCTIONS, Formula, FormulaError
from gateway.flow.findings import Finding
from gateway.flow.lint import lint_text
from gateway.flow.spec_data import catalogue
from gateway.flow.yaml_read import FLOW_BYTES_MAX

TEST_S_MAX: Final = 30.0
REPLAY_S_MAX: Final = 900.0
EXAMPLES: Final = 20
"""Differences a replay shows for each end of a flow."""


class Text(BaseModel):
    """A flow that is edited."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=FLOW_BYTES_MAX, description="The flow file.")


class Test(Text):
    """A flow whose tests are to be run."""

    only: str = Field("", max_length=200, description="Only tests whose title contains this.")


class Replay(BaseModel):
    """A flow that is to be compared with what ran."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)
    text: str = Field(max_length=FLOW_BYTES_MAX, description="The flow file.")
    begin: str = Field("-10min", alias="from", max_length=64, pattern=r"^[^\n]+$")
    end: str = Field("now", alias="to", max_length=64, pattern=r"^[^\n]+$")


class Expression(BaseModel):
    """An expression that is edited."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=4_000, description="The expression.")
    tags: dict[str, str] = Field(
        default_factory=dict, max_length=32, description="Tags by the name used for them."
    )


def add(app: FastAPI, runtime: Runtime, jobs: Jobs) -> None:
    """Declare the routes over a running gateway."""
    _add_texts(app, runtime, jobs)
    _add_replay(app, runtime, jobs)

    @app.get("/api/nodes")
    @needs("flow.read")
    async def nodes(request: Request) -> Response:
        data, tag = await asyncio.to_thread(catalogue)
        headers = {"ETag": f'"{tag}"', "Cache-Control": "private, no-cache"}
        if f'"{tag}"' in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type="application/json")

    @app.post("/api/expression")
    @needs("flow.edit")
    async def expression(body: Expression) -> Response:
        return _json(evaluated(runtime, body))


def _add_texts(app: FastAPI, runtime: Runtime, jobs: Jobs) -> None:
    """Lint, plan and tests of a text."""

    @app.post("/api/flows/{flow}/lint")
    @needs("flow.edit")
    async def check(flow: str, body: Text, language: Language = "en") -> Response:
        file = f"{flow}.flow.yaml"
        values = runtime.flows.variables
        document, findings = await asyncio.to_thread(lint_text, body.text, file, values)
        if document is not None and document.name != flow:
            findings.insert(0, _misnamed(document, flow, file))
        rows = [_row(finding, document) for finding in findings]
        return _json(await told(rows, language))

    @app.post("/api/flows/{flow}/plan")
    @needs("flow.edit")
    async def outlook(flow: str, body: Text) -> Response:
        try:
            document = await asyncio.to_thread(Document.parse, body.text, f"{flow}.flow.yaml")
        except ConfigError as error:
            return PlainTextResponse(str(error), 422)
        if document.name != flow:
            return PlainTextResponse(_misnamed(document, flow, "").text, 422)
        host = runtime.hosts.get(flow)
        return _json(await plan(host, document, runtime.flows.variables, runtime.tags))

    @app.post("/api/flows/{flow}/test")
    @needs("flow.edit")
    async def test(flow: str, body: Test) -> Response:
        words = ["test", "flow.yaml", "--json", "--gently", *_values(runtime.flows)]
        if body.only:
            words.append(f"-k={body.only}")
        try:
            _, rows = await jobs.once(words, {"flow.yaml": body.text}, TEST_S_MAX)
        except Busy as error:
            return PlainTextResponse(str(error), 409)
        except Rejected as error:
            return PlainTextResponse(str(error), 422)
        kept = ("title", "passed", "line", "seconds")
        return _json(
            [
                {**{name: row[name] for name in kept}, "text": "\n".join(row["failures"])}
                for row in rows
            ]
        )


def _add_replay(app: FastAPI, runtime: Runtime, jobs: Jobs) -> None:
    """A replay as a job, and jobs."""

    @app.post("/api/flows/{flow}/replay")
    @needs("flow.edit")
    async def replay(flow: str, body: Replay, request: Request) -> Response:
        try:
            document = await asyncio.to_thread(Document.parse, body.text, f"{flow}.flow.yaml")
        except ConfigError as error:
            return PlainTextResponse(str(error), 422)
        if document.name != flow or flow.startswith("-"):
            return PlainTextResponse(_misnamed(document, flow, "").text, 422)
        words = ["replay", flow, "--against", "flow.yaml", "--json", "--gently"]
        words += [f"--from={body.begin}", f"--to={body.end}", f"--state={runtime.state_dir}"]
        words += [f"--examples={EXAMPLES}", *_values(runtime.flows)]
        files = {"flow.yaml": body.text}
        try:
            job = jobs.start("replay", flow, actor_of(request), words, files, REPLAY_S_MAX)
        except Busy as error:
            return PlainTextResponse(str(error), 409)
        return _json(job.row(), 202)

    @app.get("/api/jobs/{id}")
    @needs("flow.read")
    async def shown(id: str) -> Response:
        job = jobs.get(id)
        return _json(job.row()) if job is not None else _no_job(id)

    @app.delete("/api/jobs/{id}")
    @needs("flow.edit")
    async def ended(id: str) -> Response:
        job: Job | None = jobs.get(id)
        if job is None:
            return _no_job(id)
        await jobs.cancel(job)
        return _json(job.row())


def evaluated(runtime: Runtime, body: Expression) -> dict[str, Any]:
    """Whether an expression is one, and what it gives for the newest samples of its tags.

    Args:
        runtime: The gateway.
        body: The expression; without tags it is over ``value``, which then has no sample.

    Returns: ``error`` with ``begin`` and ``end`` in characters, or null; ``value``, null where
    a tag has no sample yet or the result is not finite; ``samples`` by name; ``functions`` and
    ``constants`` for completion.
    """
    answer: dict[str, Any] = {
        "error": None,
        "value": None,
        "quality": None,
        "names": [],
        "samples": {},
        "functions": [
            {"name": name, "fewest": fewest, "most": most, "about": about}
            for name, (_, fewest, most, about) in sorted(FUNCTIONS.items())
        ],
        "constants": sorted(CONSTANTS),
    }
    try:
        formula = Formula(body.text, list(body.tags) or ["value"])
    except FormulaError as error:
        place = {"begin": error.begin, "end": error.end}
        answer["error"] = {"text": error.text, "hint": error.hint, **place}
        return answer
    answer["names"] = sorted(formula.names)
    columns = {}
    worst = 0
    for name, tag in body.tags.items():
        sample = _newest(runtime, tag)
        answer["samples"][name] = sample
        if sample["ts"]:
            columns[name] = np.array([sample["value"]])
            worst = max(worst, sample.pop("status"))
    if formula.names <= columns.keys() and (columns or not body.tags):
        value = float(formula(columns)[0])
        answer["value"] = value if np.isfinite(value) else None
        answer["quality"] = quality.name(worst) if np.isfinite(value) else "Bad"
    return answer


def _newest(runtime: Runtime, name: str) -> dict[str, Any]:
    """The newest sample of a tag; one that is not known is not made by asking for it."""
    if name not in runtime.tags:
        return {"tag": name, "value": None, "ts": None, "quality": None, "unit": ""}
    live, code = runtime.live, runtime.tags.code(name)
    status, ts = int(live.quality[code]), int(live.ts[code])
    return {
        "tag": name,
        "value": float(live.value[code]),
        "ts": ts or None,
        "quality": quality.name(status),
        "unit": runtime.tags[code].unit,
        "status": status,
    }


def _values(flows: Flows) -> list[str]:
    return [f"--set={name}={value}" for name, value in flows.variables.items()]


def _misnamed(document: Document, flow: str, file: str) -> Finding:
    text = f"The text is that of the flow {document.name!r}, not of {flow!r}."
    hint = f"Write `flow: {flow}`."
    return Finding("error", file, document.line("flow"), "", "flow", text, hint)


def _row(finding: Finding, document: Document | None) -> dict[str, Any]:
    """A finding, and in which section its node stands."""
    section = "nodes" if finding.node else ""
    if document is not None and finding.node in document.connections:
        lines = document.lines
        begins = [lines.get((part, finding.node), -1) for part in ("connections", "nodes")]
        is_there = begins[1] < 0 or begins[0] <= finding.line < begins[1]
        section = "connections" if is_there else "nodes"
    return {
        "severity": finding.severity,
        "section": section,
        "node": finding.node,
        "field": finding.field,
        "where": ".".join(part for part in (section, finding.node, finding.field) if part),
        "line": finding.line,
        "text": finding.text,
        "hint": finding.hint,
    }


def _no_job(id: str) -> Response:
    text = f"There is no job {id!r}. Results are kept for an hour."
    return PlainTextResponse(text, 404)


def _json(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status, media_type="application/json")


__all__ = ["add", "evaluated"]
