"""Read samples from a CSV file: with its own timing, or as fast as the flow takes them."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from gateway import (
    Batch,
    Config,
    ConfigError,
    Context,
    Event,
    Example,
    Message,
    Reading,
    Rows,
    Source,
    quality,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_MAX = 2**62  # The year 2116: what is later is no time of a machine, and sums would overflow.


class CsvSourceConfig(Config):
    path: str = Field(min_length=1, description="The file; relative to the gateway's state folder.")
    time: str = Field("ts", description="Column with the time: ISO 8601 or seconds since 1970.")
    tag: str = Field("", description="Column with the tag's name, for files with a row a sample.")
    value: str = Field("value", description="Column with the value, where `tag` is set.")
    quality: str = Field("", description="Column with the quality (Good, Bad, 0x…); empty is Good.")
    prefix: str = Field("", max_length=200, description="Put before every tag's name.")
    pace: Literal["fast", "original"] = Field(
        "fast",
        description="As fast as the flow takes rows, or with the original time between them.",
    )
    shift_to_now: bool = Field(
        False,
        description="Move all times so that the first row is now; for replaying old data live.",
    )
    repeat: bool = Field(False, description="Start over at the end; needs `shift_to_now`.")
    batch_rows_max: Rows = Field(
        1_000, description="Rows read at a time.", json_schema_extra={"advanced": True}
    )

    @model_validator(mode="after")
    def _can_repeat(self) -> CsvSourceConfig:
        if self.repeat and not self.shift_to_now:
            raise ValueError(
                "`repeat` needs `shift_to_now`: the second round would be in the past."
            )
        return self


class CsvSource(Source[CsvSourceConfig]):
    """Read a CSV file with a header line: a column a tag, or a row a sample.

    Without `tag` every column but the time is a tag. An empty cell is no sample. A cell that is
    no number is Bad_DecodingError, and a row whose time cannot be read is counted, reported and
    passed over.

    Delivery: every row once; the row number is stored with what was read, so a restart goes on.
    Back pressure: reading waits while the inbox is full.
    Source: RFC 4180.
    """

    Config = CsvSourceConfig
    tells_gaps = True  # There are none: the row number is stored with what was read.
    examples = (
        Example("A column a tag", {"path": "press.csv", "time": "timestamp"}),
        Example(
            "A row a sample, replayed as it was",
            {"path": "log.csv", "tag": "name", "pace": "original", "shift_to_now": True},
        ),
        Example(
            "A recording over and over", {"path": "day.csv", "shift_to_now": True, "repeat": True}
        ),
    )

    def __init__(self, config: CsvSourceConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        stored = ctx.position or {}
        is_same = stored.get("path", config.path) == config.path  # Of another file it says nothing.
        self._row = int(stored.get("row", 0)) if is_same else 0
        self._rows: Iterator[tuple[int, dict[str, str | None]]] | None = None
        self._first_ts: int | None = None
        self._shift = 0
        self._started_s = 0.0
        self._held: tuple[int, list[tuple[int, int, float, int]]] | None = None

    async def connect(self) -> None:
        path = self.ctx.data_dir / self.config.path
        if not path.is_file():
            raise ConfigError(f"There is no file {path}.", hint="Put it there or change `path`.")
        self._rows = self._open(path)
        self._held = None
        self._first_ts = None

    def _open(self, path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            needed = [
                self.config.time,
                *([self.config.tag, self.config.value] * bool(self.config.tag)),
            ]
            for name in needed:
                if name not in names:
                    raise ConfigError(
                        f"{path.name} has no column {name!r}.", hint=f"It has {', '.join(names)}."
                    )
            for number, row in enumerate(reader, 1):
                if number > self._row:
                    yield number, row

    async def read(self) -> Reading:
        rows: list[tuple[int, int, float, int]] = []
        events: list[Event] = []
        row = self._row
        await asyncio.sleep(0)
        while len(rows) < self.config.batch_rows_max:
            part = self._held or self._next(events)
            self._held = None
            if part is None:
                if not rows and not events:
                    return self._at_end()
                break
            number, samples = part
            if rows and self.config.pace == "original" and samples[0][1] > rows[-1][1]:
                self._held = part
                break
            row = number
            rows += samples
        if rows and self.config.pace == "original":
            await self._wait_for(rows[0][1])
        if self._shift:
            rows = [(tag, ts + self._shift, value, status) for tag, ts, value, status in rows]
        outputs: dict[str, Message] = {}
        if rows:
            outputs["out"] = Batch.of(rows)
        if events:
            outputs["status"] = tuple(events)
        self._row = row  # Not before: who is cancelled meanwhile has read nothing.
        return Reading(outputs, position=self._position())

    def _position(self) -> dict[str, Any]:
        return {"path": self.config.path, "row": self._row}

    def _at_end(self) -> Reading:
        if not self.config.repeat or self._first_ts is None:
            raise EOFError(f"{self.config.path} was read to its end, {self._row} rows.")
        self._row = 0
        self._rows = self._open(self.ctx.data_dir / self.config.path)
        self._first_ts = None
        return Reading({}, position=self._position())

    def _next(self, events: list[Event]) -> tuple[int, list[tuple[int, int, float, int]]] | None:
        """The samples of the next row that has some; None at the end of the file."""
        assert self._rows is not None
        for number, row in self._rows:
            try:
                ts = _time(row.get(self.config.time) or "")
            except ValueError as error:
                self.ctx.count("bad_rows")
                if len(events) < 10:
                    text = f"Row {number} of {self.config.path}: {error}"
                    events.append(Event(self.ctx.clock.now(), "source/refused", {"text": text}))
                self._row = number
                continue
            if self._first_ts is None:
                self._first_ts = ts
                self._started_s = self.ctx.clock.monotonic()
                self._shift = self.ctx.clock.now() - ts if self.config.shift_to_now else 0
            samples = self._samples(row, ts)
            if samples:
                return number, samples
        return None

    def _samples(self, row: dict[str, str | None], ts: int) -> list[tuple[int, int, float, int]]:
        config, tags = self.config, self.ctx.tags
        status = quality.GOOD
        if config.quality:
            status = _status(row.get(config.quality) or "")
        if config.tag:
            cells = [(row.get(config.tag) or "", row.get(config.value))]
        else:
            others = (config.time, config.quality)
            cells = [(name, cell) for name, cell in row.items() if name and name not in others]
        samples = []
        for name, cell in cells:
            if cell is None or cell.strip() == "" or not name:
                continue
            try:
                value, own = float(cell), status
            except ValueError:
                value, own = float("nan"), quality.BAD_DECODING
            samples.append((tags.code(config.prefix + name), ts, value, own))
        return samples

    async def _wait_for(self, ts: int) -> None:
        assert self._first_ts is not None
        due_s = self._started_s + (ts - self._first_ts) / 1e9
        await asyncio.sleep(max(due_s - self.ctx.clock.monotonic(), 0))


def _status(text: str) -> int:
    try:
        return quality.code(text) if text else quality.GOOD
    except ValueError:
        return quality.UNCERTAIN


def _time(text: str) -> int:
    """Nanoseconds since 1970 of ISO 8601 (UTC where no zone is given) or of seconds."""
    text = text.strip()
    try:
        ts = _seconds(text)
    except (ValueError, ArithmeticError):
        try:
            ts = _iso(text)
        except ValueError:
            raise ValueError(f"{text[:40]!r} is no time; write 2026-05-01T12:00:00Z.") from None
    if abs(ts) > _NS_MAX:
        raise ValueError(f"{text[:40]!r} is beyond the year 2116.")
    return ts


def _seconds(text: str) -> int:
    """Decimal seconds; exact to the nanosecond, which a float is not."""
    if abs(float(text)) > _NS_MAX:  # Such as 1e999999: an exact one would fill the memory.
        return 2 * _NS_MAX
    return round(Decimal(text) * 1_000_000_000)


def _iso(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    passed = moment - _EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000_000 + passed.microseconds * 1_000
