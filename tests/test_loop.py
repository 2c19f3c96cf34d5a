"""The tests run on the loop that the product runs on: its transports and timers are others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

EXPECTED = "uvloop" if sys.platform == "linux" else "asyncio"


@pytest.fixture
async def loop_of_a_fixture() -> AsyncIterator[asyncio.AbstractEventLoop]:
    yield asyncio.get_running_loop()


async def test_it_is_the_loop_of_the_product(loop_of_a_fixture: asyncio.AbstractEventLoop) -> None:
    loop = asyncio.get_running_loop()
    assert type(loop).__module__.partition(".")[0] == EXPECTED
    assert loop is loop_of_a_fixture
