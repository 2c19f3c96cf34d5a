"""Routes that make a text from something else: tags from a table, a flow from Node-RED."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.gate import needs
from gateway.engine.runtime import Runtime
from gateway.errors import ConfigError
from gateway.flow import tag_csv
from gateway.flow.document import Document
from gateway.flow.gather import gather, take
from gateway.flow.nodered import convert
from gateway.flow.spec_subflow import subflow_specs
from gateway.flow.yaml_read import FLOW_BYTES_MAX

TABLE_CHARS_MAX: Final = 4_000_000
Name = Annotated[str, Field(min_length=1, max_length=128)]


class Table(BaseModel):
    """The tags of a node as a table."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=FLOW_BYTES_MAX, description="The flow file.")
    node: str = Field(max_length=128, description="The node that lists tags.")
    csv: str | None = Field(None, max_length=TABLE_CHARS_MAX, description="None exports.")
    mode: Literal["merge", "replace"] = Field("merge", description="Whether other tags stay.")


class Convert(BaseModel):
    """An export of Node-RED."""

    model_config = ConfigDict(extra="forbid")
    flows_json: str | list[Any] = Field(description="The export, as text or as it is.")


class Gather(BaseModel):
    """Nodes that become a subflow."""

    model_config = ConfigDict(extra="forbid")
    nodes: list[Name] = Field(min_length=1, max_length=2_000, description="Their ids.")
    name: str = Field(max_length=64, description="What the subflow is called.")
    instance: str = Field(max_length=64, description="The id of the node that stands for them.")


class Take(BaseModel):
    """A subflow of another flow that runs."""

    model_config = ConfigDict(extra="forbid")
    flow: str = Field(max_length=128, description="Whose.")
    name: str = Field(max_length=64, description="The subflow.")


class Subflows(BaseModel):
    """A flow whose subflows are asked for, or are to become one more."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=FLOW_BYTES_MAX, description="The flow file.")
    gather: Gather | None = Field(None, description="Nodes that become a subflow.")
    take: Take | None = Field(None, description="A subflow that is copied from another flow.")


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes; nothing here touches what runs."""
    _add_subflows(app, runtime)

    @app.post("/api/flows/{flow}/tags")
    @needs("flow.edit")
    async def tags(flow: str, body: Table) -> Response:
        try:
            document = await asyncio.to_thread(Document.parse, body.text, f"{flow}.flow.yaml")
            if body.csv is None:
                table = await asyncio.to_thread(tag_csv.export, document, body.node)
                return _json({"csv": table})
            taken = await asyncio.to_thread(tag_csv.take, document, body.node, body.csv, body.mode)
        except ConfigError as error:
            return PlainTextResponse(str(error), 422)
        return _json(asdict(taken))

    @app.post("/api/flows/{flow}/convert")
    @needs("flow.edit")
    async def converted(flow: str, body: Convert) -> Response:
        try:
            found = await asyncio.to_thread(convert, body.flows_json, flow)
        except ConfigError as error:
            return PlainTextResponse(str(error), 422)
        return _json(asdict(found))


def _add_subflows(app: FastAPI, runtime: Runtime) -> None:
    """Subflows: those of a text, those of all flows that run, and what makes one more."""

    @app.get("/api/subflows")
    @needs("flow.read")
    async def library() -> Response:
        texts = {name: host.revision.text for name, host in runtime.hosts.items()}
        return _json(await asyncio.to_thread(_library, texts))

    @app.post("/api/flows/{flow}/subflows")
    @needs("flow.edit")
    async def subflows(flow: str, body: Subflows) -> Response:
        def made() -> dict[str, Any]:
            document = Document.parse(body.text, f"{flow}.flow.yaml")
            if (asked := body.gather) is not None:
                document = gather(document, asked.nodes, asked.name, asked.instance)
            if (wanted := body.take) is not None:
                host = runtime.hosts.get(wanted.flow)
                if host is None:
                    raise ConfigError(f"There is no flow {wanted.flow!r} that runs.")
                document = take(document, Document.parse(host.revision.text), wanted.name)
            return {"text": document.text(), "subflows": subflow_specs(document)}

        try:
            return _json(await asyncio.to_thread(made))
        except ConfigError as error:
            return PlainTextResponse(str(error), 422)


def _library(texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """The subflows of all flows, each with the flow it is of."""
    found = []
    for flow, text in texts.items():
        if "subflows:" in text:  # Most have none, and reading takes time.
            found += [{"flow": flow, **spec} for spec in subflow_specs(Document.parse(text))]
    return found


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


__all__ = ["add"]
