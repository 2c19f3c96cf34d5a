"""Ends: what leaves a run, as bytes by which two runs can be told apart.

Rows are written one after another under the names of their tags, not their codes. So the same
rows give the same bytes however they are cut into batches and however a table numbers its tags.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import fields
from typing import Any, Final, Generic, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.data.alarm import AlarmEvent
from gateway.data.batch import Batch
from gateway.data.event import Event
from gateway.data.tag import TagTable
from gateway.data.windows import Windows
from gateway.engine.codec import alarm_of, plain
from gateway.engine.wiring import Result
from gateway.flow.node import Message

End = tuple[str, str]
"""(node, port): the input of a sink or worker, or an output that is watched."""
Kind = Literal["samples", "alarms", "texts"]
_ALARM_FIELDS: Final = tuple(field.name for field in fields(AlarmEvent))
T = TypeVar("T")
ROW: Final = np.dtype([("id", "<u8"), ("ts", "<i8"), ("value", "<f8"), ("quality", "<u4")])
WRITES_MAX: Final = 1_000  # Writes that are kept to be shown; the others are counted.


class NameIds:
    """Eight bytes for each tag that follow from its name alone.

    Two of 65,535 names share them with a probability of 1e-10 (birthday bound, 2**64).
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}

    def add(self, names: Iterable[str]) -> list[int]:
        """The ids of names, which are known from now on."""
        found = []
        for name in names:
            digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
            found.append(int.from_bytes(digest, "little"))
            self.names[found[-1]] = name
        return found


class Content(NamedTuple):
    """What reached one end in one step.

    Args:
        kind: ``samples``: `data` is records of `ROW`. ``alarms``, or ``texts`` for windows and
            events: it is one JSON text a line.
        n: Rows, windows, alarm events or events.
        data: All of them.
    """

    kind: Kind
    n: int
    data: bytes

    def rows(self) -> NDArray[Any]:
        """The samples as records of `ROW`, (n,)."""
        return np.frombuffer(self.data, ROW)

    def texts(self) -> list[str]:
        """What is no sample, a text each; equal texts are equal items."""
        return self.data.decode("utf-8", "replace").splitlines()

    def alarms(self) -> list[AlarmEvent]:
        """The alarm events."""
        return [alarm_of(json.loads(text)) for text in self.texts()]


class Seen(NamedTuple):
    """All that left a run in one step."""

    alarms: tuple[AlarmEvent, ...]
    ends: dict[End, Content]


NOTHING: Final = Content("samples", 0, b"")
UNSEEN: Final = Seen((), {})


class Eye:
    """Sees what a step gave.

    Args:
        tags: The table behind the codes.
        ids: Where the names of the tags are noted.
    """

    def __init__(self, tags: TagTable, ids: NameIds) -> None:
        self._tags = tags
        self._ids = ids
        self._of_code = np.zeros(0, np.uint64)

    def see(self, result: Result) -> Seen:
        """What left in a step."""
        if not result.outputs and not result.alarms:
            return UNSEEN
        found: dict[End, list[Message]] = {}
        for node, port, message in result.outputs:
            found.setdefault((node, port), []).append(message)
        alarms = tuple(event for _, events in result.alarms for event in events)
        return Seen(alarms, {end: self._content(some) for end, some in found.items()})

    def _content(self, messages: list[Message]) -> Content:
        parts = []
        for message in messages:
            if isinstance(message, Batch):
                parts.append(self._table(message).tobytes())
            elif isinstance(message, Windows):
                parts += [_line(self._window(message, i)) for i in range(len(message))]
            else:
                parts += [_item(item) for item in message]
        count = sum(len(message) for message in messages)
        return Content(_kind(messages[0]), count, b"".join(parts))

    def _table(self, batch: Batch) -> NDArray[Any]:
        found = np.empty(len(batch), ROW)
        found["id"] = self._ids_of(batch.tag)
        found["ts"], found["value"], found["quality"] = batch.ts, batch.value, batch.quality
        return found

    def _ids_of(self, codes: NDArray[np.uint16]) -> NDArray[np.uint64]:
        known = len(self._of_code)
        if known < len(self._tags):
            fresh = self._ids.add(self._tags.name(c) for c in range(known, len(self._tags)))
            self._of_code = np.concatenate((self._of_code, np.array(fresh, np.uint64)))
        return self._of_code[codes]

    def _window(self, windows: Windows, i: int) -> dict[str, Any]:
        part = windows.rows.where(slice(int(windows.offset[i]), int(windows.offset[i + 1])))
        return {
            "tag": self._tags.name(int(windows.tag[i])),
            "start": int(windows.start[i]),
            "end": int(windows.end[i]),
            "rows": len(part),
            "hash": hashlib.blake2b(self._table(part).tobytes(), digest_size=8).hexdigest(),
        }


