"""Known: what is known of explanations, for people who ask, watch and judge."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gateway.data.alarm import AlarmEvent, AlarmState
from gateway.data.tasks import Tasks
from gateway.engine.explain_progress import Board, Progress
from gateway.engine.store_alarms import alarm_event
from gateway.engine.store_explain import Judgement, Key, find, judge
from gateway.errors import Disconnected

if TYPE_CHECKING:
    from gateway.engine.runtime import Runtime

AGAIN_S: Final = 5.0
"""After the disk has refused."""


class Known:
    """Explanations by alarm: those of the last time in memory, the others in the state file.

    Args:
        runtime: The gateway.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.board = Board()
        self.counts: Counter[str] = Counter()
        """explained, joined (taken into an incident), failed, not_stored, judged_right,
        judged_wrong, judged_other, and what `ModelDesk` counts."""
        self._runtime = runtime
        self._tasks = Tasks("explain")

    # ------------------------------------------------------------------ who watches

    def watch(self, key: Key, language: str) -> None:
        """Somebody looks at it: what is stored of it is fetched."""
        self.board.watch(key, language)
        if self.board.get(key) is None:
            self._tasks.start("load", self._load(key))

    async def _load(self, key: Key) -> None:
        try:
            stored = await asyncio.to_thread(find, self._runtime.store.path, key)
        except Disconnected as error:
            self.board.set(key, "failed", str(error))
            return
        if self.board.get(key) is not None:
            return  # It was raised meanwhile.
        if stored is None:
            self.board.set(key, "none")
            return
        self.board.led(key, stored.key)
        self.board.set(stored.key, "done", explained=stored)

    # ------------------------------------------------------------------ what people ask

    async def find(self, alarm: str, occurrence: int) -> Progress:
        """How far the explanation of an alarm is, whoever asked for it.

        Raises:
            Disconnected: The state file cannot be read.
        """
        key = (alarm, occurrence or self._newest(alarm))
        progress = self.board.get(key)
        if progress is not None and progress.explained is not None:
            return progress
        stored = await asyncio.to_thread(find, self._runtime.store.path, key)
        if progress is not None:
            progress.explained = progress.explained or stored
            return progress
        if stored is None:
            return Progress(key)
        self.board.led(key, stored.key)
        return Progress(stored.key, "done", stored)

    async def judge(self, alarm: str, occurrence: int, judgement: Judgement) -> None:
        """Keep what an operator says of an explanation.

        Without a cause, one that was right is right in the cause that it named first.

        Raises:
            Rejected: There is no such explanation.
            Disconnected: It cannot be stored.
        """
        progress = await self.find(alarm, occurrence)
        if judgement.verdict == "right" and not judgement.cause and progress.explained:
            top = progress.explained.causes[:1]
            judgement = replace(judgement, cause=top[0][0] if top else "")
        row = await judge(self._runtime.store, progress.key, judgement)
        self.counts[f"judged_{judgement.verdict}"] += 1
        known = self.board.get(row.key)
        if known is not None and known.explained is not None:
            found = replace(known.explained, judgement=judgement)
            self.board.set(row.key, known.state, known.note, found)

    def _newest(self, alarm: str) -> int:
        event = self._runtime.book.get(alarm)
        return event.occurrence if event is not None else 0

    async def is_stored(self, key: Key) -> bool:
        """Whether an annunciation was explained before a restart."""
        try:
            return await asyncio.to_thread(find, self._runtime.store.path, key) is not None
        except Disconnected:
            await asyncio.sleep(AGAIN_S)
            return False

    async def annunciation(self, alarm: str, occurrence: int) -> AlarmEvent | None:
        """The annunciation that is meant: the first event of its occurrence."""
        occurrence = occurrence or self._newest(alarm)
        for event in self._runtime.book.history():
            is_meant = (event.alarm, event.occurrence) == (alarm, occurrence)
            if is_meant and event.state is AlarmState.UNACK:
                return event
        return await asyncio.to_thread(alarm_event, self._runtime.store.path, alarm, occurrence)


__all__ = ["Known"]
