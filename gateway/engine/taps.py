"""Taps: see what leaves the ports of a flow while it runs.

A flow that nobody watches pays nothing: its graph then calls what it always calls. Messages are
read-only, so one who looks cannot change a result. A tap belongs to the runner, so it goes on
when another revision takes over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from gateway.data import quality
from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.engine.codec_json import plain
from gateway.flow.node import Message

if TYPE_CHECKING:
    from gateway.engine.catch import Catch
    from gateway.engine.graph import Graph, Observer

TAP_ROWS_MAX: Final = 200
Port = tuple[str, str]
"""A node and one of its ports."""
Row = tuple[int, int, float, int]
"""Tag code, ts [ns], value, quality."""


class Tap:
    """The newest rows that left one port.

    Args:
        port: Node and port.
        rows_max: How many are kept.
    """

    def __init__(self, port: Port, rows_max: int) -> None:
        self.port = port
        self.rows_max = min(rows_max, TAP_ROWS_MAX)
        self.rows = 0
        """All that have left since the tap was put in."""
        self._kept: deque[Batch | list[Any]] = deque()
        self._held = 0

    def take(self, message: Message) -> None:
        """A message leaves; of a long one only the end is kept, and nothing else of it."""
        size = len(message)
        self.rows += size
        first = max(size - self.rows_max, 0)
        if isinstance(message, Batch):
            kept: Batch | list[Any] = message if not first else _end(message, first)
        elif isinstance(message, Windows):
            columns = (message.tag, message.start, message.end, message.count)
            kept = list(zip(*(column[first:].tolist() for column in columns), strict=True))
        else:
            kept = list(message[first:])
        self._kept.append(kept)
        self._held += len(kept)
        while self._held - len(self._kept[0]) >= self.rows_max:
            self._held -= len(self._kept.popleft())

    def shown(self, tags: TagTable) -> dict[str, list[Any]]:
        """The newest rows, oldest first: ``samples`` as lists, or ``items`` as JSON values."""
        samples: list[Any] = []
        items: list[Any] = []
        for part in self._kept:
            if isinstance(part, Batch):
                samples += [
                    (tags.name(tag), ts, value, quality.name(status))
                    for tag, ts, value, status in part.rows()
                ]
            else:
                items += [_item(item, tags) for item in part]
        if items:
            return {"items": items[-self.rows_max :]}
        return {"samples": samples[-self.rows_max :]}


def _end(batch: Batch, first: int) -> Batch:
    """The last rows, without holding on to the others."""
    part = slice(first, None)
    return Batch(
        batch.tag[part].copy(),
        batch.ts[part].copy(),
        batch.value[part].copy(),
        batch.quality[part].copy(),
    )


def _item(item: Any, tags: TagTable) -> dict[str, Any]:
    if isinstance(item, tuple):
        tag, start, end, count = item
        return {"tag": tags.name(tag), "start": start, "end": end, "rows": count}
    return plain(item)


def last_of(message: Message, tags: TagTable) -> list[Any]:
    """What a node shows of its newest message: name, time [ns], number or null, and a word.

    The word is the quality of a sample, the change of an alarm, the rows of a window.
    """
    if isinstance(message, Batch):
        value = float(message.value[-1])
        shown = None if value != value else value
        word = quality.name(int(message.quality[-1]))
        return [tags.name(int(message.tag[-1])), int(message.ts[-1]), shown, word]
    if isinstance(message, Windows):
        rows = int(message.count[-1])
        return [tags.name(int(message.tag[-1])), int(message.end[-1]), None, f"{rows} rows"]
    item = message[-1]
    if isinstance(item, AlarmEvent):
        shown = None if item.value != item.value else item.value
        return [item.alarm, item.ts, shown, item.change]
    return [item.topic, item.ts, None, "event"]


class Taps:
    """Who looks at one flow.

    Args:
        graph: Gives the revision that runs now.
    """

    def __init__(self, graph: Callable[[], Graph]) -> None:
        self.catches: dict[str, Catch] = {}
        """What waits for a condition, by id; see `gateway.engine.catch`."""
        self._graph = graph
        self._taps: dict[Port, list[Tap]] = {}
        self._newest: list[dict[Port, Message]] = []
        self._tapped: tuple[Graph, Observer | None] | None = None

    def __len__(self) -> int:
        return sum(map(len, self._taps.values())) + len(self._newest)

    def add(self, tap: Tap) -> None:
        """Begin to show a tap what leaves its port."""
        self._taps.setdefault(tap.port, []).append(tap)
        self.follow()

    def remove(self, tap: Tap) -> None:
        """End it."""
        mine = self._taps[tap.port]
        mine.remove(tap)
        if not mine:
            del self._taps[tap.port]
        self.follow()

    def add_newest(self) -> dict[Port, Message]:
        """A table that from now on has the newest message of every port."""
        found: dict[Port, Message] = {}
        self._newest.append(found)
        self.follow()
        return found

    def remove_newest(self, table: dict[Port, Message]) -> None:
        """End one."""
        self._newest = [one for one in self._newest if one is not table]
        self.follow()

    def follow(self) -> None:
        """Watch the graph that runs now, if anybody looks, and let go of any other."""
        graph, is_wanted = self._graph(), bool(self._taps or self._newest)
        if self._tapped is not None and (self._tapped[0] is not graph or not is_wanted):
            old, before = self._tapped
            old.observe, self._tapped = before, None
        if is_wanted and self._tapped is None:
            self._tapped = graph, graph.observe
            graph.observe = self._seeing(graph.observe)

    def _seeing(self, before: Observer | None) -> Observer:
        taps = self._taps

        def see(node: str, port: str, message: Message) -> None:
            if before is not None:
                before(node, port, message)
            if not len(message):
                return
            key = (node, port)
            for table in self._newest:
                table[key] = message
            for tap in taps.get(key, ()):
                tap.take(message)

        return see


__all__ = ["TAP_ROWS_MAX", "Tap", "Taps", "last_of"]
