"""Reading the state file beside the gateway that writes it: for replays and for looking.

A connection of its own, opened read-only, that asks for a few hundred records at a time: it
never holds a lock for long and never keeps the gateway from folding its log.

Source: sqlite.org/uri.html (mode, immutable) and wal.html, "Read-Only Databases".
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from gateway.data.alarm import AlarmEvent
from gateway.data.tag import TagTable
from gateway.engine.store_entry import Revision as Stored
from gateway.engine.store_entry import whole_text
from gateway.engine.store_rows import whole_alarms, whole_tags
from gateway.engine.store_state import load
from gateway.errors import ConfigError, Disconnected, StateError
from gateway.flow.node import State

RECORDS: Final = 500
"""Journal records in one query: half a megabyte, and a transaction of milliseconds."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What is recorded of one flow.

    Args:
        flow: Its name.
        first: Number of the oldest record; 1 when nothing was dropped yet.
        last: Number of the newest record.
        from_ts: Time of the oldest [ns].
        to_ts: Time of the newest [ns].
    """

    flow: str
    first: int
    last: int
    from_ts: int
    to_ts: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The stored state of a flow.

    Args:
        seq: Number of the last journal record that it contains.
        now: Time of the last step [ns].
        states: The states of the nodes.
    """

    seq: int
    now: int
    states: dict[str, State]


@dataclass(frozen=True, slots=True)
class Revision:
    """A flow as it was deployed.

    Args:
        number: Counts the revisions of a flow.
        ts: When it was deployed [ns].
        text: The flow file.
        variables: Values of its variables.
    """

    number: int
    ts: int
    text: str
    variables: dict[str, str]


class StateReader:
    """The state file of a gateway, which may be running.

    Args:
        path: The file.

    Raises:
        ConfigError: There is no such file.
        Disconnected: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ConfigError(
                f"There is no state file {path}.",
                hint="Name the folder that `genba run` was given with --state.",
            )
        self.path = path
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        uri = self.path.resolve().as_uri()
        modes = ["mode=ro"]
        if not Path(f"{self.path}-wal").exists():
            modes.append("immutable=1")  # A stopped gateway's file in a folder we cannot write to.
        error: sqlite3.Error | None = None
        for mode in modes:
            db = sqlite3.connect(f"{uri}?{mode}", uri=True, isolation_level=None)
            try:
                db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            except sqlite3.Error as refused:
                db.close()
                error = refused
            else:
                return db
        raise Disconnected(f"{self.path} cannot be read: {error}. May you read it?") from error

    def __enter__(self) -> StateReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise Disconnected(f"{self.path} cannot be read: {error}.") from error

    def _columns(self, table: str) -> set[str]:
        """Names of a table's columns; empty when the file has no such table."""
        return {row[1] for row in self._query(f"PRAGMA table_info({table})")}

    # ------------------------------------------------------------------ journal

    def journals(self) -> list[Journal]:
        """Every flow of which something is recorded."""
        rows = self._query("SELECT DISTINCT flow FROM journal ORDER BY flow")
        found = (self.journal(flow) for (flow,) in rows)
        return [journal for journal in found if journal is not None]

    def journal(self, flow: str) -> Journal | None:
        """What is recorded of a flow; None when nothing is."""
        ends = []
        for order in ("ASC", "DESC"):
            sql = f"SELECT seq, ts FROM journal WHERE flow=? ORDER BY seq {order} LIMIT 1"  # noqa: S608 - one of two words
            ends += self._query(sql, flow)
        if len(ends) < 2:
            return None
        (first, from_ts), (last, to_ts) = ends
        return Journal(flow, int(first), int(last), int(from_ts), int(to_ts))

    def first_at(self, flow: str, ts: int) -> int | None:
        """Number of the first record at or after a time [ns]; None when there is none.

        Times of records never go back, so a dozen look-ups find it.
        """
        journal = self.journal(flow)
        if journal is None or journal.to_ts < ts:
            return None
        low, high = journal.first, journal.last
        while low < high:
            middle = (low + high) // 2
            sql = "SELECT seq, ts FROM journal WHERE flow=? AND seq>=? ORDER BY seq LIMIT 1"
            ((seq, at),) = self._query(sql, flow, middle)
            if at >= ts:
                high = middle
            else:
                low = int(seq) + 1
        return low

    def records(self, flow: str, first: int) -> Iterator[tuple[int, bytes]]:
        """(number, block) of every record from `first` on, oldest first."""
        after = first - 1
        sql = "SELECT seq, data FROM journal WHERE flow=? AND seq>? ORDER BY seq LIMIT ?"
        while rows := self._query(sql, flow, after, RECORDS):
            for seq, data in rows:
                yield int(seq), bytes(data)
            after = int(rows[-1][0])

    # ------------------------------------------------------------------ all else

    def tags(self, limit: int) -> TagTable:
        """A table of all tags, code for code as the gateway has them.

        Args:
            limit: How many tags the table may have; it has room for those there are.
        """
        facts, _ = whole_tags(self._query("SELECT code, fact FROM tag ORDER BY code"))
        table = TagTable(max(limit, len(facts), 1))
        table.load(facts)
        return table

    def alarms(self, flow: str, start: int, end: int) -> list[AlarmEvent]:
        """Alarm events of a flow with a time in [start, end) [ns], in the order recorded."""
        rows = self._query(
            "SELECT flow, key, event FROM alarm_event WHERE flow=? AND ts>=? AND ts<? ORDER BY id",
            flow,
            start,
            end,
        )
        return whole_alarms(rows)[0]

    def alarms_from(self) -> int:
        """Time from which on all alarm events are still there [ns]; older ones were dropped."""
        rows = self._query("SELECT min(id), min(ts) FROM alarm_event")
        first, ts = rows[0]
        return int(ts) if first is not None and first > 1 else 0

    def revisions(self, flow: str) -> list[Revision]:
        """Every recorded revision of a flow, oldest first; none in a file that keeps none."""
        if not self._columns("revision"):
            return []
        rows = self._query(
            "SELECT number, ts, author, note, text, variables FROM revision WHERE flow=?"
            " ORDER BY number",
            flow,
        )
        found = []
        for row in rows:
            stored = Stored(*row)
            try:
                text = whole_text(flow, stored)
            except StateError:
                continue  # The gateway has said so when it started.
            found.append(Revision(stored.number, stored.ts, text, json.loads(stored.variables)))
        return found

    def checkpoint(self, flow: str, before: int) -> Checkpoint | None:
        """The newest stored state from before a time [ns]; None when none can be used."""
        try:
            loaded, _ = load(self._db, flow)
        except (StateError, sqlite3.Error):
            return None
        taken = self._query("SELECT ts FROM snapshot WHERE flow=?", flow)
        if loaded is None or loaded.damaged or not taken or taken[0][0] > before:
            return None
        return Checkpoint(loaded.seq, int(loaded.head["now"]), loaded.states)


__all__ = ["Checkpoint", "Journal", "Revision", "StateReader"]
