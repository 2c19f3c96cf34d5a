"""What may be set on `mqtt.source`; apart from it, because there is much to say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from gateway import Config, ConfigError, ConnectionName
from nodes.mqtt._availability import AvailabilityConfig
from nodes.mqtt._document import Kind, Layout, parse_path
from nodes.mqtt._spb_host import DEFAULT_TAG
from nodes.mqtt._times import TsUnit
from nodes.mqtt._topics import TopicMap, names_in


class MqttSourceConfig(Config):
    connection: ConnectionName = Field(description="The `mqtt.connection` to use.")
    topics: tuple[str, ...] = Field(
        min_length=1,
        max_length=100,
        examples=[["plant/{area}/{line}/{measure}"]],
        description="Topics to read; `{name}` is one level and can be used in `tag`, "
        "`+` is any level, `#` at the end all below.",
    )
    qos: Literal[0, 1, 2] = Field(
        1,
        description="0 loses messages when the line does; 1 keeps them. 2 is read as 1: "
        "it cannot be acknowledged after storing, and `dedupe_by` does better.",
    )
    tag: str = Field(
        "{topic}",
        min_length=1,
        examples=["{area}/{line}/{measure}"],
        description="Name of the tag, from what `topics` captures. "
        "For Sparkplug from {group}, {edge}, {device} and {metric}.",
    )
    payload: Kind = Field(
        "auto",
        description="How a payload is written; auto takes a number or JSON, "
        "raw makes an event of every message.",
    )
    value: str = Field("value", min_length=1, description="Path of the value in a JSON document.")
    fields: Literal["*"] | dict[str, str] = Field(
        default_factory=dict,
        description="Several values a message: path → ending of the tag's name; "
        "`*` takes every number and boolean.",
    )
    ts: str = Field(
        "ts", min_length=1, description="Path of the timestamp; absent means time of arrival."
    )
    ts_unit: TsUnit = Field(
        "auto", description="How timestamps are written; auto tells by their size."
    )
    quality: str = Field(
        "quality", min_length=1, description="Path of the quality: a StatusCode, its name, or true."
    )
    unit: str = Field(
        "unit",
        min_length=1,
        description="Path of the unit, a UCUM code.",
        json_schema_extra={"is_path": True},  # Lint must not take it for a unit.
    )
    retained: Literal["once", "always", "never"] = Field(
        "once",
        description="Whether the broker sends the last known values: when first subscribed to, "
        "after each connecting, or never. MQTT 3.1.1 always does.",
        json_schema_extra={"advanced": True},
    )
    sequence: str = Field(
        "",
        description="Path of a number that each publisher counts up; holes become gap events.",
        json_schema_extra={"advanced": True},
    )
    publisher: str = Field(
        "{topic}",
        description="Who counts, from what `topics` captures: one count for each.",
        json_schema_extra={"advanced": True},
    )
    availability: AvailabilityConfig | None = Field(
        None,
        description="A topic on which the device says whether it is there, as by a last will: one "
        "communication alarm when it has gone, and Bad for its tags.",
        json_schema_extra={"advanced": True},
    )
    dedupe_by: Literal["none", "sequence"] = Field(
        "none",
        description="Drop a message whose sequence number was seen already.",
        json_schema_extra={"advanced": True},
    )

    @model_validator(mode="after")
    def _fits(self) -> MqttSourceConfig:
        is_sparkplug = self.payload == "sparkplug"
        if is_sparkplug:
            unknown = names_in(self.tag) - names_in(DEFAULT_TAG) - {"topic"}
            if unknown:
                raise ValueError(f"Sparkplug tags know no {{{min(unknown)}}}.")
        if self.dedupe_by == "sequence" and not self.sequence:
            raise ValueError("`dedupe_by: sequence` needs `sequence`, the path of the number.")
        if self.sequence and self.payload not in ("json", "auto"):
            raise ValueError("`sequence` is a path in JSON: set `payload` to json.")
        if self.fields and self.payload not in ("json", "auto"):
            raise ValueError("`fields` are paths in JSON: set `payload` to json.")
        try:
            topics = list(self.topics)
            TopicMap(topics, "{topic}" if is_sparkplug else self.tag)
            TopicMap(topics, self.publisher)
        except ConfigError as error:
            raise ValueError(f"`topics`: {error}") from error
        return self


def layout_of(config: MqttSourceConfig) -> Layout:
    """Where things are in a payload, as the config says."""
    pairs = {} if config.fields == "*" else config.fields
    return Layout(
        config.payload,
        parse_path(config.value),
        parse_path(config.ts),
        parse_path(config.quality),
        parse_path(config.unit),
        config.ts_unit,
        {parse_path(path): suffix for path, suffix in pairs.items()},
        config.fields == "*",
    )
