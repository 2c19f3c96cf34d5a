"""Report by exception: pass a sample only when it moved far enough."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from gateway import Batch, Config, Context, Example, Outputs, Seconds, Transform

_NEVER = 255  # Severity of a tag not yet seen: it differs from every real one.
_TIME_MAX = 2**61  # Times are kept within ±73 years of 1970, so that differences do not overflow.

T = TypeVar("T", bound=np.generic)


class DeadbandConfig(Config):
    band: float = Field(
        gt=0,
        examples=[0.5],
        description="Smallest change that counts: in the tag's unit, or in percent of its range.",
    )
    kind: Literal["absolute", "percent"] = Field(
        "absolute", description="How `band` is read: absolute units, or percent of the tag's range."
    )
    heartbeat_s: Seconds = Field(
        0,
        description="Pass a sample anyway when so much time went by since the last; 0 never does.",
    )


class Deadband(Transform[DeadbandConfig, Batch]):
    """Pass a sample only if it differs from the last passed one by more than `band`.

    The first sample of a tag passes, and so does any change of quality severity.
    Percent needs the tag's range; without one the tag passes unfiltered.

    State: value, time and severity last passed, per tag.
    Cost: ~60 ns a row while most pass, ~150 ns while most do not; ~5 µs for one row.
    Source: OPC 10000-4 v1.05, 7.22.2 DataChangeFilter; OPC 10000-8, 6.2 PercentDeadband.
    """

    Config = DeadbandConfig
    stage = "stable"
    examples = (
        Example(
            "Half a degree",
            {"band": 0.5},
            given="TT101 0s 20.0 | 1s 20.5 | 2s 20.6 | 3s 20.6 bad",
            expect="TT101 0s 20 | 2s 20.6 | 3s 20.6 bad",
        ),
        Example(
            "A failed sensor reports once",
            {"band": 0.5},
            given="TT9 0s nan | 1s nan | 2s 4.0",
            expect="TT9 0s nan bad | 2s 4",
        ),
        Example(
            "With a heartbeat",
            {"band": 5, "heartbeat_s": 60},
            given="PT7 0s 1.0 | 30s 1.1 | 60s 1.1 | 90s 1.1",
            expect="PT7 0s 1 | 60s 1.1",
        ),
        Example(
            "One percent of the range",
            {"band": 1, "kind": "percent"},
            given="LT3 0s 50 | 1s 51 | 2s 52.5",
            expect="LT3 0s 50 | 2s 52.5",
            tags={"LT3": {"low": 0, "high": 200}},
        ),
    )

    def __init__(self, config: DeadbandConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._value = self.per_tag("value", np.nan)
        self._ts = self.per_tag("ts", 0, np.int64)
        self._severity = self.per_tag("severity", _NEVER, np.uint8)
        self._percent = config.kind == "percent"
        self._heartbeat_ns = round(config.heartbeat_s * 1e9) or 2**63 - 1

    def keeps(self, old: DeadbandConfig) -> bool:
        """The last row that passed is the same, whatever the next is compared by."""
        return True

    def process(self, batch: Batch, port: str) -> Outputs:
        if len(batch) < 2:
            return {"out": batch} if len(batch) and self._one(batch) else {}
        order = np.argsort(batch.tag, kind="stable")
        tag = batch.tag[order]
        head = np.empty(len(tag), np.bool_)
        head[0] = True
        np.not_equal(tag[1:], tag[:-1], out=head[1:])
        starts = np.flatnonzero(head)
        if len(starts) == len(tag):
            passes = self._passes(batch)
            return {"out": batch.where(passes)} if passes.any() else {}
        code, value = tag[starts], batch.value[order]
        severity = (batch.quality[order] >> 30).astype(np.uint8)
        ts = np.clip(batch.ts[order], -_TIME_MAX, _TIME_MAX)
        rows = _Rows(value, ts, severity, self._band(tag))
        last = _Rows(
            _before(value, starts, self._value[code]),
            _before(ts, starts, self._ts[code]),
            _before(severity, starts, self._severity[code]),
            rows.band,
        )
        small = self._small(rows, last)
        if small.any():
            small = self._follow(rows, last, head, small)
        kept = np.flatnonzero(~small)
        if not len(kept):
            return {}
        # The last kept row of each tag is what the next one is compared with.
        final = kept[np.append(tag[kept[1:]] != tag[kept[:-1]], True)]
        code = tag[final]
        self._value[code], self._ts[code] = value[final], ts[final]
        self._severity[code] = severity[final]
        if len(kept) == len(batch):
            return {"out": batch}
        return {"out": batch.where(np.sort(order[kept]))}

    def _one(self, batch: Batch) -> bool:
        """The same decision for one row, in plain numbers: most of what an idle plant sends."""
        code, x = batch.tag[0], float(batch.value[0])
        ts = min(max(int(batch.ts[0]), -_TIME_MAX), _TIME_MAX)
        severity, last = int(batch.quality[0]) >> 30, float(self._value[code])
        band = float(self._band(batch.tag)[0]) if self._percent else self.config.band
        near = abs(x - last) <= band or (x != x and last != last)
        beats = ts - int(self._ts[code]) >= self._heartbeat_ns
        if near and severity == self._severity[code] and not beats:
            return False
        self._value[code], self._ts[code], self._severity[code] = x, ts, severity
        return True

    def _band(self, tag: NDArray[np.uint16]) -> NDArray[np.float64]:
        if self._percent:
            return self.config.band / 100 * self.ctx.tags.span[tag]
        return np.full(len(tag), self.config.band)

    def _passes(self, batch: Batch) -> NDArray[np.bool_]:
        """Which rows pass where no tag repeats; remembers those that do."""
        tag, severity = batch.tag, (batch.quality >> 30).astype(np.uint8)
        ts = np.clip(batch.ts, -_TIME_MAX, _TIME_MAX)
        band = self._band(tag)
        last = _Rows(self._value[tag], self._ts[tag], self._severity[tag], band)
        passes = ~self._small(_Rows(batch.value, ts, severity, band), last)
        tag = tag[passes]
        self._value[tag], self._ts[tag] = batch.value[passes], ts[passes]
        self._severity[tag] = severity[passes]
        return passes

    def _small(self, rows: _Rows, last: _Rows) -> NDArray[np.bool_]:
        """Which rows do not differ enough from what is taken for the last passed one."""
        with np.errstate(invalid="ignore"):  # inf - inf is NaN, and that passes.
            small: NDArray[np.bool_] = np.abs(rows.value - last.value) <= rows.band
        small |= np.isnan(rows.value) & np.isnan(last.value)
        small &= rows.severity == last.severity
        small &= rows.ts - last.ts < self._heartbeat_ns
        return small

    def _follow(
        self, rows: _Rows, last: _Rows, head: NDArray[np.bool_], small: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Compare with the last passed row where the row before did not pass.

        Only rows after a small one need this: elsewhere the row before is the last passed.
        """
        where = np.flatnonzero(small).tolist()
        columns: list[Any] = [rows.value, rows.ts, rows.severity, rows.band, head, small.copy()]
        if len(where) * 32 > len(small):  # Lists are read faster, but cost to make.
            columns = [column.tolist() for column in columns]
        value, ts, severity, band, first, flags = columns
        n, done, beat = len(value), 0, self._heartbeat_ns
        for i in where:
            if i < done:
                continue
            x, x_ts, x_severity = float(last.value[i]), int(last.ts[i]), int(last.severity[i])
            j = i + 1
            while j < n and not first[j]:
                y = value[j]
                near = abs(float(y) - x) <= band[j] or (y != y and x != x)
                if not near or severity[j] != x_severity or ts[j] - x_ts >= beat:
                    flags[j] = False
                    j += 1
                    break
                flags[j] = True
                j += 1
            done = j
        return np.array(flags)


class _Rows(NamedTuple):
    """What decides, sorted by tag; each (n,)."""

    value: NDArray[np.float64]
    ts: NDArray[np.int64]
    severity: NDArray[np.uint8]
    band: NDArray[np.float64]


def _before(column: NDArray[T], starts: NDArray[np.intp], known: NDArray[T]) -> NDArray[T]:
    """The row before each row, (n,): for the first of a tag what is `known` of it."""
    before = np.empty_like(column)
    before[1:] = column[:-1]
    before[starts] = known
    return before
