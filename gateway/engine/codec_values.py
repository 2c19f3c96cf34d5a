"""Codec values: measured numbers as the short things they once were, bit for bit.

A device seldom knows 53 bits. Its value was an integer, a decimal of a few places, an integer
times 0.01 or a float of 32 bits before it became a float of 64. It is stored as that where
exactly the same bits come back, and as its eight bytes otherwise: -0.0, infinities and the
payloads of NaN survive.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.engine.codec_columns import (
    PLANES_MIN,
    Ints,
    put_ints,
    put_narrow,
    put_planes,
    take_ints,
    take_narrow,
    take_planes,
)
from gateway.engine.codec_stream import Reader, Writer

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Forms of a value: 0 is an integer; 1, 3, 5 … 11 one divided by 10, 100 … 10^6; 2, 4, 6 … 12 one
# times 0.1, 0.01 … 1e-6, as a flow writes a scale, which is not always the same number.
_SINGLE: Final = 13
_DOUBLE: Final = 14
_AGAIN: Final = 15  # The value of the row before.
_MIXED: Final = 16  # Of a column: each row says for itself what it is.

_POWERS: Final = tuple(10.0 ** ((form + 1) // 2) for form in range(_SINGLE))  # Exact in binary.
_FACTORS: Final = tuple(float(f"1e-{(form + 1) // 2}") for form in range(_SINGLE))
_POWER: Final = np.array([*_POWERS, 1.0, 1.0, 1.0])
_FACTOR: Final = np.array([*_FACTORS, 1.0, 1.0, 1.0])
_ALL: Final = np.arange(_SINGLE)
_WHOLE_MAX: Final = float(1 << 46)  # Six bytes when folded; more is no gain over eight.
_SAMPLE_MIN: Final = 128
_SPREAD: Final = np.arange(96) * 0.6180339887498949 % 1.0
"""Where to look which forms are worth trying on all rows: no tag's place in a scan comes twice."""
_EIGHT: Final = np.arange(8)
_F32: Final = struct.Struct("<f")


def put_values(out: Writer, values: Floats) -> None:
    """Write a column (n,); the reader has to know its length."""
    n = len(values)
    if n < 2:
        if n:
            _put_one(out, values)
        return
    bits: Ints = values.view(np.int64)
    with np.errstate(all="ignore"):  # What overflows or is no number does not come back the same.
        tried = _ALL
        if n >= _SAMPLE_MIN:
            _, fits = _wholes(values[(_SPREAD * n).astype(np.intp)], tried)
            tried = np.unique(fits.argmax(axis=0)[fits.any(axis=0)])
            for form in tried[fits[tried].all(axis=1)].tolist():
                if _put_alike(out, values, bits, form):
                    return
        numbers, fits = _wholes(values, tried)
        if True in (for_all := np.all(fits, axis=1).tolist()):
            index = for_all.index(True)
            out.byte(int(tried[index]))
            put_ints(out, numbers[index].astype(np.int64))
            return
        single = values.astype(np.float32)
        is_single = single.astype(np.float64).view(np.int64) == bits
    short = single.view(np.uint32).astype(np.int64)
    forms = np.where(is_single, _SINGLE, _DOUBLE)
    sizes = np.where(is_single, 4, 8)
    keys = np.where(is_single, short, bits)
    if len(tried):
        _prefer_wholes(forms, sizes, keys, tried, numbers, fits)
    again = np.flatnonzero(bits[1:] == bits[:-1]) + 1
    forms[again], sizes[again] = _AGAIN, 0
    total = n + int(sizes.sum())
    if is_single.all() and total >= 4 * n:
        out.byte(_SINGLE)
        _put_floats(out, short, _F32_LAYOUT)
    elif total >= 8 * n:
        out.byte(_DOUBLE)
        _put_floats(out, bits, _F64_LAYOUT)
    else:
        out.byte(_MIXED)
        _put_mixed(out, forms, sizes, keys)


