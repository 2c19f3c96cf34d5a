"""Codec columns: whole numbers as few bits, losslessly, without a loop over rows.

A column is stored in the form that is shortest: the distances from its least number, the steps
from row to row, runs of equal rows, or the different numbers and which of them a row has. The
numbers of few rows are packed bit by bit, because every byte counts in a small block. Those of
many stand in planes, all lowest bytes together, then the next, so that deflate finds what is
alike.

All arithmetic is modulo 2⁶⁴, so that every number comes back exactly.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.engine.codec_stream import Reader, Writer

assert sys.byteorder == "little", "stored numbers have their lowest byte first"
Ints = NDArray[np.int64]

# How a column begins: 0 to 64 for the bits of a distance, 65 to 129 for those of a step, or:
_STEPS: Final = 65
_RUNS: Final = 130
_LIST: Final = 131
_UNIT: Final = 132  # 132 to 134, one for each unit.
_UNITS: Final = (1_000_000, 1_000, 100)
"""Times [ns] are multiples of a ms in most devices, of a µs in Python, of 100 ns in OPC UA."""
_UNIT_BITS_MIN: Final = 17  # Narrower distances are left as they are.
_LIST_BITS_MIN: Final = 12  # Narrower numbers are about as short as which of them it is.
_FEW: Final = 64
_DEPTH_MAX: Final = 2  # Runs of multiples, multiples of runs, and no deeper.
PLANES_MIN: Final = 512
"""From so many rows on numbers stand in planes, and it pays to look which deflate can shrink."""
_PROBE: Final = 2048
_PROBED: Final = 3  # Of noise so many high planes are tried; those below are as the lowest.
_WORTH: Final = 0.95  # A plane that deflate makes no smaller than this is left alone.


def put_ints(
    out: Writer, column: Ints, *, depth: int = 0, ends: tuple[int, int] | None = None
) -> None:
    """Write a column (n,); the reader has to know its length.

    Args:
        out: Where to.
        column: (n,).
        depth: How deep it stands in another.
        ends: The least and the greatest number, where these are known.
    """
    n = len(column)
    if n < 2:
        if n:
            out.signed(int(column[0]))
        return
    low, high = ends or _ends(column)
    if low == high:
        out.byte(0)
        out.signed(low)
        return
    steps = column[1:] - column[:-1]
    bits = (high - low).bit_length()
    if depth < _DEPTH_MAX:
        if _put_repeated(out, column, steps, bits, depth):
            return
        if bits >= _UNIT_BITS_MIN and _put_multiples(out, column, low, high, depth):
            return
    least, most = _ends(steps)
    step_bits = (most - least).bit_length()
    if _size(n, step_bits) + 1 < _size(n, bits):
        out.byte(_STEPS + step_bits)
        out.signed(int(column[0]))
        out.signed(least)
        put_narrow(out, steps - np.int64(least), step_bits)
    else:
        low = low if bits < 64 else 0
        out.byte(bits)
        out.signed(low)
        put_narrow(out, column - np.int64(low), bits)


def take_ints(data: Reader, n: int, *, depth: int = 0) -> Ints:
    """The column (n,) that `put_ints` was given, as an array of its own.

    Raises:
        ValueError: The block is damaged.
    """
    if n < 2:
        return np.array([data.signed() for _ in range(n)], np.int64)
    form = data.byte()
    if form < _STEPS:
        low = data.signed()
        return take_narrow(data, n, form) + np.int64(low)
    if form < _RUNS:
        first, least = data.signed(), data.signed()
        column = np.empty(n, np.int64)
        column[0] = first
        column[1:] = take_narrow(data, n - 1, form - _STEPS) + np.int64(least)
        return np.cumsum(column, out=column)
    if depth >= _DEPTH_MAX:
        raise ValueError("a column is nested too deep")
    if form >= _UNIT:
        if form >= _UNIT + len(_UNITS):
            raise ValueError("a column is of an unknown form")
        low = data.signed()
        multiples = take_ints(data, n, depth=depth + 1)
        return multiples * np.int64(_UNITS[form - _UNIT]) + np.int64(low)
    different = data.number()
    if not 0 < different <= n:
        raise ValueError("a column has more numbers than rows")
    numbers = take_ints(data, different, depth=depth + 1)
    which = take_ints(data, n if form == _LIST else different, depth=depth + 1)
    if which.min() < 0 or which.max() > n:
        raise ValueError("a column does not fit its rows")
    if form == _LIST:
        return numbers[which]
    if which.sum() != n:
        raise ValueError("the runs of a column do not fit its rows")
    return np.repeat(numbers, which)


def _ends(column: Ints) -> tuple[int, int]:
    """The least and the greatest number; of a few as a list, which is four times faster."""
    if len(column) < _FEW:
        listed = column.tolist()
        return min(listed), max(listed)
    return int(column.min()), int(column.max())


def _size(n: int, bits: int) -> int:
    """Bytes for n numbers of so many bits."""
    return n * ((bits + 7) // 8) if n >= PLANES_MIN else (n * bits + 7) // 8


def _put_repeated(out: Writer, column: Ints, steps: Ints, bits: int, depth: int) -> bool:
    """Write a column that repeats itself, if that makes it shorter."""
    n = len(column)
    runs = int(np.count_nonzero(steps)) + 1
    if runs == n:
        return False
    form, best = _RUNS, (runs * (bits + n.bit_length())) // 8 + 4
    if n < PLANES_MIN and bits >= _LIST_BITS_MIN:
        numbers, which = np.unique(column, return_inverse=True)
        size = (len(numbers) * bits + n * (len(numbers) - 1).bit_length()) // 8 + 4
        if size < best:
            form, best = _LIST, size
    if best >= _size(n, bits):
        return False
    if form == _RUNS:
        starts = np.concatenate(([0], np.flatnonzero(steps) + 1))
        numbers, which = column[starts], np.diff(starts, append=n)
    out.byte(form)
    out.number(len(numbers))
    put_ints(out, numbers, depth=depth + 1)
    put_ints(out, which, depth=depth + 1)
    return True


def _put_multiples(out: Writer, column: Ints, low: int, high: int, depth: int) -> bool:
    """Write a column whose distances are multiples of a unit as these."""
    for index, unit in enumerate(_UNITS):
        if (high - low) % unit == 0:
            distance = (column - np.int64(low)).view(np.uint64)
            multiples = distance // np.uint64(unit)  # To divide once and multiply is the fastest.
            if np.array_equal(multiples * np.uint64(unit), distance):
                out.byte(_UNIT + index)
                out.signed(low)
                most = (high - low) // unit
                put_ints(out, multiples.view(np.int64), depth=depth + 1, ends=(0, most))
                return True
    return False


def put_narrow(out: Writer, column: Ints, bits: int, *, noisy: bool = False) -> None:
    """Write the low bits of each number; the reader has to know how many and of how many rows.

    Args:
        out: Where to.
        column: (n,).
        bits: 0 to 64; what is above them is lost.
        noisy: True where low bits are noise, as in measured values.
    """
    n = len(column)
    if not bits:
        return
    octets = np.ascontiguousarray(column).view(np.uint8).reshape(n, 8)
    if n < PLANES_MIN:
        flat = np.unpackbits(octets, axis=1, count=bits, bitorder="little")
        out.few(np.packbits(flat, bitorder="little").tobytes(), noisy=noisy)
    else:
        width = (bits + 7) // 8
        put_planes(out, octets[:, :width].T.tobytes(), [n] * width, noisy=noisy)


def take_narrow(data: Reader, n: int, bits: int) -> Ints:
    """The numbers (n,) that `put_narrow` was given, as an array of its own.

    Raises:
        ValueError: The block is damaged.
    """
    if bits > 64:
        raise ValueError("a number has too many bits")
    if not bits:
        return np.zeros(n, np.int64)
    octets = np.zeros((n, 8), np.uint8)
    width = (bits + 7) // 8
    if n < PLANES_MIN:
        packed = np.frombuffer(data.take((n * bits + 7) // 8), np.uint8)
        flat = np.unpackbits(packed, count=n * bits, bitorder="little").reshape(n, bits)
        octets[:, :width] = np.packbits(flat, axis=1, bitorder="little")
    else:
        planes = np.frombuffer(take_planes(data, [n] * width), np.uint8)
        octets[:, :width] = planes.reshape(width, n).T
    return octets.reshape(n * 8).view(np.int64)


def put_planes(out: Writer, planes: bytes, counts: Sequence[int], *, noisy: bool = False) -> None:
    """Write planes of bytes where they belong: to what deflate can shrink, or to the rest.

    Args:
        out: Where to.
        planes: One after another, lowest bytes first.
        counts: Bytes in each; the reader has to know them.
        noisy: True where low planes are noise, or else all repeat themselves.
    """
    mask, at, soft, is_worth = 0, 0, [], False
    for index, count in enumerate(counts):
        plane = planes[at : at + count]
        at += count
        if not noisy or index == 0 or index >= len(counts) - _PROBED:
            probe = plane[:_PROBE]
            is_worth = len(zlib.compress(probe, 1)) < _WORTH * len(probe)
        if is_worth:
            mask |= 1 << index
            soft.append(plane)
        else:
            out.hard += plane
    out.byte(mask)
    for plane in soft:
        out.soft += plane


def take_planes(data: Reader, counts: Sequence[int]) -> bytes:
    """The planes that `put_planes` was given, one after another.

    Raises:
        ValueError: The block is damaged.
    """
    mask = data.byte()
    return b"".join(
        data.take(count, hard=not mask >> index & 1) for index, count in enumerate(counts)
    )
