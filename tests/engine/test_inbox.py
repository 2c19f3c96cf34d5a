"""Inbox: bounded, put waits, take gives all that wait."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.inbox import Inbox


async def test_take_waits_for_one_and_gives_all() -> None:
    inbox: Inbox[str] = Inbox(10)
    taking = asyncio.ensure_future(inbox.take(100))
    await asyncio.sleep(0)
    assert not taking.done()
    await inbox.put("a", 1)
    await inbox.put("b", 2)
    assert await taking == ["a", "b"]
    assert (inbox.rows, len(inbox), inbox.peak) == (0, 0, 3)


async def test_take_stops_at_its_limit_but_gives_at_least_one() -> None:
    inbox: Inbox[str] = Inbox(100)
    for name, rows in (("a", 30), ("b", 5), ("c", 5), ("d", 1)):
        await inbox.put(name, rows)
    assert await inbox.take(10) == ["a"]
    assert await inbox.take(10) == ["b", "c"]
    assert await inbox.take(10) == ["d"]


async def test_put_waits_while_it_is_full() -> None:
    inbox: Inbox[int] = Inbox(10)
    await inbox.put(1, 8)
    second = asyncio.ensure_future(inbox.put(2, 3))
    third = asyncio.ensure_future(inbox.put(3, 3))
    await asyncio.sleep(0.01)
    assert not second.done()
    assert not third.done()
    assert await inbox.take(100) == [1]
    await asyncio.gather(second, third)
    assert inbox.rows == 6


async def test_one_entry_larger_than_the_limit_gets_in() -> None:
    inbox: Inbox[int] = Inbox(10)
    await inbox.put(1, 1000)
    assert await inbox.take(10) == [1]


async def test_what_must_not_wait_does_not() -> None:
    inbox: Inbox[int] = Inbox(1)
    await inbox.put(1, 1)
    inbox.put_now(2, 1)
    assert await inbox.take(10) == [1, 2]


async def test_a_time_limit() -> None:
    inbox: Inbox[int] = Inbox(1)
    assert await inbox.take(10, 0.0) == []
    assert await inbox.take(10, 0.01) == []
    await inbox.put(1, 1)
    assert await inbox.take(10, 0.0) == [1]


async def test_a_putter_that_is_cancelled_leaves_no_trace() -> None:
    inbox: Inbox[int] = Inbox(1)
    await inbox.put(1, 1)
    waiting = asyncio.ensure_future(inbox.put(2, 1))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await inbox.take(10) == [1]
    assert inbox.rows == 0


@given(st.lists(st.integers(1, 20), max_size=30), st.integers(1, 25), st.integers(1, 30))
def test_nothing_is_lost_and_the_order_stays(
    sizes: list[int], rows_max: int, take_max: int
) -> None:
    async def go() -> list[int]:
        inbox: Inbox[int] = Inbox(rows_max)

        async def fill() -> None:
            for i, size in enumerate(sizes):
                await inbox.put(i, size)
                assert inbox.rows <= max(rows_max, max(sizes))

        filling = asyncio.ensure_future(fill())
        found: list[int] = []
        while len(found) < len(sizes):
            found += await inbox.take(take_max)
        await filling
        return found

    assert asyncio.run(go()) == list(range(len(sizes)))
