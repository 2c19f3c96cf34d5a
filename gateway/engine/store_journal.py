"""The journal in the state file: how long records are kept, and what is read back.

Records are kept after a checkpoint has made them unnecessary, so that yesterday can be replayed.
They go in whole segments, oldest first, when they are too old or too many.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from gateway.engine.store_entry import Entry

SEGMENT_BYTES: Final = 4 * 1024 * 1024
SEGMENT_AGE_NS: Final = 900 * 10**9
DELETE_BYTES: Final = 1024 * 1024
"""Bytes that one transaction deletes, so that no commit waits for long."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of the journal is kept for replays.

    Args:
        bytes_max: Of all flows together [bytes].
        age_s: How old a record may become [s].
    """

    bytes_max: int = 2_000_000_000
    age_s: float = 48 * 3600.0


@dataclass(slots=True)
class Segment:
    """Records of one flow that follow each other."""

    first: int
    last: int
    from_ts: int
    to_ts: int
    rows: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Segments:
    """The segments of all flows: those that are closed, and the one that grows."""

    closed: dict[str, list[Segment]] = field(default_factory=dict)
    growing: dict[str, Segment] = field(default_factory=dict)

    def flows(self) -> set[str]:
        """Names of all flows that have records."""
        return {*self.closed, *self.growing}

    @property
    def bytes(self) -> int:
        """Size of all records [bytes]."""
        growing = sum(segment.bytes for segment in self.growing.values())
        return growing + sum(s.bytes for listed in self.closed.values() for s in listed)

    def reach(self) -> dict[str, dict[str, int]]:
        """By flow: size of its records [bytes], and the time of the oldest [ns]."""
        found = {}
        for flow in sorted({*self.closed, *self.growing}):
            parts = [*self.closed.get(flow, ()), *filter(None, [self.growing.get(flow)])]
            if parts:
                size = sum(part.bytes for part in parts)
                found[flow] = {"bytes": size, "from": min(part.from_ts for part in parts)}
        return found

    def load(self, db: sqlite3.Connection) -> None:
        """Read the closed ones, and count what was written since."""
        for (flow,) in db.execute("SELECT DISTINCT flow FROM journal").fetchall():
            listed = _closed(db, flow)
            if listed:
                self.closed[flow] = listed
            after = listed[-1].last if listed else 0
            row = db.execute(
                "SELECT min(seq), max(seq), min(ts), max(ts), sum(rows), sum(length(data))"
                " FROM journal WHERE flow=? AND seq>?",
                (flow, after),
            ).fetchone()
            if row[0] is not None:
                self.growing[flow] = Segment(*row)

    def write(self, db: sqlite3.Connection, entry: Entry) -> None:
        """Count a record, and close the segment when it is large or old enough."""
        if entry.block is None:
            return
        flow = entry.flow
        segment = self.growing.get(flow)
        if segment is None:
            segment = self.growing[flow] = Segment(entry.seq, entry.seq, entry.ts, entry.ts)
        segment.last, segment.to_ts = entry.seq, max(segment.to_ts, entry.ts)
        segment.rows += entry.rows
        segment.bytes += len(entry.block)
        if segment.bytes < SEGMENT_BYTES and segment.to_ts - segment.from_ts < SEGMENT_AGE_NS:
            return
        columns = (segment.first, segment.last, segment.from_ts, segment.to_ts)
        db.execute(
            "REPLACE INTO segment VALUES (?,?,?,?,?,?,?)",
            (flow, *columns, segment.rows, segment.bytes),
        )
        self.closed.setdefault(flow, []).append(self.growing.pop(flow))

    def too_many(
        self, retention: Retention, now: int, done: Mapping[str, int]
    ) -> tuple[str, Segment] | None:
        """The oldest segment that is to go, or None.

        Args:
            retention: What is kept.
            now: The time [ns].
            done: By flow, the last record that its checkpoint contains; later ones stay.
        """
        oldest: tuple[str, Segment] | None = None
        for flow, listed in self.closed.items():
            if not listed or listed[0].last > done.get(flow, 0):
                continue
            if oldest is None or listed[0].to_ts < oldest[1].to_ts:
                oldest = flow, listed[0]
        if oldest is None:
            return None
        is_old = now - oldest[1].to_ts > retention.age_s * 1e9
        return oldest if is_old or self.bytes > retention.bytes_max else None

    def drop_some(self, db: sqlite3.Connection, flow: str, segment: Segment) -> None:
        """Delete as many records of a segment as one transaction should."""
        sql = "SELECT min(seq) FROM journal WHERE flow=? AND seq BETWEEN ? AND ?"
        (first,) = db.execute(sql, (flow, segment.first, segment.last)).fetchone()
        share = max(DELETE_BYTES * (segment.last - segment.first + 1) // max(segment.bytes, 1), 1)
        segment.first = segment.last if first is None else first  # Some went in an earlier life.
        upto = min(segment.first + share - 1, segment.last)
        # All that is older goes too: a transaction before may have been undone.
        db.execute("DELETE FROM journal WHERE flow=? AND seq<=?", (flow, upto))
        if upto < segment.last:
            # What is left keeps its old name in the table.
            segment.bytes -= (
                segment.bytes * (upto - segment.first + 1) // (segment.last - segment.first + 1)
            )
            segment.first = upto + 1
            return
        db.execute("DELETE FROM segment WHERE flow=? AND last<=?", (flow, segment.last))
        self.closed[flow].remove(segment)


def _closed(db: sqlite3.Connection, flow: str) -> list[Segment]:
    """The closed segments of a flow; none when they do not fit each other.

    They only say what stands in the journal: what is damaged of them is counted again.
    """
    rows = db.execute(
        "SELECT first, last, from_ts, to_ts, rows, bytes FROM segment WHERE flow=? ORDER BY first",
        (flow,),
    ).fetchall()
    if not all(type(value) is int for row in rows for value in row):
        return []
    listed = [Segment(*row) for row in rows]
    (newest,) = db.execute("SELECT max(seq) FROM journal WHERE flow=?", (flow,)).fetchone()
    fits = all(s.first <= s.last <= newest and s.from_ts <= s.to_ts for s in listed) and all(
        a.last + 1 == b.first and a.to_ts <= b.to_ts for a, b in pairwise(listed)
    )
    return listed if fits else []


def records(
    db: sqlite3.Connection, flow: str, after: int, limit: int
) -> Sequence[tuple[int, bytes]]:
    """(number, block) of the next records of a flow, oldest first."""
    rows = db.execute(
        "SELECT seq, data FROM journal WHERE flow=? AND seq>? ORDER BY seq LIMIT ?",
        (flow, after, limit),
    )
    return [(int(seq), bytes(data)) for seq, data in rows]
