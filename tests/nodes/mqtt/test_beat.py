"""The beat of a line: a quiet broker is not a dead one."""

from __future__ import annotations

import asyncio

from nodes.mqtt._beat import Beat


async def play(*, answers: bool, speaks: bool) -> list[float]:
    """A broker that sends nothing but answers to pings, at once; the silences it died of."""
    loop = asyncio.get_running_loop()
    dead: list[float] = []

    def ping() -> None:
        beat.spoke = loop.time()
        if answers:  # Within the grain of the loop's time, as a broker on this machine does.
            beat.heard = beat.spoke

    beat = Beat(ping, dead.append, lambda: False)
    beat.start(0.2)
    for _ in range(60):
        if speaks:
            beat.spoke = loop.time()
        await asyncio.sleep(0.02)
    beat.stop()
    return dead


async def test_a_broker_that_only_answers_pings_is_alive() -> None:
    assert await play(answers=True, speaks=False) == []


async def test_it_is_alive_while_we_alone_have_something_to_say() -> None:
    assert await play(answers=True, speaks=True) == []


async def test_one_that_does_not_answer_is_dead() -> None:
    assert len(await play(answers=False, speaks=True)) == 1
