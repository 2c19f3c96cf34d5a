"""Windows of one length that follow each other without a gap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from pydantic import Field, field_validator, model_validator

from gateway import Batch, Context, Example, PositiveSeconds, windowing

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock time of a zone, counted from here
_UTC = datetime(1970, 1, 1, tzinfo=UTC)


class TumblingConfig(windowing.WindowConfig):
    size_s: PositiveSeconds = Field(examples=[60], description="Length of a window.")
    offset_s: float = Field(
        0,
        description="Where windows begin, after midnight (or after any multiple of `size_s`): "
        "21600 begins a day at 06:00.",
        json_schema_extra={"unit": "s"},
    )
    zone: str = Field(
        "",
        description="Time zone whose wall clock the windows follow, such as Europe/Berlin, for "
        "shifts and days; empty is UTC. A day is 23 or 25 hours long when the clocks change.",
    )

    @field_validator("zone")
    @classmethod
    def _zone_is_known(cls, zone: str) -> str:
        try:
            return ZoneInfo(zone).key if zone else zone
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"There is no time zone {zone!r}. Write one like Europe/Berlin."
            ) from error

    @model_validator(mode="after")
    def _zone_needs_long_windows(self) -> Self:
        if self.zone and self.size_s < 3600:
            raise ValueError("A window by a time zone lasts an hour or more. Leave out `zone`.")
        return self


class Tumbling(windowing.WindowTransform[TumblingConfig]):
    """Cut each tag's samples into windows of `size_s`, aligned to natural time.

    A sample at the very end of a window belongs to the next one. A window closes when a
    sample of its tag passes its end by `lateness_s`, or when the tag is silent for as long.
    Samples of a closed window leave by `late`. Bad samples stay in, with their quality.

    State: the rows of open windows; watermark, last step time and next end per tag.
    Cost: ~110 ns a row for thousands of rows; ~5 µs for one, ~17 µs if it closes a window.
    Source: Akidau et al., The Dataflow Model, VLDB 2015, 2.2 (fixed windows).
    """

    Config = TumblingConfig
    examples = (
        Example(
            "The sample on the border begins the next window",
            {"size_s": 60},
            given="TT101 0s 20.0 | 30s 20.5 | 60s 22 | 119s 22 bad | 120s 23",
            expect="TT101 0s-60s: 0s 20, 30s 20.5 | 60s-120s: 60s 22, 119s 22 bad",
        ),
        Example(
            "A sample after its window closed leaves by late",
            {"size_s": 10},
            given="~ TT101 1s 1 | 9s 2 | 4s 3 | 10s 4 | 9.5s 5",
            expect={"out": "TT101 0s-10s: 1s 1, 4s 3, 9s 2", "late": "TT101 9.5s 5"},
        ),
        Example(
            "With lateness the window waits",
            {"size_s": 10, "lateness_s": 2},
            given="~ TT101 1s 1 | 10s 4 | 9.5s 5 | 12s 6",
            expect={"out": "TT101 0s-10s: 1s 1, 9.5s 5", "late": ""},
        ),
        Example(
            "A silent tag is closed by the timer",
            {"size_s": 10, "lateness_s": 2},
            given="TT101 1s 1",
            expect="TT101 0s-10s: 1s 1",
            until="12s",
        ),
        Example(
            "Early shift from 06:00 in Berlin, 05:00 UTC in winter",
            {"size_s": 28800, "offset_s": 21600, "zone": "Europe/Berlin"},
            given="PT7 4.5h 1 | 5h 2 | 12h 3 | 13h 4",
            expect="PT7 -10800s-18000s: 16200s 1 | 18000s-46800s: 18000s 2, 43200s 3",
        ),
    )

    def __init__(self, config: TumblingConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._size = windowing.nanoseconds(config.size_s)
        self._offset = windowing.nanoseconds(config.offset_s)
        self._zone = ZoneInfo(config.zone) if config.zone else None
        self._span = (0, 0)  # The last window looked up by the zone: a memo, not state.

    def alone(self, row: Batch, code: int, ts: int, before: int, after: int) -> int | None:
        if self._zone is not None:
            return None
        end = ((ts - self._offset) // self._size + 1) * self._size + self._offset
        return None if end <= before else min(end, int(self._due[code]))

    def whole(self, first: int, last: int, mark: int) -> tuple[int, int] | None:
        if self._zone is not None:
            return None
        start = (first - self._offset) // self._size * self._size + self._offset
        end = start + self._size
        return (start, end) if last < end <= mark else None

    def judge(self, run: windowing.Run) -> tuple[windowing.Mask, windowing.Mask, windowing.Times]:
        _, end = self._spans(run.rows.ts)
        late = end <= run.before
        return ~late, late, end

    def close(
        self, pending: windowing.Pending
    ) -> tuple[windowing.Closed, windowing.Mask, windowing.Times]:
        start, end = self._spans(pending.rows.ts)
        rest = end > pending.mark[pending.group]
        head = windowing.heads(start)
        head[pending.starts] = True
        low, high = windowing.whole_runs(head, ~rest)
        closed = windowing.Closed(low, high, start[low], end[low], end[low])
        return closed, rest, pending.least(end, rest)

    def _spans(self, ts: windowing.Times) -> tuple[windowing.Times, windowing.Times]:
        """First instant of the window of each timestamp and of the next one, (n,)."""
        if self._zone is None:
            start = (ts - self._offset) // self._size * self._size + self._offset
            return start, start + self._size
        start, end = np.empty_like(ts), np.empty_like(ts)
        left = np.arange(len(ts))
        while len(left):  # Once for each window that occurs: one or two in a batch.
            first = int(ts[left[0]])
            if not self._span[0] <= first < self._span[1]:
                self._span = _local_span(first, self._zone, self._size, self._offset)
            low, high = self._span
            inside = (ts[left] >= low) & (ts[left] < high)
            start[left[inside]], end[left[inside]] = low, high
            left = left[~inside]
        return start, end


def _local_span(ts: int, zone: ZoneInfo, size: int, offset: int) -> tuple[int, int]:
    """The window on a zone's wall clock that holds an instant [ns]."""
    seconds, _ = divmod(ts, 1_000_000_000)
    shift = datetime.fromtimestamp(seconds, zone).utcoffset() or timedelta()
    local = ts + round(shift.total_seconds()) * 1_000_000_000
    number = (local - offset) // size
    while _border(number, zone, size, offset) > ts:  # The clocks changed inside the window.
        number -= 1
    while _border(number + 1, zone, size, offset) <= ts:
        number += 1
    return _border(number, zone, size, offset), _border(number + 1, zone, size, offset)


def _border(number: int, zone: ZoneInfo, size: int, offset: int) -> int:
    """The instant at which a zone's wall clock first shows the border of that number [ns]."""
    seconds, rest = divmod(number * size + offset, 1_000_000_000)
    shown = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=zone)
    return round((shown.astimezone(UTC) - _UTC).total_seconds()) * 1_000_000_000 + rest
