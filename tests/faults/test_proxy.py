"""The proxy does what it is told to: a fault test is worth no more than its fault."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.faults.proxy import Proxy, Way


@contextlib.asynccontextmanager
async def echo() -> AsyncIterator[Proxy]:
    """A proxy in front of a server that sends everything back."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
            yield proxy
    finally:
        server.close()


class Caller:
    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    async def __aenter__(self) -> Caller:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def say(self, data: bytes, n: int | None = None) -> bytes:
        self.writer.write(data)
        async with asyncio.timeout(10):
            return await self.reader.readexactly(len(data) if n is None else n)

    async def hears_nothing(self, seconds: float = 0.1) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.reader.read(1)


async def test_it_passes_on_what_comes() -> None:
    async with echo() as proxy, Caller(proxy) as caller:
        data = bytes(range(256)) * 500
        assert await caller.say(data) == data
        assert proxy.up.passed == proxy.down.passed == len(data)
        assert len(proxy.attempts) == len(proxy.links) == 1


async def test_a_cut_is_an_end_and_nobody_gets_in_until_it_is_healed() -> None:
    async with echo() as proxy:
        async with Caller(proxy) as caller:
            await caller.say(b"x")
            proxy.cut()
            assert await caller.reader.read() == b""
        async with Caller(proxy) as caller:
            assert await caller.reader.read() == b""
        proxy.heal()
        async with Caller(proxy) as caller:
            assert await caller.say(b"y") == b"y"


async def test_a_reset_is_a_reset() -> None:
    async with echo() as proxy, Caller(proxy) as caller:
        await caller.say(b"x")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await caller.reader.read()
        async with Caller(proxy) as caller2:
            assert await caller2.say(b"y") == b"y"


async def test_a_stalled_link_goes_on_where_it_was() -> None:
    async with echo() as proxy, Caller(proxy) as caller:
        await caller.say(b"x")
        proxy.stall()
        caller.writer.write(b"held")
        await caller.hears_nothing()
        async with Caller(proxy) as late:
            late.writer.write(b"late")
            await late.hears_nothing()
            proxy.heal()
            assert await caller.say(b"", 4) == b"held"
            assert await late.say(b"", 4) == b"late"


async def test_a_half_open_link_says_nothing_and_is_dead_for_good() -> None:
    async with echo() as proxy, Caller(proxy) as caller:
        await caller.say(b"x")
        proxy.half_open()
        caller.writer.write(b"lost")
        await caller.hears_nothing()
        async with Caller(proxy) as late:
            late.writer.write(b"lost too")
            await late.hears_nothing()
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await caller.reader.read()
        async with Caller(proxy) as fresh:
            assert await fresh.say(b"y") == b"y"


async def test_a_link_breaks_after_so_many_bytes() -> None:
    async with echo() as proxy, Caller(proxy) as caller:
        proxy.drop_after(150)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            for _ in range(100):
                await caller.say(b"x" * 10)
        async with Caller(proxy) as fresh:
            assert await fresh.say(b"y" * 1000) == b"y" * 1000


async def test_a_slow_link_is_slow_in_one_way() -> None:
    async with echo() as proxy, Caller(proxy) as caller:
        loop = asyncio.get_running_loop()
        proxy.down.bytes_per_s = 1000.0
        began_s = loop.time()
        assert await caller.say(b"x" * 300) == b"x" * 300
        assert loop.time() - began_s >= 0.25
        proxy.heal()
        proxy.up.delay_s = 0.2
        began_s = loop.time()
        await caller.say(b"x")
        assert loop.time() - began_s >= 0.19  # The clock of the loop counts milliseconds.


async def test_corrupt_bytes_are_the_same_for_the_same_seed() -> None:
    data = bytes(2000)
    found = []
    for seed in (1, 1, 2):
        way = Way(seed, corrupt=0.05)
        found.append(await way.through(data))
        assert 50 < way.spoilt == sum(byte != 0 for byte in found[-1]) < 200
    assert found[0] == found[1] != found[2]
    way = Way(1, spoil=lambda piece: piece[::-1])
    assert await way.through(b"abc") == b"cba"
