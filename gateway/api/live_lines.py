"""Live lines: what nodes say to people, and lines of consoles that are still being written."""

from __future__ import annotations

import orjson

from gateway.api.live_topics import Topic
from gateway.engine.metrics import LINES_KEPT
from gateway.engine.runtime import Runtime


class LinesTopic(Topic):
    """The newest lines: number, time [ns], level, place and text of those that have changed.

    A line of a number that was told before takes its place: it has grown.

    Args:
        runtime: The gateway.
        hz: See `Topic`.
    """

    def __init__(self, runtime: Runtime, hz: float) -> None:
        super().__init__(hz)
        self._lines = runtime.lines
        self._version = -1
        self._changed: dict[int, int] = {}

    def _look(self) -> None:
        if self._version == self._lines.version:
            return
        for number, _ in self._lines.changed(self._version):
            self._changed[number] = self.at
        self._version = self._lines.version
        while len(self._changed) > LINES_KEPT:
            del self._changed[min(self._changed)]

    def _tell(self, since: int) -> bytes | None:
        rows = [
            (number, *line)
            for number, line in self._lines.changed(-1)
            if self._changed.get(number, 0) > since
        ]
        return orjson.dumps({"lines": rows}) if rows or not since else None


__all__ = ["LinesTopic"]
