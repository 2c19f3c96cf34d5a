"""What arrived and waits: parts, their receipts, and the queue of each subscriber."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from gateway import Disconnected
from nodes.mqtt._wire import Scan


@dataclass(slots=True, eq=False)
class Receipt:
    """The QoS 1 messages of one read of the socket; owed to the broker until all parts are safe.

    Args:
        ids: Packet identifiers in the order of arrival, (m,).
        parts: How many parts are not committed yet.
    """

    ids: list[int]
    parts: int = 0


@dataclass(slots=True, eq=False)
class Part:
    """Messages of one read of the socket for one subscriber, as columns.

    Args:
        arrival: When they were read [ns].
        topics: Topics as bytes, (n,).
        payloads: Payloads, (n,).
        size: Bytes of the payloads.
        retained: Row numbers of retained messages.
        again: Row numbers of messages that the broker had sent before and sends again.
        large: Row number → size [bytes] of payloads over the limit, cut to 4 kB here.
        receipt: What is owed to the broker; None when all have QoS 0.
        is_replayed: The broker sends every one of them again if they are not acknowledged.
        is_lossy: Some are live and have QoS 0: the like is not kept for us while we are away.
    """

    arrival: int
    topics: list[bytes]
    payloads: list[bytes]
    size: int
    retained: list[int] = field(default_factory=list)
    again: set[int] = field(default_factory=set)
    large: dict[int, int] = field(default_factory=dict)
    receipt: Receipt | None = None
    is_replayed: bool = False
    is_lossy: bool = False

    def pick(self, rows: Sequence[int]) -> Part:
        """Some rows of it, as a part of their own under the same receipt."""
        place = {row: i for i, row in enumerate(rows)}
        payloads = [self.payloads[row] for row in rows]
        return Part(
            self.arrival,
            [self.topics[row] for row in rows],
            payloads,
            sum(map(len, payloads)),
            [place[row] for row in self.retained if row in place],
            {place[row] for row in self.again if row in place},
            {place[row]: size for row, size in self.large.items() if row in place},
            self.receipt,
            self.is_replayed,
            self.is_lossy,
        )

    def cut(self, rows: int) -> tuple[Part, Part]:
        """It as two parts under the same receipt, the first of which has so many rows."""
        n = len(self.topics)
        first, rest = self.pick(range(rows)), self.pick(range(rows, n))
        first.arrival -= n - rows  # Rows without a time of their own have one in their order.
        rest.size = self.size - first.size  # What was counted when it came, and must leave so.
        if self.receipt is not None:
            self.receipt.parts += 1
        return first, rest


class Owed:
    """Receipts in the order of arrival: PUBACKs must leave in that order.

    Source: MQTT 5.0, 4.6 Message ordering, [MQTT-4.6.0-2].
    """

    def __init__(self) -> None:
        self._receipts: deque[Receipt] = deque()

    def add(self, receipt: Receipt) -> None:
        """Note what was received."""
        self._receipts.append(receipt)

    def settle(self, parts: Iterable[Part]) -> list[int]:
        """These parts are safe: the identifiers that may be acknowledged now, in order."""
        for part in parts:
            if part.receipt is not None:
                part.receipt.parts -= 1
        ids: list[int] = []
        while self._receipts and self._receipts[0].parts <= 0:
            ids += self._receipts.popleft().ids
        return ids

    def __len__(self) -> int:
        return sum(len(receipt.ids) for receipt in self._receipts)


class Intake:
    """The queue of one subscriber.

    Args:
        name: Who it is, for messages.
        filters: What it subscribes to.
        matches: Whether a topic is one of its own.
        qos: 0 or 1.
        retained: Retain handling: 0 always, 1 once, 2 never.
        taken: Told how many rows and bytes left the queue, for back pressure.
    """

    def __init__(
        self,
        name: str,
        filters: Sequence[str],
        matches: Callable[[str], bool],
        *,
        qos: int = 1,
        retained: int = 1,
    ) -> None:
        self.name = name
        self.filters = tuple(filters)
        self.matches = matches
        self.qos = qos
        self.retained = retained
        self.reason = ""
        self.is_read = True
        """False while its source is closed: then it keeps only what the broker keeps too."""
        self.queue: deque[Part] = deque()
        self.taken: Callable[[Part], None] = _ignore
        self._waiter: asyncio.Future[None] | None = None

    def put(self, part: Part) -> None:
        """Queue a part and wake the reader."""
        self.queue.append(part)
        self._wake()

    def fail(self, reason: str) -> None:
        """The session is gone. What the broker sends again is forgotten; the rest can be read."""
        self.reason = reason
        kept = [part for part in self.queue if not part.is_replayed]
        self.queue.clear()
        self.queue.extend(kept)
        self._wake()

    async def take(self, rows_max: int) -> list[Part]:
        """Wait for one part, then take all that wait, up to `rows_max` messages.

        Raises:
            Disconnected: The session is gone and nothing waits.
        """
        while not self.queue:
            if self.reason:
                raise Disconnected(self.reason)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        parts: list[Part] = []
        rows = 0
        while self.queue and (not parts or rows + len(self.queue[0].topics) <= rows_max):
            if len(self.queue[0].topics) > rows_max:
                self.queue.extendleft(reversed(self.queue.popleft().cut(rows_max)))
            part = self.queue.popleft()
            rows += len(part.topics)
            self.taken(part)
            parts.append(part)
        return parts

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def part_of(found: Scan, arrival: int, size: int) -> Part:
    """All messages of one read of the socket."""
    return Part(
        arrival,
        found.topics,
        found.payloads,
        size,
        found.retained,
        found.again,
        found.large,
        Receipt(found.ids) if found.ids else None,
        is_replayed=len(found.ids) == len(found.topics),
        is_lossy=len(found.topics) - len(found.ids) > len(found.retained),
    )


def _ignore(part: Part) -> None:
    """Nobody counts."""


__all__ = ["Intake", "Owed", "Part", "Receipt", "part_of"]
