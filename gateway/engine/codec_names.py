"""Codec names: nodes and ports, each written once a block and short.

The id of a node has letters, digits, "_" and "-": the 64 letters of base64url, six bits each.
What it begins with in common with the name before, as ids of one device do, is not repeated. In a
step of one row the name is a third of the block, so a quarter less of it counts.

Source: RFC 4648, 5.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import Final

from gateway.engine.codec_stream import Reader, Writer

PORTS: Final = ("out", "in", "status", "alarms", "operator", "events", "late")
"""The commonest ports, by code. Stored blocks count on their order."""
_FILL: Final = "A"  # Six bits of nothing.
_SHARED_MAX: Final = 255  # Few bytes must not become many long names.


class Names:
    """The names that a block has shown so far."""

    def __init__(self) -> None:
        self._seen: list[str] = []

    def put(self, out: Writer, name: str) -> None:
        """Write a name, or which of those before it is."""
        shared = 0
        if name in self._seen:
            out.number(self._seen.index(name) + 1)
            return
        if self._seen:  # The first is new and shares nothing, of course.
            out.number(0)
            shared = _shared(self._seen[-1], name)
            out.number(shared)
        length, stored = _packed(name[shared:])
        out.number(length)
        out.soft += stored
        self._seen.append(name)

    def take(self, data: Reader) -> str:
        """What `put` was given.

        Raises:
            ValueError: The block is damaged.
        """
        shared = ""
        if self._seen:
            code = data.number()
            if code > len(self._seen):
                raise ValueError("a name is missing")
            if code:
                return self._seen[code - 1]
            size = data.number()
            if size > _SHARED_MAX:
                raise ValueError("a name shares too much")
            shared = self._seen[-1][:size]
        length = data.number()
        stored = data.take((length >> 1) * 6 + 7 >> 3 if length & 1 else length >> 1)
        self._seen.append(shared + _unpacked(length, stored))
        return self._seen[-1]


def _shared(before: str, name: str) -> int:
    """Letters that two names begin with in common."""
    longest = min(len(before), len(name), _SHARED_MAX)
    return next((i for i in range(longest) if before[i] != name[i]), longest)


@lru_cache(4096)
def _packed(name: str) -> tuple[int, bytes]:
    """Twice the length, plus one where it is packed; and the bytes."""
    size = len(name)
    padded = name + _FILL * (-size % 4)
    try:
        stored = base64.b64decode(padded, b"-_", validate=True)[: (size * 6 + 7) >> 3]
    except (ValueError, binascii.Error):
        stored = b""
    if size and stored and _unpacked(size << 1 | 1, stored) == name:
        return size << 1 | 1, stored
    plain = name.encode("utf-8", "surrogatepass")
    return len(plain) << 1, plain


@lru_cache(4096)
def _unpacked(length: int, stored: bytes) -> str:
    if length & 1:
        filled = stored + bytes(-len(stored) % 3)
        return base64.b64encode(filled, b"-_")[: length >> 1].decode("ascii")
    return stored.decode("utf-8", "surrogatepass")
