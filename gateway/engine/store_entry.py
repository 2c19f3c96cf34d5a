"""What one transaction writes: the entries of all flows, row by row.

Functions over an SQLite connection, for the store's writer thread.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.data.alarm import AlarmEvent
from gateway.data.tag import Tag
from gateway.engine.codec import plain
from gateway.engine.sealed import seal, unseal
from gateway.engine.store_archive import make_room
from gateway.engine.store_letters import Decision, decide
from gateway.engine.store_rows import alarm_key, block_sum
from gateway.engine.tagbook import fact_of

ROWS_MAX: Final = {"alarm_event": 100_000, "gap": 100_000, "audit": 100_000}
"""Rows kept by table; the oldest go first, at a checkpoint. Of letters see `store_letters`,
of the audit `store_archive`."""
CLOSED_ROWS: Final = "closed_rows/"
"""Before a flow's name in `meta`: how many rows waited in queues that were closed."""


@dataclass(frozen=True, slots=True)
class GapRow:
    """A hole in what a source brought, as it is stored; times are event times [ns]."""

    source: str
    cause: str
    from_ts: int
    to_ts: int
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of a flow.

    Args:
        number: Counts up from 1 for each flow.
        ts: When it was deployed [ns].
        author: ``user:<name>``, or ``file`` where a file was edited.
        note: Why, in words.
        text: The flow file.
        variables: Values of its variables, as JSON.
    """

    number: int
    ts: int
    author: str
    note: str
    text: str
    variables: str = "{}"


@dataclass(slots=True)
class OutboxRow:
    """Messages of one sink, to be stored as one block; packed where the SQL runs.

    Args:
        sink: Whose.
        first: Number of the first message.
        last: Number of the last.
        rows: Rows in all.
        pack: Gives the block.
    """

    sink: str
    first: int
    last: int
    rows: int
    pack: Callable[[], bytes]
    _data: bytes = b""

    @property
    def data(self) -> bytes:
        """The block; it is made once."""
        self._data = self._data or self.pack()
        return self._data


@dataclass(slots=True)
class Entry:
    """What one flow wants committed together: its input and what it knows by now.

    Args:
        flow: The flow's name.
        seq: Number of the journal record; grows by one a record of this flow.
        ts: Time of the step [ns].
        rows: Rows in `block`.
        block: The input as bytes; None where nothing came in but events are to be stored.
        positions: Source positions as JSON, by node id.
        outlets: What each sink has taken, as JSON, by node id.
        blocks: Messages that wait for sinks, to be kept on the disk.
        freed: First numbers of the blocks that are no longer needed, by node id.
        closed: Sinks and workers that are gone, with the number of rows that waited for them.
        alarms: Alarm events of the steps before; one that is known is ignored.
        gaps: Holes that the block tells of.
        revision: The version of the flow that is deployed with this entry.
        tags: Tags that are new or have changed, by code.
        decisions: Dead letters that are given to their nodes again with this block.
        pack: Gives the block where the SQL runs, so that the event loop need not.
        urgent: A flow stands still until it is stored: it waits for no others.
        stepped: Newest record whose step the outlets know of; None when it is `seq`.
        before: Records of the same flow that are stored with it or not at all, oldest first.
    """

    flow: str
    seq: int
    ts: int
    rows: int = 0
    block: bytes | None = None
    positions: Mapping[str, str] = field(default_factory=dict)
    outlets: Mapping[str, str] = field(default_factory=dict)
    blocks: Sequence[OutboxRow] = ()
    freed: Mapping[str, Sequence[int]] = field(default_factory=dict)
    closed: Mapping[str, int] = field(default_factory=dict)
    alarms: Sequence[AlarmEvent] = ()
    gaps: Sequence[GapRow] = ()
    revision: Revision | None = None
    tags: Mapping[int, Tag] = field(default_factory=dict)
    decisions: Sequence[Decision] = ()
    pack: Callable[[], bytes] | None = None
    urgent: bool = False
    stepped: int | None = None
    before: Sequence[Entry] = ()

    def parts(self) -> tuple[Entry, ...]:
        """All records that are stored together, oldest first, this one last."""
        return *self.before, self


def write_entry(db: sqlite3.Connection, entry: Entry) -> None:
    """Write one entry; doing it again changes nothing."""
    if entry.tags:
        db.executemany(
            "REPLACE INTO tag VALUES (?,?)",
            [(code, seal(json.dumps(fact_of(tag)), code)) for code, tag in entry.tags.items()],
        )
    if entry.block is not None:
        db.execute(
            "REPLACE INTO journal VALUES (?,?,?,?,?)",
            (entry.flow, entry.seq, entry.ts, entry.rows, entry.block),
        )
    for node, value in entry.positions.items():
        sealed = seal(value, entry.flow, node)
        db.execute("REPLACE INTO position VALUES (?,?,?)", (entry.flow, node, sealed))
    _write_outboxes(db, entry)
    if entry.revision is not None:
        r = entry.revision
        db.execute(
            "REPLACE INTO revision VALUES (?,?,?,?,?,?,?)",
            (entry.flow, r.number, r.ts, r.author, r.note, sealed_text(entry.flow, r), r.variables),
        )
    for decision in entry.decisions:
        decide(db, decision)
    _write_events(db, entry)


def _write_outboxes(db: sqlite3.Connection, entry: Entry) -> None:
    seq = entry.seq if entry.stepped is None else entry.stepped
    for sink, mark in entry.outlets.items():
        values = (entry.flow, sink, seq, seal(mark, entry.flow, sink, seq))
        db.execute("REPLACE INTO outlet VALUES (?,?,?,?)", values)
    for sink, numbers in entry.freed.items():
        db.executemany(
            "DELETE FROM outbox WHERE flow=? AND sink=? AND first=?",
            [(entry.flow, sink, first) for first in numbers],
        )
    for row in entry.blocks:
        block = (entry.flow, row.sink, row.first, row.last, row.rows)
        data = block_sum(*block, len(row.data)) + row.data
        db.execute("REPLACE INTO outbox VALUES (?,?,?,?,?,?)", (*block, data))
    for sink, rows in entry.closed.items():
        _close(db, entry.flow, sink, rows)


def _close(db: sqlite3.Connection, flow: str, sink: str, rows: int) -> None:
    """Drop a queue and count its rows; one that is closed already is not counted again."""
    gone = 0
    for table in ("outbox", "outlet"):  # With its lanes, named like `out#1`; the tables are ours.
        where = "flow=?1 AND (sink=?2 OR substr(sink, 1, length(?2) + 1) = ?2 || '#')"
        gone += db.execute(f"DELETE FROM {table} WHERE {where}", (flow, sink)).rowcount  # noqa: S608
    # Who takes what that sink gave counts by its numbers, and the next sink counts anew.
    db.execute(
        "DELETE FROM position WHERE instr(value, ?) > 0",
        (json.dumps({"from": f"{flow}/{sink}"})[1:-1],),
    )
    if gone and rows:
        db.execute(
            "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE"
            " SET value = CAST(value AS INTEGER) + ?2",
            (f"{CLOSED_ROWS}{flow}", rows),
        )


def sealed_text(flow: str, revision: Revision) -> str:
    """The text of a revision as it is stored: a flipped bit must not become another flow."""
    return seal(revision.text, *revision_key(flow, revision))


def whole_text(flow: str, revision: Revision) -> str:
    """The text of a revision whose `text` is still sealed.

    Raises:
        StateError: It is damaged.
    """
    return unseal(revision.text, *revision_key(flow, revision))


def revision_key(flow: str, r: Revision) -> tuple[str | int, ...]:
    """What the seal of a revision covers beside its text."""
    return flow, r.number, r.ts, r.author, r.note, r.variables


def _write_events(db: sqlite3.Connection, entry: Entry) -> None:
    for gap in entry.gaps:
        text = json.dumps(gap.detail, sort_keys=True, default=str)
        key = gap_key(entry.flow, gap.source, gap.cause, gap.from_ts, gap.to_ts, text)
        db.execute(
            "INSERT OR IGNORE INTO gap (key, flow, source, cause, from_ts, to_ts, detail)"
            " VALUES (?,?,?,?,?,?,?)",
            (key, entry.flow, gap.source, gap.cause, gap.from_ts, gap.to_ts, text),
        )
    for event in entry.alarms:
        text = json.dumps(plain(event), sort_keys=True)
        db.execute(
            "INSERT OR IGNORE INTO alarm_event (flow, key, ts, alarm, event) VALUES (?,?,?,?,?)",
            (entry.flow, alarm_key(entry.flow, text), event.ts, event.alarm, text),
        )


def gap_key(*parts: str | int) -> str:
    """What makes a gap the same gap, and proves that its row is whole."""
    return hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=16).hexdigest()


def drop_old_rows(db: sqlite3.Connection) -> None:
    """Keep the newest rows of the tables that only grow."""
    for table, kept in ROWS_MAX.items():
        if table == "audit":  # What goes takes its place in the chain with it.
            make_room(db, kept)
            continue
        # The names are ours, from the top of this file.
        db.execute(f"DELETE FROM {table} WHERE id <= (SELECT max(id) FROM {table}) - {kept}")  # noqa: S608
