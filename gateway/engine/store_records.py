"""What people ask of the state file: dead letters, gaps, revisions, the audit and the wear.

Functions over a Store; each is one hop to its writer thread.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gateway.engine.store import Store
from gateway.engine.store_audit import Check, append, page
from gateway.engine.store_entry import Revision, gap_key, whole_text
from gateway.engine.store_file import in_transaction
from gateway.engine.store_letters import Decision, LetterState, bound_letters, decide
from gateway.errors import StateError

_LETTER: Final = ("id", "flow", "node", "port", "ts", "revision", "error", "rows", "bytes", "state")
_LETTER_SQL: Final = (
    "SELECT id, flow, node, port, ts, revision, error, rows, length(data), state FROM dead_letter"
)
LETTER_BYTES_MAX: Final = 4_000_000
"""A larger message keeps its beginning only; it is said in the error."""


async def keep_letter(
    store: Store,
    key: str,
    flow: str,
    node: str,
    port: str,
    ts: int,
    revision: int,
    error: str,
    rows: int,
    data: bytes,
) -> None:
    """Keep what a sink refused for good, or what made a node fail; once for each key.

    Raises:
        Disconnected: The disk refused.
    """
    if len(data) > LETTER_BYTES_MAX:
        error = f"{error} (Only the first {LETTER_BYTES_MAX:,} of {len(data):,} bytes are kept.)"
        data = data[:LETTER_BYTES_MAX]
    values = (key, flow, node, port, ts, revision, error, rows, data)
    dropped = 0

    def keep(db: sqlite3.Connection) -> None:
        nonlocal dropped
        db.execute(
            "INSERT OR IGNORE INTO dead_letter"
            " (key, flow, node, port, ts, revision, error, rows, data) VALUES (?,?,?,?,?,?,?,?,?)",
            values,
        )
        dropped = bound_letters(db)

    await store.run(lambda db: in_transaction(db, lambda: keep(db)))
    if dropped:
        text = f"There are too many dead letters: {dropped} of the oldest that waited were dropped."
        store.told("error", f"{text} Decide about them: genba dlq list")


async def letters(
    store: Store, state: LetterState | None = "waiting", limit: int = 1000
) -> list[dict[str, Any]]:
    """The newest dead letters, newest first, without their contents."""
    where, values = (" WHERE state=?", (state,)) if state else ("", ())

    def work(db: sqlite3.Connection) -> list[dict[str, Any]]:
        rows = db.execute(f"{_LETTER_SQL}{where} ORDER BY id DESC LIMIT ?", (*values, limit))
        return [dict(zip(_LETTER, row, strict=True)) for row in rows]

    return await store.run(work)


async def letter(store: Store, number: int) -> tuple[dict[str, Any], bytes] | None:
    """A dead letter and its message as a block, or None when there is none of that number."""

    def work(db: sqlite3.Connection) -> tuple[dict[str, Any], bytes] | None:
        row = db.execute(f"{_LETTER_SQL} WHERE id=?", (number,)).fetchone()
        if row is None:
            return None
        (data,) = db.execute("SELECT data FROM dead_letter WHERE id=?", (number,)).fetchone()
        return dict(zip(_LETTER, row, strict=True)), bytes(data)

    return await store.run(work)


async def settle_letter(store: Store, decision: Decision) -> bool:
    """A person has decided about a dead letter, which goes into the audit with it.

    Returns:
        False when it does not wait any more: somebody else was faster.

    Raises:
        Disconnected: It cannot be recorded; nothing was done.
    """
    is_settled = False

    def work(db: sqlite3.Connection) -> None:
        nonlocal is_settled
        is_settled = decide(db, decision)

    await store.run(lambda db: in_transaction(db, lambda: work(db)))
    return is_settled


async def newest_record(store: Store) -> int:
    """The time of the newest journal record of all flows [ns]; 0 when there is none."""

    def work(db: sqlite3.Connection) -> int:
        ends = db.execute("SELECT flow, max(seq) FROM journal GROUP BY flow").fetchall()
        times = [
            db.execute("SELECT ts FROM journal WHERE flow=? AND seq=?", end).fetchone()[0]
            for end in ends
        ]
        return max(times, default=0)

    return await store.run(work)


async def letters_waiting(store: Store) -> int:
    """How many dead letters wait for a decision."""
    return await store.run(
        lambda db: int(
            db.execute("SELECT count(*) FROM dead_letter WHERE state='waiting'").fetchone()[0]
        )
    )


async def gaps(store: Store, since: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
    """The newest gaps that end after a time [ns], newest first; those that are whole."""
    names = ("flow", "source", "cause", "from", "to", "detail")

    def work(db: sqlite3.Connection) -> list[dict[str, Any]]:
        rows = db.execute(
            "SELECT flow, source, cause, from_ts, to_ts, detail, key FROM gap WHERE to_ts>=?"
            " ORDER BY id DESC LIMIT ?",
            (since, limit),
        )
        return [
            {**dict(zip(names, row, strict=True)), "detail": json.loads(row[5])}
            for *row, key in rows
            if gap_key(*row) == key
        ]

    return await store.run(work)


async def revisions(store: Store, flow: str) -> list[Revision]:
    """All versions of a flow that are whole, oldest first; damage is said."""

    def work(db: sqlite3.Connection) -> tuple[list[Revision], list[int]]:
        found, lost = [], []
        for number, ts, author, note, sealed, variables in db.execute(
            "SELECT number, ts, author, note, text, variables FROM revision WHERE flow=?"
            " ORDER BY number",
            (flow,),
        ):
            revision = Revision(number, ts, author, note, sealed, variables)
            try:
                found.append(replace(revision, text=whole_text(flow, revision)))
            except StateError:
                lost.append(number)
        return found, lost

    found, lost = await store.run(work)
    if lost:
        numbers = ", ".join(map(str, lost))
        store.lost(f"Revision {numbers} of {flow} is damaged and cannot run any more.")
    return found


async def newest_revisions(store: Store) -> dict[str, tuple[Revision, bool]]:
    """By flow its newest version, and whether any of its versions came from a file."""

    def work(db: sqlite3.Connection) -> list[tuple[Any, ...]]:
        return db.execute(
            "SELECT flow, number, ts, author, note, text, variables, EXISTS (SELECT 1 FROM"
            " revision AS f WHERE f.flow = r.flow AND f.author = 'file') FROM revision AS r"
            " WHERE number = (SELECT max(number) FROM revision AS n WHERE n.flow = r.flow)"
            " ORDER BY flow"
        ).fetchall()

    found = {}
    for flow, number, ts, author, note, sealed, variables, has_file in await store.run(work):
        revision = Revision(number, ts, author, note, sealed, variables)
        try:
            revision = replace(revision, text=whole_text(flow, revision))
        except StateError:
            store.told("error", f"Revision {number} of {flow} is damaged: it does not run.")
            continue
        found[flow] = revision, bool(has_file)
    return found


async def next_revision(store: Store, flow: str) -> int:
    """The number of the next version of a flow; one that is damaged keeps its number."""
    sql = "SELECT coalesce(max(number), 0) + 1 FROM revision WHERE flow=?"
    return await store.run(lambda db: int(db.execute(sql, (flow,)).fetchone()[0]))


async def audit(store: Store, ts: int, actor: str, action: str, detail: Mapping[str, Any]) -> None:
    """Record who did what.

    Raises:
        Disconnected: It cannot be recorded, so it must not be done.
    """
    text = json.dumps(detail, sort_keys=True)
    await store.run(lambda db: in_transaction(db, lambda: append(db, ts, actor, action, text)))


async def audit_rows(store: Store, limit: int = 1000) -> list[dict[str, Any]]:
    """The newest records of who did what, newest first."""
    names = ("ts", "actor", "action", "detail")
    return [{name: row[name] for name in names} for row in await audit_page(store, limit)]


async def audit_page(
    store: Store, limit: int = 1000, before: int = 0, text: str = ""
) -> list[dict[str, Any]]:
    """Records of who did what with their numbers and hashes, newest first.

    Args:
        store: The state file.
        limit: How many.
        before: Only records with smaller numbers; 0 begins with the newest.
        text: Only records with it in them; empty is all.
    """
    return await store.run(lambda db: page(db, limit, before, text))


async def audit_check(store: Store) -> Check:
    """Look for altered records of the audit, some thousand at a time; commits go between."""
    check = Check()
    while await store.run(check.some):
        pass
    return check


async def note_wear(store: Store, day: str, size: int) -> None:
    """Count bytes that were written on a day (``2026-11-26``), for the life of the flash."""

    def work(db: sqlite3.Connection) -> None:
        db.execute(
            "INSERT INTO wear VALUES (?,?) ON CONFLICT (day) DO UPDATE"
            " SET bytes = bytes + excluded.bytes",
            (day, size),
        )

    await store.run(work)


async def wear(store: Store, days: int = 30) -> dict[str, int]:
    """Bytes written by day, the newest first."""

    def work(db: sqlite3.Connection) -> dict[str, int]:
        return dict(db.execute("SELECT day, bytes FROM wear ORDER BY day DESC LIMIT ?", (days,)))

    return await store.run(work)
