"""Alarm events and gaps out of the state file, for people who look back.

Reads with a connection of its own that cannot write, on whatever thread asks: a look at a year
of alarms holds up no commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.data.alarm import AlarmEvent, AlarmState, Overlay
from gateway.data.tag import pattern_of
from gateway.engine.codec import plain
from gateway.engine.store_entry import gap_key
from gateway.engine.store_rows import whole_alarms
from gateway.errors import Disconnected

T = TypeVar("T")
_PAGE: Final = 2_000
GAPS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class AlarmSearch:
    """Which alarm events are wanted.

    Args:
        start: First instant [ns].
        end: First instant that is not wanted [ns].
        tag: A filter as those of MQTT, or a part of the name; empty is all.
        priorities: Some of low, medium, high, urgent; empty is all.
        text: A part of the alarm's id, tag, text or actor, however it is written; empty is all.
        before: Only events with smaller numbers, to read on; 0 begins with the newest.
    """

    start: int
    end: int
    tag: str = ""
    priorities: frozenset[str] = frozenset()
    text: str = ""
    before: int = 0

    def fits(self) -> Callable[[AlarmEvent], bool]:
        """What says whether an event is wanted, but for its time."""
        tag_fits = pattern_of(self.tag) if self.tag else None
        part, text = self.tag.casefold(), self.text.casefold()

        def fits(event: AlarmEvent) -> bool:
            if self.priorities and event.priority not in self.priorities:
                return False
            is_of_tag = part in event.tag.casefold() or (tag_fits and tag_fits(event.tag))
            if self.tag and not is_of_tag:
                return False
            words = (event.alarm, event.tag, event.text, event.actor)
            return not text or any(text in word.casefold() for word in words)

        return fits


def read_only(path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    """What a function reads over a connection of its own that cannot write.

    Raises:
        Disconnected: The file cannot be read.
    """
    uri = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
            db.text_factory = lambda stored: stored.decode(errors="replace")
            return work(db)
    except sqlite3.Error as error:
        raise Disconnected(f"{path} cannot be read: {error}.") from error


def _pages(db: sqlite3.Connection, search: AlarmSearch) -> Iterator[list[tuple[Any, ...]]]:
    before = search.before or (1 << 62)
    while rows := db.execute(
        "SELECT flow, key, event, id FROM alarm_event WHERE id<? AND ts>=? AND ts<?"
        " ORDER BY id DESC LIMIT ?",
        (before, search.start, search.end, _PAGE),
    ).fetchall():
        yield rows
        before = int(rows[-1][3])


def find_alarms(path: Path, search: AlarmSearch, limit: int) -> list[dict[str, Any]]:
    """Stored alarm events, newest first, as plain values with their ``id`` and ``flow``.

    Args:
        path: The state file.
        search: Which.
        limit: How many.

    Raises:
        Disconnected: The file cannot be read.
    """
    fits = search.fits()

    def work(db: sqlite3.Connection) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for page in _pages(db, search):
            for flow, key, text, number in page:
                events, _ = whole_alarms([(flow, key, text)])
                if events and fits(events[0]):
                    found.append({**plain(events[0]), "id": number, "flow": flow})
                    if len(found) == limit:
                        return found
        return found

    return read_only(path, work)


def alarms_after(path: Path, number: int) -> tuple[list[AlarmEvent], int, int]:
    """Stored alarm events behind a number, in their order.

    Returns:
        The events, the number of the last, and from when on none is missing [ns].

    Raises:
        Disconnected: The file cannot be read.
    """

    def work(db: sqlite3.Connection) -> tuple[list[tuple[Any, ...]], int]:
        rows = db.execute(
            "SELECT flow, key, event, id FROM alarm_event WHERE id>? ORDER BY id", (number,)
        ).fetchall()
        first, ts = db.execute("SELECT min(id), min(ts) FROM alarm_event").fetchone()
        return rows, int(ts) if first is not None and first > 1 else 0

    rows, since = read_only(path, work)
    last = int(rows[-1][3]) if rows else number
    return whole_alarms([row[:3] for row in rows])[0], last, since


def alarm_event(path: Path, alarm: str, occurrence: int) -> AlarmEvent | None:
    """The annunciation of an alarm as it is stored; None when there is none.

    Args:
        path: The state file.
        alarm: The alarm's id.
        occurrence: Which annunciation; 0 is the newest.

    Raises:
        Disconnected: The file cannot be read.
    """

    def work(db: sqlite3.Connection) -> AlarmEvent | None:
        rows = db.execute(
            "SELECT flow, key, event FROM alarm_event WHERE alarm=? ORDER BY id DESC LIMIT ?",
            (alarm, _PAGE),
        ).fetchall()
        found, wanted = None, occurrence
        for event in whole_alarms(rows)[0]:  # The newest first; the one that came first is meant.
            if event.state is AlarmState.UNACK and event.overlay is Overlay.NONE:
                wanted = wanted or event.occurrence
                found = event if event.occurrence == wanted else found
        return found

    return read_only(path, work)


def gaps_between(path: Path, start: int, end: int) -> list[dict[str, Any]]:
    """Gaps that touch [start, end) [ns], the newest `GAPS_MAX`; those that are whole.

    Raises:
        Disconnected: The file cannot be read.
    """
    sql = (
        "SELECT flow, source, cause, from_ts, to_ts, detail, key FROM gap"
        " WHERE to_ts>=? AND from_ts<? ORDER BY to_ts DESC LIMIT ?"
    )
    rows = read_only(path, lambda db: db.execute(sql, (start, end, GAPS_MAX)).fetchall())
    names = ("flow", "source", "cause", "from", "to")
    return [dict(zip(names, row[:5], strict=True)) for *row, key in rows if gap_key(*row) == key]
