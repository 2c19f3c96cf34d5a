"""Reads the lines that a serial device sends, or asks it for them."""

from __future__ import annotations

import codecs
import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gateway import (
    Batch,
    Bytes,
    Config,
    ConnectionName,
    Context,
    Event,
    Example,
    Message,
    Outputs,
    PositiveSeconds,
    Reading,
    Seconds,
    Source,
    Tag,
    TagName,
    quality,
)
from nodes.serial._fields import Lines
from nodes.serial._framing import (
    Delimited,
    FixedLength,
    Framer,
    Idle,
    Pattern,
    after_start,
    excerpt,
)
from nodes.serial._port import Stream
from nodes.serial._tags import FieldTag
from nodes.serial._watch import Watch
from nodes.serial.connection import SerialConnection

_Row = tuple[int, int, float, int]


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
        "", max_length=16, description="What a message begins with; what is before it is dropped."
    )
    length: int = Field(
        0, ge=0, json_schema_extra={"unit": "bytes"}, description="Length of a message, with start."
    )
    frame_pattern: str = Field("", description="Regular expression that a whole message matches.")
    idle_s: PositiveSeconds = Field(0.05, description="A pause this long ends a message.")
    frame_bytes_max: Bytes = Field(1024, description="A longer message is dropped and counted.")
    encoding: str = Field("ascii", description="How bytes become text: ascii, utf-8, latin-1 ...")
    pattern: str | None = Field(
        None,
        examples=[r"(?P<state>ST|US),\w+,\s*(?P<weight>[-+ ]*[\d.]+\s*\w+)"],
        description="Regular expression with named groups; without it a line is split.",
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
        0, description="A device that talks is taken for lost after this silence; 0 for never."
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


class SerialSource(Source[SerialSourceConfig]):
    """Take numbers from the lines of a scale, a meter, a scanner.

    The timestamp is that of the arrival. A line that was caught in the middle, right after
    connecting or after an overflow, is passed over: half a number looks like a whole one.

    Delivery: none to repeat: what was sent while nobody listened is gone. The time without is a
    GAP on `status`; a line that is not understood is counted, and the first of a row told.
    Back pressure: what is not taken waits up to `stream_bytes_max`; beyond it the oldest is
    dropped, counted, and a GAP.
    """

    Config = SerialSourceConfig
    examples = (
        Example(
            "A scale that talks",
            {
                "connection": "scale",
                "delimiter": "\r\n",
                "pattern": r"(?P<state>ST|US),\w+,(?P<weight>[-+ ]*[\d.]+ ?\w+)",
                "tags": {
                    "packing/scale/weight": {"field": "weight", "unit": "kg"},
                    "packing/scale/stable": {"field": "state", "words": {"ST": 1, "US": 0}},
                },
            },
        ),
        Example(
            "A meter that is asked",
            {
                "connection": "meter",
                "ask": "READ?\r\n",
                "scan_s": 2,
                "separator": ",",
                "tags": {"hall/voltage": "1", "hall/current": "2"},
            },
        ),
    )

    def __init__(self, config: SerialSourceConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._lines = Lines(
            config.pattern,
            config.separator,
            {name: tag.rule(config.decimal) for name, tag in config.tags.items()},
        )
        position = ctx.position if isinstance(ctx.position, dict) else {}
        self._watch = Watch(ctx.node_id, ctx.say, int(position.get("ts", 0)))
        self._start = config.start.encode(config.encoding)
        self._line: SerialConnection | None = None
        self._stream: Stream | None = None
        self._framer = config.framer()
        self._codes: dict[str, int] = {}
        self._is_new = True
        self._skips = False
        self._pending = False
        self._heard_at = 0
        self._last_ts = 0
        self._dropped = (0, 0)
        self._due_s = 0.0

    async def connect(self) -> None:
        self._line = self.ctx.connection(SerialConnection, self.config.connection)
        self._stream = self._line.listen()
        for name, tag in self.config.tags.items():
            low, high = tag.range()
            about = Tag(name, tag.unit, low, high, about=tag.about)
            self._codes[name] = self.ctx.tags.add(about)
        self._is_new = True
        self._heard_at = self.ctx.clock.now()
        self._due_s = self.ctx.clock.monotonic()
        self._restart(skips=False)

    async def close(self) -> None:
        if self._line is not None and self._stream is not None:
            self._line.leave(self._stream)
        self._stream = None

    def tag_names(self) -> list[str]:
        return list(self.config.tags)

    def _restart(self, *, skips: bool) -> None:
        self._framer = self.config.framer()
        self._skips = skips and not self._start and self.config.frame != "regex"
        self._pending = False
        self._dropped = (0, 0 if self._stream is None else self._stream.dropped)

    async def read(self) -> Reading:
        while True:
            rows: list[_Row] = []
            events: list[Event] = []
            if self.config.ask is None:
                await self._hear(rows, events)
            else:
                await self._ask(rows, events)
            outputs = self._outputs(rows, events)
            if outputs:
                return Reading(outputs, position={"ts": self._watch.good_at})

    def _outputs(self, rows: list[_Row], events: list[Event]) -> Outputs:
        outputs: dict[str, Message] = {}
        if rows:
            outputs["out"] = Batch.of(rows)
        if events:
            outputs["status"] = tuple(events)
        return outputs

    async def _hear(self, rows: list[_Row], events: list[Event]) -> None:
        """Wait for the device to say something, or for a silence that means something."""
        assert self._stream is not None
        waits = [self.config.idle_s] if self._pending else []
        if self.config.silent_s and not self._watch.is_silent:
            quiet_s = (self.ctx.clock.now() - self._heard_at) / 1e9
            waits.append(max(0.0, self.config.silent_s - quiet_s))
        parts = await self._stream.take(min(waits, default=None))
        if parts:
            self._take(parts, rows, events)
        elif self._pending:
            self._pending = False
            self._frames(self._framer.flush(), self.ctx.clock.now(), rows, events)
        silent_ns = round(self.config.silent_s * 1e9)
        if silent_ns and self.ctx.clock.now() - self._heard_at >= silent_ns:
            text = f"The device on {self._where()} was silent for {self.config.silent_s:g} s."
            self._lose(f"{text} Is it switched on, and its cable in place?", rows, events)

    def _take(self, parts: list[tuple[int, bytes]], rows: list[_Row], events: list[Event]) -> None:
        """Feed what came to the framer, with the pauses between."""
        assert self._stream is not None
        if self._stream.dropped != self._dropped[1]:
            lost = self._stream.dropped - self._dropped[1]
            self.ctx.count("dropped_bytes", lost)
            cause = f"{lost} bytes were dropped, because the flow was busy"
            events.append(self._watch.gap(self._watch.good_at or parts[0][0], parts[0][0], cause))
            self._restart(skips=True)
        idle_ns = round(self.config.idle_s * 1e9)
        for ts, data in parts:
            paused = ts - self._heard_at >= idle_ns
            if self._is_new:
                self._is_new = False
                self._restart(skips=not paused)
            elif paused and self._pending:
                self._frames(self._framer.flush(), ts, rows, events)
            self._heard_at = ts
            self._frames(self._framer.feed(data), ts, rows, events)
            self._pending = self.config.frame != "delimiter"

    async def _ask(self, rows: list[_Row], events: list[Event]) -> None:
        """Ask once, when it is due, and wait for the answer."""
        assert self._line is not None
        assert self._stream is not None
        clock = self.ctx.clock
        while (delay_s := self._due_s - clock.monotonic()) > 0:
            await self._stream.take(delay_s)  # what nobody asked for is no answer
        missed = int(-delay_s // self.config.scan_s)
        self._due_s += (missed + 1) * self.config.scan_s
        if missed > 0:
            self.ctx.count("missed", missed)
            cause = f"{missed} questions were late: raise scan_s"
            now = clock.now()
            events.append(self._watch.gap(self._watch.good_at or now, now, cause))
        async with self._line.speak() as port:
            self._stream.clear()
            self._restart(skips=False)
            assert self.config.ask is not None
            port.write(self.config.ask.encode(self.config.encoding))
            end_s = clock.monotonic() + self.config.timeout_s
            while not rows and (left_s := end_s - clock.monotonic()) > 0:
                parts = await self._stream.take(min(left_s, self.config.idle_s))
                for ts, data in parts:
                    self._frames(self._framer.feed(data), ts, rows, events)
                if not parts:
                    self._frames(self._framer.flush(), clock.now(), rows, events)
        if not rows:
            self.ctx.count("timeouts")
            text = f"No answer on {self._where()} within {self.config.timeout_s:g} s."
            self._lose(f"{text} Next question in {self.config.scan_s:g} s.", rows, events)

    def _frames(self, frames: list[bytes], ts: int, rows: list[_Row], events: list[Event]) -> None:
        """Turn frames into rows; what is not understood is counted."""
        dropped = self._framer.dropped - self._dropped[0]
        if dropped and not self._skips:
            self.ctx.count("dropped_bytes", dropped)
            text = f"{dropped} bytes on {self._where()} are no message"
            limit = f"(frame_bytes_max is {self.config.frame_bytes_max})."
            events += self._watch.refused(ts, f"{text} {limit}")
        self._dropped = (self._framer.dropped, self._dropped[1])
        for frame in frames:
            if self._skips:
                self._skips = False
                self.ctx.count("partial")
                continue
            problem = self._frame(frame, ts, rows, events)
            if problem:
                self.ctx.count("refused")
                text = f"A message on {self._where()} {problem}: {excerpt(frame)!r}."
                events += self._watch.refused(ts, text)

    def _frame(self, frame: bytes, ts: int, rows: list[_Row], events: list[Event]) -> str:
        """Rows of one frame; or what is wrong with it."""
        body = after_start(frame, self._start)
        if body is None:
            return f"does not begin with {self.config.start!r}"
        try:
            text = body.decode(self.config.encoding)
        except UnicodeDecodeError:
            return f"is not {self.config.encoding}"
        found = self._lines.read(text.strip("\r\n\0"))
        if not found:
            return "is not understood"
        ts = self._last_ts = max(ts, self._last_ts + 1)  # two lines in one breath are two moments
        rows += [(self._codes[name], ts, value, status) for name, (value, status) in found.items()]
        events += self._watch.good(ts)
        return ""

    def _lose(self, text: str, rows: list[_Row], events: list[Event]) -> None:
        """The device is silent: its tags are Bad, and people are told once."""
        now = self.ctx.clock.now()
        if not self._watch.is_silent or self.config.ask is not None:
            bad = quality.BAD_NO_COMMUNICATION
            rows += [(code, now, float("nan"), bad) for code in self._codes.values()]
        events += self._watch.silent(now, text)

    def _where(self) -> str:
        return "" if self._line is None else self._line.config.port
