"""Executors: a store that works while the event loop has no moment to spare."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from pathlib import Path

import pytest

from gateway.engine.executor import ThreadExecutor

STATEMENTS = 500
TURN = 8_000  # Square roots in a turn of the loop: some 0.4 ms, less than CPython's 5 ms.


async def test_a_busy_event_loop_does_not_starve_the_writer(tmp_path: Path) -> None:
    """Counted in turns of the loop, so that a slow machine changes nothing."""
    executor = ThreadExecutor()
    turns, is_done = 0, False

    async def busy() -> None:
        nonlocal turns
        while not is_done:
            for i in range(TURN):
                math.sqrt(i)
            turns += 1
            await asyncio.sleep(0)

    def work() -> int:
        db = sqlite3.connect(tmp_path / "state.db")
        db.execute("CREATE TABLE row (n INTEGER)")
        for i in range(STATEMENTS):
            db.execute("INSERT INTO row VALUES (?)", (i,))
        (count,) = db.execute("SELECT count(*) FROM row").fetchone()
        db.close()
        return int(count)

    spinning = asyncio.ensure_future(busy())
    try:
        async with asyncio.timeout(60):
            assert await executor.run(work) == STATEMENTS
        # Some 20 turns here; 12,000 to 33,000 when the loop takes no rest.
        assert turns < 10 * STATEMENTS
    finally:
        is_done = True
        await spinning
        executor.close()


async def test_the_loop_rests_only_while_work_is_under_way() -> None:
    executor = ThreadExecutor()
    await asyncio.gather(*(executor.run(lambda: None) for _ in range(3)))
    assert executor._rest is None
    assert not executor._under_way
    with pytest.raises(ZeroDivisionError):
        await executor.run(lambda: 1 / 0)
    assert executor._rest is None
    executor.close()