def take_values(data: Reader, n: int) -> Floats:
    """The column (n,) that `put_values` was given, as an array of its own.

    Raises:
        ValueError: The block is damaged.
    """
    if n < 2:
        return np.array([_take_one(data) for _ in range(n)], np.float64)
    form = data.byte()
    if form == _MIXED:
        return _take_mixed(data, n)
    if form == _SINGLE:
        return _value(form, _take_floats(data, n, _F32_LAYOUT))
    if form == _DOUBLE:
        return _value(form, _take_floats(data, n, _F64_LAYOUT))
    return _value(form, take_ints(data, n))


def _wholes(values: Floats, forms: Ints) -> tuple[Floats, Flags]:
    """The integers that values would be in some forms, and where they are; each (c, n)."""
    power = _POWER[forms, None]
    numbers = np.rint(values * power)
    numbers += 0.0  # -0.0 becomes 0.0, which is not the same and so does not fit.
    found = numbers * _FACTOR[forms, None]
    odd = forms & 1 == 1
    found[odd] = numbers[odd] / power[odd]
    fits: Flags = found.view(np.int64) == values.view(np.int64)
    fits &= np.abs(numbers) <= _WHOLE_MAX
    return numbers, fits


def _put_alike(out: Writer, values: Floats, bits: Ints, form: int) -> bool:
    """Write many values that are integers of one form, if all are: what a plant sends mostly."""
    numbers = np.rint(values * _POWERS[form]) + 0.0  # As in `_wholes`.
    found = numbers / _POWERS[form] if form & 1 else numbers * _FACTORS[form]
    low, high = float(numbers.min()), float(numbers.max())  # A NaN is within no limits.
    fits = low >= -_WHOLE_MAX and high <= _WHOLE_MAX and np.array_equal(found.view(np.int64), bits)
    if fits:
        out.byte(form)
        put_ints(out, numbers.astype(np.int64), ends=(int(low), int(high)))
    return fits


def _prefer_wholes(
    forms: Ints, sizes: Ints, keys: Ints, tried: Ints, numbers: Floats, fits: Flags
) -> None:
    """Mark the rows that are shortest as integers, in place."""
    rows = np.flatnonzero(fits.any(axis=0))
    if not len(rows):
        return
    index = fits[:, rows].argmax(axis=0)
    number = numbers[index, rows].astype(np.int64)
    folded = number << 1 ^ number >> 63
    size = (np.frexp(folded.astype(np.float64))[1].astype(np.int64) + 7) >> 3
    better = size < sizes[rows]
    rows = rows[better]
    forms[rows], sizes[rows], keys[rows] = tried[index[better]], size[better], folded[better]


def _put_mixed(out: Writer, forms: Ints, sizes: Ints, keys: Ints) -> None:
    n = len(forms)
    put_ints(out, forms << 4 | sizes)
    octets = keys.view(np.uint8).reshape(n, 8)
    taken = sizes[:, None] > _EIGHT
    if n < PLANES_MIN:
        out.few(octets[taken].tobytes(), noisy=True)
    else:
        put_planes(out, octets.T[taken.T].tobytes(), taken.sum(axis=0).tolist())


def _take_mixed(data: Reader, n: int) -> Floats:
    codes = take_ints(data, n)
    forms, sizes = codes >> 4, codes & 15
    if codes.min() < 0 or forms.max() > _AGAIN or sizes.max() > 8:
        raise ValueError("a value is of an unknown form")
    present = np.bincount(forms, minlength=_AGAIN + 1).tolist()
    octets = np.zeros((n, 8), np.uint8)
    taken = sizes[:, None] > _EIGHT
    if n < PLANES_MIN:
        octets[taken] = np.frombuffer(data.take(int(sizes.sum())), np.uint8)
    else:
        planes = take_planes(data, taken.sum(axis=0).tolist())
        octets.T[taken.T] = np.frombuffer(planes, np.uint8)
    keys = octets.reshape(n * 8).view(np.int64)
    numbers = (keys >> 1 ^ -(keys & 1)).astype(np.float64)
    values: Floats = numbers * _FACTOR[forms]
    np.divide(numbers, _POWER[forms], out=values, where=forms & 1 == 1)
    for form in (_SINGLE, _DOUBLE):
        if present[form]:
            rows = np.flatnonzero(forms == form)
            values[rows] = _value(form, keys[rows])
    if present[_AGAIN]:
        values = values[np.maximum.accumulate(np.where(forms == _AGAIN, 0, np.arange(n)))]
    return values


