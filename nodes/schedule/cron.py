"""Give an event at times of the clock."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints

from gateway import Config, Context, Event, Example, Port, Reading, Rows, Source, key_of
from nodes.schedule._cron import Cron

_NAP_S = 30.0
"""The clock may be set while we wait, so it is looked at again."""
_NAPS_MAX = 10**9
_LATE_NS = 60 * 10**9
"""What is later than this was missed."""
_COUNTED_MAX = 10_000
_LOOK_BACK_NS = 31 * 86_400 * 10**9


def _cron(text: str) -> str:
    Cron.parse(text)
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {text!r}; write one like Europe/Berlin") from None
    return text


class CronConfig(Config):
    cron: Annotated[str, StringConstraints(max_length=200), AfterValidator(_cron)] = Field(
        examples=["30 6 * * mon-fri"],
        description="Minute, hour, day of month, month, day of week: with *, lists (1,15), ranges "
        "(6-18), steps (*/10) and names (mon, jan); or @hourly, @daily, @weekly, @monthly.",
    )
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        "UTC", examples=["Europe/Berlin"], description="Whose clock on the wall."
    )
    topic: str = Field("tick", min_length=1, max_length=255, description="Topic of the events.")
    data: dict[str, str | float | bool] = Field(
        {}, max_length=100, description="More fields of the event, as they are."
    )
    missed: Literal["skip", "one", "all"] = Field(
        "one",
        description="Times that passed while the gateway was away: none is made up for, the last "
        "one, or all up to `missed_max`.",
    )
    missed_max: Rows = Field(100, le=10_000, description="So many are made up for, the newest.")


class CronSource(Source[CronConfig]):
    """Give an event each time the clock of a place shows what `cron` says.

    The event's time is the time that was meant, its fields are `at` (that time on the wall),
    `late_s`, and those of `data`. In the night the clock is put forward a time that it skips comes
    at the end of the gap; in the night it is put back a time that comes twice counts once, at its
    first; with `*` for the hour every hour that passes has its turn.

    Delivery: every time once: the last one is committed with its event. After a time away `missed`
    says what becomes of those that passed. A clock that is set forward passes times, which are
    then missed; one that is set back repeats none.
    Back pressure: while the inbox is full the next event waits and comes late; times that pass
    meanwhile are missed ones.
    Source: POSIX.1-2017, crontab.
    """

    Config = CronConfig
    tells_gaps = True  # A time that passed is not a hole in what a device said.
    outputs = (
        Port("events", "events", "An event each time."),
        Port("status", "events", "Started and missed times."),
    )
    examples = (
        Example(
            "A report at the end of each shift",
            {"cron": "0 6,14,22 * * *", "time_zone": "Europe/Berlin", "topic": "shift/end"},
        ),
        Example("Each ten minutes of a working day", {"cron": "*/10 6-18 * * mon-fri"}),
        Example("All that was missed", {"cron": "@daily", "missed": "all", "missed_max": 7}),
    )

    def __init__(self, config: CronConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._cron = Cron.parse(config.cron)
        self._zone = ZoneInfo(config.time_zone)
        stored = ctx.position if isinstance(ctx.position, dict) else {}
        is_same = (stored.get("cron"), stored.get("zone")) == (config.cron, config.time_zone)
        self._last = int(stored.get("last", 0)) if is_same else 0
        self._is_fresh = not self._last

    async def connect(self) -> None:
        if not self._last:
            self._last = self.ctx.clock.now()

    async def read(self) -> Reading:
        if self._is_fresh:  # From here on a restart knows since when times were missed.
            self._is_fresh = False
            return self._reading([])
        now = self.ctx.clock.now()
        due = self._cron.after(self._last, self._zone)
        if due < now - _LATE_NS:
            return await self._missed(now)
        await self._until(due)
        self._last = due
        return self._reading([due])

    async def _until(self, due: int) -> None:
        for _ in range(_NAPS_MAX):
            wait_s = (due - self.ctx.clock.now()) / 1e9
            if wait_s <= 0:
                return
            await asyncio.sleep(min(wait_s, _NAP_S))

    async def _missed(self, now: int) -> Reading:
        """What passed since the last one, in one reading."""
        found: deque[int] = deque(maxlen=self.config.missed_max)
        count = 0
        at = self._cron.after(self._last, self._zone)
        while at <= now:
            count += 1
            found.append(at)
            if count == _COUNTED_MAX and at < now - _LOOK_BACK_NS:  # Years, each minute.
                at = now - _LOOK_BACK_NS
            if not count % 500:
                await asyncio.sleep(0)
            at = self._cron.after(at, self._zone)
        self._last = found[-1]
        self.ctx.count("missed", count)
        keep = {"skip": 0, "one": 1, "all": len(found)}[self.config.missed]
        return self._reading(list(found)[len(found) - keep :])

    def _reading(self, times: list[int]) -> Reading:
        position = {
            "last": self._last,
            "cron": self.config.cron,
            "zone": self.config.time_zone,
        }
        events = tuple(self._event(ts) for ts in times)
        return Reading({"events": events} if events else {}, position=position)

    def _event(self, ts: int) -> Event:
        late_s = max((self.ctx.clock.now() - ts) / 1e9, 0.0)
        wall = datetime.fromtimestamp(ts // 10**9, self._zone)
        data: dict[str, Any] = {**self.config.data, "at": wall.isoformat(), "late_s": round(late_s)}
        return Event(ts, self.config.topic, data, key_of(self.ctx, "tick", ts))
