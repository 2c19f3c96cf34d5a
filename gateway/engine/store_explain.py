"""Explanations of alarms in the state file: the facts, the texts, and what operators said.

One row an annunciation. Those that an operator has judged are cases to learn from, so they are
counted by themselves: a storm of alarms does not push them out.

Functions over the store's writer thread where something changes, and over connections of their
own that cannot write where people look back.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from gateway.engine.sealed import seal, unseal
from gateway.engine.store import Store
from gateway.engine.store_alarms import read_only
from gateway.engine.store_audit import append
from gateway.engine.store_file import in_transaction
from gateway.errors import Rejected, StateError

EXPLANATIONS: Final = (
    "CREATE TABLE explanation (id INTEGER PRIMARY KEY, alarm TEXT NOT NULL,"
    " occurrence INTEGER NOT NULL, ts INTEGER NOT NULL, verdict TEXT NOT NULL,"
    " data BLOB NOT NULL, UNIQUE (alarm, occurrence))",
    "CREATE INDEX explanation_verdict ON explanation (verdict, id)",
)
"""The table, and what finds the newest cases in it."""
ROWS_MAX: Final = 4_000
"""Explanations kept that nobody has judged; about 3 kB each."""
CASES_MAX: Final = 2_000
"""Explanations kept that an operator has judged."""
_COLUMNS: Final = "alarm, occurrence, ts, verdict, data"
Key = tuple[str, int]
"""An alarm and which of its annunciations."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an operator said of an explanation.

    Args:
        verdict: right, wrong or other.
        cause: Id of the cause that was right; empty when it is none we know.
        said: Their own words.
        actor: Who.
        ts: When [ns].
    """

    verdict: str
    cause: str = ""
    said: str = ""
    actor: str = ""
    ts: int = 0


@dataclass(frozen=True, slots=True)
class Explained:
    """One annunciation with all that is known of why.

    Args:
        alarm: The alarm's id.
        occurrence: Which of its annunciations.
        ts: When it was raised [ns].
        made: When the newest of this was made [ns].
        sheet: The facts, as plain values; empty where `lead` has them.
        texts: The explanation by language, as plain values.
        causes: Ids of causes with their weights, the likeliest first.
        members: Annunciations that this one is the explanation of too.
        lead: The annunciation whose explanation is that of this one; None when it has its own.
        judgement: What an operator said of it.
        took_s: From the start of the work to the first text [s].
    """

    alarm: str
    occurrence: int
    ts: int
    made: int = 0
    sheet: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    causes: tuple[tuple[str, float], ...] = ()
    members: tuple[Key, ...] = ()
    lead: Key | None = None
    judgement: Judgement | None = None
    took_s: float = 0.0

    @property
    def key(self) -> Key:
        """What names it."""
        return self.alarm, self.occurrence

    def packed(self) -> bytes:
        """As it is stored: compressed, with a checksum over it and its key."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return zlib.compress(seal(text, *self.key).encode("utf-8", "surrogatepass"), 6)

    @classmethod
    def unpacked(cls, alarm: str, occurrence: int, data: bytes) -> Explained:
        """What `packed` gave.

        Raises:
            StateError: It is damaged.
        """
        try:
            text = zlib.decompress(data).decode("utf-8", "surrogatepass")
            found = json.loads(unseal(text, alarm, occurrence))
            found["causes"] = tuple((str(name), float(weight)) for name, weight in found["causes"])
            found["members"] = tuple((str(name), int(n)) for name, n in found["members"])
            found["lead"] = tuple(found["lead"]) if found["lead"] else None
            judged = found["judgement"]
            found["judgement"] = Judgement(**judged) if judged else None
            return cls(**found)
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            raise StateError(f"A stored explanation is damaged: {error!r}.") from error


async def keep(store: Store, *rows: Explained) -> None:
    """Write explanations; what an operator said of one before stays with it.

    Raises:
        Disconnected: The disk refused; the older ones stay.
    """

    def work(db: sqlite3.Connection) -> None:
        for row in rows:
            before = _one(db, row.key)
            if row.judgement is None and before is not None and before.judgement is not None:
                row = replace(row, judgement=before.judgement)
            _write(db, row)
        _drop_old(db)

    await store.run(lambda db: in_transaction(db, lambda: work(db)))


