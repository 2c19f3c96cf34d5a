"""The options of `opcua.source`."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gateway import Config, ConnectionName, PositiveSeconds, Rows, Seconds, TagFilter, TagName
from nodes.opcua._address import Address


class BrowseConfig(Config):
    root: Address = Field(description="Node whose variables are all taken, at any depth.")
    filter: TagFilter = Field("#", description="Which paths below the root, such as `Press1/#`.")
    template: str = Field(
        "{path}",
        description="Name of the tag, from {path} below the root and {name}, in lower case.",
    )
    nodes_max: Rows = Field(
        10_000, description="How many variables may be taken.", json_schema_extra={"advanced": True}
    )

    @field_validator("template")
    @classmethod
    def _has_place(cls, template: str) -> str:
        places = set(re.findall(r"\{(.*?)\}", template))
        if not places or places - {"path", "name"}:
            raise ValueError(
                "Write {path} or {name} into the template, and nothing else in braces."
            )
        return template


class DeadbandConfig(Config):
    kind: Literal["absolute", "percent"] = Field(
        "absolute", description="Absolute units, or percent of the variable's EURange."
    )
    value: float = Field(gt=0, description="Smallest change the server reports.")

    @model_validator(mode="after")
    def _fits(self) -> DeadbandConfig:
        if self.kind == "percent" and self.value > 100:
            raise ValueError("A percent deadband is at most 100.")
        return self


class OpcuaSourceConfig(Config):
    connection: ConnectionName = Field(description="The opcua.connection to use.")
    tags: dict[TagName, Address] = Field(
        default_factory=dict,
        examples=[{"press1/oil/temperature": "ns=2;s=Press1.Oil.Temp"}],
        description="Tag to node: ns=2;s=…, nsu=<uri>;s=…, or a path /Objects/2:Press1/2:Oil.",
    )
    browse: BrowseConfig | None = Field(
        None, description="Take all variables below a node, besides `tags`."
    )
    sampling_s: Seconds = Field(
        1.0, description="How often the server looks at a variable; 0 is as fast as it can."
    )
    publishing_s: PositiveSeconds = Field(
        1.0,
        description="How often the server sends what changed.",
        json_schema_extra={"advanced": True},
    )
    queue_size: Rows = Field(
        10,
        description="Changes of one variable that the server keeps until it sends; at least "
        "publishing_s / sampling_s, more to bear a slow link.",
        json_schema_extra={"advanced": True},
    )
    deadband: DeadbandConfig | None = Field(
        None, description="Let the server hold back small changes."
    )
    trigger: Literal["value", "timestamp"] = Field(
        "value",
        description="`timestamp` also sends a value that came again with a new time.",
        json_schema_extra={"advanced": True},
    )
    history: bool = Field(
        True, description="Fill holes from the server's history where it keeps one."
    )
    history_rows_max: Rows = Field(
        100_000,
        description="How many rows one hole may bring back.",
        json_schema_extra={"advanced": True},
    )
    queue_rows_max: Rows = Field(
        200_000,
        description="Rows that may wait here for a slow flow; more is a gap.",
        json_schema_extra={"advanced": True},
    )
    array_items_max: int = Field(
        0,
        ge=0,
        le=1000,
        description="Items of a number array that become tags `tag[0]` …; 0 makes an event of it.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _has_nodes(self) -> OpcuaSourceConfig:
        if not self.tags and self.browse is None:
            raise ValueError("Name nodes in `tags`, or give `browse` a root.")
        return self


__all__ = ["BrowseConfig", "DeadbandConfig", "OpcuaSourceConfig"]
