"""Routes of what was: trends of tags, stored alarm events and the KPIs of the alarm system.

All of it is read on threads with read-only connections; at most `LOOKS_MAX` at a time, so that a
page full of trends takes no more than its share.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

import orjson
from fastapi import FastAPI, Query, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from gateway.api.gate import needs
from gateway.api.told import Language, told
from gateway.data import quality
from gateway.data.alarm_kpi import PRIORITIES
from gateway.data.alarm_report import kpi
from gateway.engine.alarm_log import AlarmLog
from gateway.engine.history import History
from gateway.engine.history_gaps import gaps_of
from gateway.engine.history_query import Series, count_rows, rows_between, trends, windows_of
from gateway.engine.runtime import Runtime
from gateway.engine.store_alarms import AlarmSearch, find_alarms, gaps_between
from gateway.errors import ConfigError, Disconnected

T = TypeVar("T")
TAGS_MAX: Final = 20
POINTS_MAX: Final = 4_000
CSV_ROWS_MAX: Final = 1_000_000
ALARMS_MAX: Final = 10_000
LOOKS_MAX: Final = 2
WAITING_MAX: Final = 50
_WEEK_NS: Final = 7 * 86_400 * 10**9
_NS_MAX: Final = (1 << 62) - 1
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Looks:
    """Runs what reads files on threads, a few at a time."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(LOOKS_MAX)
        self._waiting = 0

    async def __call__(self, work: Callable[..., T], *values: Any) -> T:
        """What a function gives.

        Raises:
            Disconnected: Too many wait already, or the disk is away.
        """
        if self._waiting >= WAITING_MAX:
            raise Disconnected(f"{WAITING_MAX} others wait to look back. Try again in a moment.")
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work, *values)
        finally:
            self._waiting -= 1


def add(app: FastAPI, runtime: Runtime) -> None:
    """Declare the routes over a running gateway."""
    looks = Looks()
    _add_trends(app, runtime, looks)
    _add_alarms(app, runtime, looks)


def _add_trends(app: FastAPI, runtime: Runtime, looks: Looks) -> None:
    @app.get("/api/history")
    @needs("tag.read")
    async def history(
        tags: Annotated[list[str], Query()],
        since: int = Query(0, alias="from", ge=0, le=_NS_MAX),
        to: int = Query(0, ge=0, le=_NS_MAX),
        points: int = Query(800, ge=1, le=POINTS_MAX),
    ) -> Response:
        kept, names = _kept(runtime), _names(runtime, tags)
        start, end = _span(runtime, since, to)
        found, start, end = await looks(trends, kept, names, start, end, points)
        rows = await looks(gaps_between, runtime.store.path, start, end)
        answer = {
            "from": start,
            "to": end,
            "tags": {name: _columns(series) for name, series in found.items()},
            "gaps": gaps_of(runtime, names, rows),
        }
        return Response(
            orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
        )

    @app.get("/api/history.csv")
    @needs("tag.read")
    async def table(
        tags: Annotated[list[str], Query()],
        since: int = Query(0, alias="from", ge=0, le=_NS_MAX),
        to: int = Query(0, ge=0, le=_NS_MAX),
    ) -> Response:
        kept, names = _kept(runtime), _names(runtime, tags)
        start, end = _span(runtime, since, to)
        rows = await looks(count_rows, kept, names, start, end)
        if rows > CSV_ROWS_MAX:
            text = f"That is about {rows:,} rows; at most {CSV_ROWS_MAX:,} are sent at once."
            return PlainTextResponse(f"{text} Ask for less time or fewer tags.", 422)

        async def lines() -> AsyncIterator[bytes]:
            yield b"time,tag,value,quality\r\n"
            for begin, stop in windows_of(rows, start, end):
                part = await looks(rows_between, kept, names, begin, stop)
                yield await asyncio.to_thread(_csv, part)

        headers = {"Content-Disposition": 'attachment; filename="history.csv"'}
        return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def _add_alarms(app: FastAPI, runtime: Runtime, looks: Looks) -> None:
    log = AlarmLog(runtime.store.path)

    @app.get("/api/alarms/history")
    @needs("alarm.read")
    async def events(
        since: int = Query(0, alias="from", ge=0, le=_NS_MAX),
        to: int = Query(0, ge=0, le=_NS_MAX),
        tag: str = Query("", max_length=512),
        priority: str = Query("", max_length=64, description="Some of them, with commas."),
        text: str = Query("", max_length=200),
        before: int = Query(0, ge=0, le=_NS_MAX, description="Read on: the last id there was."),
        limit: int = Query(500, ge=1, le=ALARMS_MAX),
        language: Language = "en",
    ) -> Response:
        wanted = frozenset(part for part in priority.split(",") if part)
        if unknown := wanted - set(PRIORITIES):
            text = f"There is no priority {sorted(unknown)[0]!r}: write {', '.join(PRIORITIES)}."
            return PlainTextResponse(text, 422)
        search = AlarmSearch(since, to or _NS_MAX, tag, wanted, text, before)
        found = await looks(find_alarms, runtime.store.path, search, limit)
        return Response(orjson.dumps(await told(found, language)), media_type="application/json")

    @app.get("/api/alarms/kpi")
    @needs("alarm.read")
    async def figures(
        since: int = Query(0, alias="from", ge=0, le=_NS_MAX),
        to: int = Query(0, ge=0, le=_NS_MAX),
    ) -> Response:
        start, end = _span(runtime, since, to, default=_WEEK_NS)

        def work() -> dict[str, Any]:
            found, complete = log.read()
            return {**kpi(found, start, end), "complete_from": complete}

        return Response(orjson.dumps(await looks(work)), media_type="application/json")


