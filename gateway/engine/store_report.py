"""What the state file says of itself, for the page an operator reads: running or not.

Functions over an SQLite connection; `read_file` opens one of its own that cannot write.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from gateway.engine.alarmbook import AlarmBook
from gateway.engine.health import OWN
from gateway.engine.store_audit import Check, page
from gateway.engine.store_entry import CLOSED_ROWS
from gateway.engine.store_journal import Segments
from gateway.engine.store_letters import letters_dropped
from gateway.engine.store_rows import whole_alarms, whole_marks
from gateway.engine.store_schema import SCHEMA_VERSION, can_go_on
from gateway.errors import ConfigError

T = TypeVar("T")
DAY_NS: Final = 86_400 * 10**9
_WEAR_DAYS: Final = 31
_ALARMS_MAX: Final = 10_000


def read_records(db: sqlite3.Connection, now: int) -> dict[str, Any]:
    """Gaps, dead letters, wear, checkpoints and revisions, as plain values.

    Args:
        db: The state file.
        now: The time [ns]; gaps of the day before are told.
    """
    gaps = db.execute(
        "SELECT flow, source, cause, count(*), min(from_ts), max(to_ts) FROM gap WHERE to_ts>=?"
        " GROUP BY flow, source, cause ORDER BY max(to_ts) DESC",
        (now - DAY_NS,),
    )
    names = ("flow", "source", "cause", "count", "from", "to")
    waiting = db.execute(
        "SELECT flow, node, count(*), sum(rows) FROM dead_letter WHERE state='waiting'"
        " GROUP BY flow, node"
    )
    letters = [dict(zip(("flow", "node", "count", "rows"), row, strict=True)) for row in waiting]
    days = db.execute("SELECT day, bytes FROM wear ORDER BY day DESC LIMIT ?", (_WEAR_DAYS,))
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (page,) = db.execute("PRAGMA page_size").fetchone()
    return {
        "gaps": [dict(zip(names, row, strict=True)) for row in gaps],
        "letters": {
            "waiting": sum(row["count"] for row in letters),
            "by_node": letters,
            "dropped": letters_dropped(db),
        },
        "wear": dict(days.fetchall()),
        "closed": {
            key.removeprefix(CLOSED_ROWS): int(rows)
            for key, rows in db.execute(
                "SELECT key, value FROM meta WHERE substr(key, 1, ?)=?",
                (len(CLOSED_ROWS), CLOSED_ROWS),
            )
        },
        "checkpoints": dict(db.execute("SELECT flow, ts FROM snapshot").fetchall()),
        "revisions": dict(
            db.execute(
                "SELECT flow, max(number) FROM revision WHERE flow<>? GROUP BY flow", (OWN,)
            ).fetchall()
        ),
        "file_bytes": pages * page,
    }


def read_file(path: Path, now: int) -> dict[str, Any]:
    """The report of a gateway that does not run, from its state file, which is not touched.

    Args:
        path: The state file.
        now: The time [ns].

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    return _read(path, lambda db: _offline(db, now))


def read_audit(path: Path, limit: int) -> list[dict[str, Any]]:
    """The newest records of who did what, newest first; raises as `read_file` does."""
    return _read(path, lambda db: page(db, limit))


def check_audit(path: Path) -> dict[str, Any]:
    """Whether no record of the audit was altered; raises as `read_file` does.

    Returns:
        ``rows``, ``broken`` with a sentence for each fault, and ``head``, the newest hash.
    """

    def work(db: sqlite3.Connection) -> dict[str, Any]:
        found = Check()
        while found.some(db):
            pass
        return {"rows": found.rows, "broken": found.broken, "head": found.head}

    return _read(path, work)


def _read(path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
    if not path.exists():
        raise ConfigError(f"There is no state file {path}.", hint="Name its folder with --state.")
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            _must_be_ours(db)
            return work(db)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise ConfigError(
            f"{path} cannot be read: {error}.", hint="Is it this gateway's, and may you read it?"
        ) from error


def _must_be_ours(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if not can_go_on(db, version):
        raise ConfigError(
            f"The state file is of version {version}; this program reads {SCHEMA_VERSION}.",
            hint="`genba run` brings an older one up to date.",
        )


def _offline(db: sqlite3.Connection, now: int) -> dict[str, Any]:
    records = read_records(db, now)
    segments = Segments()
    segments.load(db)
    outlets = _outlets(db)
    flows = sorted({*records["revisions"], *(row["flow"] for row in outlets)})
    return {
        "running": False,
        "now": now,
        **records,
        "journal": segments.reach(),
        "unbalanced": sum(abs(row["unbalanced"]) for row in outlets),
        "flows": [
            {
                "flow": flow,
                "revision": records["revisions"].get(flow, 0),
                "checkpoint": records["checkpoints"].get(flow),
                "outlets": [row for row in outlets if row["flow"] == flow],
            }
            for flow in flows
        ],
        "waiting": _waiting(outlets),
        "alarms": _alarms(db),
    }


def waiting_for_stopped(db: sqlite3.Connection, running: Container[str]) -> list[dict[str, Any]]:
    """What waits on the disk for the sinks of flows that do not run; it is kept until they do.

    Args:
        db: The state file.
        running: Names of the flows that run.
    """
    outlets = [row for row in _outlets(db) if row["flow"] not in running]
    return [{**row, "stopped": True} for row in _waiting(outlets)]


def _waiting(outlets: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**{key: row[key] for key in ("flow", "node", "bytes")}, "rows": row["queued"]}
        for row in outlets
        if row["queued"]
    ]


def _outlets(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """The books of all sinks and workers as the last commit left them."""
    stored = {
        (flow, sink): size
        for flow, sink, size in db.execute(
            "SELECT flow, sink, sum(length(data)) FROM outbox GROUP BY flow, sink"
        )
    }
    found = []
    for flow, node, seq, sealed in db.execute(
        "SELECT flow, sink, seq, mark FROM outlet ORDER BY flow, sink"
    ):
        mark = whole_marks(flow, [(node, seq, sealed)])[0].get(node, (seq, {}))[1]
        offered, delivered, dead = mark.get("rows", (0, 0, 0))
        dropped = {reason: rows for reason, rows in mark.get("dropped", {}).items() if rows}
        queued = offered - delivered - dead - sum(dropped.values())
        found.append(
            {
                "flow": flow,
                "node": node,
                "offered": offered,
                "delivered": delivered,
                "dead": dead,
                "dropped": dropped,
                "queued": max(queued, 0),
                "bytes": stored.get((flow, node), 0),
                "unbalanced": min(queued, 0),
            }
        )
    return found


def _alarms(db: sqlite3.Connection) -> dict[str, int]:
    book = AlarmBook()
    rows = db.execute(
        "SELECT flow, key, event FROM alarm_event ORDER BY id DESC LIMIT ?", (_ALARMS_MAX,)
    )
    book.apply(whole_alarms(rows.fetchall()[::-1])[0])
    return book.counts()
