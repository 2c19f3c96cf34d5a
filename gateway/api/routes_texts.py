"""Routes that make a text from something else: tags from a table, a flow from Node-RED."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.gate import needs
from gateway.errors import ConfigError
from gateway.flow import tag_csv
from gateway.flow.document import Document
from gateway.flow.gather import gather
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


class Subflows(BaseModel):
    """A flow whose subflows are asked for, or are to become one more."""

    model_config = ConfigDict(extra="forbid")
    text: str = Field(max_length=FLOW_BYTES_MAX, description="The flow file.")
    gather: Gather | None = Field(None, description="Nodes that become a subflow.")


def add(app: FastAPI) -> None:
    """Declare the routes; nothing here looks at what runs."""

    @app.post("/api/flows/{flow}/subflows")
    @needs("flow.edit")
    async def subflows(flow: str, body: Subflows) -> Response:
        try:
            document = await asyncio.to_thread(Document.parse, body.text, f"{flow}.flow.yaml")
            if (asked := body.gather) is not None:
                wanted = (asked.nodes, asked.name, asked.instance)
                document = await asyncio.to_thread(gather, document, *wanted)
            specs = await asyncio.to_thread(subflow_specs, document)
        except ConfigError as error:
            return PlainTextResponse(str(error), 422)
        return _json({"text": document.text(), "subflows": specs})

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


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


__all__ = ["add"]