def _kept(runtime: Runtime) -> History:
    if runtime.history is None:
        raise ConfigError(
            "This gateway keeps no history.",
            hint="Start it without --history-days-max 0.",
        )
    return runtime.history


def _names(runtime: Runtime, tags: Sequence[str]) -> list[str]:
    """Names of tags with commas between, or each by itself; each once, in their order.

    A name with a comma in it, as MQTT allows, is taken as it is where there is such a tag.

    Raises:
        ConfigError: There are none or too many.
    """
    parts = [[text] if text in runtime.tags else text.split(",") for text in tags]
    names = list(dict.fromkeys(name for part in parts for name in part if name))
    if not 0 < len(names) <= TAGS_MAX:
        raise ConfigError(f"{len(names)} tags are asked for.", hint=f"Ask for 1 to {TAGS_MAX}.")
    return names


def _span(runtime: Runtime, start: int, end: int, default: int = 3600 * 10**9) -> tuple[int, int]:
    """The window that is asked for: without an end to now, without a start the default's length.

    Raises:
        ConfigError: It ends before it begins.
    """
    end = end or runtime.clock.now() + 1
    start = start or max(end - default, 0)
    if end <= start:
        raise ConfigError("The window ends before it begins.", hint="Give from < to, in ns.")
    return start, end


def _columns(series: Series) -> dict[str, Any]:
    """A tag's points as columns; times in ms, and a value that is bad is null."""
    spans = series.spans
    return {
        "t": spans.t / 1e6,
        "min": spans.low,
        "max": spans.high,
        "last": spans.last,
        "q": spans.quality,
        "width_ms": series.width / 1e6,
    }


def _csv(rows: Sequence[tuple[int, str, float, int]]) -> bytes:
    """Rows as CSV (RFC 4180); a name that a spreadsheet would run as a formula gets a quote."""
    out = io.StringIO()
    writer = csv.writer(out)
    for ts, tag, value, status in rows:
        name = f"'{tag}" if tag.startswith(_FORMULA) else tag
        writer.writerow((_iso(ts), name, value, quality.name(status)))
    return out.getvalue().encode("utf-8", "replace")


def _iso(ts: int) -> str:
    """A time in UTC to the nanosecond.

    >>> _iso(1764150000123456789)
    '2025-11-26T09:40:00.123456789Z'
    """
    seconds, rest = divmod(ts, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
