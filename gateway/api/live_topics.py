"""Live topics: what one subscription reads, once for all who asked for the same.

A topic looks at the gateway at its own pace and remembers when each thing changed. Whoever asks
says up to when they know; so a client that was skipped gets exactly what is new to it, and
nothing waits anywhere. What several want to know since the same tick is encoded once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from gateway.data import quality
from gateway.data.alarm import AlarmEvent, Overlay
from gateway.engine.runner import FlowRunner
from gateway.engine.runtime import Runtime
from gateway.engine.taps import Tap

TICK_S: Final = 0.1
HZ_MIN: Final = 0.2
HZ_MAX: Final = 10.0
ALARMS_HZ: Final = 5.0
WIRE_HZ: Final = 5.0
GONE_MAX: Final = 1_000
"""Alarms that are gone and still remembered; who is behind by more gets the whole list again."""
_UNKNOWN: Final = orjson.dumps({"unknown": True})


class Topic(ABC):
    """One thing that is watched.

    Args:
        hz: How often it is looked at, at most [1/s].
    """

    def __init__(self, hz: float) -> None:
        self.every = max(math.ceil(round(1 / (hz * TICK_S), 6)), 1)
        self.due = 0
        """The tick at which it is looked at next."""
        self.at = 0
        """The tick at which it was looked at last."""
        self.users = 0
        self._parts: dict[int, bytes | None] = {}

    def refresh(self, tick: int) -> None:
        """Look at the gateway."""
        self.at, self.due = tick, (tick // self.every + 1) * self.every
        self._parts.clear()
        self._look()

    def part(self, since: int) -> bytes | None:
        """JSON of what has changed after a tick; all for 0, None when nothing has."""
        if since not in self._parts:
            self._parts[since] = self._tell(since)
        return self._parts[since]

    def close(self) -> None:
        """Nobody watches any more."""
        return

    @abstractmethod
    def _look(self) -> None:
        """Note what has changed, as of tick `at`."""

    @abstractmethod
    def _tell(self, since: int) -> bytes | None:
        """What has changed after a tick."""


class TagTopic(Topic):
    """The newest sample of each of some tags.

    Args:
        runtime: The gateway.
        names: The tags; rows give their place in this list.
        hz: See `Topic`.
    """

    def __init__(self, runtime: Runtime, names: tuple[str, ...], hz: float) -> None:
        super().__init__(hz)
        self._names = names
        self._live = runtime.live
        self._version = -1
        self._codes = np.zeros(len(names), np.intp)
        self._is_known = np.zeros(len(names), bool)
        self._changed = np.zeros(len(names), np.int64)
        self._ts = np.zeros(len(names), np.int64)
        self._value = np.full(len(names), np.nan)
        self._quality = np.zeros(len(names), np.uint32)

    def _look(self) -> None:
        if self._version != self._live.tags.version:
            self._find()
        live, codes = self._live, self._codes
        ts, value, status = live.ts[codes], live.value[codes], live.quality[codes]
        is_same = (
            (ts == self._ts) & (status == self._quality) & (_bits(value) == _bits(self._value))
        )
        self._changed[~is_same & self._is_known] = self.at
        self._ts, self._value, self._quality = ts, value, status

    def _find(self) -> None:
        """Which of the tags exist by now."""
        tags = self._live.tags
        self._version = tags.version
        for i in np.flatnonzero(~self._is_known).tolist():
            if (name := self._names[i]) in tags:
                self._codes[i], self._is_known[i], self._changed[i] = tags.code(name), True, self.at

    def _tell(self, since: int) -> bytes | None:
        found: dict[str, Any] = {}
        new = np.flatnonzero(self._changed > since)
        if len(new) or not since:
            words = map(quality.name, self._quality[new].tolist())
            columns = (new.tolist(), self._ts[new].tolist(), self._value[new].tolist(), words)
            found["rows"] = list(zip(*columns, strict=True))
        if not since and not self._is_known.all():
            found["unknown"] = np.flatnonzero(~self._is_known).tolist()
        return orjson.dumps(found) if found else None


def _bits(value: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers as they are stored, so that NaN is like NaN."""
    return value.view(np.int64)


