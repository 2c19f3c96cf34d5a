"""Spans: what a batch cost in each node, for tracing; made only where somebody wants them.

Where nothing is traced, flows are made of the plain classes and none of this runs. Where it is,
a batch that is not drawn costs one comparison of its number; of one that is drawn, every node that
worked on it has one span, however often it was called.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from gateway.flow.node import Clock

SPANS_MAX: Final = 4_096
"""Spans that wait to be sent; the oldest of more are dropped and counted."""
_AHEAD: Final = 256
_MASK: Final = 0xFFFF_FFFF
_SPREAD: Final = 0x9E37_79B1  # 2^32 over the golden ratio: neighbours fall far apart.
T = TypeVar("T")


@dataclass(slots=True)
class Span:
    """What one node, or one batch as a whole, took.

    Args:
        trace: What belongs together, 16 bytes.
        id: Of this one, 8 bytes.
        parent: The span it is a part of; empty for the whole.
        name: For people.
        kind: internal, consumer (from the world) or producer (to the world).
        begin: When it began [ns].
        end: When it ended [ns].
        attributes: Flow, node, batch, rows, and what else there is to say.
        error: Why it failed; empty when it did not.
    """

    trace: bytes
    id: bytes
    parent: bytes
    name: str
    kind: str
    begin: int
    end: int = 0
    attributes: dict[str, str | int | float] = field(default_factory=dict)
    error: str = ""


class Spans:
    """The spans that wait to be sent, and which batches are drawn.

    Args:
        ratio: The share of the batches that are drawn, 0 to 1.
        clock: The time.
        salt: Of this start of this gateway, so that no two batches of a fleet share a trace.
    """

    def __init__(self, ratio: float, clock: Clock, salt: str = "") -> None:
        self.clock = clock
        self.sent = self.dropped = 0
        self.waiting: deque[Span] = deque()
        self.is_many = asyncio.Event()
        """Set when half of the room is taken, so that they are sent before they are dropped."""
        self._below = int(ratio * (_MASK + 1))
        self._salt = salt

    def is_drawn(self, name: int, batch: int) -> bool:
        """Whether a batch is traced; the same batch always is, or never.

        Args:
            name: A number for whose batch it is.
            batch: Its number.
        """
        return ((batch ^ name) * _SPREAD) & _MASK < self._below

    def next_drawn(self, name: int, batch: int) -> int:
        """The first batch from this one on that may be drawn: none before it is.

        It is looked for a little way only, so that a small share holds nothing up.

        Args:
            name: A number for whose batches they are.
            batch: The number to begin at.
        """
        below, end = self._below, batch + _AHEAD
        while batch < end and ((batch ^ name) * _SPREAD) & _MASK >= below:
            batch += 1
        return batch

    def trace_of(self, whose: str, batch: int) -> bytes:
        """The trace of a batch, 16 bytes; never all zero, which would be none."""
        words = f"{self._salt}/{whose}/{batch}".encode()
        return hashlib.blake2b(words, digest_size=16, person=b"genba.trace").digest()

    def add(self, *spans: Span) -> None:
        """Keep spans until they are sent; never waits."""
        self.waiting.extend(spans)
        while len(self.waiting) > SPANS_MAX:
            self.waiting.popleft()
            self.dropped += 1
        if len(self.waiting) > SPANS_MAX // 2:
            self.is_many.set()

    def take(self, most: int) -> list[Span]:
        """The oldest that wait; they are not here any more."""
        self.is_many.clear()
        return [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]

    async def around(
        self, whose: str, number: int, attributes: Mapping[str, str | int], work: Awaitable[T]
    ) -> T:
        """Wait for a write or an answer, as a trace of its own.

        Args:
            whose: Flow and node.
            number: Of the message, in the node's queue.
            attributes: What there is to say.
            work: What is done.
        """
        clock = self.clock
        begin, at_s = clock.now(), clock.monotonic()
        trace = self.trace_of(whose, number)
        span = Span(trace, trace[8:], b"", whose, "producer", begin, 0, dict(attributes))
        try:
            return await work
        except BaseException as error:
            span.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            span.end = begin + round((clock.monotonic() - at_s) * 1e9)
            self.add(span)


def name_number(name: str) -> int:
    """A number for a name, the same on every machine; small, as it is multiplied often."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=3).digest(), "big")


__all__ = ["SPANS_MAX", "Span", "Spans", "name_number"]
