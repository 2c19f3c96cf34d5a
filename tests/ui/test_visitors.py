"""What visitors of the screens leave behind: nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.plant.product import until
from tests.ui.test_front import site
from tests.ui.visitors import ENDS, WAIT_S, Screens, Visitors, hello, screens

pytestmark = pytest.mark.plant
IS_LONG = bool(os.environ.get("GENBA_TORTURE"))
AT_ONCE, SECONDS, ROUNDS, STAY_S = (100, 120.0, 4, 10.0) if IS_LONG else (20, 4.0, 2, 1.0)
SETTLE_S = 180.0
"""NiceGUI keeps a page that nobody came for a minute, and looks each ten seconds."""
BLOCKS_MORE = 500
"""Of caches that fill up, besides one for each visit: what a visit leaves has more."""
MB_MORE = 8.0
PING_LOST_S = 2.5
"""Longer than NiceGUI waits for the answer to a ping where it keeps a page for 4 s."""


async def settled(served: Screens, wanted: dict[str, int] | None) -> dict[str, Any]:
    """What there is when all have gone; the first time, what does not change any more."""
    seen: list[dict[str, int]] = []
    found: dict[str, Any] = {}

    async def is_quiet() -> bool:
        nonlocal found
        found = await served.ask()
        held = found["held"]
        seen.append(held)
        if wanted is not None:
            return bool(held == wanted)
        is_left = any(held[name] for name in ("pages", "editors", "sockets", "tabs"))
        return not is_left and len(seen) > 6 and all(one == held for one in seen[-6:])

    try:
        await until(is_quiet, "what was before", seconds=SETTLE_S)
    except AssertionError:
        raise AssertionError(f"Left: {found}; before: {wanted}") from None
    return found


@pytest.mark.slow
async def test_visitors_who_come_and_go_leave_nothing(tmp_path: Path) -> None:
    """Neither pages, tasks, timers, sockets nor files, and no memory.

    A first round makes what is made once. After each of the rounds that follow all counts are
    exactly what they were after it, and in the long form, which is 100 visitors for ten minutes,
    memory has not grown with the visits.
    """
    async with (
        site(tmp_path, "127.0.0.1:0") as found,
        screens(found.product.state, soon=not IS_LONG) as served,
    ):
        guests = Visitors(served.url, STAY_S)
        rounds: list[dict[str, Any]] = []
        visits: list[int] = []
        for number in range(ROUNDS + 1):
            await guests.come(AT_ONCE, SECONDS)
            stalls = (await served.ask())["stalls"]
            rounds.append(await settled(served, rounds[0]["held"] if rounds else None))
            visits.append(sum(guests.ends[how] for how in ENDS))
            print(number, visits[-1], rounds[-1]["memory"], stalls, dict(guests.ends), flush=True)
    assert visits[-1] > 2 * AT_ONCE, guests.ends  # On a busy machine most may give up.
    assert min(guests.ends[how] for how in ENDS) > 0, guests.ends
    if IS_LONG:
        first, last = rounds[1]["memory"], rounds[-1]["memory"]
        more = {name: last[name] - first[name] for name in last}
        assert more["blocks"] < BLOCKS_MORE + visits[-1] - visits[1], rounds
        assert more["mb"] < MB_MORE, rounds


async def test_a_browser_that_came_back_is_still_at_its_flow(tmp_path: Path) -> None:
    """It has a new socket before the end of the old one is noticed."""
    async with (
        site(tmp_path, "127.0.0.1:0") as found,
        screens(found.product.state, soon=True) as served,
        httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=WAIT_S) as browser,
    ):
        guests = Visitors(served.url)

        async def held() -> Any:
            return (await served.ask())["held"]

        async def is_gone() -> bool:
            return bool((await held())["sockets"] == alone["sockets"])

        async def has_left() -> bool:
            return bool((await held())["editors"] == 0)

        client = await guests.page(browser, "/flows/beat")
        async with guests.socket(client) as first:
            await first.send("40")
            await hello(first)
            alone = await held()
            assert alone["editors"] == 1
            async with guests.socket(client) as again:
                await again.send("40")
                await hello(again)
                assert not await is_gone()
                first.transport.abort()
                await until(is_gone, "the end of the first socket")
                assert (await held())["editors"] == 1
        await until(has_left, "that nobody is at the flow")


async def test_a_socket_that_dies_while_its_page_opens_is_missed_by_nobody(tmp_path: Path) -> None:
    """The screens stand still with a ping under way, and find the word of the page too late."""
    async with (
        site(tmp_path, "127.0.0.1:0") as found,
        screens(found.product.state, soon=True) as served,
        httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=WAIT_S) as browser,
    ):
        guests = Visitors(served.url)
        pages = [await guests.page(browser, "/account") for _ in range(10)]
        asked = [asyncio.Event() for _ in pages]
        goes_on, stood = asyncio.Event(), asyncio.Event()

        async def visitor(number: int) -> None:
            async with guests.socket(pages[number]) as socket:
                while await socket.recv() != "2":  # Engine.IO: are you there?
                    pass
                asked[number].set()
                await goes_on.wait()
                await socket.send("40")  # And no answer to that.
                await stood.wait()

        visits = [asyncio.ensure_future(visitor(number)) for number in range(len(pages))]
        await asyncio.gather(*(one.wait() for one in asked))
        with served.held():
            goes_on.set()
            await asyncio.sleep(PING_LOST_S)
        stood.set()
        await asyncio.gather(*visits)

        async def is_nothing_left() -> bool:
            held = (await served.ask())["held"]
            return not any(held[name] for name in ("pages", "sockets", "tabs"))

        await until(is_nothing_left, "that no page is left")
