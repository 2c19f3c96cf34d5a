"""History: every sample that Live shows is kept for trends, a file a day.

An observer: nothing waits for it. When it cannot follow, the oldest rows that wait are dropped
and counted. The files are disposable: what must not be lost is in the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from gateway.data.tag import TagTable
from gateway.engine.assembly import Shop
from gateway.engine.executor import Executor, ThreadExecutor
from gateway.engine.history_days import HistoryLimits, room_of
from gateway.engine.history_recorder import Recorder
from gateway.errors import GatewayError
from gateway.flow.node import Clock

_log = logging.getLogger("genba.history")
FLUSH_S: Final = 3.0
"""Between two writes, so that a crash costs no more of the trends."""
CUT_S: Final = 600.0
"""Between two cuts by tag: 600 rows of a tag that comes once a second."""
TIDY_S: Final = 30.0
_PAUSE_S: Final = 0.005


class History(Recorder):
    """Has a thread of its own record samples.

    Args:
        folder: Where the days are kept.
        tags: Names of codes.
        clock: The time.
        limits: How much may be kept.
        is_short: Whether the reserve of the state file was given up.
        told: Called with (level, sentence) for people, on the event loop's thread.
        executor: Where it writes; a thread of its own unless a test brings another.
        room: How much is free on the disk, and how large it is [bytes].
    """

    def __init__(
        self,
        folder: Path,
        tags: TagTable,
        clock: Clock,
        limits: HistoryLimits | None = None,
        *,
        is_short: Callable[[], bool] = lambda: False,
        told: Callable[[str, str], None] = lambda level, text: None,
        executor: Executor | None = None,
        room: Callable[[Path], tuple[int, int]] = room_of,
    ) -> None:
        super().__init__(folder, tags, limits, is_short=is_short, room=room)
        self._clock = clock
        self._told = told
        self._executor = executor or ThreadExecutor("genba-history")

    async def run(self) -> None:
        """Have the thread write until cancelled."""
        await self._on_thread(self.days.cut_all_tails)
        cut_s = tidy_s = self._clock.monotonic()
        now = self._clock.now()
        await self._on_thread(partial(self.days.tidy, now))
        while True:
            await asyncio.sleep(FLUSH_S)
            now, now_s = self._clock.now(), self._clock.monotonic()
            await self._on_thread(partial(self.flush, now))
            is_due = now_s - cut_s >= CUT_S or self.memory_rows > self.limits.memory_rows_max
            if is_due or self._plan:
                cut_s = now_s
                await self._cut()
            if now_s - tidy_s >= TIDY_S or self._trouble:
                tidy_s = now_s
                await self._on_thread(partial(self.days.tidy, now))

    async def _cut(self) -> None:
        await self._on_thread(self.begin_cut)
        goes_on = True
        while goes_on:
            goes_on = await self._on_thread(self.cut_some)
            await asyncio.sleep(_PAUSE_S)

    async def _on_thread(self, work: Callable[[], object]) -> bool:
        """Run on the thread; an error costs some of the trends and nothing else."""
        try:
            return bool(await self._executor.run(work))
        except (GatewayError, OSError) as error:
            self._told_trouble(f"Trends cannot be written: {error} Next try in {FLUSH_S:g} s.")
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            _log.exception("History failed.")
            self._told_trouble(f"Trends cannot be written by an error of ours: {error!r}.")
        finally:
            while self._said:
                self._told(*self._said.popleft())
        return False

    def _told_trouble(self, text: str) -> None:
        if text != self._trouble:
            self._say("error", text)
        self._trouble = text

    async def stop(self) -> None:
        """Write down what waits, and let go of the files; no loop runs any more."""
        now = self._clock.now()
        await self._on_thread(partial(self.flush, now))
        await self._on_thread(self.days.close_all)
        self._executor.close()


def kept_from(shop: Shop, limits: HistoryLimits | None) -> History | None:
    """The history of what a gateway's flows show; None where none is to be kept."""
    if limits is None or not limits.history_days_max:
        return None
    history = History(
        shop.state_dir / "trends",
        shop.tags,
        shop.clock,
        limits,
        is_short=lambda: shop.store.is_short(),
        told=lambda level, text: shop.lines.add(shop.clock.now(), level, "history", text),
    )
    shop.live.also = history.take
    return history


__all__ = ["History", "HistoryLimits", "kept_from"]
