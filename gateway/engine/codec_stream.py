"""Codec streams: bytes written and read in order, with limits on what a reader believes.

A block has two streams. `soft` holds what deflate may shrink, `hard` what it cannot, such as the
low bytes of measured values; to try would only cost time. Integers are varints: seven bits a
byte, least first; signed ones are folded, so that small negative numbers stay short.

Source: LEB128 (DWARF 5, 7.6); the folding is the zigzag of Protocol Buffers.
"""

from __future__ import annotations

import zlib
from typing import Final

FREE: Final = 65_536
ROWS_PER_BYTE: Final = 8
INFLATED_PER_BYTE: Final = 16
"""A block of n bytes holds at most FREE + ROWS_PER_BYTE · n rows, and FREE + INFLATED_PER_BYTE · n
bytes once inflated. So a reader that is given nonsense allocates in proportion to its length; a
writer fills up a block that would be shorter."""
MESSAGE_ROWS: Final = 64  # A message takes as much memory as so many rows, if it has none.
BROKEN: Final = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    zlib.error,
)
"""What reading a block of an unknown form may raise."""
_VARINT_BITS: Final = 70  # A signed integer of 64 bits needs ten bytes.
_WORD: Final = (1 << 64) - 1
_LARGEST: Final = 1 << 63


def filling(size: int, rows: int, soft: int) -> int:
    """Bytes that a block of `size` bytes lacks for its rows and its soft stream [bytes]."""
    lacking = max((rows - FREE) // ROWS_PER_BYTE, (soft - FREE) // INFLATED_PER_BYTE) + 1 - size
    return max(lacking, 0)


class Writer:
    """What becomes a block."""

    def __init__(self) -> None:
        self.soft = bytearray()
        self.hard = bytearray()
        self.rows = 0
        """Rows that a reader will have to make."""
        self.noise = 0
        """Bytes in `soft` that deflate will not shrink, but are too few to be kept apart."""

    def byte(self, value: int) -> None:
        """A number below 256."""
        self.soft.append(value)

    def number(self, value: int) -> None:
        """A number that is not negative."""
        put_number(self.soft, value)

    def signed(self, value: int) -> None:
        """A number of 64 bits; a larger one wraps."""
        if not -_LARGEST <= value < _LARGEST:
            value = (value + _LARGEST & _WORD) - _LARGEST
        put_number(self.soft, value << 1 if value >= 0 else ~value << 1 | 1)

    def few(self, value: bytes, *, noisy: bool) -> None:
        """Bytes whose length the reader knows."""
        self.soft += value
        if noisy:
            self.noise += len(value)

    def text(self, value: bytes) -> None:
        """Bytes with their length."""
        put_number(self.soft, len(value))
        self.soft += value

    def count(self, rows: int) -> None:
        """A number of rows that the reader will make."""
        self.rows += rows
        put_number(self.soft, rows)


def put_number(stream: bytearray, value: int) -> None:
    """Append a number that is not negative."""
    while value > 0x7F:
        stream.append(value & 0x7F | 0x80)
        value >>= 7
    stream.append(value)


class Reader:
    """A block that is read.

    Every method raises ValueError or IndexError where the block does not hold what it should.

    Args:
        soft: The stream that deflate may have shrunk.
        hard: The other.
        size: Length of the block [bytes], which limits the rows it may claim to hold.
    """

    def __init__(self, soft: bytes, hard: bytes, size: int) -> None:
        self._soft = soft
        self._hard = hard
        self._at = 0
        self._hard_at = 0
        self._rows_left = FREE + ROWS_PER_BYTE * size

    @property
    def is_done(self) -> bool:
        """True when all of the soft stream was read."""
        return self._at == len(self._soft)

    def rest(self) -> bytes:
        """All of the soft stream that was not read."""
        return self.take(len(self._soft) - self._at)

    def end(self) -> None:
        """Make sure that nothing but filling is left."""
        if any(self._hard[self._hard_at :]):
            raise ValueError("there is more in it than it says")

    def byte(self) -> int:
        """A number below 256."""
        value = self._soft[self._at]
        self._at += 1
        return value

    def number(self) -> int:
        """A number that is not negative."""
        soft, at = self._soft, self._at
        value = soft[at]
        at += 1
        if value > 0x7F:
            value &= 0x7F
            shift, byte = 7, 0x80
            while byte > 0x7F:
                if shift >= _VARINT_BITS:
                    raise ValueError("a number does not end")
                byte = soft[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
        self._at = at
        return value

    def signed(self) -> int:
        """A number of 64 bits."""
        folded = self.number() & _WORD
        return folded >> 1 ^ -(folded & 1)

    def text(self) -> bytes:
        """Bytes with their length."""
        return self.take(self.number())

    def count(self) -> int:
        """A number of rows that is to be made."""
        rows = self.number()
        self.claim(rows)
        return rows

    def claim(self, rows: int) -> None:
        """Make sure that a block of this length may hold so many rows more."""
        self._rows_left -= rows
        if self._rows_left < 0:
            raise ValueError("it claims more rows than it can hold")

    def take(self, size: int, *, hard: bool = False) -> bytes:
        """The next bytes of a stream."""
        stream = self._hard if hard else self._soft
        at = self._hard_at if hard else self._at
        if size > len(stream) - at:  # A size is never negative: varints are not.
            raise ValueError("it is cut short")
        if hard:
            self._hard_at = at + size
        else:
            self._at = at + size
        return stream[at : at + size]
