"""Screens that come and go: afterwards nothing of them is left.

The short form takes seconds. With GENBA_TORTURE=1 up to 100 screens come and go for ten minutes.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from gateway.engine import store_writer
from tests.api.test_live import House, opened
from tests.engine.gear import samples, until
from tests.memory import memory

TORTURE = bool(os.environ.get("GENBA_TORTURE"))
AT_ONCE = 100 if TORTURE else 40
ROUNDS = 4 if TORTURE else 2
"""After a first one, in which what memory takes once is taken."""
VISITS = 10**9 if TORTURE else 100
SECONDS = 120.0 if TORTURE else 60.0
"""A round ends after so many visits, or so long [s]."""
WAIT_S = 60.0
BLOCKS_MORE = 500
"""Of caches that fill up, besides one for each visit: what a visit leaves has more."""
MB_MORE = 8.0
ASKS = (
    {"tags": ["A", "B", "C"], "hz": 5},
    {"flow": "test", "hz": 5},
    {"flow": "*", "hz": 2},
    {"alarms": True},
    {"wire": ["test", "src", "out"], "rows": 20},
    {"system": True, "hz": 1},
)


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(store_writer, "COMMIT_INTERVAL_S", 0.02)
    async with opened(tmp_path) as house:
        yield house


def held(house: House) -> dict[str, int]:
    """What this process and the gateway hold."""
    gc.collect()
    runners = house.runtime.runners.values()
    return {
        "tasks": len(asyncio.all_tasks()),
        "sockets": len(psutil.Process().net_connections("tcp")),
        "connections": len(house.server._server.server_state.connections),
        "clients": len(house.server.hub.clients),
        "topics": len(house.server.hub.topics),
        "taps": sum(len(runner.taps) for runner in runners),
    }


async def visit(house: House, chance: random.Random, ends: Counter[str]) -> None:
    """One screen: it asks for some things, looks for a moment, and leaves in one of three ways."""
    try:
        async with asyncio.timeout(20), connect(house.url, close_timeout=2) as socket:
            for i, asked in enumerate(chance.sample(ASKS, chance.randint(0, len(ASKS)))):
                await socket.send(json.dumps({"sub": f"k{i}", **asked}))
                if chance.random() < 0.2:
                    await socket.send(json.dumps({"unsub": f"k{i}"}))
            for _ in range(chance.randint(0, 3)):
                assert "now" in json.loads(await socket.recv())
            await asyncio.sleep(chance.uniform(0, 0.3))
            how = chance.choice(("said goodbye", "was cut", "was shown the door"))
            ends[how] += 1
            if how == "was cut":
                socket.transport.abort()
            elif how == "was shown the door":
                await socket.send("{")
                await socket.wait_closed()
    except (WebSocketException, OSError):
        ends["found no place"] += 1
        await asyncio.sleep(1.0)  # As a page does before it tries again.


async def feed(house: House) -> None:
    """Values change all the time, so that every frame has something in it."""
    at = 0
    while True:
        at += 1
        text = f"A {at}s {at % 100}; B {at}s {at}; C {at}s {at}"
        house.script.readings.put_nowait(samples(house.runtime, text))
        for kept in (house.script.written, house.script.acknowledged, house.script.log):
            kept.clear()  # What the script notes for its test would be a leak here.
        await asyncio.sleep(0.05)


async def come_and_go(house: House, chance: random.Random, ends: Counter[str]) -> None:
    """One round of visits."""
    left, deadline = VISITS, asyncio.get_running_loop().time() + SECONDS

    async def visitor() -> None:
        nonlocal left
        while left > 0 and asyncio.get_running_loop().time() < deadline:
            left -= 1
            await visit(house, chance, ends)

    await asyncio.gather(*(visitor() for _ in range(AT_ONCE)))
    await until(house.is_idle, WAIT_S)


@pytest.mark.slow
async def test_screens_that_come_and_go_leave_nothing(house: House) -> None:
    """After each round there is exactly what was before; in the long form also of memory."""
    chance, ends = random.Random(7), Counter[str]()
    async with connect(house.url) as socket:  # What is made once at the first visit is made.
        await socket.recv()
    await until(house.is_idle)
    feeding = asyncio.ensure_future(feed(house))
    await until(lambda: len(house.runtime.book))
    before = held(house)
    visits, memories = [], []
    for number in range(ROUNDS + 1):
        await come_and_go(house, chance, ends)
        try:
            await until(lambda: held(house) == before, WAIT_S)
        except TimeoutError:
            stays = [str(task.get_coro()) for task in asyncio.all_tasks()]
            sockets = [str(c) for c in psutil.Process().net_connections("tcp")]
            pytest.fail(f"round {number}: {held(house)}, not {before}: {stays} {sockets}")
        visits.append(ends.total() - ends["found no place"])
        memories.append(memory())
        print(f"round {number}: {visits[-1]} visits, {dict(ends)}; {memories[-1]}; {before}")
    feeding.cancel()
    assert min(ends[how] for how in ("said goodbye", "was cut", "was shown the door")) > 0
    if TORTURE:
        assert visits[-1] > 5 * AT_ONCE, ends
        more = {name: memories[-1][name] - memories[1][name] for name in memories[1]}
        assert more["blocks"] < BLOCKS_MORE + visits[-1] - visits[1], memories
        assert more["mb"] < MB_MORE, memories