def _kind(message: Message) -> Kind:
    if isinstance(message, Batch):
        return "samples"
    is_alarms = isinstance(message, tuple) and isinstance(message[0], AlarmEvent)
    return "alarms" if is_alarms else "texts"


def _item(item: AlarmEvent | Event) -> bytes:
    """An alarm event or an event as a line; a replay of a day may have a million."""
    if isinstance(item, Event):
        return _line(plain(item))
    row: dict[str, Any] = {name: getattr(item, name) for name in _ALARM_FIELDS}
    for name in ("value", "limit"):
        if not math.isfinite(row[name]):
            row[name] = None
    return _line(row)


def _line(row: dict[str, Any]) -> bytes:
    text = json.dumps(row, sort_keys=True, default=_number)  # ASCII, so a line is a line.
    return text.encode() + b"\n"


def _number(value: Any) -> Any:
    """A numpy number as a plain one; anything else by what it says of itself."""
    return value.item() if isinstance(value, np.generic) else repr(value)


class Kept(Generic[T]):
    """The first (or the newest) of many, and how many there were.

    Args:
        limit: How many are kept.
        newest: Keep the newest; else the first.
    """

    def __init__(self, limit: int, *, newest: bool = False) -> None:
        self.items: deque[T] = deque(maxlen=limit)
        self.total = 0
        self._limit = limit
        self._newest = newest

    def add(self, item: T) -> None:
        """Count one, and keep it if there is room."""
        self.total += 1
        if self._newest or len(self.items) < self._limit:
            self.items.append(item)

    def wanted(self, total: int) -> slice:
        """Which of `total` more would be kept; the others are counted here and now."""
        count = min(total, self._limit if self._newest else self._limit - len(self.items))
        self.total += total - count
        return slice(total - count, None) if self._newest else slice(0, count)


class _Tally:
    """What reached one end: how many, and a hash over all of them in their order."""

    __slots__ = ("count", "hash")

    def __init__(self) -> None:
        self.count = 0
        self.hash = hashlib.blake2b(digest_size=16)


class Ledger:
    """All that left one run, in bounded room: counts, hashes and the first writes.

    Args:
        ids: The names of the tags.
        writes: Sinks and workers that can change the plant.
    """

    def __init__(self, ids: NameIds, writes: Collection[str] = ()) -> None:
        self.alarms = 0
        self.written: Kept[dict[str, Any]] = Kept(WRITES_MAX)
        """What would have been written into the plant."""
        self._ids = ids
        self._writes = frozenset(writes)
        self._tallies: dict[End, _Tally] = {}
        self._alarm_hash = hashlib.blake2b(digest_size=16)

    def take(self, now: int, seen: Seen) -> None:
        """Count what a step at `now` [ns] gave."""
        for event in seen.alarms:
            self.alarms += 1
            self._alarm_hash.update(_item(event))
        for end, content in seen.ends.items():
            tally = self._tallies.get(end)
            if tally is None:
                tally = self._tallies[end] = _Tally()
            tally.count += content.n
            tally.hash.update(content.data)
            if end[0] in self._writes:
                self._note(now, end, content)

    def _note(self, now: int, end: End, content: Content) -> None:
        some = self.written.wanted(content.n)
        if some.stop == 0:
            return
        row = {"at": now, "end": ".".join(end)}
        if content.kind == "samples":
            for number, ts, value, quality in content.rows()[some].tolist():
                tag = self._ids.names.get(number, "")
                self.written.add({**row, "tag": tag, "ts": ts, "value": [value, quality]})
        else:
            for text in content.texts()[some]:
                self.written.add({**row, "text": text})

    def ends(self) -> dict[End, tuple[int, str]]:
        """How many reached each end, and the hash over them."""
        return {e: (t.count, t.hash.hexdigest()) for e, t in sorted(self._tallies.items())}

    @property
    def digest(self) -> str:
        """A hash over everything: equal runs have equal hashes."""
        whole = hashlib.blake2b(self._alarm_hash.digest(), digest_size=16)
        for (node, port), (count, digest) in self.ends().items():
            whole.update(f"{node}.{port} {count} {digest}\n".encode())
        return whole.hexdigest()


__all__ = [
    "NOTHING",
    "ROW",
    "UNSEEN",
    "Content",
    "End",
    "Eye",
    "Kept",
    "Ledger",
    "NameIds",
    "Seen",
]
