"""Alarm KPIs: how well an alarm system serves its operators, by the numbers of the standards.

Pure functions over columns. An alarm counts where it was annunciated to an operator: raised,
raised anew, or shown again while its condition holds; what is hidden does not count.

Source: IEC 62682:2014, 16.5 and annex of performance metrics; ANSI/ISA-18.2-2016, clause 16;
EEMUA 191, 3rd edition, appendix 10 (performance metrics) and 12 (rates and what operators say).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from gateway.data.alarm import AlarmEvent, AlarmState, Overlay, Priority

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

S: Final = 10**9
INTERVAL_NS: Final = 600 * S
"""Rates are told by ten minutes (EEMUA 191, appendix 12)."""
PRIORITIES: Final[tuple[str, ...]] = get_args(Priority)
CHANGES: Final = (
    "raised",
    "realarmed",
    "unshelved",
    "unsuppressed",
    "returned_to_service",
    "returned",
    "cleared",
    "acked",
    "shelved",
    "other",
)
_ANNOUNCING: Final = 5
"""So many of `CHANGES` from the first on may announce an alarm."""
STATES: Final = tuple(AlarmState)
OVERLAYS: Final = tuple(Overlay)
BANDS: Final = (("acceptable", 1), ("manageable", 2), ("overdemanding", 10))
"""Alarms in ten minutes, at most. One in ten minutes is very likely to be acceptable, one in five
manageable, one in two likely to be over-demanding and more than one a minute very likely to be
unacceptable; between two and ten it is over-demanding here (EEMUA 191, appendix 12)."""
FLOOD_BEGINS: Final = 10
FLOOD_ENDS: Final = 5
"""A flood is from the first ten minutes with ten alarms to the next with fewer than five
(ISA-18.2-2016, 3.1.11 and 16.5.4)."""
CHATTER_TIMES: Final = 3
CHATTER_NS: Final = 60 * S
"""Three times within a minute (ISA-18.2-2016, 16.5.6)."""
FLEETING_NS: Final = 60 * S
"""Gone within a minute, before anybody could have done anything; the standard leaves the length
to the plant (ISA-18.2-2016, 16.5.6)."""
STALE_NS: Final = 86_400 * S
"""Standing for longer than a day (ISA-18.2-2016, 16.5.7)."""
_ACTIVE: Final = (AlarmState.UNACK, AlarmState.ACKED)


@dataclass(frozen=True, slots=True, eq=False)
class AlarmColumns:
    """n alarm events as columns, in the order in which they happened.

    Args:
        ts: Event times [ns], (n,).
        alarm: Which of `alarms`, (n,).
        change: Which of `CHANGES`, (n,).
        state: Which of `STATES`, after the event, (n,).
        overlay: Which of `OVERLAYS`, after the event, (n,).
        priority: Which of `PRIORITIES`, (n,).
        occurrence: Which annunciation of the alarm, (n,).
        alarms: The ids.
    """

    ts: Ints
    alarm: Ints
    change: Ints
    state: Ints
    overlay: Ints
    priority: Ints
    occurrence: Ints
    alarms: tuple[str, ...]

    @classmethod
    def of(cls, events: Sequence[AlarmEvent], alarms: Sequence[str] = ()) -> AlarmColumns:
        """The events as columns; alarms that are known keep their numbers."""
        numbers = {alarm: number for number, alarm in enumerate(alarms)}
        known = {change: number for number, change in enumerate(CHANGES)}
        rows = [
            (
                e.ts,
                numbers.setdefault(e.alarm, len(numbers)),
                known.get(e.change, len(CHANGES) - 1),
                STATES.index(e.state),
                OVERLAYS.index(e.overlay),
                PRIORITIES.index(e.priority),
                e.occurrence,
            )
            for e in events
        ]
        columns = np.array(rows, np.int64).reshape(len(rows), 7).T
        ts, alarm, change, state, overlay, priority, occurrence = map(np.ascontiguousarray, columns)
        names = tuple(numbers)
        return cls(ts, alarm, change, state, overlay, priority, occurrence, names)

    def followed_by(self, later: AlarmColumns, rows_max: int) -> AlarmColumns:
        """These events and later ones, which know the same alarms and more; the newest of all."""
        pairs = (
            (self.ts, later.ts),
            (self.alarm, later.alarm),
            (self.change, later.change),
            (self.state, later.state),
            (self.overlay, later.overlay),
            (self.priority, later.priority),
            (self.occurrence, later.occurrence),
        )
        columns = [np.concatenate(pair)[-rows_max:] for pair in pairs]
        ts, alarm, change, state, overlay, priority, occurrence = columns
        return AlarmColumns(ts, alarm, change, state, overlay, priority, occurrence, later.alarms)

    def where(self, rows: Flags | Ints) -> AlarmColumns:
        """Some of the rows."""
        return AlarmColumns(
            self.ts[rows],
            self.alarm[rows],
            self.change[rows],
            self.state[rows],
            self.overlay[rows],
            self.priority[rows],
            self.occurrence[rows],
            self.alarms,
        )


def annunciated(events: AlarmColumns) -> Flags:
    """Events by which an operator was told of an alarm, (n,)."""
    told: Flags = events.change < _ANNOUNCING
    told &= events.state == STATES.index(AlarmState.UNACK)
    told &= events.overlay == OVERLAYS.index(Overlay.NONE)
    return told


def per_interval(ts: Ints, start: int, end: int) -> Ints:
    """Annunciations in each ten minutes from `start` on; the last may be cut short by `end`."""
    count = max(-(-(end - start) // INTERVAL_NS), 0)
    inside = ts[(ts >= start) & (ts < end)]
    return np.bincount((inside - start) // INTERVAL_NS, minlength=count).astype(np.int64)


def bands(counts: Ints) -> dict[str, float]:
    """Share of the ten minutes in each of `BANDS`, and what is above them as ``unacceptable``."""
    names = [*(name for name, _ in BANDS), "unacceptable"]
    which = np.searchsorted([most for _, most in BANDS], counts, side="left")
    found = np.bincount(which, minlength=len(names))
    return {n: float(found[i] / max(len(counts), 1)) for i, n in enumerate(names)}


def floods(counts: Ints) -> list[tuple[int, int]]:
    """Floods as (first interval, first interval after it)."""
    found, first = [], -1
    for i, count in enumerate(counts.tolist()):
        if first < 0 and count >= FLOOD_BEGINS:
            first = i
        elif first >= 0 and count < FLOOD_ENDS:
            found.append((first, i))
            first = -1
    return [*found, (first, len(counts))] if first >= 0 else found


def chattering(ts: Ints, alarm: Ints) -> Flags:
    """Annunciations that belong to three or more of one alarm within a minute, (n,)."""
    order = np.lexsort((ts, alarm))
    at, which = ts[order], alarm[order]
    apart = CHATTER_TIMES - 1
    found = np.zeros(len(ts), np.bool_)
    if len(ts) <= apart:
        return found
    begins = np.flatnonzero(
        (which[apart:] == which[:-apart]) & (at[apart:] - at[:-apart] < CHATTER_NS)
    )
    for i in range(CHATTER_TIMES):
        found[order[begins + i]] = True
    return found


def fleeting(events: AlarmColumns) -> Flags:
    """Annunciations whose condition was gone within a minute with nobody acting on it, (n,)."""
    gone = np.isin(events.change, (CHANGES.index("returned"), CHANGES.index("cleared")))
    order = np.argsort(events.alarm, kind="stable")  # By alarm, as it happened.
    this, after = order[:-1], order[1:]
    pairs = (
        annunciated(events)[this]
        & gone[after]
        & (events.alarm[this] == events.alarm[after])
        & (events.ts[after] - events.ts[this] < FLEETING_NS)
    )
    found = np.zeros(len(events.ts), np.bool_)
    found[this[pairs]] = True
    return found


def bad_actors(told: AlarmColumns, most: int = 10) -> list[tuple[int, int]]:
    """The alarms that were annunciated most: (which, how often), the worst first.

    Equal ones come in the order of their names: their numbers follow the order in which they were
    read, which is another one after a restart.
    """
    counts = np.bincount(told.alarm, minlength=len(told.alarms))
    rank = np.argsort(np.argsort(np.array(told.alarms, dtype=np.str_)))
    order = np.lexsort((rank, -counts))[:most]
    return [(int(i), int(counts[i])) for i in order if counts[i]]


def priority_shares(priority: Ints) -> dict[str, float]:
    """Share of each priority among annunciations; all 0 without any."""
    found = np.bincount(priority, minlength=len(PRIORITIES))
    return {n: float(found[i] / max(len(priority), 1)) for i, n in enumerate(PRIORITIES)}


def ack_times(events: AlarmColumns, start: int, end: int) -> Ints:
    """How long acknowledgements in [start, end) took, from the first word of each occurrence [ns].

    An acknowledgement of something that was told before all records is left out.
    """
    first: dict[tuple[int, int], int] = {}
    told, acked = annunciated(events), events.change == CHANGES.index("acked")
    found = []
    rows = np.flatnonzero(told | acked)
    columns = (events.alarm, events.occurrence, events.ts, acked)
    for alarm, number, ts, is_ack in zip(*(c[rows].tolist() for c in columns), strict=True):
        if not is_ack:
            first.setdefault((alarm, number), ts)
        elif (alarm, number) in first and start <= ts < end:
            found.append(max(ts - first[alarm, number], 0))
    return np.array(found, np.int64)


def newest(events: AlarmColumns) -> Ints:
    """The row of the last event of each alarm, by alarm."""
    last = np.full(len(events.alarms), -1, np.int64)
    last[events.alarm] = np.arange(len(events.ts))  # Where an alarm repeats, the last row stays.
    return last[last >= 0]


def stale(events: AlarmColumns, at: int) -> Ints:
    """Alarms that stand, seen by the operator, for longer than a day at a time [ns]: which."""
    last = newest(events)
    active = np.isin(events.state[last], [STATES.index(state) for state in _ACTIVE])
    shown = events.overlay[last] == OVERLAYS.index(Overlay.NONE)
    told = np.flatnonzero(annunciated(events) & (events.change != CHANGES.index("realarmed")))
    since = np.full(len(events.alarms), np.iinfo(np.int64).max)
    since[events.alarm[told]] = events.ts[told]
    which = events.alarm[last]
    standing: Ints = which[active & shown & (since[which] < at - STALE_NS)]
    return standing