async def judge(store: Store, key: Key, judgement: Judgement) -> Explained:
    """Keep what an operator said of an explanation, with a line in the audit.

    Returns: the explanation that was judged, which may be that of the alarm's incident.

    Raises:
        Rejected: There is no such explanation.
        Disconnected: The disk refused; nothing was changed.
    """
    found: Explained | None = None

    def work(db: sqlite3.Connection) -> None:
        nonlocal found
        found = _resolved(db, key)
        if found is None:
            raise Rejected(f"Nothing is explained of {key[0]} ({key[1]}) any more.")
        found = replace(found, judgement=judgement)
        _write(db, found)
        detail = {"alarm": found.alarm, "occurrence": found.occurrence, **asdict(judgement)}
        detail = {name: value for name, value in detail.items() if name not in ("actor", "ts")}
        text = json.dumps(detail, sort_keys=True)
        append(db, judgement.ts, judgement.actor, "explanation/judge", text)

    await store.run(lambda db: in_transaction(db, lambda: work(db)))
    assert found is not None
    return found


def find(path: Path, key: Key) -> Explained | None:
    """The explanation of an annunciation, which may be that of its incident; None without one.

    Args:
        path: The state file.
        key: Which; an occurrence of 0 is the newest that is explained.

    Raises:
        Disconnected: The file cannot be read.
    """
    return read_only(path, lambda db: _resolved(db, key))


def cases(path: Path, limit: int = CASES_MAX) -> list[Explained]:
    """Explanations that operators have judged, the newest first; damaged ones are left out.

    Raises:
        Disconnected: The file cannot be read.
    """
    sql = f"SELECT {_COLUMNS} FROM explanation WHERE verdict<>'' ORDER BY id DESC LIMIT ?"  # noqa: S608 - ours
    rows = read_only(path, lambda db: db.execute(sql, (limit,)).fetchall())
    return [found for row in rows if (found := _whole(row)) is not None and found.sheet]


def page(path: Path, after: int, limit: int = 200) -> tuple[list[Explained], int]:
    """Explanations behind a number, in their order, and the number of the last; 0 at the end.

    Raises:
        Disconnected: The file cannot be read.
    """
    sql = f"SELECT id, {_COLUMNS} FROM explanation WHERE id>? ORDER BY id LIMIT ?"  # noqa: S608 - ours
    rows = read_only(path, lambda db: db.execute(sql, (after, limit)).fetchall())
    found = [one for row in rows if (one := _whole(row[1:])) is not None and one.sheet]
    return found, int(rows[-1][0]) if rows else 0


def _write(db: sqlite3.Connection, row: Explained) -> None:
    verdict = row.judgement.verdict if row.judgement is not None else ""
    db.execute(
        "INSERT INTO explanation (alarm, occurrence, ts, verdict, data) VALUES (?,?,?,?,?)"
        " ON CONFLICT (alarm, occurrence) DO UPDATE SET ts=excluded.ts,"
        " verdict=excluded.verdict, data=excluded.data",
        (row.alarm, row.occurrence, row.ts, verdict, row.packed()),
    )


def _drop_old(db: sqlite3.Connection) -> None:
    for where, kept in (("verdict=''", ROWS_MAX), ("verdict<>''", CASES_MAX)):
        db.execute(  # The words are ours, from the line above.
            f"DELETE FROM explanation WHERE {where} AND id <= (SELECT id FROM explanation"  # noqa: S608
            f" WHERE {where} ORDER BY id DESC LIMIT 1 OFFSET {kept})"
        )


def _one(db: sqlite3.Connection, key: Key) -> Explained | None:
    sql = f"SELECT {_COLUMNS} FROM explanation WHERE alarm=?"  # noqa: S608 - ours
    if key[1]:
        row = db.execute(f"{sql} AND occurrence=?", key).fetchone()
    else:
        row = db.execute(f"{sql} ORDER BY occurrence DESC LIMIT 1", key[:1]).fetchone()
    return _whole(row) if row is not None else None


def _resolved(db: sqlite3.Connection, key: Key) -> Explained | None:
    found = _one(db, key)
    if found is not None and found.lead is not None:
        return _one(db, found.lead)
    return found


def _whole(row: tuple[Any, ...]) -> Explained | None:
    """A row; None when it is damaged: it is made again when somebody asks."""
    alarm, occurrence, _, _, data = row
    try:
        return Explained.unpacked(str(alarm), int(occurrence), bytes(data))
    except StateError:
        return None


__all__ = [
    "CASES_MAX",
    "EXPLANATIONS",
    "ROWS_MAX",
    "Explained",
    "Judgement",
    "Key",
    "cases",
    "find",
    "judge",
    "keep",
    "page",
]
