"""Dead letters in the state file: kept within bounds, and decided about once.

Functions over an SQLite connection, for the store's writer thread.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from dataclasses import dataclass
from typing import Final, Literal

from gateway.engine.store_audit import append
from gateway.errors import ConfigError

LetterState = Literal["waiting", "replayed", "discarded"]
LETTERS_ROWS_MAX: Final = 10_000
LETTERS_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of all dead letters together. Beyond it those that are settled go, then the oldest."""
_DROPPED: Final = "letters_dropped"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person has decided about a dead letter.

    Args:
        letter: Its number.
        state: replayed or discarded.
        ts: When [ns].
        actor: Who: ``user:anna``.
        detail: What the audit is to say besides, as JSON.
    """

    letter: int
    state: LetterState
    ts: int
    actor: str
    detail: str = "{}"


class Again:
    """What a person hands to a flow, and whom to tell that it is in the journal.

    Args:
        decision: For a dead letter; stored in the same transaction as the message, so that it
            comes in once.
    """

    def __init__(self, decision: Decision | None = None) -> None:
        self.decision = decision
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(self) -> None:
        """It is in the journal."""
        if not self.settled.done():
            self.settled.set_result(None)

    def fail(self, text: str) -> None:
        """It cannot be given back, and waits as before."""
        if not self.settled.done():
            self.settled.set_exception(ConfigError(text))


def letter_key(place: str, data: bytes) -> str:
    """Names a letter, so that what is refused again after a crash is kept once.

    >>> letter_key("flow/sink/7", b"x")
    'flow/sink/7/4adf4367f96e584f'

    Args:
        place: Where it was refused, with the number of the message.
        data: What was refused: numbers start over when a sink is taken out and put in again.
    """
    return f"{place}/{hashlib.blake2b(data, digest_size=8).hexdigest()}"


def decide(db: sqlite3.Connection, decision: Decision) -> bool:
    """Settle a letter that waits, and record who did it; False when it does not wait any more."""
    found = db.execute(
        "UPDATE dead_letter SET state=? WHERE id=? AND state='waiting'",
        (decision.state, decision.letter),
    )
    if not found.rowcount:
        return False
    verb = "replay" if decision.state == "replayed" else "discard"
    detail = {"letter": decision.letter, **json.loads(decision.detail)}
    append(db, decision.ts, decision.actor, f"dlq/{verb}", json.dumps(detail, sort_keys=True))
    return True


def bound_letters(db: sqlite3.Connection) -> int:
    """Drop letters beyond the limits: those that are settled first, then those that wait.

    Returns:
        How many that waited were dropped; `letters_dropped` counts them for ever.
    """
    count, size = db.execute("SELECT count(*), sum(length(data)) FROM dead_letter").fetchone()
    if count <= LETTERS_ROWS_MAX and (size or 0) <= LETTERS_BYTES_MAX:
        return 0
    gone: list[tuple[int]] = []
    waiting = 0
    for number, state, length in db.execute(
        "SELECT id, state, length(data) FROM dead_letter ORDER BY state='waiting', id"
    ):
        if count <= LETTERS_ROWS_MAX and size <= LETTERS_BYTES_MAX:
            break
        gone.append((number,))
        waiting += state == "waiting"
        count, size = count - 1, size - length
    db.executemany("DELETE FROM dead_letter WHERE id=?", gone)
    if waiting:
        db.execute(
            "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE"
            " SET value = CAST(value AS INTEGER) + ?2",
            (_DROPPED, waiting),
        )
    return waiting


def letters_dropped(db: sqlite3.Connection) -> int:
    """How many letters that waited were ever dropped for lack of room."""
    row = db.execute("SELECT value FROM meta WHERE key=?", (_DROPPED,)).fetchone()
    return int(row[0]) if row else 0