class AlarmTopic(Topic):
    """Alarms that are open or hidden."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__(ALARMS_HZ)
        self._book = runtime.book
        self._version = -1
        self._known: dict[str, AlarmEvent] = {}
        self._rows: dict[str, orjson.Fragment] = {}
        self._changed: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        self._floor = 0

    def _look(self) -> None:
        if self._version == self._book.version:
            return
        self._version = self._book.version
        current = {event.alarm: event for event in self._book.current()}
        for alarm in self._known.keys() - current.keys():
            del self._rows[alarm], self._changed[alarm]
            self._gone[alarm] = self.at
        for alarm, event in current.items():
            if self._known.get(alarm) is not event:
                is_hidden = event.overlay is not Overlay.NONE
                row = orjson.dumps({**self._book.row(event), "hidden": is_hidden})
                self._rows[alarm], self._changed[alarm] = orjson.Fragment(row), self.at
                self._gone.pop(alarm, None)
        self._known = current
        while len(self._gone) > GONE_MAX:
            oldest = next(iter(self._gone))
            self._floor = max(self._floor, self._gone.pop(oldest))

    def _tell(self, since: int) -> bytes | None:
        if since < max(self._floor, 1):
            order = [*self._book.open(), *self._book.hidden()]
            return orjson.dumps(
                {"all": [self._rows[e.alarm] for e in order if e.alarm in self._rows]}
            )
        new = [self._rows[alarm] for alarm, at in self._changed.items() if at > since]
        gone = [alarm for alarm, at in self._gone.items() if at > since]
        return orjson.dumps({"set": new, "gone": gone}) if new or gone else None


class WireTopic(Topic):
    """The newest rows that left a port.

    ``rows`` counts all that have left since the tap was put in; ``missed`` are those that left
    since it was looked at before and are not shown, since more left than is kept.

    Args:
        runtime: The gateway.
        wire: Flow, node and port.
        rows_max: How many are shown.
    """

    def __init__(self, runtime: Runtime, wire: tuple[str, str, str], rows_max: int) -> None:
        super().__init__(WIRE_HZ)
        self._runtime = runtime
        self._flow, *port = wire
        self._tap = Tap((port[0], port[1]), rows_max)
        self._runner: FlowRunner | None = None
        self._told = self._missed = 0
        self._is_there = False
        self._changed = 0

    def _look(self) -> None:
        runner = self._runtime.runners.get(self._flow)
        if runner is not self._runner:
            self.close()
            if runner is not None:
                runner.taps.add(self._tap)
            self._runner = runner
        is_there = runner is not None and _has_port(runner, *self._tap.port)
        if is_there != self._is_there or self._tap.rows != self._told or not self._changed:
            new = self._tap.rows - self._told
            self._missed = max(new - self._tap.rows_max, 0)
            self._told, self._is_there, self._changed = self._tap.rows, is_there, self.at

    def _tell(self, since: int) -> bytes | None:
        if self._changed <= since:
            return None
        if not self._is_there:
            return _UNKNOWN
        shown = self._tap.shown(self._runtime.tags)
        counts = {"rows": self._told, "missed": self._missed}
        return orjson.dumps({**shown, **counts}, default=str, option=orjson.OPT_NON_STR_KEYS)

    def close(self) -> None:
        if self._runner is not None:
            self._runner.taps.remove(self._tap)
            self._runner = None


def _has_port(runner: FlowRunner, node: str, port: str) -> bool:
    cls = runner.graph.classes.get(node)
    return cls is not None and any(one.name == port for one in cls.outputs)


__all__ = ["HZ_MAX", "HZ_MIN", "TICK_S", "AlarmTopic", "TagTopic", "Topic", "WireTopic"]
