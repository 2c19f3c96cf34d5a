"""Writes lines to a serial device: setpoints, displays, label printers."""

from __future__ import annotations

import re
import string
from typing import Any

from pydantic import Field, field_validator, model_validator

from gateway import (
    Batch,
    Bytes,
    Config,
    ConnectionName,
    Context,
    Disconnected,
    Example,
    Message,
    PositiveSeconds,
    Rejected,
    Sink,
    TagName,
)
from nodes._line import Line
from nodes._setpoints import Greatest, Least, MaxAge, newest_allowed
from nodes.serial._framing import excerpt
from nodes.serial._port import Stream
from nodes.serial.connection import SerialConnection

_NAMES = {"value", "tag", "unit"}


class LineTag(Config):
    """One tag and the line that is sent for it."""

    line: str = Field(
        min_length=1,
        max_length=1000,
        examples=["SP {value:.1f}\r\n"],
        description="What to send; {value}, {tag} and {unit} are filled in.",
    )
    min: Least = None
    max: Greatest = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        return {"line": given} if isinstance(given, str) else given

    @field_validator("line")
    @classmethod
    def _is_template(cls, line: str) -> str:
        for _, name, _, _ in string.Formatter().parse(line):
            if name is not None and name not in _NAMES:
                raise ValueError(f"{{{name}}} is not known: only {{value}}, {{tag}} and {{unit}}.")
        line.format(value=1.5, tag="tag", unit="kg")
        return line


class SerialSinkConfig(Config):
    connection: ConnectionName = Field(description="The line: a `serial.connection`.")
    tags: dict[TagName, LineTag] = Field(
        min_length=1,
        examples=[{"oven/setpoint": {"line": "SP {value:.1f}\r\n", "min": 0, "max": 250}}],
        description="What to send: tag to line.",
    )
    encoding: str = Field(
        "ascii",
        description="How text becomes bytes: ascii, utf-8 or latin-1.",
        json_schema_extra={"advanced": True},
    )
    max_age_s: MaxAge = 5.0
    answer: str | None = Field(
        None, examples=["OK"], description="Regular expression that the device must answer with."
    )
    timeout_s: PositiveSeconds = Field(1.0, description="How long to wait for the answer.")
    answer_bytes_max: Bytes = Field(
        1024, description="A longer answer is refused.", json_schema_extra={"advanced": True}
    )

    @field_validator("answer")
    @classmethod
    def _is_pattern(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}.") from None
        return pattern


class SerialSink(Sink[SerialSinkConfig]):
    """Send a line for the newest value of each tag.

    A value that is Bad, too old or outside its limits is not sent.

    Delivery: fresh: once or not at all. Without `answer` nobody knows whether the device took
    it; with it a wrong or missing answer is a dead letter, and is not repeated blindly.
    Back pressure: one line at a time, never in the middle of a question and its answer.
    """

    Config = SerialSinkConfig
    delivery = "fresh"
    writes = True
    examples = (
        Example(
            "A setpoint with an answer",
            {
                "connection": "oven",
                "tags": {"oven/setpoint": {"line": "SP {value:.1f}\r\n", "min": 0, "max": 250}},
                "answer": "OK",
            },
        ),
    )

    def __init__(self, config: SerialSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._line: SerialConnection | None = None

    async def connect(self) -> None:
        self._line = self.ctx.connection(SerialConnection, self.config.connection)
        self._line.check_open()

    async def write(self, message: Message, port: str) -> None:
        assert isinstance(message, Batch)
        assert self._line is not None
        config = self.config
        allowed, refused = newest_allowed(message, config.tags, config.max_age_s, self.ctx)
        for name, value in allowed.items():
            try:
                async with self._line.speak() as line:
                    problem = await self._send(line, name, value)
            except UnicodeEncodeError as error:
                problem = f"the line is not {self.config.encoding}: {error.reason}"
            if problem:
                refused.append(f"{name} = {value:g}: {problem}")
            else:
                self.ctx.count("written")
        if refused:
            raise Rejected("; ".join(refused) + ".")

    async def _send(self, line: Line, name: str, value: float) -> str:
        """Send one line in one turn; returns what is wrong with the answer."""
        assert self._line is not None
        unit = self.ctx.tags[self.ctx.tags.code(name)].unit
        text = self.config.tags[name].line.format(value=value, tag=name, unit=unit)
        data = text.encode(self.config.encoding)
        if self.config.answer is None:
            line.write(data)
            return ""
        stream = self._line.listen()
        try:
            line.write(data)
            return await self._answer(stream, re.compile(self.config.answer))
        except Disconnected as error:
            return f"the line broke, so it may or may not be taken ({error})"
        finally:
            self._line.leave(stream)

    async def _answer(self, stream: Stream, pattern: re.Pattern[str]) -> str:
        got = b""
        end_s = self.ctx.clock.monotonic() + self.config.timeout_s
        while (left_s := end_s - self.ctx.clock.monotonic()) > 0:
            got += b"".join(data for _, data in await stream.take(left_s))
            if pattern.search(got.decode(self.config.encoding, "replace")):
                return ""
            if len(got) > self.config.answer_bytes_max:
                break
        return f"the answer was {excerpt(got)!r} and not {self.config.answer!r}"
