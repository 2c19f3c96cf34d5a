"""Store: the gateway's memory, as the engine uses it.

One file, one writer thread; see `store_writer` for how a commit is made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from gateway.data.alarm import AlarmEvent
from gateway.engine.crash import crash_point
from gateway.engine.executor import Executor, InlineExecutor, ThreadExecutor
from gateway.engine.store_entry import Entry, drop_old_rows
from gateway.engine.store_file import in_transaction
from gateway.engine.store_journal import DELETE_BYTES, Retention, records
from gateway.engine.store_rows import (
    BLOCK_SUM_BYTES,
    whole_alarms,
    whole_blocks,
    whole_marks,
    whole_positions,
    whole_tags,
)
from gateway.engine.store_state import Checkpoint, Loaded, Saved, load, sweep
from gateway.engine.store_writer import Writer

T = TypeVar("T")


class Store(Writer):
    """The gateway's memory in one SQLite file: what is written, kept and read back."""

    # ------------------------------------------------------------------ checkpoints

    async def save_snapshot(self, checkpoint: Checkpoint) -> int:
        """Store the states of a flow, in slices between which commits have their turn.

        Returns:
            Bytes written.

        Raises:
            Disconnected: The disk refused; the older checkpoint stays.
        """
        async with self._saving:  # Two at a time would mix their chunks.
            return await self._save_snapshot(checkpoint)

    async def _save_snapshot(self, checkpoint: Checkpoint) -> int:
        saved = self._saved.setdefault(checkpoint.flow, Saved())
        slices: Iterator[None] | None = None
        is_broken = False

        def one(db: sqlite3.Connection) -> bool:
            nonlocal slices, is_broken
            if is_broken:  # A slice that failed cannot be written a second time.
                raise sqlite3.OperationalError("a checkpoint was cut short")
            slices = slices or checkpoint.slices(db, saved)
            goes_on = is_broken = True

            def work() -> None:
                nonlocal goes_on
                goes_on = next(slices, self) is None

            before = checkpoint.written
            in_transaction(db, work)
            is_broken = False
            self._log_bytes += checkpoint.written - before
            return goes_on

        def finish(db: sqlite3.Connection) -> None:
            crash_point("pre_snapshot")
            in_transaction(db, lambda: checkpoint.finish(db, saved))
            saved.is_whole = True
            self._done[checkpoint.flow] = checkpoint.seq
            self.bytes_written += checkpoint.written
            crash_point("post_snapshot")

        try:
            while await self.run(one):
                crash_point("mid_snapshot")
                await self._fold_when_due()
            await self.run(finish)
        except BaseException:
            # In the writer thread: one who is cancelled leaves it at work with what is saved.
            await self._executor.run(saved.forget)
            raise
        await self._fold_when_due()
        return checkpoint.written

    async def snapshot(self, flow: str) -> Loaded | None:
        """A flow's newest checkpoint.

        Raises:
            StateError: It is damaged.
        """

        def work(db: sqlite3.Connection) -> Loaded | None:
            in_transaction(db, lambda: sweep(db, flow))
            known, self._done[flow] = self._done.get(flow, 0), 0  # If it is damaged, all is kept.
            loaded, self._saved[flow] = load(db, flow)
            self._done[flow] = known
            if loaded is not None:
                self._done[flow] = loaded.seq
            return loaded

        return await self.run(work)

    async def trim(self, now: int) -> None:
        """Drop what is too old or too much, in small transactions; `now` [ns]."""

        def work(db: sqlite3.Connection) -> bool:
            oldest = self.segments.too_many(self.retention, now, self._done)
            if oldest is None:
                return False
            self._is_miscounted = True  # Until the disk has agreed.
            in_transaction(db, lambda: self.segments.drop_some(db, *oldest))
            self._is_miscounted = False
            self._log_bytes += DELETE_BYTES
            return True

        while await self.run(work):
            await self._fold_when_due()
        await self.run(lambda db: in_transaction(db, lambda: drop_old_rows(db)))

    # ------------------------------------------------------------------ reading back

    async def journal(self, flow: str, after: int, limit: int = 500) -> Sequence[tuple[int, bytes]]:
        """(number, block) of the next journal records of a flow, oldest first."""
        return await self.run(lambda db: records(db, flow, after, limit))

    async def positions(self, flow: str) -> dict[str, Any]:
        """Source positions by node id."""
        rows = await self._query("SELECT node, value FROM position WHERE flow=?", (flow,))
        return self._whole(whole_positions(flow, rows))

    async def outlets(self, flow: str) -> dict[str, tuple[int, dict[str, Any]]]:
        """By sink: the journal record up to which it is known what it has taken, and what."""
        rows = await self._query("SELECT sink, seq, mark FROM outlet WHERE flow=?", (flow,))
        return self._whole(whole_marks(flow, rows))

    async def queues(self, flow: str) -> set[str]:
        """The names of all queues that have anything on the disk."""
        sql = "SELECT sink FROM outlet WHERE flow=?1 UNION SELECT sink FROM outbox WHERE flow=?1"
        return {str(row[0]) for row in await self._query(sql, (flow,))}

    async def blocks(self, flow: str, sink: str) -> list[tuple[int, int, int, int]]:
        """(first, last, rows, bytes) of all that waits on the disk for a sink, by number.

        What is damaged is dropped, and said.
        """
        sql = (
            "SELECT first, last, rows, length(data), substr(data, 1, ?)"
            " FROM outbox WHERE flow=? AND sink=? ORDER BY first"
        )
        rows = await self._query(sql, (BLOCK_SUM_BYTES, flow, sink))
        found, lost = whole_blocks(flow, sink, rows)
        for first in lost:
            await self._query(
                "DELETE FROM outbox WHERE flow=? AND sink=? AND first=?", (flow, sink, first)
            )
        if lost:
            self.lost_blocks.add((flow, sink))
            self.lost(f"Rows that waited for {sink} in {flow} are lost: {len(lost)} stored blocks.")
        return found

    async def block(self, flow: str, sink: str, first: int) -> bytes:
        """Messages that wait for a sink, as one block; empty when there is none."""
        rows = await self._query(
            "SELECT data FROM outbox WHERE flow=? AND sink=? AND first=?", (flow, sink, first)
        )
        return bytes(rows[0][0])[BLOCK_SUM_BYTES:] if rows else b""

    async def tags(self) -> list[dict[str, Any]]:
        """Facts of all tags, by code."""
        return self._whole(whole_tags(await self._query("SELECT code, fact FROM tag", ())))

    async def alarm_events(self, limit: int = 100_000) -> list[AlarmEvent]:
        """The newest alarm events, oldest first."""
        sql = "SELECT flow, key, event FROM alarm_event ORDER BY id DESC LIMIT ?"
        return self._whole(whole_alarms((await self._query(sql, (limit,)))[::-1]))

    def _whole(self, read: tuple[T, str]) -> T:
        """What was read; what is damaged is said."""
        found, damage = read
        if damage:
            self.lost(damage)
        return found


__all__ = ["Entry", "Executor", "InlineExecutor", "Retention", "Store", "ThreadExecutor"]
