"""Say so when a tag has gone silent."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from gateway import Batch, Config, Context, Example, Outputs, PositiveSeconds, Transform, quality

_NEVER = np.iinfo(np.int64).max


class StaleConfig(Config):
    after_s: PositiveSeconds = Field(
        examples=[30.0], description="How long a tag may be silent before its value is doubted."
    )


class Stale(Transform[StaleConfig, Batch]):
    """Repeat the last value of a silent tag as Uncertain, once, so that all see it has aged.

    All samples pass. When none of a tag came for `after_s` its last value is sent again with
    the quality Uncertain_LastUsableValue and the time at which it went stale. A tag whose last
    sample was Bad is known to be away and stays silent.

    State: last value, its time and when it was seen, per tag.
    Cost: O(n) a batch; O(tags) when one goes stale.
    Source: OPC 10000-8 v1.05, Table 41, Uncertain_LastUsableValue.
    """

    Config = StaleConfig
    examples = (
        Example(
            "Silent for a minute",
            {"after_s": 60},
            given="TT1 0s 20 | 30s 21",
            expect="TT1 0s 20 | 30s 21 | 90s 21 Uncertain_LastUsableValue",
            until="10min",
        ),
        Example(
            "A sample in time",
            {"after_s": 60},
            given="TT1 0s 20 | 59s 21",
            expect="TT1 0s 20 | 59s 21",
            until="118s",
        ),
        Example(
            "What is bad already is not stale as well",
            {"after_s": 60},
            given="TT1 0s 20 | 30s 20 bad",
            expect="TT1 0s 20 | 30s 20 bad",
            until="10min",
        ),
    )

    def __init__(self, config: StaleConfig, ctx: Context) -> None:
        super().__init__(config, ctx)
        self._value = self.per_tag("value", np.nan)
        self._ts = self.per_tag("ts", 0, np.int64)
        self._due = self.per_tag("due", _NEVER, np.int64)
        self._after_ns = round(config.after_s * 1e9)
        self._next: int | None = None
        self._is_known = False

    def process(self, batch: Batch, port: str) -> Outputs:
        if not len(batch):
            return {}
        due = np.where(batch.usable, self.ctx.now + self._after_ns, _NEVER)
        self._value[batch.tag] = batch.value  # Where a tag repeats, the last row stays.
        self._ts[batch.tag] = batch.ts
        self._due[batch.tag] = due
        self._is_known = False
        return {"out": batch}

    def wake_at(self) -> int | None:
        if not self._is_known:
            earliest = int(self._due[: len(self.ctx.tags)].min(initial=_NEVER))
            self._next = None if earliest == _NEVER else earliest
            self._is_known = True
        return self._next

    def paused(self, ns: int) -> None:
        self._due[self._due != _NEVER] += ns
        self._is_known = False

    def wake(self, now: int) -> Outputs:
        tag = np.flatnonzero(self._due[: len(self.ctx.tags)] <= now).astype(np.uint16)
        if not len(tag):
            return {}
        tag = tag[np.lexsort((tag, self._due[tag]))]
        self._due[tag] = _NEVER
        self._is_known = False
        aged = np.full(len(tag), quality.UNCERTAIN_LAST_USABLE, np.uint32)
        return {"out": Batch(tag, self._ts[tag] + self._after_ns, self._value[tag], aged)}