@dataclass(frozen=True, slots=True)
class _Layout:
    """A float as a whole number whose highest bits are its exponent.

    The sign goes last and 1.0 is near 0, so that what numbers of like size have in common is
    small itself.

    Args:
        bits: Of the float.
        shift: Bits below the exponent.
        near_one: What is subtracted.
        nan: The bits of the common NaN.
    """

    bits: int
    shift: int
    near_one: np.int64
    nan: int


_F32_LAYOUT: Final = _Layout(32, 24, np.int64(127 << 24), 0x7FC0_0000)
_F64_LAYOUT: Final = _Layout(64, 53, np.int64(1023 << 53), 0x7FF8_0000_0000_0000)
_SPECIAL: Final = 65  # Added to the width where zero and NaN have an exponent of their own.


def _put_floats(out: Writer, patterns: Ints, layout: _Layout) -> None:
    """Floats as they are, but for what their exponents have in common."""
    shift = layout.shift
    keys = patterns << 1 | patterns >> (layout.bits - 1) & 1
    if layout.bits == 32:
        keys &= 0xFFFF_FFFF
    keys -= layout.near_one
    is_nan = patterns == layout.nan
    special = is_nan | (patterns == 0)
    count = int(np.count_nonzero(special))
    ordinary = keys[~special] if 0 < count < len(keys) else keys
    low = int(ordinary.min()) >> shift
    has_special = ordinary is not keys and low > -1 << 63 - shift
    if has_special:
        # They are far from all others: broken sensors must not make the rest wide.
        low -= 1
        keys = np.where(special, np.int64(low << shift) + is_nan, keys)
    else:
        low = int(keys.min()) >> shift
    width = (int(keys.max()) - (low << shift)).bit_length()
    out.byte(width + _SPECIAL if has_special else width)
    out.signed(low)
    put_narrow(out, keys - np.int64(low << shift), width, noisy=True)


def _take_floats(data: Reader, n: int, layout: _Layout) -> Ints:
    width, low = data.byte(), data.signed()
    if not -1 << 63 - layout.shift <= low < 1 << 63 - layout.shift:
        raise ValueError("an exponent is too large")
    distance = take_narrow(data, n, width % _SPECIAL)
    keys = distance + np.int64(low << layout.shift) + layout.near_one
    patterns = keys >> 1 & (1 << layout.bits - 1) - 1 | (keys & 1) << layout.bits - 1
    if width >= _SPECIAL:
        special = distance >> layout.shift == 0
        patterns[special] = np.where(distance[special] == 1, layout.nan, 0)
    return patterns


def _value(form: int, keys: Ints) -> Floats:
    """Values of one form, (n,)."""
    if form == _SINGLE:
        with np.errstate(all="ignore"):
            return keys.astype(np.uint32).view(np.float32).astype(np.float64)
    if form == _DOUBLE:
        return keys.view(np.float64)
    if form > _DOUBLE:
        raise ValueError("a value is of an unknown form")
    values = keys.astype(np.float64)
    if form & 1:
        values /= _POWERS[form]
    elif form:
        values *= _FACTORS[form]
    return values


def _put_one(out: Writer, values: Floats) -> None:
    """A column of one row: the same without arrays, for the batches of an idle plant."""
    value = float(values[0])
    if abs(value) <= _WHOLE_MAX and (value or math.copysign(1.0, value) > 0):
        for form in range(_SINGLE):
            number = round(value * _POWERS[form])
            if abs(number) > _WHOLE_MAX:
                break
            if (number / _POWERS[form] if form & 1 else number * _FACTORS[form]) == value:
                out.byte(form)
                out.signed(number)
                return
        if _F32.unpack(single := _F32.pack(value))[0] == value:
            out.byte(_SINGLE)
            out.soft += single
            return
    out.byte(_DOUBLE)
    out.soft += values.tobytes()


def _take_one(data: Reader) -> Any:
    form = data.byte()
    if form == _SINGLE:
        return _F32.unpack(data.take(4))[0]
    if form == _DOUBLE:
        return np.frombuffer(data.take(8), np.float64)[0]
    return _value(form, np.array([data.signed()]))[0]
