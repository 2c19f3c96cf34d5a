"""Framing: where a message begins and ends in a stream of bytes. Pure: no clock and no I/O.

A framer keeps what is not complete, never more than its limit. What cannot be a frame is
dropped and counted in `dropped`, so that a device that talks nonsense costs no memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

_KEPT: Final = 64  # bytes of a refused frame that are worth keeping for people


class Framer(Protocol):
    """Cuts a stream of bytes into frames."""

    dropped: int
    """Bytes that belong to no frame."""

    def feed(self, data: bytes) -> list[bytes]:
        """Frames that are complete with these bytes."""

    def flush(self) -> list[bytes]:
        """The line was silent for its idle time: frames that are complete because of that."""


class Delimited:
    """Frames end with a delimiter; empty ones are passed over.

    >>> framer = Delimited(b"\\n", 8)
    >>> framer.feed(b"ab"), framer.feed(b"c\\n\\nd\\ne"), framer.feed(b"f" * 20 + b"\\nok\\n")
    ([], [b'abc', b'd'], [b'ok'])
    >>> framer.dropped
    21
    """

    def __init__(self, delimiter: bytes, frame_bytes_max: int) -> None:
        assert delimiter
        self.dropped = 0
        self._delimiter = delimiter
        self._max = frame_bytes_max
        self._rest = b""
        self._skips = False

    def feed(self, data: bytes) -> list[bytes]:
        *parts, rest = (self._rest + data).split(self._delimiter)
        frames = []
        for part in parts:
            if self._skips or len(part) > self._max:
                self.dropped += len(part)
                self._skips = False
            elif part:
                frames.append(part)
        self._rest = rest
        keep = len(self._delimiter) - 1  # so many bytes may be the begin of a delimiter
        if self._skips or len(rest) > self._max + keep:
            self.dropped += max(0, len(rest) - keep)
            self._rest = rest[len(rest) - keep :] if keep and len(rest) > keep else rest[:keep]
            self._skips = True
        return frames

    def flush(self) -> list[bytes]:
        return []


class FixedLength:
    """Frames of one length. A pause in the line drops what is half there, to be in step again.

    >>> framer = FixedLength(3, b"$")
    >>> framer.feed(b"xx$ab$c"), framer.flush(), framer.feed(b"$de"), framer.dropped
    ([b'$ab'], [], [b'$de'], 4)
    """

    def __init__(self, length: int, start: bytes = b"") -> None:
        assert length > len(start)
        self.dropped = 0
        self._length = length
        self._start = start
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        rest = self._rest + data
        frames = []
        while True:
            if self._start:
                at = rest.find(self._start)
                at = _partial(rest, self._start) if at < 0 else at
                self.dropped += at
                rest = rest[at:]
            if len(rest) < self._length:
                break
            frames.append(rest[: self._length])
            rest = rest[self._length :]
        self._rest = rest
        return frames

    def flush(self) -> list[bytes]:
        self.dropped += len(self._rest)
        self._rest = b""
        return []


class Pattern:
    """Frames are what a regular expression finds; what lies between them is dropped.

    A match that touches the end of what has come may still grow, so it waits for the next
    byte or for a pause.

    >>> framer = Pattern(rb"W[0-9]+", 16)
    >>> framer.feed(b"..W12"), framer.feed(b"3 W4"), framer.flush(), framer.dropped
    ([], [b'W123'], [b'W4'], 3)
    """

    def __init__(self, pattern: bytes, frame_bytes_max: int) -> None:
        self.dropped = 0
        self._find = re.compile(pattern, re.DOTALL).finditer
        self._max = frame_bytes_max
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        return self._take(self._rest + data, lambda end, size: end < size)

    def flush(self) -> list[bytes]:
        return self._take(self._rest, lambda end, size: True)

    def _take(self, rest: bytes, is_whole: Callable[[int, int], bool]) -> list[bytes]:
        frames, at = [], 0
        for found in self._find(rest):
            start, end = found.span()
            if end == start:
                continue
            if not is_whole(end, len(rest)):
                break
            self.dropped += start - at
            frames.append(found[0])
            at = end
        too_much = max(0, len(rest) - at - self._max)
        self.dropped += too_much
        self._rest = rest[at + too_much :]
        return frames


class Idle:
    """Frames end where the line pauses.

    >>> framer = Idle(4)
    >>> framer.feed(b"ab"), framer.feed(b"c"), framer.flush(), framer.feed(b"toolong")
    ([], [], [b'abc'], [])
    >>> framer.flush(), framer.dropped
    ([], 7)
    """

    def __init__(self, frame_bytes_max: int) -> None:
        self.dropped = 0
        self._max = frame_bytes_max
        self._rest = b""
        self._skips = False

    def feed(self, data: bytes) -> list[bytes]:
        rest = self._rest + data
        if self._skips or len(rest) > self._max:
            self.dropped += len(rest)
            rest, self._skips = b"", True
        self._rest = rest
        return []

    def flush(self) -> list[bytes]:
        frames = [self._rest] if self._rest else []
        self._rest, self._skips = b"", False
        return frames


def _partial(data: bytes, start: bytes) -> int:
    """Where the begin of `start` may stand at the end of the data; its length when nowhere."""
    for size in range(min(len(start) - 1, len(data)), 0, -1):
        if data.endswith(start[:size]):
            return len(data) - size
    return len(data)


def after_start(frame: bytes, start: bytes) -> bytes | None:
    """What follows the last start mark; None when there is none.

    >>> after_start(b"noise\\x02a\\x02b", b"\\x02"), after_start(b"a", b"\\x02")
    (b'b', None)
    """
    if not start:
        return frame
    at = frame.rfind(start)
    return None if at < 0 else frame[at + len(start) :]


def excerpt(frame: bytes) -> str:
    """The begin of a frame as a person can read it.

    >>> excerpt(b"W\\xff\\n")
    'W\\\\xff\\\\n'
    """
    shown = repr(frame[:_KEPT])[2:-1]
    return shown + "…" if len(frame) > _KEPT else shown
