"""The local historian: samples and alarms into an SQLite file a day."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiosqlite
from pydantic import Field

from gateway import (
    AlarmEvent,
    Batch,
    Config,
    Context,
    Disconnected,
    Example,
    Message,
    Port,
    Sink,
)

_TS_END = 253_402_300_800 * 10**9  # The year 10000, for which there is no file name.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tag (code INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, unit TEXT);
CREATE TABLE IF NOT EXISTS sample (code INTEGER NOT NULL, ts INTEGER NOT NULL, value REAL,
                                   quality INTEGER NOT NULL, PRIMARY KEY (code, ts)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alarm_event (alarm TEXT NOT NULL, ts INTEGER NOT NULL,
                                        change TEXT NOT NULL, event TEXT NOT NULL,
                                        PRIMARY KEY (alarm, ts, change)) WITHOUT ROWID;
"""
_ADD_TAGS = """INSERT OR IGNORE INTO tag (name, unit)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)"""
_CODES = """SELECT json_group_object(name, code) FROM tag
WHERE name IN (SELECT json_extract(value, '$[0]') FROM json_each(?))"""
ROWS_AT_ONCE = 1_000
"""Rows of one statement. A statement a row costs the file's thread a wait for the interpreter
each: on a busy gateway some milliseconds, and 20,000 rows then took minutes."""


class SqliteSinkConfig(Config):
    folder: str = Field("history", description="Folder of the files; relative to the state folder.")
    days_max: int = Field(35, ge=1, le=10_000, description="Days to keep; older files are removed.")


class SqliteSink(Sink[SqliteSinkConfig]):
    """Keep samples and alarm events in SQLite, a file for each day (UTC) of the samples' time.

    A sample with a tag and time that are known replaces the older one, so what is delivered
    twice stands once. The files are disposable: removing one loses only its day.

    Delivery: every row at least once, and once in the file. After a full disk, new rows come
    first and what waited besides them: each row stands at its own time.
    Back pressure: rows wait in the outbox while the disk is full.
    Source: sqlite.org/wal.html; synchronous=NORMAL, because a day's history can be rebuilt.
    """

    Config = SqliteSinkConfig
    delivery = "every"
    backfill = "live_first"
    inputs = (
        Port("in", "samples", "Samples to keep."),
        Port("alarms", "alarms", "Alarm events to keep."),
    )
    examples = (
        Example("Five weeks of trends", {}),
        Example("A year", {"days_max": 366}),
        Example("On the second disk", {"folder": "/data/history"}),
    )

    def __init__(self, config: SqliteSinkConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._folder = ctx.data_dir / config.folder
        self._files: dict[str, aiosqlite.Connection] = {}
        self._codes: dict[str, dict[int, int]] = {}

    async def connect(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Disconnected(f"{self._folder} cannot be made: {error.strerror}.") from error

    async def write(self, message: Message, port: str) -> None:
        try:
            if isinstance(message, Batch):
                await self._samples(message)
            else:
                await self._alarms(message)  # type: ignore[arg-type]  # the port says so
        except (aiosqlite.Error, OSError) as error:
            await self.close()
            raise Disconnected(f"{self._folder} cannot be written: {error}.") from error

    async def _samples(self, batch: Batch) -> None:
        days: dict[str, list[tuple[int, int, float | None, int]]] = {}
        for tag, ts, value, status in batch.rows():
            if not 0 <= ts < _TS_END:
                self.ctx.count("bad_time")
                continue
            kept = value if value == value and abs(value) != float("inf") else None
            days.setdefault(day_of(ts), []).append((tag, ts, kept, status))
        for day, rows in days.items():
            file = await self._file(day)
            codes = await self._tag_codes(file, day, {row[0] for row in rows})
            for i in range(0, len(rows), ROWS_AT_ONCE):
                part = rows[i : i + ROWS_AT_ONCE]
                places = ",".join(["(?,?,?,?)"] * len(part))
                await file.execute(
                    f"REPLACE INTO sample VALUES {places}",  # noqa: S608 - only question marks
                    [x for tag, *others in part for x in (codes[tag], *others)],
                )
            await file.commit()

    async def _tag_codes(
        self, file: aiosqlite.Connection, day: str, tags: set[int]
    ) -> dict[int, int]:
        """The file's own codes of tags: a file is read alone, so it has its own table."""
        codes = self._codes.setdefault(day, {})
        if new := sorted(tags - codes.keys()):
            facts = [self.ctx.tags[tag] for tag in new]
            names = json.dumps([(fact.name, fact.unit) for fact in facts])
            await file.execute(_ADD_TAGS, (names,))
            async with file.execute(_CODES, (names,)) as found:
                row = await found.fetchone()
            assert row is not None
            known = json.loads(row[0])
            codes.update((tag, known[fact.name]) for tag, fact in zip(new, facts, strict=True))
        return codes

    async def _alarms(self, events: tuple[AlarmEvent, ...]) -> None:
        for event in events:
            file = await self._file(day_of(event.ts))
            row: dict[str, Any] = {
                name: getattr(event, name) for name in AlarmEvent.__dataclass_fields__
            }
            row["state"], row["overlay"] = event.state.value, event.overlay.value
            for name in ("value", "limit"):
                row[name] = row[name] if abs(row[name]) < float("inf") else None
            await file.execute(
                "REPLACE INTO alarm_event VALUES (?,?,?,?)",
                (event.alarm, event.ts, event.change, json.dumps(row)),
            )
            await file.commit()

    async def _file(self, day: str) -> aiosqlite.Connection:
        if day in self._files:
            return self._files[day]
        while len(self._files) >= 4:  # Late rows touch few days at a time.
            oldest = min(self._files)
            await self._files.pop(oldest).close()
            self._codes.pop(oldest, None)
        file = await aiosqlite.connect(self._folder / f"{day}.db")
        self._files[day] = file
        await file.execute("PRAGMA journal_mode=WAL")
        await file.execute("PRAGMA synchronous=NORMAL")
        await file.executescript(_SCHEMA)
        self._remove_old(day)
        return file

    def _remove_old(self, day: str) -> None:
        files = sorted(self._folder.glob("????-??-??.db"))
        for path in files[: max(len(files) - self.config.days_max, 0)]:
            if path.stem not in self._files and path.stem < day:
                for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                    Path(self._folder / name).unlink(missing_ok=True)
                self.ctx.count("days_removed")

    async def close(self) -> None:
        files, self._files, self._codes = self._files, {}, {}
        for file in files.values():
            await file.close()


def day_of(ts: int) -> str:
    """The UTC day of a time [ns], as in a file's name.

    >>> day_of(0), day_of(1_767_225_600_000_000_000)
    ('1970-01-01', '2026-01-01')
    """
    return datetime.fromtimestamp(ts // 1_000_000_000, UTC).strftime("%Y-%m-%d")
