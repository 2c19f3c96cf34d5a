"""What a user may set on a serial source, and the framer that follows from it."""

from __future__ import annotations

import codecs
import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gateway import Bytes, Config, ConnectionName, PositiveSeconds, Seconds, TagName
from nodes.serial._framing import Delimited, FixedLength, Framer, Idle, Pattern
from nodes.serial._tags import FieldTag


class SerialSourceConfig(Config):
    connection: ConnectionName = Field(description="The line: a `serial.connection`.")
    tags: dict[TagName, FieldTag] = Field(
        min_length=1,
        examples=[{"packing/scale/weight": {"field": "weight", "unit": "kg"}}],
        description="What to take from a line: tag to field.",
    )
    frame: Literal["delimiter", "length", "regex", "idle"] = Field(
        "delimiter", description="What ends a message: a delimiter, its length, a match or a pause."
    )
    delimiter: str = Field("\n", min_length=1, max_length=16, description="What ends a line.")
    start: str = Field(
        "",
        max_length=16,
        description="What a message begins with; what is before it is dropped.",
        json_schema_extra={"advanced": True},
    )
    length: int = Field(
        0, ge=0, json_schema_extra={"unit": "bytes"}, description="Length of a message, with start."
    )
    frame_pattern: str = Field("", description="Regular expression that a whole message matches.")
    idle_s: PositiveSeconds = Field(0.05, description="A pause this long ends a message.")
    frame_bytes_max: Bytes = Field(
        1024,
        description="A longer message is dropped and counted.",
        json_schema_extra={"advanced": True},
    )
    encoding: str = Field(
        "ascii",
        description="How bytes become text: ascii, utf-8, latin-1 ...",
        json_schema_extra={"advanced": True},
    )
    pattern: str | None = Field(
        None,
        examples=[r"(?P<state>ST|US),\w+,\s*(?P<weight>[-+ ]*[\d.]+\s*\w+)"],
        description="Regular expression with named groups; without it a line is split.",
    )
    ignore: str | None = Field(
        None,
        examples=["^US"],
        description="Regular expression of lines that are no news, such as a scale in motion.",
        json_schema_extra={"advanced": True},
    )
    separator: str | None = Field(
        None, description="What stands between columns; white space when absent."
    )
    decimal: Literal[".", ","] = Field(".", description="Decimal mark.")
    ask: str | None = Field(
        None, examples=["W\r\n"], description="What to send for an answer; else the device talks."
    )
    scan_s: PositiveSeconds = Field(1.0, description="Time between two questions.")
    timeout_s: PositiveSeconds = Field(1.0, description="How long to wait for an answer.")
    silent_s: Seconds = Field(
        0,
        description="A device that talks is taken for lost after this silence; 0 for never.",
        json_schema_extra={"advanced": True},
    )

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, name: str) -> str:
        try:
            codecs.lookup(name)
        except LookupError:
            raise ValueError(f"{name!r} is no encoding. Write ascii, utf-8 or latin-1.") from None
        return name

    @model_validator(mode="after")
    def _fits(self) -> SerialSourceConfig:
        self.framer()
        if self.ignore is not None:
            _compiled(self.ignore)
        groups = set() if self.pattern is None else set(_compiled(self.pattern).groupindex)
        for name, tag in self.tags.items():
            if self.pattern is None and not (tag.field.isdecimal() and int(tag.field) > 0):
                raise ValueError(f"{name}: without a pattern, field is a column from 1.")
            if self.pattern is not None and tag.field not in groups:
                known = ", ".join(sorted(groups)) or "none"
                raise ValueError(f"{name}: the pattern has no group {tag.field!r}, but {known}.")
        return self

    def framer(self) -> Framer:
        """A fresh framer. Raises ValueError where its field is missing."""
        start = self.start.encode(self.encoding)
        match self.frame:
            case "delimiter":
                return Delimited(self.delimiter.encode(self.encoding), self.frame_bytes_max)
            case "length":
                if self.length <= len(start):
                    raise ValueError("frame: length needs a length in bytes, longer than start.")
                return FixedLength(self.length, start)
            case "regex":
                if not self.frame_pattern:
                    raise ValueError("frame: regex needs a frame_pattern.")
                _compiled(self.frame_pattern)
                return Pattern(self.frame_pattern.encode(self.encoding), self.frame_bytes_max)
            case "idle":
                return Idle(self.frame_bytes_max)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}.") from None
