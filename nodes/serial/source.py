"""Reads the lines that a serial device sends, or asks it for them."""

from __future__ import annotations

from gateway import (
    Batch,
    Cause,
    Context,
    Example,
    Message,
    Reading,
    Source,
    Tag,
    quality,
)
from nodes.serial._config import SerialSourceConfig
from nodes.serial._port import Stream
from nodes.serial._reader import Reader
from nodes.serial._watch import Watch
from nodes.serial.connection import SerialConnection


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
    tells_gaps = True
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
        position = ctx.position if isinstance(ctx.position, dict) else {}
        self._watch = Watch(ctx.node_id, ctx.say, int(position.get("ts", 0)))
        self._cause: Cause = "gateway_away"
        self._line: SerialConnection | None = None
        self._stream: Stream | None = None
        self._reader: Reader | None = None
        self._codes: dict[str, int] = {}
        self._where = ""
        self._is_new = True
        self._dropped = 0
        self._due_s = self._heard_s = 0.0

    async def connect(self) -> None:
        line = self._line = self.ctx.connection(SerialConnection, self.config.connection)
        self._stream = line.listen()
        self._where = line.config.port
        for name, tag in self.config.tags.items():
            low, high = tag.range()
            known = Tag(name, tag.unit, low, high, about=tag.about)
            self._codes[name] = self.ctx.tags.add(known)
        self._reader = Reader(self.config, self._codes, self._where, self._watch, self.ctx.count)
        self._reader.heard_at = self.ctx.clock.now()
        self._heard_s = self.ctx.clock.monotonic()
        self._watch.interrupted(self._cause)
        self._cause = "disconnected"
        self._is_new = True
        self._dropped = 0
        self._due_s = self.ctx.clock.monotonic()

    async def close(self) -> None:
        if self._line is not None and self._stream is not None:
            self._line.leave(self._stream)
        self._stream = None

    def tag_names(self) -> list[str]:
        return list(self.config.tags)

    async def read(self) -> Reading:
        assert self._stream is not None
        assert self._reader is not None
        while True:
            if self.config.ask is None:
                await self._hear(self._stream, self._reader)
            else:
                await self._ask(self._stream, self._reader)
            outputs: dict[str, Message] = {}
            rows, events = self._reader.take()
            if rows:
                outputs["out"] = Batch.of(rows)
            if events:
                outputs["status"] = tuple(events)
            if outputs:
                return Reading(outputs, position={"ts": self._watch.good_at})

    async def _hear(self, stream: Stream, reader: Reader) -> None:
        """Wait for the device to say something, or for a silence that means something."""
        waits = [self.config.idle_s] if reader.pending else []
        if self.config.silent_s and not self._watch.is_silent:
            quiet_s = self.ctx.clock.monotonic() - self._heard_s
            waits.append(max(0.0, self.config.silent_s - quiet_s))
        parts = await stream.take(min(waits, default=None))
        if parts:
            self._heard_s = self.ctx.clock.monotonic()
            self._feed(parts, stream, reader)
        elif reader.pending:
            reader.flush(self.ctx.clock.now())
        silent_s = self.config.silent_s
        if silent_s and self.ctx.clock.monotonic() - self._heard_s >= silent_s:
            text = f"The device on {self._where} was silent for {self.config.silent_s:g} s."
            self._lose(f"{text} Is it switched on, and its cable in place?", reader)

    def _feed(self, parts: list[tuple[int, bytes]], stream: Stream, reader: Reader) -> None:
        """Hand on what came; a message whose begin was lost is passed over."""
        first = parts[0][0]
        if stream.dropped != self._dropped:
            lost, self._dropped = stream.dropped - self._dropped, stream.dropped
            self.ctx.count("dropped_bytes", lost)
            text = f"The flow was busy: {lost} bytes beyond `stream_bytes_max` were dropped."
            reader.events.append(self._watch.gap(first, "buffer_overflow", text))
            reader.restart(skips=True)
        elif self._is_new:
            reader.restart(skips=first - reader.heard_at < self.config.idle_s * 1e9)
        self._is_new = False
        for ts, data in parts:
            reader.feed(ts, data)

    async def _ask(self, stream: Stream, reader: Reader) -> None:
        """Ask once, when it is due, and wait for the answer."""
        assert self._line is not None
        assert self.config.ask is not None
        clock = self.ctx.clock
        while (delay_s := self._due_s - clock.monotonic()) > 0:
            await stream.take(delay_s)  # what nobody asked for is no answer
        self._late(-delay_s, reader)
        async with self._line.speak() as port:
            stream.clear()
            reader.restart(skips=False)
            port.write(self.config.ask.encode(self.config.encoding))
            end_s = clock.monotonic() + self.config.timeout_s
            while not reader.rows and (left_s := end_s - clock.monotonic()) > 0:
                parts = await stream.take(min(left_s, self.config.idle_s))
                for ts, data in parts:
                    reader.feed(ts, data)
                if not parts:
                    reader.flush(clock.now())
        if not reader.rows:
            self.ctx.count("timeouts")
            text = f"No answer on {self._where} within {self.config.timeout_s:g} s."
            self._lose(f"{text} Next question in {self.config.scan_s:g} s.", reader)

    def _late(self, late_s: float, reader: Reader) -> None:
        """Plan the next question from the last due time, so that nothing drifts."""
        missed = int(late_s // self.config.scan_s)
        self._due_s += (missed + 1) * self.config.scan_s
        if missed > 0:
            now = self.ctx.clock.now()
            self.ctx.count("missed", missed)
            text = "Questions came late: raise scan_s."
            reader.events.append(self._watch.gap(now, "poll_missed", text, missing=missed))

    def _lose(self, text: str, reader: Reader) -> None:
        """The device is silent: its tags are Bad, and people are told once."""
        now = self.ctx.clock.now()
        if not self._watch.is_silent or self.config.ask is not None:
            bad = quality.BAD_NO_COMMUNICATION
            reader.rows += [(code, now, float("nan"), bad) for code in self._codes.values()]
        reader.events += self._watch.silent(now, text, asked=self.config.ask is not None)
