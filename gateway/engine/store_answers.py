"""Answers of models that were given before, and what was used today: a file of its own.

It is disposable: without it the same questions are asked again, and today's budgets begin anew.
It is bounded by rows and bytes; what was not used for longest goes first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from gateway.engine.executor import ThreadExecutor

T = TypeVar("T")
ANSWERS_MAX: Final = 5_000
ANSWERS_BYTES_MAX: Final = 32 * 1024 * 1024
DAYS_KEPT: Final = 400
_VERSION: Final = 1
_SCHEMA: Final = (
    "CREATE TABLE answer (key BLOB PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL,"
    " tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, used INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX answer_used ON answer (used)",
    "CREATE TABLE spent (day INTEGER NOT NULL, model TEXT NOT NULL, asked INTEGER NOT NULL,"
    " tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, cost REAL NOT NULL,"
    " PRIMARY KEY (day, model)) WITHOUT ROWID",
    f"PRAGMA user_version={_VERSION}",
)


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer that was given before."""

    model: str
    text: str
    tokens_in: int
    tokens_out: int


class Answers:
    """The file, reached by a thread of its own; where it fails, nothing is kept.

    Args:
        path: The file; made when absent.
        said: Told once when it cannot be used.
        rows_max: Answers kept.
        bytes_max: Their texts together.
    """

    def __init__(
        self,
        path: Path,
        said: Callable[[str], None],
        *,
        rows_max: int = ANSWERS_MAX,
        bytes_max: int = ANSWERS_BYTES_MAX,
    ) -> None:
        self._path = path
        self._said = said
        self._rows_max, self._bytes_max = rows_max, bytes_max
        self._executor: ThreadExecutor | None = None
        self._db: sqlite3.Connection | None = None
        self._rows = self._bytes = 0
        self._is_told = False

    @property
    def rows(self) -> int:
        """How many are kept."""
        return self._rows

    async def get(self, key: bytes, now: int) -> Stored | None:
        """The answer to a question that was asked before; `now` [ns]."""

        def work(db: sqlite3.Connection) -> Stored | None:
            sql = "SELECT model, text, tokens_in, tokens_out FROM answer WHERE key=?"
            row = db.execute(sql, (key,)).fetchone()
            if row is None:
                return None
            db.execute("UPDATE answer SET used=? WHERE key=?", (now, key))
            return Stored(*row)

        return await self._run(work, None)

    async def put(self, key: bytes, answer: Stored, now: int) -> None:
        """Keep an answer; `now` [ns]."""
        size = len(answer.text.encode()) + len(answer.model) + 64

        def work(db: sqlite3.Connection) -> None:
            if db.execute("SELECT 1 FROM answer WHERE key=?", (key,)).fetchone() or (
                size > self._bytes_max
            ):
                return
            values = (key, answer.model, answer.text, answer.tokens_in, answer.tokens_out)
            db.execute("INSERT INTO answer VALUES (?,?,?,?,?,?,?)", (*values, now, size))
            self._rows, self._bytes = self._rows + 1, self._bytes + size
            while self._rows > self._rows_max or self._bytes > self._bytes_max:
                oldest = db.execute("SELECT key, bytes FROM answer ORDER BY used LIMIT 1")
                gone, less = oldest.fetchone()
                db.execute("DELETE FROM answer WHERE key=?", (gone,))
                self._rows, self._bytes = self._rows - 1, self._bytes - less

        await self._run(work, None)

    async def forget(self) -> int:
        """Drop all answers; returns how many there were."""

        def work(db: sqlite3.Connection) -> int:
            rows, self._rows, self._bytes = self._rows, 0, 0
            db.execute("DELETE FROM answer")
            return rows

        return await self._run(work, 0)

    async def spend(
        self, day: int, model: str, tokens_in: int, tokens_out: int, cost: float
    ) -> None:
        """Count one answer of a day."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO spent VALUES (?,?,1,?,?,?) ON CONFLICT (day, model) DO UPDATE SET"
                " asked = asked + 1, tokens_in = tokens_in + excluded.tokens_in,"
                " tokens_out = tokens_out + excluded.tokens_out, cost = cost + excluded.cost",
                (day, model, tokens_in, tokens_out, cost),
            )
            db.execute("DELETE FROM spent WHERE day < ?", (day - DAYS_KEPT,))

        await self._run(work, None)

    async def spent(self, day: int) -> dict[str, tuple[int, float]]:
        """(tokens, cost) of a day by model."""

        def work(db: sqlite3.Connection) -> dict[str, tuple[int, float]]:
            sql = "SELECT model, tokens_in + tokens_out, cost FROM spent WHERE day=?"
            return {name: (int(n), float(c)) for name, n, c in db.execute(sql, (day,))}

        return await self._run(work, {})

    async def close(self) -> None:
        """No more calls will come."""
        if self._executor is not None:
            await self._executor.run(self._shut)
            self._executor.close()
            self._executor = None

    # ------------------------------------------------------------------ the thread

    async def _run(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        if self._executor is None:
            self._executor = ThreadExecutor("genba-answers")

        def safely() -> T:
            try:
                db = self._opened()
                with db:
                    return work(db)
            except (sqlite3.Error, OSError) as error:
                self._fail(error)
                return otherwise

        return await self._executor.run(safely)

    def _opened(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        self._path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self._path, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute("PRAGMA trusted_schema=OFF")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _SCHEMA:
                    db.execute(statement)
            elif version != _VERSION:
                raise sqlite3.DatabaseError(f"it is of version {version}")
            sums = db.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM answer").fetchone()
        except BaseException:
            db.close()
            raise
        self._rows, self._bytes = int(sums[0]), int(sums[1])
        self._path.chmod(0o600)
        self._db = db
        return db

    def _fail(self, error: Exception) -> None:
        """A damaged file is put aside by being deleted; a full disk is waited for."""
        self._shut()
        is_damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(
            error, sqlite3.OperationalError
        )
        if is_damaged:
            for end in ("", "-wal", "-shm"):
                with suppress(OSError):
                    self._path.with_name(self._path.name + end).unlink(missing_ok=True)
        if not self._is_told:
            self._is_told = True
            what = "It begins anew." if is_damaged else "Nothing is kept meanwhile."
            self._said(f"Answers of models cannot be kept in {self._path.name}: {error}. {what}")

    def _shut(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()


__all__ = ["Answers", "Stored"]
