"""Reads what happened while nobody listened, where the server kept it.

Source: OPC 10000-11 v1.05, 6.4.3 ReadRawModifiedDetails.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from gateway import Disconnected, Rejected
from nodes.opcua._decode import Changes, read_history, times
from nodes.opcua._session import Session
from nodes.opcua._ua import DateTime, NodeId, ReadRawModifiedDetails, ua

_ROWS_A_PAGE: Final = 1000
_NODES_A_READ: Final = 100
_NS_A_TICK: Final = 100
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


async def fill(session: Session, wants: list[Want], rows_max: int) -> Filled:
    """Rows of all holes, each (tag, ts) once; at most `rows_max`.

    Raises:
        Disconnected: The session was lost; nothing was taken, so it can be asked again.
    """
    found = Filled()
    for i in range(0, len(wants), _NODES_A_READ):
        for part in session.chunks("history", wants[i : i + _NODES_A_READ]):
            await _fill_part(session, part, rows_max, found)
            if len(found.ts) >= rows_max:
                found.is_cut = True
                return found
    return found


async def _fill_part(session: Session, part: list[Want], rows_max: int, found: Filled) -> None:
    details = ua.ReadRawModifiedDetails()
    details.IsReadModified = False
    details.StartTime = _date(min(want.start for want in part))
    details.EndTime = _date(max(want.end for want in part) + 1_000_000)
    details.NumValuesPerNode = ua.UInt32(_ROWS_A_PAGE)
    details.ReturnBounds = False
    seen: dict[int, set[int]] = {want.code: set() for want in part}
    asked = [(want, b"") for want in part]
    while asked and len(found.ts) < rows_max:
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
            pages = read_history(body)
        except (struct.error, IndexError) as error:
            raise Disconnected(f"{session.address} answered {what} unreadably.") from error
        following = []
        for (want, last), page in zip(asked, pages, strict=True):
            if page.status >> 30 >= 2:
                continue
            new = _keep(want, page.rows, seen[want.code], found, rows_max)
            # A server that repeats its place without new rows would be asked for ever.
            if page.more and (page.more != last or new):
                following.append((want, page.more))
        asked = following
    found.tags += sum(1 for rows in seen.values() if rows)
    if asked:
        found.is_cut = True
        await _release(session, asked, details)


def _keep(want: Want, rows: Changes, seen: set[int], found: Filled, rows_max: int) -> int:
    """Take the rows of one page that lie in the hole and are new; returns how many."""
    stamps: list[int] = times(rows.ticks, 0).tolist()
    new = 0
    for i, ts in enumerate(stamps):
        if not want.start < ts < want.end or ts in seen or len(found.ts) >= rows_max:
            continue
        seen.add(ts)
        new += 1
        found.code.append(want.code)
        found.ts.append(ts)
        found.value.append(float(rows.value[i]))
        found.status.append(rows.status[i])
    return new


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
