"""Reads what happened while nobody listened, where the server kept it.

Source: OPC 10000-11 v1.05, 6.4.3 ReadRawModifiedDetails.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from gateway import Disconnected, Rejected
from nodes.opcua._decode import Changes, Page, read_history, times
from nodes.opcua._session import Session
from nodes.opcua._ua import DateTime, NodeId, ReadRawModifiedDetails, ua

_ROWS_A_PAGE: Final = 1000
_NODES_A_READ: Final = 100
_NS_A_TICK: Final = 100
_NS_A_MICROSECOND: Final = 1000
_TICKS_1970: Final = 116_444_736_000_000_000
_SLOW_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Want:
    """One node's hole: rows after `start` and before `end` [ns] are wanted under `code`."""

    code: int
    node: NodeId
    start: int
    end: int


@dataclass(slots=True)
class Filled:
    """Rows found, in columns, and whether the limit cut them short."""

    code: list[int] = field(default_factory=list)
    ts: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    tags: int = 0
    is_cut: bool = False
    refused: set[int] = field(default_factory=set)
    """Codes of tags whose history the server did not give."""


async def fill(session: Session, wants: list[Want], rows_max: int) -> Filled:
    """Rows of all holes, each (tag, ts) once; at most `rows_max`.

    Raises:
        Disconnected: The session was lost; nothing was taken, so it can be asked again.
    """
    found = Filled()
    ordered = sorted(wants, key=lambda want: want.start)  # Nodes of a request share its times.
    for i in range(0, len(ordered), _NODES_A_READ):
        for part in session.chunks("history", ordered[i : i + _NODES_A_READ]):
            await _fill_part(session, part, rows_max, found)
            if len(found.ts) >= rows_max:
                found.is_cut = True
                return found
    return found


async def _fill_part(session: Session, part: list[Want], rows_max: int, found: Filled) -> None:
    details = _details(part)
    asked = [(want, b"") for want in part]
    counts = {want.code: 0 for want in part}
    cut_short: list[Want] = []
    while asked and len(found.ts) < rows_max:
        pages = await _pages(session, asked, details)
        following = []
        for (want, last), page in zip(asked, pages, strict=True):
            if page.status >> 30 >= 2:
                found.refused.add(want.code)
                continue
            latest, new = _keep(want, page.rows, found, rows_max)
            counts[want.code] += new
            # A server that repeats itself without new rows would be asked for ever.
            if page.more and (page.more != last or new):
                following.append((replace(want, start=latest), page.more))
            elif not page.more and new and len(page.rows) >= _ROWS_A_PAGE:
                cut_short.append(replace(want, start=latest))
        asked = following
    found.tags += sum(1 for count in counts.values() if count)
    if asked:
        found.is_cut = True
        await _release(session, asked, details)
    for want in cut_short:
        # Some servers stop at the page's size and say nothing: ask on from the last row.
        if len(found.ts) < rows_max:
            tags = found.tags
            await _fill_part(session, [want], rows_max, found)
            found.tags = tags


def _details(part: list[Want]) -> ReadRawModifiedDetails:
    details = ua.ReadRawModifiedDetails()
    details.IsReadModified = False
    details.StartTime = _date(min(want.start for want in part))
    details.EndTime = _date(max(want.end for want in part) + _NS_A_MICROSECOND)
    details.NumValuesPerNode = ua.UInt32(_ROWS_A_PAGE)
    details.ReturnBounds = False
    return details


async def _pages(
    session: Session, asked: list[tuple[Want, bytes]], details: ReadRawModifiedDetails
) -> list[Page]:
    request = ua.HistoryReadRequest()
    request.Parameters.HistoryReadDetails = details
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    request.Parameters.ReleaseContinuationPoints = False
    for want, more in asked:
        node = ua.HistoryReadValueId()
        node.NodeId = want.node
        node.ContinuationPoint = more or None
        request.Parameters.NodesToRead.append(node)
    what = f"reading the history of {len(asked)} nodes"
    body = await session.send(what, request, timeout_s=max(_SLOW_S, session.timeout_s))
    try:
        return read_history(body)
    except (struct.error, IndexError) as error:
        raise Disconnected(f"{session.address} answered {what} unreadably.") from error


def _keep(want: Want, rows: Changes, found: Filled, rows_max: int) -> tuple[int, int]:
    """Take the rows of a page that lie in the hole; returns the latest time and how many.

    Rows come in the order of their times, so what is not later than the last is a repetition.
    """
    latest, new = want.start, 0
    for i, ts in enumerate(times(rows.ticks, 0).tolist()):
        if not latest < ts < want.end or len(found.ts) >= rows_max:
            continue
        latest = ts
        new += 1
        found.code.append(want.code)
        found.ts.append(ts)
        found.value.append(float(rows.value[i]))
        found.status.append(rows.status[i])
    return latest, new


async def _release(
    session: Session, asked: list[tuple[Want, bytes]], details: ReadRawModifiedDetails
) -> None:
    """Give continuation points back: servers have few."""
    request = ua.HistoryReadRequest()
    request.Parameters.HistoryReadDetails = details
    request.Parameters.ReleaseContinuationPoints = True
    for want, more in asked:
        node = ua.HistoryReadValueId()
        node.NodeId = want.node
        node.ContinuationPoint = more
        request.Parameters.NodesToRead.append(node)
    try:
        await session.send("ending a history read", request)
    except Rejected:
        return


def _date(ns: int) -> DateTime:
    """Nanoseconds as asyncua's date, rounded down to its microsecond."""
    return ua.win_epoch_to_datetime(max(ns, 0) // _NS_A_TICK + _TICKS_1970)


def in_order(found: Filled) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Row numbers sorted by time, arrival order where times are equal, (n,)."""
    return np.argsort(np.array(found.ts, np.int64), kind="stable")


__all__ = ["Filled", "Want", "fill", "in_order"]
