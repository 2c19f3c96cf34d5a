"""Lookup: the newest sample of a tag that came since the start, for the rules of writes."""

from __future__ import annotations

import numpy as np

from gateway.engine.metrics import Live
from gateway.flow.judging import Seen
from gateway.flow.node import Clock


class Lookup:
    """Finds samples by name. What a replay of the journal brought back is not believed.

    Args:
        live: The newest values.
        clock: The time.
    """

    def __init__(self, live: Live, clock: Clock) -> None:
        self._live = live
        self._clock = clock
        self._base: dict[int, tuple[int, int, int]] = {}

    def begin(self) -> None:
        """The recovery is over: only what comes from here on counts."""
        used = np.flatnonzero(self._live.ts[: len(self._live.tags)])
        self._base = {code: self._mark(code) for code in used.tolist()}

    def __call__(self, tag: str) -> Seen | None:
        """The newest sample, or None when there was none since the start."""
        live = self._live
        if tag not in live.tags:
            return None
        code = live.tags.code(tag)
        mark = self._mark(code)
        if not mark[1] or self._base.get(code) == mark:
            return None
        age_s = (self._clock.now() - mark[1]) / 1e9
        return Seen(tag, live.value.item(code), mark[2], age_s, mark)

    def _mark(self, code: int) -> tuple[int, int, int]:
        live = self._live
        return live.rows.item(code), live.ts.item(code), live.quality.item(code)


__all__ = ["Lookup"]
