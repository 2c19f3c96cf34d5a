"""Append what arrives to a file, a JSON object a line."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import Field

from gateway import (
    AlarmEvent,
    Batch,
    Bytes,
    Config,
    Context,
    Disconnected,
    Event,
    Example,
    Message,
    Port,
    Sink,
    TagTable,
    Windows,
    quality,
)


class JsonlSinkConfig(Config):
    path: str = Field(min_length=1, description="The file; relative to the gateway's state folder.")
    file_bytes_max: Bytes = Field(
        100_000_000, description="At this size the file becomes NAME.1 and a new one is begun."
    )
    files_max: int = Field(
        5,
        ge=1,
        le=1000,
        description="Files to keep; the oldest is removed.",
        json_schema_extra={"advanced": True},
    )
    sync: bool = Field(
        True,
        description="Have every write on the disk before going on.",
        json_schema_extra={"advanced": True},
    )


class JsonlSink(Sink[JsonlSinkConfig]):
    """Append samples, alarms and events to a file, one JSON object a line.

    Delivery: every row at least once; after a crash the last rows may stand twice.
    Back pressure: rows wait in the outbox while the disk is full or the folder is absent.
    Source: jsonlines.org.
    """

    Config = JsonlSinkConfig
    delivery = "every"
    inputs = (
        Port("in", "samples", "Samples to write."),
        Port("alarms", "alarms", "Alarm events to write."),
        Port("events", "events", "Events to write."),
    )
    examples = (
        Example("A log of all alarms", {"path": "alarms.jsonl"}),
        Example(
            "Small files", {"path": "press.jsonl", "file_bytes_max": 1_000_000, "files_max": 20}
        ),
        Example("Fast and less safe", {"path": "raw.jsonl", "sync": False}),
    )

    def __init__(self, config: JsonlSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._path = ctx.data_dir / config.path
        self._file: BinaryIO | None = None

    async def connect(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+b")
            self._end_line()
        except OSError as error:
            raise Disconnected(f"{self._path} cannot be written: {error.strerror}.") from error

    def _end_line(self) -> None:
        """Half a line, left by a power cut or a full disk, must not spoil the next one."""
        assert self._file is not None
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")
                self._file.flush()

    async def write(self, message: Message, port: str) -> None:
        lines = b"".join(line_of(row) for row in rows_of(message, self.ctx.tags))
        await asyncio.to_thread(self._append, lines)

    def _append(self, lines: bytes) -> None:
        assert self._file is not None
        try:
            self._file.write(lines)
            self._file.flush()
            if self.config.sync:
                os.fsync(self._file.fileno())
            if self._file.tell() >= self.config.file_bytes_max:
                self._turn()
        except OSError as error:
            raise Disconnected(f"{self._path} cannot be written: {error.strerror}.") from error

    def _turn(self) -> None:
        assert self._file is not None
        self._file.close()
        for number in range(self.config.files_max - 1, 0, -1):
            older = self._numbered(number - 1) if number > 1 else self._path
            if older.exists():
                older.replace(self._numbered(number))
        if self.config.files_max == 1:
            self._path.unlink()
        self._file = self._path.open("ab")

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    async def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def rows_of(message: Message, tags: TagTable) -> list[dict[str, Any]]:
    """A message as JSON objects; numbers that are not finite become null."""
    if isinstance(message, Windows):
        message = message.rows
    if isinstance(message, Batch):
        return [
            {
                "tag": tags.name(tag),
                "ts": ts,
                "value": value if value == value and abs(value) != float("inf") else None,
                "unit": tags[tag].unit,
                "quality": quality.name(status),
            }
            for tag, ts, value, status in message.rows()
        ]
    return [_item(item) for item in message]


def _item(item: AlarmEvent | Event) -> dict[str, Any]:
    if isinstance(item, Event):
        return {"ts": item.ts, "topic": item.topic, "data": dict(item.data), "id": item.id}
    row = {name: getattr(item, name) for name in AlarmEvent.__dataclass_fields__}
    row["state"], row["overlay"] = item.state.value, item.overlay.value
    for name in ("value", "limit"):
        if row[name] != row[name] or abs(row[name]) == float("inf"):
            row[name] = None
    return row


def line_of(row: dict[str, Any]) -> bytes:
    """One line of the file."""
    return (
        json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    )
