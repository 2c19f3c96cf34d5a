"""Turns published changes into rows and events, and remembers how far it came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway import Batch, Cause, Context, Event, Gap, quality
from nodes.opcua._browse import plain
from nodes.opcua._decode import Changes, times
from nodes.opcua._errors import explain
from nodes.opcua._history import Filled, in_order

_OVERFLOW: Final = 0x480  # InfoType DataValue and Overflow: OPC 10000-4 v1.05, 7.39.1.
_POSITION_TAGS: Final = 500  # Beyond that a position would weigh more than the rows it is for.


class Intake:
    """The rows of one source: codes by handle, the last time of each tag, what to say once.

    Args:
        ctx: The node's context.
        array_items_max: How many items of an array become tags of their own; 0 makes an event.
    """

    def __init__(self, ctx: Context, array_items_max: int) -> None:
        self._ctx = ctx
        self._array_items_max = array_items_max
        self._codes: NDArray[np.uint16] = np.zeros(1, np.uint16)
        self.last: NDArray[np.int64] = np.zeros(ctx.tags.limit, np.int64)
        self.seen = 0
        """Server time up to which nothing is missing [ns]; 0 before the first sample ever."""
        self._refused: set[str] = set()
        self._is_told_inexact = False

    def start(self, names: list[str]) -> None:
        """The tags behind handles 1 to n of a new subscription."""
        self._codes = np.array([0, *(self._ctx.tags.code(name) for name in names)], np.uint16)

    def resume(self, position: Any) -> None:
        """Take up where the stored position ends, unless this process already came further."""
        if self.seen or not isinstance(position, Mapping):
            return
        self.seen = int(position.get("seen", 0))
        for name, ts in dict(position.get("last", {})).items():
            self.last[self._ctx.tags.code(name)] = int(ts)

    def position(self, with_history: NDArray[np.uint16]) -> dict[str, Any]:
        """What to store with a reading: how far all came, and each tag that has a history."""
        if len(with_history) > _POSITION_TAGS:
            return {"seen": self.seen}
        tags = self._ctx.tags
        last = {tags.name(code): int(self.last[code]) for code in with_history.tolist()}
        return {"seen": self.seen, "last": {name: ts for name, ts in last.items() if ts}}

    def refuse(self, refused: Mapping[str, tuple[str, int | str]]) -> tuple[Batch, list[Event]]:
        """A Bad sample for each tag whose node is refused, and an event the first time.

        Args:
            refused: Tag to its address and what is wrong: a sentence, or a StatusCode.
        """
        now = self._ctx.clock.now()
        events = []
        for name, (address, status) in refused.items():
            if name in self._refused:
                continue
            self._refused.add(name)
            why = status if isinstance(status, str) else explain(status)
            data = {"source": self._ctx.node_id, "tag": name, "node": address, "text": why}
            events.append(Event(now, "node/refused", data))
            self._ctx.count("nodes_refused")
        if events:
            first = events[0].data
            self._ctx.say(
                "warning",
                f"{len(events)} of the nodes cannot be read, first {first['node']} for "
                f"{first['tag']}: {first['text']}. The others go on; correct the address.",
            )
        codes = [self._ctx.tags.code(name) for name in refused]
        bad = [quality.BAD_CONFIGURATION] * len(codes)
        return Batch.columns(codes, [now] * len(codes), [np.nan] * len(codes), bad), events

    def rows(self, changes: Changes) -> tuple[Batch, list[Event], list[Event]]:
        """(samples, events for `events`, gaps for `status`) of what was published."""
        codes = self._codes[np.array(changes.handle, np.intp)]
        ts = times(changes.ticks, self._ctx.clock.now())
        status = np.array(changes.status, np.uint32)
        value = np.array(changes.value, np.float64)
        gaps = self._overflows(codes, ts, status)
        if changes.inexact:
            self._inexact(changes.inexact)
        batch = Batch.columns(codes, ts, value, status)
        events: list[Event] = []
        if changes.odd:
            batch, events = self._odd(batch, changes)
        np.maximum.at(self.last, codes, ts)
        return batch, events, gaps

    def filled(self, found: Filled) -> Batch:
        """Rows of the history, in order of their times."""
        order = in_order(found)
        batch = Batch.columns(
            np.array(found.code, np.uint16),
            np.array(found.ts, np.int64),
            np.array(found.value, np.float64),
            np.array(found.status, np.uint32),
        ).where(order)
        np.maximum.at(self.last, batch.tag, batch.ts)
        return batch

    def gap(
        self,
        start: int,
        end: int,
        cause: Cause,
        text: str,
        *,
        tags: tuple[str, ...] | None = None,
        missing: int = 0,
        **more: Any,
    ) -> Event:
        """The event of a hole between two times of the server [ns]; see `gateway.Gap`."""
        node = self._ctx.node_id
        return Gap(node, cause, start, end, "", tags, missing, text, more).event()

    def _overflows(
        self, codes: NDArray[np.uint16], ts: NDArray[np.int64], status: NDArray[np.uint32]
    ) -> list[Event]:
        lost = status & _OVERFLOW == _OVERFLOW
        if not lost.any():
            return []
        self._ctx.count("server_overflows", int(lost.sum()))
        tags = [self._ctx.tags.name(code) for code in np.unique(codes[lost]).tolist()]
        start = int(self.last[codes[lost]].min())
        text = "The server's queue was full: raise queue_size or publish more often."
        end = int(ts[lost].max())
        return [self.gap(start, end, "device_overflow", text, tags=tuple(tags))]

    def _inexact(self, n: int) -> None:
        self._ctx.count("inexact_integers", n)
        if not self._is_told_inexact:
            self._is_told_inexact = True
            self._ctx.say(
                "warning", "Integers above 2**53 came: they are rounded to the nearest float64."
            )

    def _odd(self, batch: Batch, changes: Changes) -> tuple[Batch, list[Event]]:
        """Take what is no number out of the rows: arrays as tags, all else as events."""
        keep = np.ones(len(batch), np.bool_)
        events = []
        more: list[tuple[int, int, float, int]] = []
        for i, content in changes.odd.items():
            keep[i] = False
            name, ts = self._ctx.tags.name(int(batch.tag[i])), int(batch.ts[i])
            status = changes.status[i]
            if self._array_items_max and _is_numbers(content):
                for j, item in enumerate(content[: self._array_items_max]):
                    more.append((self._ctx.tags.code(f"{name}[{j}]"), ts, float(item), status))
                continue
            data = {"tag": name, "value": plain(content), "quality": quality.name(status)}
            events.append(Event(ts, f"value/{name}", data, id=f"{name}@{ts}"))
        batch = batch.where(keep)
        return (Batch.concat([batch, Batch.of(more)]) if more else batch), events


def _is_numbers(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(x, bool | int | float) for x in content)


__all__ = ["Intake"]
