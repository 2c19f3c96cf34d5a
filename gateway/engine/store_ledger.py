"""Ledger: the store of the simulation, which notes what was committed and can die."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from gateway.engine.health import OWN
from gateway.engine.sim_world import World
from gateway.engine.store import Entry, InlineExecutor, Store

T = TypeVar("T")


@dataclass(eq=False)
class Ledger:
    """All that was ever committed, in order, with the true time [s]; the stores of all lives."""

    world: World
    records: list[tuple[float, int, bytes]] = field(default_factory=list)
    cursors: dict[str, int] = field(default_factory=dict)
    revisions: dict[int, str] = field(default_factory=dict)
    """The text of every revision that was ever deployed."""
    at_death: list[dict[str, int]] = field(default_factory=list)
    """The stored cursors when each life ended."""
    _stores: list[LedgerStore] = field(default_factory=list)

    def new_store(self, path: Path) -> Store:
        """The store of a new life."""
        self._stores.append(LedgerStore(path, self))
        return self._stores[-1]

    def kill(self) -> None:
        """The life is over: nothing more is written, nothing is tidied up."""
        self.at_death.append(dict(self.cursors))
        self._stores[-1].kill()

    def close_all(self) -> None:
        """Close what the dead left open."""
        for store in self._stores:
            store.close_file()


class LedgerStore(Store):
    """A store that notes what was committed, and whose disk can be full."""

    def __init__(self, path: Path, ledger: Ledger) -> None:
        super().__init__(path, InlineExecutor())
        self._ledger = ledger
        self._left: sqlite3.Connection | None = None

    async def open(self) -> str:
        told = await super().open()
        self._open_db().execute("PRAGMA synchronous=OFF")  # No power cut can be simulated here.
        return told

    def kill(self) -> None:
        """Let go without a word; the connection stays as it is, as after kill -9."""
        self._left, self._db = self._db, None
        self._unlock()

    def close_file(self) -> None:
        """Close a connection that was left."""
        if self._left is not None:
            self._left.close()

    def _check_disk(self) -> None:
        world = self._ledger.world
        if world.loop.time() < world.disk_full_until_s:
            raise sqlite3.OperationalError("database or disk is full")

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def checked(db: sqlite3.Connection) -> T:
            self._check_disk()
            return work(db)

        return await super().run(checked)

    def _write(self, entries: Sequence[Entry]) -> None:
        self._check_disk()
        before = self.commits
        try:
            super()._write(entries)
        finally:
            if self.commits > before or self._was_committed(entries):
                self._note(entries)

    def _was_committed(self, entries: Sequence[Entry]) -> bool:
        """For a life that ended between the commit and the end of the call."""
        if self._left is None:
            return False
        (found,) = self._left.execute(
            "SELECT coalesce(max(seq), 0) FROM journal WHERE flow<>?", (OWN,)
        ).fetchone()
        theirs = [entry for entry in entries if entry.flow != OWN and entry.block is not None]
        return any(entry.seq <= found for entry in theirs)

    def _note(self, entries: Sequence[Entry]) -> None:
        now_s = self._ledger.world.loop.time()
        for entry in entries:
            if entry.flow == OWN:
                continue
            if entry.revision is not None:
                self._ledger.revisions[entry.revision.number] = entry.revision.text
            if entry.block is not None:
                self._ledger.records.append((now_s, entry.seq, entry.block))
            for sink, mark in entry.outlets.items():
                self._ledger.cursors[sink] = json.loads(mark)["low"]
