"""Evidence: what the gateway hands over about one alarm, before anything is made of it.

Plain values and numpy columns, so that whoever gathers it (engine, replay, test, training) needs
no more than this. Times are event times [ns since 1970-01-01 UTC]; NaN means not known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.explainer.sheet import Change, FactSheet, Hole
from models.explainer.vocabulary import Verdict

ROWS_MAX = 20_000
"""Rows of one tag that are looked at, the newest: bounds the time and the memory of a sheet."""

TRACKS_MAX = 64
"""Tags that are looked at; those nearest to the alarmed one by name are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Samples of one tag as columns, in any order; bad ones are expected among them.

    Args:
        ts: Source timestamps [ns], int64 (n,).
        value: In the tag's unit, float64 (n,).
        quality: OPC UA StatusCodes, uint32 (n,).

    Raises:
        ValueError: The columns differ in length.
    """

    ts: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint32]

    def __post_init__(self) -> None:
        if not len(self.ts) == len(self.value) == len(self.quality):
            sizes = f"{len(self.ts)}, {len(self.value)} and {len(self.quality)}"
            raise ValueError(f"The columns ts, value and quality have {sizes} rows.")


def no_rows() -> Rows:
    """Columns without a row."""
    return Rows(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint32))


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of an alarm on a tag: its condition, such as HIHI, and where it lies [unit]."""

    condition: str
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One tag around the alarm.

    Args:
        tag: Its name.
        rows: Its samples, an hour or so before the alarm until now.
        unit: UCUM code; empty when unknown.
        about: The engineer's sentence about it.
        low: Low end of its range [unit]; NaN when unknown.
        high: High end of its range [unit]; NaN when unknown.
        source: Id of the source it comes from; empty when unknown or computed.
        yesterday: Its samples around the same time of the day before.
        limits: Where alarms on it lie.
    """

    tag: str
    rows: Rows = field(default_factory=no_rows)
    unit: str = ""
    about: str = ""
    low: float = math.nan
    high: float = math.nan
    source: str = ""
    yesterday: Rows = field(default_factory=no_rows)
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True)
class Raised:
    """One annunciation, as the alarm event has it.

    Args:
        alarm: Names the alarm for ever: ``<flow>/<node>:<tag>:<condition>``.
        tag: The tag's name; for a lost device the source's id.
        ts: When it was raised [ns].
        condition: Such as HIHI, HI, LO, LOLO, DEV, RATE, SCORE, BAD, STALE, COMM.
        priority: low, medium, high or urgent.
        value: What decided it.
        limit: What that was compared with.
        occurrence: Which of the alarm's annunciations.
        unit: UCUM code of value and limit.
    """

    alarm: str
    tag: str
    ts: int
    condition: str
    priority: str = "medium"
    value: float = math.nan
    limit: float = math.nan
    occurrence: int = 1
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    """An alarm that was explained before: its sheet, and what an operator said of it.

    `named` is the id of the cause that the explanation had named first.
    """

    sheet: FactSheet
    verdict: Verdict
    cause: str = ""
    said: str = ""
    named: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All that is known about one alarm.

    Args:
        raised: The annunciation that is to be explained.
        now_ns: Until when the samples reach; 0 means until the alarm. Explained anew later,
            an alarm shows how it went on.
        tracks: The alarmed tag, the measured tag behind a computed one, and tags near it.
        before: Alarms raised before it, in any order.
        incident: Ids of all alarms that are open and belong together.
        holes: Missing data, in any order.
        changes: What people changed, in any order.
        past: Cases from before.
        started_ns: When the gateway started; 0 when long ago.
        clock_set_ns: When its clock was set last; 0 when long ago.
    """

    raised: Raised
    now_ns: int = 0
    tracks: tuple[Track, ...] = ()
    before: tuple[Raised, ...] = ()
    incident: tuple[str, ...] = ()
    holes: tuple[Hole, ...] = ()
    changes: tuple[Change, ...] = ()
    past: tuple[Past, ...] = ()
    started_ns: int = 0
    clock_set_ns: int = 0
