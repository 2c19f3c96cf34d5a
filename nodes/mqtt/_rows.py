"""Rows that grow one by one, and times of arrival for many."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gateway import Batch


@dataclass(slots=True)
class Rows:
    """Rows that grow one by one."""

    tag: list[int] = field(default_factory=list)
    ts: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)

    def add(self, tag: int, ts: int, value: float, status: int) -> None:
        """One more row."""
        self.tag.append(tag)
        self.ts.append(ts)
        self.value.append(value)
        self.quality.append(status)

    def batch(self) -> Batch:
        """All of them."""
        return Batch.columns(self.tag, self.ts, self.value, self.quality)


def arrivals(arrival: int, n: int) -> NDArray[np.int64]:
    """Times of arrival, (n,) [ns]: a nanosecond apart, so that the order is kept."""
    return np.arange(arrival - n + 1, arrival + 1, dtype=np.int64)
