"""The KPIs of an alarm system over a span of time as one document, with a verdict each.

Targets are those of IEC 62682:2014 and ISA-18.2-2016, clause 16.9 (table of recommended metrics),
and EEMUA 191. An average alone hides floods, so shares of time are told beside it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gateway.data.alarm import AlarmState, Overlay
from gateway.data.alarm_kpi import (
    CHANGES,
    INTERVAL_NS,
    OVERLAYS,
    STATES,
    AlarmColumns,
    ack_times,
    annunciated,
    bad_actors,
    bands,
    chattering,
    fleeting,
    floods,
    newest,
    per_interval,
    priority_shares,
    stale,
)

TARGETS: Final[dict[str, tuple[float, float]]] = {
    "mean": (1.0, 2.0),
    "peak": (10.0, 10.0),
    "share_over_10": (0.01, 0.05),
    "flood_share": (0.01, 0.05),
    "top_share": (0.05, 0.3),
    "chattering": (0.0, 0.0),
    "stale": (4.0, 10.0),
    "above_low": (0.20, 0.40),
    "high_share": (0.05, 0.10),
    "urgent_share": (0.01, 0.05),
}
"""(good up to, bad above); between them it is to be looked at. The peak and what is bad of the
shares are ours; the standards give the targets. Priorities: about 80 % low, 15 % medium and 5 %
above, of which the highest of four less than 1 % (ISA-18.2-2016, 16.5.8)."""
COUNTS_MAX: Final = 31 * 144
"""So many of the newest intervals of ten minutes are told one by one: a month of them."""
PRIORITY_TARGETS: Final = {"low": 0.80, "medium": 0.15, "high": 0.05, "urgent": 0.01}


def verdict(name: str, value: float) -> str:
    """``good``, ``look`` or ``bad``.

    >>> verdict("mean", 0.4), verdict("mean", 1.5), verdict("chattering", 1)
    ('good', 'look', 'bad')
    """
    good, bad = TARGETS[name]
    return "good" if value <= good else "look" if value <= bad else "bad"


def kpi(events: AlarmColumns, start: int, end: int) -> dict[str, Any]:
    """All KPIs of [start, end).

    Args:
        events: All events before `end`, also those before `start`: what stood then still counts.
        start: First instant [ns].
        end: First instant that does not count [ns]; greater than `start`.

    Returns:
        Plain values; times in ns, shares from 0 to 1.
    """
    events = events.where(events.ts < end)
    inside = events.ts >= start
    told_rows = np.flatnonzero(annunciated(events) & inside)
    told = events.where(told_rows)
    counts = per_interval(told.ts, start, end)
    chatter = chattering(told.ts, told.alarm)
    short = fleeting(events)[told_rows] & ~chatter
    found: dict[str, Any] = {
        "from": start,
        "to": end,
        "annunciated": len(told_rows),
        "rate": _rate(counts, len(told_rows), end - start),
        "counts": counts[-COUNTS_MAX:].tolist(),
        "floods": _floods(counts, start, end),
        "chattering": _of(told, chatter),
        "fleeting": _of(told, short),
        "bad_actors": _actors(told),
        "priorities": priority_shares(told.priority),
        "acknowledged": _acknowledged(ack_times(events, start, end)),
        "standing": _standing(events, end),
        "shelved": int(np.count_nonzero(inside & (events.change == CHANGES.index("shelved")))),
    }
    found["verdicts"] = _verdicts(found)
    return found


def _rate(counts: NDArray[np.int64], told: int, span: int) -> dict[str, Any]:
    return {
        "mean": told * INTERVAL_NS / span,
        "peak": int(counts.max(initial=0)),
        "share_over_10": float(np.count_nonzero(counts > 10) / max(len(counts), 1)),
        "bands": bands(counts),
        "intervals": len(counts),
    }


def _floods(counts: NDArray[np.int64], start: int, end: int) -> dict[str, Any]:
    rows = []
    for first, after in floods(counts):
        rows.append(
            {
                "from": start + first * INTERVAL_NS,
                "to": min(start + after * INTERVAL_NS, end),
                "alarms": int(counts[first:after].sum()),
                "peak": int(counts[first:after].max()),
            }
        )
    in_flood = sum(row["to"] - row["from"] for row in rows)
    return {"count": len(rows), "share": in_flood / (end - start), "list": rows}


def _of(told: AlarmColumns, which: NDArray[np.bool_]) -> dict[str, Any]:
    names = [told.alarms[i] for i in np.unique(told.alarm[which])]
    return {"alarms": sorted(names), "annunciations": int(np.count_nonzero(which))}


def _actors(told: AlarmColumns) -> dict[str, Any]:
    rows = bad_actors(told)
    total = max(len(told.ts), 1)
    listed = [{"alarm": told.alarms[i], "count": n, "share": n / total} for i, n in rows]
    return {"share": sum(n for _, n in rows) / total, "list": listed}


def _acknowledged(times: NDArray[np.int64]) -> dict[str, Any]:
    """Median and 95th percentile, both by linear interpolation; None without any."""
    if not len(times):
        return {"count": 0, "median_s": None, "p95_s": None}
    median, p95 = np.percentile(times / 1e9, (50, 95))
    return {"count": len(times), "median_s": float(median), "p95_s": float(p95)}


def _standing(events: AlarmColumns, at: int) -> dict[str, Any]:
    last = newest(events)
    shown = events.overlay[last] == OVERLAYS.index(Overlay.NONE)
    state = events.state[last]
    hidden = np.bincount(events.overlay[last], minlength=len(OVERLAYS))
    return {
        "open": int(np.count_nonzero(shown & (state != STATES.index(AlarmState.NORM)))),
        "unacknowledged": int(
            np.count_nonzero(
                shown
                & np.isin(
                    state,
                    [
                        STATES.index(s)
                        for s in (AlarmState.UNACK, AlarmState.RTNUN, AlarmState.LATUN)
                    ],
                )
            )
        ),
        "stale": sorted(events.alarms[i] for i in stale(events, at)),
        "hidden": {
            overlay.value: int(hidden[i])
            for i, overlay in enumerate(OVERLAYS)
            if overlay is not Overlay.NONE
        },
    }


def _verdicts(found: dict[str, Any]) -> dict[str, str]:
    """One word for each line, so that nobody has to know the standards by heart."""
    mix = found["priorities"]
    values = {
        "mean": found["rate"]["mean"],
        "peak": found["rate"]["peak"],
        "share_over_10": found["rate"]["share_over_10"],
        "flood_share": found["floods"]["share"],
        "top_share": found["bad_actors"]["share"],
        "chattering": len(found["chattering"]["alarms"]),
        "stale": len(found["standing"]["stale"]),
        "above_low": mix["medium"] + mix["high"] + mix["urgent"],
        "high_share": mix["high"] + mix["urgent"],
        "urgent_share": mix["urgent"],
    }
    return {name: verdict(name, value) for name, value in values.items()}
