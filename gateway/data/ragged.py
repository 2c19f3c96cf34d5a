"""Ragged: vectorised answers about groups of different lengths that lie end to end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.intp]
Times = NDArray[np.int64]
Mask = NDArray[np.bool_]


def ranges(low: Index, count: Index) -> Index:
    """``low[i], low[i] + 1, …``: count[i] numbers for each i, one after another.

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    if len(low) == 1:
        return np.arange(first := int(low[0]), first + int(count[0]))
    ends = count.cumsum()
    total = int(ends[-1]) if len(ends) else 0
    numbers: Index = np.arange(total) + np.repeat(low - (ends - count), count)
    return numbers


def heads(keys: NDArray[np.integer]) -> Mask:
    """True where a run of equal keys begins, (n,).

    >>> heads(np.array([4, 4, 7])).tolist()
    [True, False, True]
    """
    head = np.empty(len(keys), np.bool_)
    head[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=head[1:])
    return head


def lengths(starts: Index, total: int) -> Index:
    """How many of `total` rows lie from each start to the next, (k,).

    >>> lengths(np.array([0, 2, 3]), 7).tolist()
    [2, 1, 4]
    """
    count = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=count[:-1])
    count[-1:] = total - starts[-1:]
    return count


def falls_within(values: Times, starts: Index) -> bool:
    """True when some value is below the one before it in its group."""
    if len(values) < 2:
        return False
    falls = values[1:] < values[:-1]
    falls[starts[1:] - 1] = False
    return bool(np.count_nonzero(falls))


def running_max(values: Times, starts: Index) -> Times:
    """The greatest value so far within each group; groups begin at `starts`. (n,)

    Ranks stand in for the values, so nothing can overflow.

    >>> running_max(np.array([5, 3, 1, 2]), np.array([0, 2])).tolist()
    [5, 5, 1, 2]
    """
    if not falls_within(values, starts):
        return values
    n = len(values)
    order = np.argsort(values, kind="stable")
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    group = np.zeros(n, np.int64)
    group[starts[1:]] = n
    np.cumsum(group, out=group)
    rank += group
    np.maximum.accumulate(rank, out=rank)
    rank -= group
    return values[order[rank]]


def first_at_least(values: Times, low: Index, high: Index, wanted: Times) -> Index:
    """For each i the first place in ``values[low[i]:high[i]]`` not below wanted[i]; else high.

    The values of each stretch rise. Cost: one pass over the questions for each bit of the
    longest stretch.

    >>> first_at_least(np.array([1, 3, 3, 9]), np.array([0]), np.array([4]), np.array([3])).tolist()
    [1]
    """
    low, high = low.copy(), high.copy()
    longest = int((high - low).max(initial=0))
    for _ in range(longest.bit_length()):
        middle = (low + high) >> 1
        below = (low < high) & (values[np.minimum(middle, len(values) - 1)] < wanted)
        low = np.where(below, middle + 1, low)
        high = np.where(below, high, middle)
    return low
