"""Timestamps in payloads: ISO 8601 and epochs, as nanoseconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

TsUnit = Literal["auto", "iso", "s", "ms", "us", "ns"]
_PER_NS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
# Where one unit ends and the next begins: each bound is the year 5138 in the smaller unit's
# elder, and 1973 in the unit itself, so that no date of ours is read wrongly.
_BOUNDS: Final = ((10**11, "s"), (10**14, "ms"), (10**17, "us"), (2**63, "ns"))
_ISO: Final = re.compile(
    r"(\d{4}-?\d\d-?\d\d[T ]\d\d:?\d\d(?::?\d\d)?)(?:[.,](\d{1,12}))?(Z|[+-]\d\d(?::?\d\d)?)?"
)


def to_ns(value: Any, unit: TsUnit = "auto") -> int:
    """One timestamp [ns since 1970-01-01 UTC]; text without a zone is UTC.

    Raises:
        ValueError: It is no time, or one before 1970 or after 2262.

    >>> to_ns("2026-11-20T19:52:44.5Z"), to_ns(1795204364500), to_ns(1795204364.5)
    (1795204364500000000, 1795204364500000000, 1795204364500000000)
    >>> to_ns("2026-11-20T20:52:44.000000001+01:00")
    1795204364000000001
    """
    if isinstance(value, str):
        ns = _iso(value.strip())
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**63:
        factor = _PER_NS[_unit_of(value, unit)]
        whole = int(value)
        ns = whole * factor + round((value - whole) * factor)
    else:
        raise ValueError(f"{str(value)[:60]!r} is no time")
    if not 0 <= ns < 2**63:
        raise ValueError(f"{str(value)[:60]!r} is out of range")
    return ns


def column(values: Sequence[Any], unit: TsUnit = "auto") -> NDArray[np.int64] | None:
    """Many timestamps at once, (n,) [ns]; None when they are not all plain and of one kind."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return _iso_column(values)
    if not kinds <= {int, float} or unit == "iso":
        return None
    low, high = min(values), max(values)
    if not 0 <= low <= high < 2**63:
        return None
    named = _unit_of(high, unit)
    if _unit_of(low, unit) != named:
        return None
    factor = _PER_NS[named]
    if high * factor >= 2**63:
        return None
    if kinds == {int}:
        return np.array(values, np.int64) * factor
    numbers = np.array(values, np.float64)
    whole = np.floor(numbers)
    fraction = np.rint((numbers - whole) * factor)
    return whole.astype(np.int64) * factor + fraction.astype(np.int64)


def _unit_of(value: float, unit: TsUnit) -> str:
    if unit == "iso":
        raise ValueError(f"{value} is no ISO 8601 text")
    if unit != "auto":
        return unit
    return next(name for bound, name in _BOUNDS if value < bound)


def _iso(text: str) -> int:
    found = _ISO.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:60]!r} is no ISO 8601 time")
    moment = datetime.fromisoformat(found[1] + (found[3] or ""))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    span = moment - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = span.days * 86_400 + span.seconds
    return seconds * 10**9 + int((found[2] or "").ljust(9, "0")[:9])


def _iso_column(values: Sequence[str]) -> NDArray[np.int64] | None:
    """ISO texts that end with Z, as most machines write them."""
    if not all(20 <= len(t) <= 30 and t[-1] == "Z" and t[10] == "T" for t in values):
        return None
    try:
        times = np.array([t[:-1] for t in values], "datetime64[ns]")
    except ValueError:
        return None
    numbers = times.astype(np.int64)
    return numbers if (numbers >= 0).all() else None
